//! Segments that are not cached: read from the store in pieces while they are sent.
//!
//! A stream holds two pieces, one that is being sent and one that is read meanwhile; it reads on when the client has taken one.
//! There are only so many streams that each has room for its two pieces.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::fetch::describe_segment;
use super::response::{self, Failure};
use super::{Body, BodyError, Library, Metrics, Outcome, SegmentAddress, SegmentFacts, Shared};
use crate::cache::{Object, Room};
use crate::semantics::{Reply, Representation, RequestFacts, Route, decide};

/// A piece while there is plenty of room.
const PIECE_BYTES: u64 = 256 << 10;
/// A piece while there is not, and what each stream is sure to have room for.
const PIECE_BYTES_MIN: u64 = 32 << 10;
/// Pieces that a stream holds.
const PIECES: usize = 2;
/// Longest time to read a piece.
const PIECE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many streams find room in `pieces_bytes`.
pub(super) fn streams_max(pieces_bytes: u64) -> usize {
    usize::try_from(pieces_bytes / (PIECE_BYTES_MIN * PIECES as u64)).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS)
}

/// A segment that is streamed.
pub(super) struct Large {
    segment: SegmentAddress,
    facts: SegmentFacts,
    /// The fields of an answer; its body is empty.
    object: Object,
}

impl Large {
    /// The segment that `route` names; absent when it names none.
    pub(super) fn of(route: Route, facts: SegmentFacts) -> Option<Self> {
        let Route::Segment { title, generation, track, number } = route else { return None };
        let segment = SegmentAddress { title, generation, track, number };
        Some(Self { segment, facts, object: describe_segment(segment, &facts, Bytes::new()) })
    }
}

impl<L: Library> Shared<L> {
    /// Answers with what is streamed. Ranges are read from the store without the rest.
    pub(super) fn stream(&self, large: Large, head: bool, headers: &HeaderMap) -> (Response<Body>, Outcome) {
        let Large { segment, facts, object } = large;
        let length_bytes = facts.size_bytes;
        let representation = Representation {
            etag: object.etag().to_str().unwrap_or_default(),
            last_modified_s: object.last_modified_s(),
            length_bytes,
            immutable: object.immutable,
        };
        let (range, status, outcome) = match decide(&RequestFacts { head, headers }, &representation) {
            Reply::NotModified => return (response::not_modified(&object), Outcome::NotModified),
            Reply::PreconditionFailed => return (response::precondition_failed(&object), Outcome::PreconditionFailed),
            Reply::Unsatisfiable => return response::failure(&Failure::Unsatisfiable { length_bytes }, head),
            Reply::Part(range) => (range.first()..range.last() + 1, StatusCode::PARTIAL_CONTENT, Outcome::Part),
            Reply::Whole => (0..length_bytes, StatusCode::OK, Outcome::Whole),
        };
        let mut answer = response::whole(&object, true);
        let body_bytes = range.end - range.start;
        *answer.status_mut() = status;
        let fields = answer.headers_mut();
        fields.insert(CONTENT_LENGTH, HeaderValue::from(body_bytes));
        if status == StatusCode::PARTIAL_CONTENT
            && let Ok(value) = HeaderValue::try_from(format!("bytes {}-{}/{length_bytes}", range.start, range.end - 1))
        {
            fields.insert(CONTENT_RANGE, value);
        }
        if !head {
            let Ok(permit) = Arc::clone(&self.streams).try_acquire_owned() else { return response::failure(&Failure::Busy, head) };
            let reader = Reader {
                library: Arc::clone(&self.library),
                segment,
                facts,
                next: range.start,
                end: range.end,
                room: self.cache.pieces().clone(),
                turns: Arc::new(Semaphore::new(PIECES)),
                metrics: self.metrics.clone(),
                _permit: permit,
            };
            let pieces = stream::unfold(Some(reader), async |reader| reader?.piece().await);
            *answer.body_mut() = Body::streamed(Box::pin(pieces), body_bytes);
        }
        (answer, outcome)
    }
}

/// A stream under way.
struct Reader<L> {
    library: Arc<L>,
    segment: SegmentAddress,
    facts: SegmentFacts,
    next: u64,
    end: u64,
    room: Room,
    turns: Arc<Semaphore>,
    metrics: Metrics,
    _permit: OwnedSemaphorePermit,
}

impl<L: Library> Reader<L> {
    /// The next piece, and who reads on; nobody after an error.
    async fn piece(mut self) -> Option<(Result<Bytes, BodyError>, Option<Self>)> {
        if self.next >= self.end {
            return None;
        }
        // Never closed. The turn comes back when the connection has written the piece, or dropped it.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        let most = if self.room.is_scarce() { PIECE_BYTES_MIN } else { PIECE_BYTES };
        let range = self.next..self.end.min(self.next + most);
        let length = range.end - range.start;
        let reservation = self.room.reserve(length).await;
        let read = timeout(PIECE_TIMEOUT, self.library.read_part(self.segment, &self.facts, range.clone())).await;
        match read {
            Ok(Ok(bytes)) if bytes.len() as u64 == length => {
                self.next = range.end;
                self.metrics.streamed(length);
                let bytes = Bytes::from_owner(Piece { bytes: reservation.hold(bytes), _turn: turn });
                Some((Ok(bytes), Some(self)))
            }
            other => {
                let found = other.map(|read| read.map(|bytes| bytes.len()));
                tracing::error!(segment = ?self.segment, ?range, ?found, "a piece of a segment cannot be read");
                Some((Err(BodyError::Unreadable), None))
            }
        }
    }
}

/// A piece on its way, and its turn.
struct Piece {
    bytes: Bytes,
    _turn: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
