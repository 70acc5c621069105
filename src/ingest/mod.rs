//! From an upload to a title that is being worked on; its subtitles; recovery at start; deletion.
//!
//! [`receive`] takes the bytes of one upload in one go: a broken one leaves nothing. The resumable protocol (tus) will have
//! its module beside it, `resume`, over the same spool directory and the same account of promised space; what it adds is
//! an upload that outlives its connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use crate::catalogue::{self, Catalogue, SourceRecord, TitleRecord};
use crate::schedule::{Clock, Scheduler};
use crate::store::{self, Key, Store};
use crate::title::TitleId;

pub mod check;
mod expected;
mod metrics;
pub mod receive;
mod recover;
mod space;
mod spool;
pub mod subtitles;
mod violation;

pub use metrics::Metrics;
use receive::{Receiver, Refused};

/// Takes uploads in and titles out. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    catalogue: Catalogue,
    store: Store,
    scheduler: Scheduler,
    receiver: Arc<Receiver>,
    clock: Clock,
    metrics: Metrics,
    /// A sender that is silent for so long is given up. In milliseconds.
    idle_timeout_ms: Arc<AtomicU64>,
    /// Held while the text of a title is changed, and while a title is removed.
    text_turn: Arc<tokio::sync::Mutex<()>>,
}

/// Why an upload did not become a title, or a title could not be deleted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The upload was refused or broke off.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The sender broke off.
    #[error("the upload was cut off: {0}")]
    Cut(String),
    /// The sender was silent too long.
    #[error("no bytes arrived for {} s", .0.as_secs())]
    Stalled(Duration),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] catalogue::Error),
}

impl Error {
    /// A fixed name for metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Refused(Refused::TooLarge { .. }) => "too-large",
            Self::Refused(Refused::NoSpace { .. }) => "no-space",
            Self::Refused(Refused::Busy) => "busy",
            Self::Refused(Refused::Interrupted { .. }) | Self::Cut(_) => "interrupted",
            Self::Refused(Refused::Io(_)) | Self::Store(_) | Self::Catalogue(_) => "unavailable",
            Self::Stalled(_) => "stalled",
        }
    }
}

impl Ingest {
    /// Wires ingest to what it works on.
    pub fn new(
        catalogue: Catalogue,
        store: Store,
        scheduler: Scheduler,
        receiver: Receiver,
        clock: Clock,
        metrics: Metrics,
        idle_timeout: Duration,
    ) -> Self {
        Self {
            catalogue,
            store,
            scheduler,
            receiver: Arc::new(receiver),
            clock,
            metrics,
            idle_timeout_ms: Arc::new(AtomicU64::new(whole_ms(idle_timeout))),
            text_turn: Arc::default(),
        }
    }

    /// Uploads that begin from now on may have so many bytes, and all may be silent for so long.
    pub fn reconfigure(&self, upload_bytes_max: u64, idle_timeout: Duration) {
        self.receiver.limit(upload_bytes_max);
        self.idle_timeout_ms.store(whole_ms(idle_timeout), Ordering::Relaxed);
    }

    /// Receives a whole upload and records the title: when this returns, every byte is on stable storage. An upload that
    /// breaks off leaves nothing.
    ///
    /// # Errors
    /// [`Error`]; the title is then gone again.
    pub async fn receive<S, E>(&self, id: TitleId, name: &str, declared_bytes: Option<u64>, body: S) -> Result<TitleRecord, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let open = Open::count(&self.metrics);
        let received = self.take(id, name, declared_bytes, body).await;
        open.ended(received.as_ref().map(|title| title.source.map_or(0, |source| source.bytes)));
        received
    }

    async fn take<S, E>(&self, id: TitleId, name: &str, declared_bytes: Option<u64>, body: S) -> Result<TitleRecord, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        // Limits are asked about before there is anything to clean up.
        let upload = self.receiver.begin(declared_bytes).await?;
        self.catalogue.create_title(id, name, (self.clock)()).await?;
        // However this ends (an error, or the caller dropping it), a title that got no source goes again.
        let guard = Unfinished { ingest: self.clone(), id: Some(id) };
        let title = self.fill(id, upload, body).await?;
        guard.finished();
        tracing::info!(title = %id, bytes = title.source.map_or(0, |source| source.bytes), "upload received");
        if let Err(error) = self.scheduler.take_up(id).await {
            // The upload is safe; the next start takes it up.
            tracing::error!(title = %id, %error, "the title could not be scheduled");
        }
        Ok(title)
    }

    async fn fill<S, E>(&self, id: TitleId, mut upload: receive::Upload, mut body: S) -> Result<TitleRecord, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        loop {
            let idle_timeout = Duration::from_millis(self.idle_timeout_ms.load(Ordering::Relaxed));
            match tokio::time::timeout(idle_timeout, body.next()).await {
                Err(_) => return Err(Error::Stalled(idle_timeout)),
                Ok(None) => break,
                Ok(Some(Err(error))) => return Err(Error::Cut(error.to_string())),
                Ok(Some(Ok(bytes))) => upload.write(bytes).await?,
            }
        }
        let received = upload.finish().await?;
        let source = SourceRecord { bytes: received.bytes(), sha256: received.sha256() };
        self.store.adopt(received.path(), Key::Source(id)).await?;
        Ok(self.catalogue.source_received(id, source, (self.clock)()).await?)
    }

    /// Deletes a title: it is gone for everyone when this returns; its objects follow.
    ///
    /// # Errors
    /// [`Error::Catalogue`] when there is no such title.
    pub async fn delete(&self, id: TitleId) -> Result<(), Error> {
        self.catalogue.mark_deleted(id, (self.clock)()).await?;
        let ingest = self.clone();
        tokio::spawn(async move {
            if let Err(error) = ingest.collect(id).await {
                tracing::warn!(title = %id, %error, "objects of a deleted title remain until the next start");
            }
        });
        Ok(())
    }

    /// Removes the objects of a title that is marked as deleted, then the mark.
    async fn collect(&self, id: TitleId) -> Result<(), Error> {
        self.scheduler.drop_title(id).await;
        let _turn = self.text_turn.lock().await;
        self.store.delete_title(id).await?;
        self.catalogue.drop_garbage(id).await?;
        Ok(())
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// An upload under way, as the metrics see it; dropped without [`Open::ended`], its sender has gone.
struct Open<'a> {
    metrics: &'a Metrics,
    outcome: &'static str,
}

impl<'a> Open<'a> {
    fn count(metrics: &'a Metrics) -> Self {
        metrics.uploads_open.inc();
        Self { metrics, outcome: "abandoned" }
    }

    fn ended(mut self, result: Result<u64, &Error>) {
        self.outcome = match result {
            Ok(bytes) => {
                self.metrics.upload_bytes.inc_by(bytes);
                "received"
            }
            Err(error) => error.as_str(),
        };
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.metrics.uploads_open.dec();
        self.metrics.uploads.get_or_create(&[("outcome", self.outcome)]).inc();
    }
}

/// A title whose upload is under way; dropped without [`Unfinished::finished`], it takes the title with it.
struct Unfinished {
    ingest: Ingest,
    id: Option<TitleId>,
}

impl Unfinished {
    fn finished(mut self) {
        self.id = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let ingest = self.ingest.clone();
        tokio::spawn(async move {
            if let Err(error) = ingest.delete(id).await {
                tracing::warn!(title = %id, %error, "a title without source remains until the next start");
            }
        });
    }
}
