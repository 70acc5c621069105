//! Fetches into the cache what is not there, within bounds of time and number.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::{Instant, timeout, timeout_at};

use super::fields::is_text;
use super::provenance::Provenance;
use super::response::{Failure, RETRY_AFTER};
use super::{Class, Fields, Library, Miss, SegmentAddress, Shared};
use crate::cache::{CacheOutcome, FillError, FillRoom, Object};
use crate::semantics::{Freshness, Route};
use crate::title::{ContentHash, Still, TrackId, TrackKind};

/// Longest time to read what is made, the wait for room included.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A library that has waited until the deadline has so long to say what came of it.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// Shorter texts are coded in less than a millisecond.
const CODED_AT_ONCE_BYTES_MAX: usize = 8 << 10;

const PLAYLIST: HeaderValue = HeaderValue::from_static("application/vnd.apple.mpegurl");
const VIDEO: HeaderValue = HeaderValue::from_static("video/mp4");
const AUDIO: HeaderValue = HeaderValue::from_static("audio/mp4");
const TEXT: HeaderValue = HeaderValue::from_static("text/vtt");
const JPEG: HeaderValue = HeaderValue::from_static("image/jpeg");

impl<L: Library> Shared<L> {
    /// The object behind `route`, through the cache, and what was done for it.
    pub(super) async fn fetch(&self, route: Route, class: Class) -> (Result<Arc<Object>, Failure>, Provenance) {
        if !self.library.knows(route.title()) {
            return (Err(Failure::NotFound), Provenance::Unasked);
        }
        let Ok(_waiter) = self.waiters.try_acquire() else { return (Err(Failure::Busy), Provenance::Unasked) };
        let _waiting = self.metrics.waiting();
        let began = Instant::now();
        let deadline = began + self.segment_wait;
        loop {
            let (library, fields) = (Arc::clone(&self.library), Arc::clone(&self.fields));
            let fill = async move |room| {
                let object = load(&*library, route, fields.multivariant_cache_control.clone(), deadline, room).await?;
                dress(fields, route, object).await
            };
            let (result, outcome) = self.cache.get_or_fill(route, fill).await;
            // A fill keeps the deadline of the request that began it. Whoever joined late has time left for another one.
            let too_early = matches!(result, Err(FillError::Failed(Miss::NotYet { .. }))) && outcome == CacheOutcome::Collapsed;
            if too_early && Instant::now() < deadline {
                continue;
            }
            let took = began.elapsed();
            self.metrics.waited(class, took);
            let result = result.map_err(|error| {
                if matches!(error, FillError::Lost) {
                    tracing::error!(%route, "the fill broke off");
                }
                Failure::of_fill(&error)
            });
            return (result, Provenance::Asked { outcome, took });
        }
    }
}

/// Completes an object. Coding a text takes too long for a thread that others wait for.
async fn dress(fields: Arc<Fields>, route: Route, object: Object) -> Result<Object, Miss> {
    if !is_text(&route) || object.bytes.len() < CODED_AT_ONCE_BYTES_MAX {
        return Ok(fields.dress(&route, object));
    }
    let dressed = tokio::task::spawn_blocking(move || fields.dress(&route, object)).await;
    dressed.map_err(|_| Miss::Unavailable { retry_after: RETRY_AFTER })
}

async fn load<L: Library>(
    library: &L,
    route: Route,
    multivariant_cache_control: HeaderValue,
    deadline: Instant,
    room: FillRoom,
) -> Result<Object, Miss> {
    let late = |_| Miss::Unavailable { retry_after: RETRY_AFTER };
    let document = match route {
        Route::Multivariant { title } => timeout(READ_TIMEOUT, library.multivariant(title)).await.map_err(late)??,
        Route::MediaPlaylist { title, generation, track } => {
            timeout(READ_TIMEOUT, library.media_playlist(title, generation, track)).await.map_err(late)??
        }
        Route::IFramePlaylist { title, generation, track } => {
            timeout(READ_TIMEOUT, library.i_frame_playlist(title, generation, track)).await.map_err(late)??
        }
        Route::Still { title, generation, still } => {
            timeout(READ_TIMEOUT, library.still(title, generation, still)).await.map_err(late)??
        }
        Route::Init { title, generation, track } => {
            timeout_at(deadline + READ_TIMEOUT, library.init(title, generation, track, deadline)).await.map_err(late)??
        }
        Route::Segment { title, generation, track, number } if track.kind == TrackKind::Text => {
            timeout(READ_TIMEOUT, library.text_segment(title, generation, track, number)).await.map_err(late)??
        }
        Route::Segment { title, generation, track, number } => {
            let segment = SegmentAddress { title, generation, track, number };
            return load_segment(library, segment, deadline, room).await;
        }
    };
    let (content_type, cache_control, immutable) = match route {
        Route::Multivariant { .. } => (PLAYLIST, multivariant_cache_control, false),
        Route::MediaPlaylist { .. } | Route::IFramePlaylist { .. } => (PLAYLIST, immutable(), true),
        Route::Still { still, .. } => (still_type(still), immutable(), true),
        Route::Init { track, .. } | Route::Segment { track, .. } => (media_type(track), immutable(), true),
    };
    let hash = ContentHash::of(&document.bytes);
    Ok(Object::new(document.bytes, hash, document.changed_at_ms, content_type, cache_control, immutable))
}

async fn load_segment<L: Library>(library: &L, segment: SegmentAddress, deadline: Instant, room: FillRoom) -> Result<Object, Miss> {
    let late = |_| Miss::NotYet { retry_after: RETRY_AFTER };
    // Room is taken only now that there is something to read: what waits to be made takes none.
    let facts = timeout_at(deadline + ANSWER_TIMEOUT, library.find_segment(segment, deadline)).await.map_err(late)??;
    let reading = async {
        let _room = room.reserve(facts.size_bytes).await;
        library.read_segment(segment, &facts).await
    };
    let unavailable = Miss::Unavailable { retry_after: RETRY_AFTER };
    let bytes = timeout(READ_TIMEOUT, reading).await.map_err(|_| unavailable)??;
    if bytes.len() as u64 != facts.size_bytes {
        tracing::error!(?segment, expected = facts.size_bytes, found = bytes.len(), "a stored segment has the wrong size");
        return Err(unavailable);
    }
    Ok(Object::new(bytes, facts.hash, facts.finished_at_ms, media_type(segment.track), immutable(), true))
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
