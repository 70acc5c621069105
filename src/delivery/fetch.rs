//! Fetches into the cache what is not there, within bounds of time and number.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use tokio::time::{Instant, timeout, timeout_at};

use super::response::{Failure, RETRY_AFTER};
use super::stream::Large;
use super::{Class, Library, Miss, Presence, SegmentAddress, SegmentFacts, Shared};
use crate::cache::{self, Absence, CacheKey, CacheOutcome, ENTRY_BYTES, FillError, Object, Room};
use crate::semantics::{Freshness, Route};
use crate::title::{ContentHash, Still, TrackId, TrackKind};

/// Longest time to read what is made, the wait for room included.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A library that has waited until the deadline has so long to say what came of it.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// Longest wait for room to read a segment into memory; what finds none is streamed.
const ROOM_WAIT: Duration = Duration::from_millis(500);

/// Room for a document whose length is not known before it is made.
const DOCUMENT_BYTES: u64 = 128 << 10;

const PLAYLIST: HeaderValue = HeaderValue::from_static("application/vnd.apple.mpegurl");
const VIDEO: HeaderValue = HeaderValue::from_static("video/mp4");
const AUDIO: HeaderValue = HeaderValue::from_static("audio/mp4");
const TEXT: HeaderValue = HeaderValue::from_static("text/vtt");
const JPEG: HeaderValue = HeaderValue::from_static("image/jpeg");

/// Why the cache has no object for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoObject {
    /// There is none.
    Missing(Miss),
    /// It is too large to be cached, or there is no room for it now.
    Large(SegmentFacts),
}

impl Absence for NoObject {
    fn is_remembered(&self) -> bool {
        // What is not made yet may be made at any moment.
        !matches!(self, Self::Missing(Miss::NotYet { .. }))
    }
}

impl CacheKey for Route {
    fn is_document(&self) -> bool {
        match self {
            Self::Segment { track, .. } => track.kind == TrackKind::Text,
            Self::Still { still, .. } => *still == Still::Storyboard,
            Self::Multivariant { .. } | Self::MediaPlaylist { .. } | Self::IFramePlaylist { .. } | Self::Init { .. } => true,
        }
    }
}

impl From<Miss> for NoObject {
    fn from(miss: Miss) -> Self {
        Self::Missing(miss)
    }
}

/// Where the bytes of an answer come from.
pub(super) enum Found {
    /// From memory.
    Memory(Arc<Object>),
    /// From the store, into memory, for this request.
    Filled(Arc<Object>),
    /// From the store, piece by piece.
    Large(Box<Large>),
}

impl<L: Library> Shared<L> {
    /// The object behind `route`, from the cache or through it.
    pub(super) async fn find(&self, route: Route, class: Class) -> Result<Found, Failure> {
        match self.cache.find(&route).await {
            Some(cache::Found { object, first_use }) => {
                if first_use {
                    self.read_on(route);
                }
                Ok(Found::Memory(object))
            }
            None => self.fetch(route, class).await,
        }
    }

    async fn fetch(&self, route: Route, class: Class) -> Result<Found, Failure> {
        match self.library.presence(route.title()) {
            Presence::Here => {}
            Presence::Gone => return Err(Failure::Gone),
            Presence::Unknown => return Err(Failure::NotFound),
        }
        let _waiter = self.waiters.try_acquire().map_err(|_| Failure::Busy)?;
        let _waiting = self.metrics.waiting();
        let began = Instant::now();
        let deadline = began + self.segment_wait;
        loop {
            let load =
                Load { library: Arc::clone(&self.library), route, deadline, object_bytes_max: self.cache.config().object_bytes_max() };
            let cache_control = self.multivariant_cache_control.clone();
            let (result, outcome) = self.cache.get_or_fill(route, async move |room| load.object(cache_control, room).await).await;
            // A fill keeps the deadline of the request that began it. Whoever joined late has time left for another one.
            let not_yet = matches!(result, Err(FillError::Failed(NoObject::Missing(Miss::NotYet { .. }))));
            if not_yet && outcome == CacheOutcome::Collapsed && Instant::now() < deadline {
                continue;
            }
            self.metrics.waited(class, began.elapsed());
            return match result {
                Ok(object) => {
                    if self.readers.follows(&route) {
                        self.read_on(route);
                    }
                    Ok(Found::Filled(object))
                }
                Err(FillError::Failed(NoObject::Large(facts))) => {
                    Large::of(route, facts).map(|large| Found::Large(Box::new(large))).ok_or(Failure::NotFound)
                }
                Err(FillError::Failed(NoObject::Missing(miss))) => Err(Failure::of_fill(&FillError::Failed(miss))),
                Err(FillError::Busy) => Err(Failure::of_fill(&FillError::Busy)),
                Err(FillError::Lost) => {
                    tracing::error!(%route, "the fill broke off");
                    Err(Failure::of_fill(&FillError::Lost))
                }
            };
        }
    }
}

/// A fill.
struct Load<L> {
    library: Arc<L>,
    route: Route,
    deadline: Instant,
    object_bytes_max: u64,
}

impl<L: Library> Load<L> {
    async fn object(self, multivariant_cache_control: HeaderValue, room: Room) -> Result<Object, NoObject> {
        if let Route::Segment { title, generation, track, number } = self.route
            && track.kind != TrackKind::Text
        {
            let segment = SegmentAddress { title, generation, track, number };
            return self.segment(segment, room).await;
        }
        Ok(self.document(multivariant_cache_control, room).await?)
    }

    async fn document(&self, multivariant_cache_control: HeaderValue, room: Room) -> Result<Object, Miss> {
        let (library, route, deadline) = (&self.library, self.route, self.deadline);
        let late = |_| Miss::Unavailable { retry_after: RETRY_AFTER };
        let reservation = timeout(READ_TIMEOUT, room.reserve(DOCUMENT_BYTES)).await.map_err(late)?;
        let document = match route {
            Route::Multivariant { title } => timeout(READ_TIMEOUT, library.multivariant(title)).await,
            Route::MediaPlaylist { title, generation, track } => {
                timeout(READ_TIMEOUT, library.media_playlist(title, generation, track)).await
            }
            Route::IFramePlaylist { title, generation, track } => {
                timeout(READ_TIMEOUT, library.i_frame_playlist(title, generation, track)).await
            }
            Route::Still { title, generation, still } => timeout(READ_TIMEOUT, library.still(title, generation, still)).await,
            Route::Init { title, generation, track } => {
                timeout_at(deadline + READ_TIMEOUT, library.init(title, generation, track, deadline)).await
            }
            Route::Segment { title, generation, track, number } => {
                timeout(READ_TIMEOUT, library.text_segment(title, generation, track, number)).await
            }
        };
        let document = document.map_err(late)??;
        let (content_type, cache_control, immutable) = match route {
            Route::Multivariant { .. } => (PLAYLIST, multivariant_cache_control, false),
            Route::MediaPlaylist { .. } | Route::IFramePlaylist { .. } => (PLAYLIST, immutable(), true),
            Route::Still { still, .. } => (still_type(still), immutable(), true),
            Route::Init { track, .. } | Route::Segment { track, .. } => (media_type(track), immutable(), true),
        };
        let is_text = match route {
            Route::Multivariant { .. }
            | Route::MediaPlaylist { .. }
            | Route::IFramePlaylist { .. }
            // Segments that come here are of text.
            | Route::Segment { .. }
            | Route::Still { still: Still::Storyboard, .. } => true,
            Route::Init { .. } | Route::Still { .. } => false,
        };
        let hash = ContentHash::of(&document.bytes);
        // Coded forms of text are together no longer than the text.
        let bytes = document.bytes.len() as u64 * if is_text { 2 } else { 1 } + ENTRY_BYTES;
        let reservation = if bytes > DOCUMENT_BYTES {
            drop(reservation);
            timeout(READ_TIMEOUT, room.reserve(bytes)).await.map_err(late)?
        } else {
            reservation.shrink(bytes)
        };
        let body = reservation.hold(document.bytes);
        let object = Object::new(body, hash, document.changed_at_ms, content_type, cache_control, immutable);
        Ok(if is_text { object.with_gzip() } else { object })
    }

    async fn segment(&self, segment: SegmentAddress, room: Room) -> Result<Object, NoObject> {
        let late = |_| Miss::NotYet { retry_after: RETRY_AFTER };
        // Room is taken only now that there is something to read: what waits to be made takes none.
        let found = timeout_at(self.deadline + ANSWER_TIMEOUT, self.library.find_segment(segment, self.deadline));
        let facts = found.await.map_err(late)??;
        if facts.size_bytes > self.object_bytes_max {
            return Err(NoObject::Large(facts));
        }
        // Room is short where slow clients hold what was dropped for others; a stream holds less.
        let reserved = timeout(ROOM_WAIT, room.reserve(facts.size_bytes + ENTRY_BYTES)).await;
        let Ok(reservation) = reserved else { return Err(NoObject::Large(facts)) };
        let read = timeout(READ_TIMEOUT, self.library.read_segment(segment, &facts)).await;
        let bytes = read.map_err(|_| Miss::Unavailable { retry_after: RETRY_AFTER })??;
        Ok(segment_object(segment, &facts, reservation.hold(bytes))?)
    }
}

/// A segment that was read.
///
/// # Errors
/// When it is not as long as the ledger says.
pub(super) fn segment_object(segment: SegmentAddress, facts: &SegmentFacts, bytes: Bytes) -> Result<Object, Miss> {
    if bytes.len() as u64 != facts.size_bytes {
        tracing::error!(?segment, expected = facts.size_bytes, found = bytes.len(), "a stored segment has the wrong size");
        return Err(Miss::Unavailable { retry_after: RETRY_AFTER });
    }
    Ok(describe_segment(segment, facts, bytes))
}

/// A segment of which `bytes` are in memory, with the fields of an answer.
pub(super) fn describe_segment(segment: SegmentAddress, facts: &SegmentFacts, bytes: Bytes) -> Object {
    Object::new(bytes, facts.hash, facts.finished_at_ms, media_type(segment.track), immutable(), true)
}

fn immutable() -> HeaderValue {
    HeaderValue::from_static(Freshness::Immutable.cache_control())
}

fn still_type(still: Still) -> HeaderValue {
    match still {
        Still::Poster | Still::Sprite(_) => JPEG,
        Still::Storyboard => TEXT,
    }
}

fn media_type(track: TrackId) -> HeaderValue {
    match track.kind {
        TrackKind::Video => VIDEO,
        TrackKind::Audio => AUDIO,
        TrackKind::Text => TEXT,
    }
}
