//! Server-sent events (WHATWG HTML, 9.2): what changes, told as it changes.
//!
//! Nothing is queued for a reader: he is a place in the catalogue's revisions, and each time he can take more he is told
//! what changed since. A reader who takes nothing for too long is let go, as is everyone when the server stops.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Uri};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::error::{ApiError, ErrorCode, ProblemDetails};
use super::pacing::Pacing;
use super::request::{InPath, Query};
use super::{Api, Base};
use crate::catalogue::{self, Change, TitleRecord};
use crate::title::TitleId;

/// Changes read from the catalogue at once.
const BATCH: u32 = 64;
/// Shortest time between two reads of the catalogue for one reader; what changes meanwhile is read together.
const READ_GAP: Duration = Duration::from_millis(50);
/// How long a client waits before it connects again.
const RECONNECT: Duration = Duration::from_secs(2);

/// How events are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventLimits {
    /// Streams open at once; one more is answered 503.
    pub streams_max: usize,
    /// Shortest time between two events of mere progress of one title.
    pub progress_interval: Duration,
    /// Longest silence; then a comment shows that the stream is alive.
    pub keep_alive: Duration,
    /// How long a reader may take nothing before he is let go.
    pub reader_wait: Duration,
}

impl Default for EventLimits {
    fn default() -> Self {
        Self {
            streams_max: 64,
            progress_interval: Duration::from_millis(500),
            keep_alive: Duration::from_secs(15),
            reader_wait: Duration::from_secs(30),
        }
    }
}

/// The open streams.
pub(super) struct Streams {
    limits: EventLimits,
    open: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Streams {
    /// None is open yet; all end when `stop` is cancelled.
    pub(super) fn new(limits: EventLimits, stop: CancellationToken) -> Self {
        Self { limits, open: Arc::new(Semaphore::new(limits.streams_max)), stop }
    }
}

/// Follows all titles
#[utoipa::path(get, path = "/api/v1/events", tag = "events",
    params(("Last-Event-ID" = Option<String>, Header, description = "The last event's id; everything after it is told.")),
    responses(
        (status = 200, description = "`title` with the Title as data at each change from now on, `deleted` with its id.",
            body = String, content_type = "text/event-stream"),
        (status = "4XX", description = "The request is wrong.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = "5XX", description = "Too many streams are open.", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub(super) async fn of_all(State(api): State<Api>, base: Base, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    Query::parse(uri.query(), &[])?;
    let now = api.catalogue.revision().await?;
    let from = last_event_id(&headers, now)?.unwrap_or(now);
    open(api, base, Scope::All, from)
}

/// Follows a title
#[utoipa::path(get, path = "/api/v1/titles/{id}/events", tag = "events",
    params(
        ("id" = String, Path, description = "The title."),
        ("Last-Event-ID" = Option<String>, Header, description = "The last event's id; nothing up to it is told again."),
    ),
    responses(
        (status = 200, description = "`title` with the Title as data, at first as it is and then at each change; `deleted` at its end.",
            body = String, content_type = "text/event-stream"),
        (status = "4XX", description = "There is no such title.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = "5XX", description = "Too many streams are open.", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub(super) async fn of_one(
    State(api): State<Api>,
    base: Base,
    InPath(id): InPath,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    Query::parse(uri.query(), &[])?;
    api.catalogue.title(id).await?;
    let now = api.catalogue.revision().await?;
    let from = last_event_id(&headers, now)?.unwrap_or(0);
    open(api, base, Scope::One(id), from)
}

/// The revision that the client saw last. One that the catalogue has not reached is another catalogue's: from its start.
fn last_event_id(headers: &HeaderMap, now: i64) -> Result<Option<i64>, ApiError> {
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else { return Ok(None) };
    let revision = value.to_str().ok().and_then(|value| value.parse::<i64>().ok()).filter(|revision| *revision >= 0);
    let revision = revision.ok_or_else(|| ApiError::new(ErrorCode::InvalidHeader, "Last-Event-ID is no id of an event of ours."))?;
    Ok(Some(if revision > now { 0 } else { revision }))
}

fn open(api: Api, base: Base, scope: Scope, from: i64) -> Result<Response, ApiError> {
    let limits = api.events.limits;
    let permit = api.events.open.clone().try_acquire_owned().map_err(|_| {
        let detail = format!("{} event streams are open, which are all that are allowed.", limits.streams_max);
        ApiError::new(ErrorCode::TooManyEventStreams, detail)
    })?;
    // One event waits; whatever comes after it is still in the catalogue.
    let (to, events) = mpsc::channel(1);
    let revisions = api.catalogue.watch();
    let teller = Teller { pacing: Pacing::new(limits.progress_interval), last: Instant::now(), api, base, scope, from, to, revisions };
    tokio::spawn(teller.run(permit));
    Ok(Sse::new(ReceiverStream::new(events)).into_response())
}

/// What a stream is about.
#[derive(Clone, Copy, Debug)]
enum Scope {
    All,
    One(TitleId),
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamEnd {
    /// The reader went away.
    ReaderGone,
    /// The reader took nothing for too long.
    ReaderTooSlow,
    /// The one title it is about was deleted.
    TitleDeleted,
    /// The server stops.
    Stopping,
    /// The catalogue cannot be read; the reader may come back.
    Unavailable,
}

impl StreamEnd {
    fn as_str(self) -> &'static str {
        match self {
            Self::ReaderGone => "reader-gone",
            Self::ReaderTooSlow => "reader-too-slow",
            Self::TitleDeleted => "title-deleted",
            Self::Stopping => "stopping",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Tells one reader.
struct Teller {
    api: Api,
    base: Base,
    scope: Scope,
    /// The last revision that was read for him.
    from: i64,
    pacing: Pacing,
    /// When he was sent something last.
    last: Instant,
    to: mpsc::Sender<Result<Event, Infallible>>,
    revisions: watch::Receiver<i64>,
}

impl Teller {
    async fn run(mut self, permit: OwnedSemaphorePermit) {
        let (stop, to) = (self.api.events.stop.clone(), self.to.clone());
        let end = tokio::select! {
            biased;
            () = stop.cancelled() => StreamEnd::Stopping,
            () = to.closed() => StreamEnd::ReaderGone,
            end = self.tell() => end,
        };
        tracing::debug!(end = end.as_str(), scope = ?self.scope, "an event stream ended");
        drop(permit);
    }

    async fn tell(&mut self) -> StreamEnd {
        let first = Event::default().retry(RECONNECT).comment("connected");
        let first = match self.scope {
            // An id without data moves the reader's place without an event, so that one who comes back misses nothing.
            Scope::All => first.id(self.from.to_string()),
            Scope::One(_) => first,
        };
        if let Err(end) = self.send(first).await {
            return end;
        }
        loop {
            if let Err(end) = self.tell_changes().await {
                return end;
            }
            let read_again = Instant::now() + READ_GAP;
            if let Err(end) = self.wait().await {
                return end;
            }
            sleep_until(read_again.into()).await;
        }
    }

    /// Waits until there may be something to tell.
    async fn wait(&mut self) -> Result<(), StreamEnd> {
        let alive = self.last + self.api.events.limits.keep_alive;
        let wake = self.pacing.next_due().map_or(alive, |due| due.min(alive));
        tokio::select! {
            changed = self.revisions.changed() => changed.map_err(|_| StreamEnd::Unavailable),
            () = sleep_until(wake.into()) => {
                if Instant::now() >= alive {
                    self.send(Event::default().comment("alive")).await?;
                }
                Ok(())
            }
        }
    }

    /// Tells all that changed since the last time, and what was held back and is due.
    async fn tell_changes(&mut self) -> Result<(), StreamEnd> {
        // What changes from here on wakes us again.
        self.revisions.borrow_and_update();
        loop {
            let changes = self.changes().await.map_err(|error| {
                tracing::warn!(%error, "the catalogue cannot be read for an event stream");
                StreamEnd::Unavailable
            })?;
            let more = changes.len() == BATCH as usize;
            for change in changes {
                self.from = change.revision();
                match change {
                    Change::Title(title) => {
                        if let Some(title) = self.pacing.offer(title, Instant::now()) {
                            self.send_title(&title).await?;
                        }
                    }
                    Change::Deleted { id, .. } => {
                        self.pacing.forget(id);
                        self.send_deleted(id).await?;
                    }
                }
            }
            if !more {
                break;
            }
        }
        for title in self.pacing.due(Instant::now()) {
            self.send_title(&title).await?;
        }
        Ok(())
    }

    /// What changed since the last time.
    async fn changes(&self) -> catalogue::Result<Vec<Change>> {
        let Scope::One(id) = self.scope else { return self.api.catalogue.changed_since(self.from, BATCH).await };
        match self.api.catalogue.title(id).await {
            Ok(title) if title.revision > self.from => Ok(vec![Change::Title(title)]),
            Ok(_) => Ok(vec![]),
            Err(catalogue::Error::NotFound(_)) => Ok(vec![Change::Deleted { id, revision: self.api.catalogue.revision().await? }]),
            Err(error) => Err(error),
        }
    }

    async fn send_title(&mut self, record: &TitleRecord) -> Result<(), StreamEnd> {
        let title = self.api.title(record, &self.base).await.map_err(|_| StreamEnd::Unavailable)?;
        let event = self.event("title").json_data(title).map_err(|_| StreamEnd::Unavailable)?;
        self.send(event).await
    }

    async fn send_deleted(&mut self, id: TitleId) -> Result<(), StreamEnd> {
        let event = self.event("deleted").json_data(serde_json::json!({ "id": id })).map_err(|_| StreamEnd::Unavailable)?;
        self.send(event).await?;
        match self.scope {
            Scope::All => Ok(()),
            Scope::One(_) => Err(StreamEnd::TitleDeleted),
        }
    }

    fn event(&self, name: &str) -> Event {
        Event::default().event(name).id(self.pacing.told_up_to(self.from).to_string())
    }

    async fn send(&mut self, event: Event) -> Result<(), StreamEnd> {
        match timeout(self.api.events.limits.reader_wait, self.to.send(Ok(event))).await {
            Ok(Ok(())) => {
                self.last = Instant::now();
                Ok(())
            }
            Ok(Err(_)) => Err(StreamEnd::ReaderGone),
            Err(_) => Err(StreamEnd::ReaderTooSlow),
        }
    }
}
