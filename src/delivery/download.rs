//! Progressive files: put together from segments when they are asked for, and given out piece by piece.
//!
//! What is cached of one is its header and the list of its slices; its first asker waits until the tables of its segments
//! are read. Its bytes pass by the cache: a segment that is in memory is used, one that is not is read in pieces and not kept,
//! so that people who fetch whole films do not drive out what viewers share. No encoder ever runs for one.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::HeaderValue;
use tokio::time::{Instant, timeout};

use super::fetch::{AUDIO, Load, NoObject, READ_TIMEOUT, VIDEO, immutable};
use super::response::RETRY_AFTER;
use super::stream::Source;
use super::{BodyError, Ingredients, Library, Miss, Shared};
use crate::cache::{Cache, OBJECT_BYTES, Object, Room};
use crate::cmaf::{self, Piece, Progressive, ProgressiveBuilder, SegmentSource, SegmentTable, SegmentTables};
use crate::semantics::{Route, attachment};
use crate::title::{Download, Generation, SegmentNumber, TitleId};

/// Longest time to put a file together; as it outlives who asked, who asks again finds it done.
const BUILD_TIMEOUT: Duration = Duration::from_secs(60);
/// Segments whose tables are read at once for one file.
const TABLES_AT_ONCE: usize = 8;
/// Longest time to learn a title's name.
const NAME_TIMEOUT: Duration = Duration::from_secs(1);
/// Most bytes that are read at once of a segment that is not in the cache; a stream holds so many of each track.
const HELD_BYTES_MAX: u64 = 64 << 10;

/// Names a progressive file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address {
    pub title: TitleId,
    pub generation: Generation,
    pub file: Download,
}

/// Puts a file together, but for the bytes that stay in segments.
pub(super) async fn load<L: Library>(load: &Load<L>, address: Address, room: Room) -> Result<Object, Miss> {
    let library = &*load.library;
    let late = |_| Miss::Unavailable { retry_after: RETRY_AFTER };
    let Address { title, generation, file } = address;
    let ingredients = timeout(READ_TIMEOUT, library.download(title, generation, file)).await.map_err(late)??;
    let tracks: Vec<_> = ingredients.tracks.iter().map(|(track, _)| *track).collect();
    let building = async {
        let reservation = room.reserve(cmaf::room_bytes(&ingredients.plan, &tracks)).await;
        Ok((build(library, address, &ingredients).await?, reservation))
    };
    let ((file, hash), reservation) = timeout(BUILD_TIMEOUT, building).await.map_err(late)??;
    let content_type = match address.file {
        Download::Film(_) => VIDEO,
        Download::Sound(_) => AUDIO,
    };
    let object = Object::new(Bytes::new(), hash, ingredients.changed_at_ms, content_type, immutable(), true).with_file(file);
    let mut object = load.fields.dress(&load.route, object);
    object.bytes = reservation.shrink(object.memory_bytes() + OBJECT_BYTES).hold(object.bytes);
    Ok(object)
}

async fn build<L: Library>(
    library: &L,
    address: Address,
    ingredients: &Ingredients,
) -> Result<(Progressive, crate::title::ContentHash), Miss> {
    let mut inits = Vec::new();
    for (track, _) in &ingredients.tracks {
        let deadline = Instant::now() + READ_TIMEOUT;
        inits.push(library.init(address.title, address.generation, *track, deadline).await?.bytes);
    }
    let unusable = |error: cmaf::Error| {
        tracing::error!(?address, %error, "a progressive file cannot be made");
        Miss::Unavailable { retry_after: RETRY_AFTER }
    };
    let mut builder = ProgressiveBuilder::new(inits.iter().map(|init| &init[..])).map_err(unusable)?;
    let rows = stream::iter(ingredients.plan.timeline.segments()).map(|number| tables(library, address, ingredients, number));
    let mut rows = rows.buffered(TABLES_AT_ONCE);
    while let Some(row) = rows.try_next().await? {
        builder.push(&row).map_err(unusable)?;
    }
    drop(rows);
    // Some megabytes are written and hashed.
    let finishing = tokio::task::spawn_blocking(move || {
        let file = builder.finish()?;
        let hash = file.hash();
        Ok((file, hash))
    });
    finishing.await.map_err(|_| Miss::Unavailable { retry_after: RETRY_AFTER })?.map_err(unusable)
}

/// The tables of one segment of each track.
async fn tables<L: Library>(
    library: &L,
    address: Address,
    ingredients: &Ingredients,
    number: SegmentNumber,
) -> Result<Vec<(SegmentSource, SegmentTable)>, Miss> {
    let damaged = |error: cmaf::Fault| {
        tracing::error!(?address, %number, %error, "a stored segment is not the planned one");
        Miss::Unavailable { retry_after: RETRY_AFTER }
    };
    let mut row = Vec::with_capacity(ingredients.tracks.len());
    for (track, segments) in &ingredients.tracks {
        let part = segments.get(number.0 as usize).ok_or(Miss::Unknown)?;
        let tables = SegmentTables::new(&ingredients.plan, *track, number, part.size_bytes, part.key_frame).map_err(damaged)?;
        let parts = library.read_parts(address.title, part.hash, tables.ranges()).await?;
        let source = SegmentSource { track: *track, number, hash: part.hash, size_bytes: part.size_bytes };
        row.push((source, tables.read(&parts).map_err(damaged)?));
    }
    Ok(row)
}

impl<L: Library> Shared<L> {
    /// What a download is to be called, as `Content-Disposition`.
    pub(super) async fn disposition(&self, address: Address) -> Option<HeaderValue> {
        let name = timeout(NAME_TIMEOUT, self.library.title_name(address.title)).await.ok().flatten();
        HeaderValue::try_from(attachment(name.as_deref().unwrap_or_default(), address.file)).ok()
    }
}

/// What the body of a progressive file is read from.
pub(super) struct File<L> {
    library: Arc<L>,
    cache: Cache<Route, NoObject>,
    address: Address,
    object: Arc<Object>,
    /// What was read last of each track: slices are often shorter than what is worth a read.
    held: Vec<Held>,
}

impl<L> File<L> {
    pub(super) fn new(library: Arc<L>, cache: Cache<Route, NoObject>, address: Address, object: Arc<Object>) -> Self {
        Self { library, cache, address, object, held: Vec::new() }
    }
}

impl<L> Clone for File<L> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.library), self.cache.clone(), self.address, Arc::clone(&self.object))
    }
}

/// Bytes of a segment, with the room that they take.
struct Held {
    source: SegmentSource,
    start: u64,
    bytes: Bytes,
}

impl Held {
    /// As many as it has of the bytes from `start` to `end`; absent when it does not have the first.
    fn get(&self, source: &SegmentSource, start: u64, end: u64) -> Option<Bytes> {
        let from = usize::try_from(start.checked_sub(self.start).filter(|_| self.source == *source)?).ok()?;
        let to = usize::try_from(end.checked_sub(self.start)?).ok()?.min(self.bytes.len());
        (from < to).then(|| self.bytes.slice(from..to))
    }
}

impl<L: Library> Source for File<L> {
    // It holds bytes of two tracks beside those that are being sent.
    const STREAMS: u32 = 2;

    async fn read(&mut self, range: Range<u64>, room: &Room) -> Result<Bytes, BodyError> {
        let left = range.end - range.start;
        let (source, slice) = match self.object.file().and_then(|file| file.piece_at(range.start)).ok_or(BodyError::WrongLength)? {
            Piece::Header(bytes) => {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                return Ok(bytes.slice(..length));
            }
            Piece::Segment(source, slice) => (*source, slice),
        };
        let end = slice.end.min(slice.start + left);
        if let Some(bytes) = self.held.iter().find_map(|held| held.get(&source, slice.start, end)) {
            return Ok(bytes);
        }
        if let Some(bytes) = self.in_memory(&source, slice.start, end) {
            return Ok(bytes);
        }
        // On into the slices that come after this one, but not further than was asked for.
        let range = slice.start..source.size_bytes.min(slice.start + left.min(HELD_BYTES_MAX));
        self.held.retain(|former| former.source.track != source.track);
        let reservation = room.reserve(range.end - range.start).await;
        let read = self.library.read_parts(self.address.title, source.hash, vec![range.clone()]).await;
        let bytes = read.ok().and_then(|parts| parts.into_iter().next()).ok_or_else(|| {
            tracing::warn!(address = ?self.address, ?range, "a download breaks off");
            BodyError::Unreadable
        })?;
        let held = Held { source, start: range.start, bytes: reservation.hold(bytes) };
        let piece = held.get(&source, range.start, end).ok_or(BodyError::Unreadable);
        self.held.push(held);
        piece
    }
}

impl<L> File<L> {
    /// The bytes of a segment that viewers have brought into the cache.
    fn in_memory(&self, source: &SegmentSource, start: u64, end: u64) -> Option<Bytes> {
        let Address { title, generation, .. } = self.address;
        let route = Route::Segment { title, generation, track: source.track, number: source.number };
        let segment = self.cache.peek(&route)?;
        let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end).ok()?);
        (end <= segment.bytes.len()).then(|| segment.bytes.slice(start..end))
    }
}
