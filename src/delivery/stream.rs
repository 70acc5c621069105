//! Bodies that are not kept in memory: read from the store in pieces while they are sent.
//!
//! A stream holds two pieces, one that is being sent and one that is read meanwhile; it reads on when the client has taken one.
//! There are only so many streams that each has room for its two pieces in the half of the room that long pieces leave.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{Body, BodyError, Library, Metrics, SegmentAddress, SegmentFacts};
use crate::cache::Room;

/// A piece while there is plenty of room.
const PIECE_BYTES: u64 = 256 << 10;
/// A piece while there is not, and what each stream is sure to have room for.
const PIECE_BYTES_MIN: u64 = 32 << 10;
/// Pieces that a stream holds.
const PIECES: usize = 2;
/// Longest time to read a piece.
const PIECE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a body is read from. A clone reads on its own.
pub(super) trait Source: Clone + Send + Sync + 'static {
    /// How many times the room of a stream it takes.
    const STREAMS: u32;

    /// Bytes from the start of `range` on, as many as it likes of these but not none. What is read for it is out of `room`.
    fn read(&mut self, range: Range<u64>, room: &Room) -> impl Future<Output = Result<Bytes, BodyError>> + Send;
}

/// The streams of a service, and the room for their pieces.
#[derive(Clone)]
pub(super) struct Streams {
    free: Arc<Semaphore>,
    room: Room,
    metrics: Metrics,
}

impl Streams {
    /// As many streams as find room.
    pub(super) fn new(room: Room, metrics: Metrics) -> Self {
        let streams = room.bytes_max() / 2 / (PIECE_BYTES_MIN * PIECES as u64);
        let streams = usize::try_from(streams).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(streams)), room, metrics }
    }

    /// A place for a body of `source`; absent when there is none. The streams of one body are read one after the other.
    pub(super) fn open<S: Source>(&self, source: S) -> Option<Opened<S>> {
        let permit = Arc::clone(&self.free).try_acquire_many_owned(S::STREAMS).ok()?;
        Some(Opened { source, streams: self.clone(), permit: Arc::new(permit) })
    }
}

/// A source with a place for its stream.
pub(super) struct Opened<S> {
    source: S,
    streams: Streams,
    permit: Arc<OwnedSemaphorePermit>,
}

impl<S: Source> Opened<S> {
    /// The body of some of its bytes.
    pub(super) fn body(&self, range: Range<u64>) -> Body {
        let length_bytes = range.end - range.start;
        let reader = Reader {
            source: self.source.clone(),
            left: range,
            turns: Arc::new(Semaphore::new(PIECES)),
            streams: self.streams.clone(),
            _permit: Arc::clone(&self.permit),
        };
        Body::streamed(Box::pin(stream::unfold(Some(reader), async |reader| reader?.piece().await)), length_bytes)
    }
}

/// A stream under way.
struct Reader<S> {
    source: S,
    left: Range<u64>,
    turns: Arc<Semaphore>,
    streams: Streams,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl<S: Source> Reader<S> {
    /// The next piece, and who reads on; nobody after an error.
    async fn piece(mut self) -> Option<(Result<Bytes, BodyError>, Option<Self>)> {
        if self.left.is_empty() {
            return None;
        }
        // Never closed. The turn comes back when the connection has written the piece, or dropped it.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        let Range { start, end } = self.left;
        let room = &self.streams.room;
        let most = if room.is_scarce() { PIECE_BYTES_MIN } else { PIECE_BYTES };
        let read = timeout(PIECE_TIMEOUT, self.source.read(start..end.min(start + most), room)).await;
        match read.unwrap_or(Err(BodyError::Unreadable)) {
            Ok(bytes) if !bytes.is_empty() && bytes.len() as u64 <= most => {
                self.left.start += bytes.len() as u64;
                self.streams.metrics.streamed(bytes.len() as u64);
                let bytes = Bytes::from_owner(Piece { bytes, _turn: turn });
                Some((Ok(bytes), Some(self)))
            }
            _ => Some((Err(BodyError::Unreadable), None)),
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

/// A segment that is too large to be kept in memory.
pub(super) struct LargeSegment<L> {
    pub(super) library: Arc<L>,
    pub(super) segment: SegmentAddress,
    pub(super) facts: SegmentFacts,
}

impl<L> Clone for LargeSegment<L> {
    fn clone(&self) -> Self {
        Self { library: Arc::clone(&self.library), ..*self }
    }
}

impl<L: Library> Source for LargeSegment<L> {
    const STREAMS: u32 = 1;

    async fn read(&mut self, range: Range<u64>, room: &Room) -> Result<Bytes, BodyError> {
        let reservation = room.reserve(range.end - range.start).await;
        let read = self.library.read_parts(self.segment.title, self.facts.hash, vec![range.clone()]).await;
        let bytes = read.ok().and_then(|parts| parts.into_iter().next()).ok_or_else(|| {
            tracing::error!(segment = ?self.segment, ?range, "a piece of a segment cannot be read");
            BodyError::Unreadable
        })?;
        Ok(reservation.hold(bytes))
    }
}
