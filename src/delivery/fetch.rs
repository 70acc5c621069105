//! Fetches into the cache what is not there, within bounds of time and number.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use tokio::time::{Instant, timeout, timeout_at};

use super::fields::{Fields, is_text};
use super::provenance::Provenance;
use super::response::{Failure, RETRY_AFTER};
use super::{Class, Library, Miss, Presence, SegmentAddress, SegmentFacts, Settings, Shared, download};
use crate::cache::{Absence, CacheKey, CacheOutcome, FillError, OBJECT_BYTES, Object, Reservation, Room};
use crate::semantics::{Freshness, Route, Worth};
use crate::title::{ContentHash, Still, TrackId, TrackKind};

/// Longest time to read what is made, the wait for room included.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A library that has waited until the deadline has so long to say what came of it.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// Longest wait for room to read a segment into memory; what finds none is streamed.
const ROOM_WAIT: Duration = Duration::from_millis(500);

/// Room for a document whose length is not known before it is made.
const DOCUMENT_BYTES: u64 = 128 << 10;

/// Shorter texts are coded in less than a millisecond.
const CODED_AT_ONCE_BYTES_MAX: usize = 8 << 10;

const PLAYLIST: HeaderValue = HeaderValue::from_static("application/vnd.apple.mpegurl");
pub(super) const VIDEO: HeaderValue = HeaderValue::from_static("video/mp4");
pub(super) const AUDIO: HeaderValue = HeaderValue::from_static("audio/mp4");
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
            Self::Init { .. } => true,
            // Of a progressive file its tables are kept, which are as large as segments.
            route => is_text(route),
        }
    }
}

impl From<Miss> for NoObject {
    fn from(miss: Miss) -> Self {
        Self::Missing(miss)
    }
}

/// An object, and where its body is.
pub(super) struct Found {
    pub(super) object: Arc<Object>,
    pub(super) place: Place,
}

/// Where the body of an object is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// In memory, with the object.
    Memory,
    /// In the store, as a segment that is too large to be kept in memory.
    Segment(SegmentAddress, SegmentFacts),
    /// In the store, in the segments that a progressive file is made of.
    File(download::Address),
}

impl Place {
    /// Of an object that the cache has.
    pub(super) fn of(route: &Route) -> Self {
        match *route {
            Route::Download { title, generation, file } => Self::File(download::Address { title, generation, file }),
            _ => Self::Memory,
        }
    }
}

impl<L: Library> Shared<L> {
    /// The object behind `route`, through the cache, and what was done for it. To be called when the cache does not have it.
    pub(super) async fn fetch(&self, route: Route, class: Class) -> (Result<Found, Failure>, Provenance) {
        let refused = |failure| (Err(failure), Provenance::Unasked);
        match self.library.presence(route.title()) {
            Presence::Here => {}
            Presence::Gone => return refused(Failure::Gone),
            Presence::Unknown => return refused(Failure::NotFound),
        }
        let settings = self.settings();
        let worth = Worth::of(&route);
        if !self.has_room(&settings, worth) {
            return refused(Failure::Shed { after_s: self.retry_after_s(worth) });
        }
        let Ok(_waiter) = settings.waiters.try_acquire() else {
            return refused(Failure::Busy { after_s: self.retry_after_s(worth) });
        };
        let _waiting = self.metrics.waiting();
        let began = Instant::now();
        let deadline = began + settings.config.segment_wait;
        loop {
            let object_bytes_max = self.cache.config().object_bytes_max();
            let (library, fields) = (Arc::clone(&self.library), Arc::clone(&settings.fields));
            let load = Load { library, fields, route, deadline, object_bytes_max };
            let (result, outcome) = self.cache.get_or_fill(route, async move |room| load.object(room).await).await;
            // A fill keeps the deadline of the request that began it. Whoever joined late has time left for another one.
            let not_yet = matches!(result, Err(FillError::Failed(NoObject::Missing(Miss::NotYet { .. }))));
            if not_yet && outcome == CacheOutcome::Collapsed && Instant::now() < deadline {
                continue;
            }
            let took = began.elapsed();
            self.metrics.waited(class, took);
            if result.is_ok() && self.readers.follows(&route) {
                self.read_on(route);
            }
            let result = match result {
                Ok(object) => Ok(Found { object, place: Place::of(&route) }),
                Err(FillError::Failed(NoObject::Large(facts))) => {
                    media_segment(&route).map(|segment| large(&settings.fields, &route, segment, &facts)).ok_or(Failure::NotFound)
                }
                Err(FillError::Failed(NoObject::Missing(miss))) => Err(Failure::of_fill(&FillError::Failed(miss))),
                Err(FillError::Busy) => Err(Failure::Busy { after_s: self.retry_after_s(worth) }),
                Err(FillError::Lost) => {
                    tracing::error!(%route, "the fill broke off");
                    Err(Failure::of_fill(&FillError::Lost))
                }
            };
            return (result, Provenance::Asked { outcome, took });
        }
    }
}

impl<L> Shared<L> {
    /// Whether what is left of waiters and fills is for requests of this worth.
    fn has_room(&self, settings: &Settings, worth: Worth) -> bool {
        // Whoever is worth most may have the last place, and may find another's fill to wait for without one.
        if worth == Worth::Start {
            return true;
        }
        let (waiters_max, fills_max) = (settings.config.waiters_max, self.cache.config().fills_max);
        let waiting = waiters_max.saturating_sub(settings.waiters.available_permits());
        worth.is_admitted(waiting, waiters_max) && worth.is_admitted(self.cache.fills_under_way(), fills_max)
    }
}

/// A segment whose body stays in the store.
fn large(fields: &Fields, route: &Route, segment: SegmentAddress, facts: &SegmentFacts) -> Found {
    let object = segment_object(segment, facts, Bytes::new()).elsewhere(facts.size_bytes);
    Found { object: Arc::new(fields.dress(route, object)), place: Place::Segment(segment, *facts) }
}

/// A fill.
pub(super) struct Load<L> {
    pub(super) library: Arc<L>,
    pub(super) fields: Arc<Fields>,
    pub(super) route: Route,
    deadline: Instant,
    object_bytes_max: u64,
}

impl<L: Library> Load<L> {
    async fn object(self, room: Room) -> Result<Object, NoObject> {
        if let Route::Download { title, generation, file } = self.route {
            return Ok(download::load(&self, download::Address { title, generation, file }, room).await?);
        }
        match media_segment(&self.route) {
            Some(segment) => self.segment(segment, room).await,
            None => Ok(self.document(room).await?),
        }
    }

    async fn document(&self, room: Room) -> Result<Object, Miss> {
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
            Route::Download { .. } => return Err(Miss::Unknown),
        };
        let document = document.map_err(late)??;
        let (content_type, cache_control, immutable) = match route {
            Route::Multivariant { .. } => (PLAYLIST, self.fields.multivariant_cache_control.clone(), false),
            Route::MediaPlaylist { .. } | Route::IFramePlaylist { .. } => (PLAYLIST, immutable(), true),
            Route::Download { .. } => (VIDEO, immutable(), true),
            Route::Still { still, .. } => (still_type(still), immutable(), true),
            Route::Init { track, .. } | Route::Segment { track, .. } => (media_type(track), immutable(), true),
        };
        let hash = ContentHash::of(&document.bytes);
        let object = Object::new(document.bytes, hash, document.changed_at_ms, content_type, cache_control, immutable);
        let mut object = self.dress(object).await?;
        let bytes = object.memory_bytes() + OBJECT_BYTES;
        let reservation = if bytes > DOCUMENT_BYTES {
            drop(reservation);
            timeout(READ_TIMEOUT, room.reserve(bytes)).await.map_err(late)?
        } else {
            reservation.shrink(bytes)
        };
        object.bytes = reservation.hold(object.bytes);
        Ok(object)
    }

    /// Completes an object. Coding a text takes too long for a thread that others wait for.
    async fn dress(&self, object: Object) -> Result<Object, Miss> {
        let (fields, route) = (Arc::clone(&self.fields), self.route);
        if !is_text(&route) || object.bytes.len() < CODED_AT_ONCE_BYTES_MAX {
            return Ok(fields.dress(&route, object));
        }
        let dressed = tokio::task::spawn_blocking(move || fields.dress(&route, object)).await;
        dressed.map_err(|_| Miss::Unavailable { retry_after: RETRY_AFTER })
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
        let reserved = timeout(ROOM_WAIT, room.reserve(facts.size_bytes + OBJECT_BYTES)).await;
        let Ok(reservation) = reserved else { return Err(NoObject::Large(facts)) };
        Ok(read_segment(&*self.library, &self.fields, segment, &facts, reservation).await?)
    }
}

/// A segment, read into room that was reserved for it.
///
/// # Errors
/// Also when it is not as long as the ledger says.
pub(super) async fn read_segment<L: Library>(
    library: &L,
    fields: &Fields,
    segment: SegmentAddress,
    facts: &SegmentFacts,
    reservation: Reservation,
) -> Result<Object, Miss> {
    let unavailable = Miss::Unavailable { retry_after: RETRY_AFTER };
    let bytes = timeout(READ_TIMEOUT, library.read_segment(segment, facts)).await.map_err(|_| unavailable)??;
    if bytes.len() as u64 != facts.size_bytes {
        tracing::error!(?segment, expected = facts.size_bytes, found = bytes.len(), "a stored segment has the wrong size");
        return Err(unavailable);
    }
    Ok(fields.dress(&segment.route(), segment_object(segment, facts, reservation.hold(bytes))))
}

fn segment_object(segment: SegmentAddress, facts: &SegmentFacts, bytes: Bytes) -> Object {
    Object::new(bytes, facts.hash, facts.finished_at_ms, media_type(segment.track), immutable(), true)
}

/// The segment of pictures or sound that a route names.
pub(super) fn media_segment(route: &Route) -> Option<SegmentAddress> {
    match *route {
        Route::Segment { title, generation, track, number } if track.kind != TrackKind::Text => {
            Some(SegmentAddress { title, generation, track, number })
        }
        _ => None,
    }
}

pub(super) fn immutable() -> HeaderValue {
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
