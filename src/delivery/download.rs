//! Progressive files: put together from segments when they are asked for, and given out piece by piece.
//!
//! What is cached of one is its header and the list of its slices; its first asker waits until the tables of its segments
//! are read. Its bytes pass by the cache: a segment that is in memory is used, one that is not is read in pieces and not kept,
//! so that people who fetch whole films do not drive out what viewers share. No encoder ever runs for one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tokio::time::{Instant, timeout};

use super::fetch::{AUDIO, READ_TIMEOUT, VIDEO, immutable};
use super::response::{self, Failure, RETRY_AFTER};
use super::{Body, BodyError, Ingredients, Library, Miss, Outcome, Shared};
use crate::cache::{FillRoom, Object};
use crate::cmaf::{self, Piece, Progressive, ProgressiveBuilder, SegmentSource, SegmentTable, SegmentTables};
use crate::semantics::{Reply, Representation, RequestFacts, Route, attachment, decide};
use crate::title::{Download, Generation, SegmentNumber, TitleId};

/// Longest time to put a file together; as it outlives who asked, who asks again finds it done.
const BUILD_TIMEOUT: Duration = Duration::from_secs(60);
/// Segments whose tables are read at once for one file.
const TABLES_AT_ONCE: usize = 8;
/// Longest time to learn a title's name.
const NAME_TIMEOUT: Duration = Duration::from_secs(1);
/// Most bytes that one body holds of a segment that is not in the cache; it holds so many of each track.
const PIECE_BYTES_MAX: u64 = 64 << 10;

/// Names a progressive file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address {
    pub title: TitleId,
    pub generation: Generation,
    pub file: Download,
}

/// Puts a file together, but for the bytes that stay in segments.
pub(super) async fn load<L: Library>(library: &L, address: Address, room: FillRoom) -> Result<Object, Miss> {
    let late = |_| Miss::Unavailable { retry_after: RETRY_AFTER };
    let Address { title, generation, file } = address;
    let ingredients = timeout(READ_TIMEOUT, library.download(title, generation, file)).await.map_err(late)??;
    let tracks: Vec<_> = ingredients.tracks.iter().map(|(track, _)| *track).collect();
    let building = async {
        let _room = room.reserve(cmaf::room_bytes(&ingredients.plan, &tracks)).await;
        build(library, address, &ingredients).await
    };
    let (file, hash) = timeout(BUILD_TIMEOUT, building).await.map_err(late)??;
    let content_type = match address.file {
        Download::Film(_) => VIDEO,
        Download::Sound(_) => AUDIO,
    };
    Ok(Object::new(Bytes::new(), hash, ingredients.changed_at_ms, content_type, immutable(), true).with_file(file))
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
    /// The answer to a request for a progressive file.
    pub(super) async fn answer_download(
        self: &Arc<Self>,
        address: Address,
        object: Arc<Object>,
        head: bool,
        headers: &HeaderMap,
    ) -> (Response<Body>, Outcome) {
        let Some(file) = object.file() else { return response::failure(&Failure::Unavailable(RETRY_AFTER), head) };
        let length_bytes = file.length_bytes();
        let representation = Representation {
            etag: object.etag().to_str().unwrap_or_default(),
            last_modified_s: object.last_modified_s(),
            length_bytes,
            immutable: object.immutable,
        };
        let range = match decide(&RequestFacts { head, headers }, &representation) {
            Reply::Whole => None,
            Reply::Part(range) => Some(range),
            Reply::NotModified => return (response::not_modified(&object), Outcome::NotModified),
            Reply::PreconditionFailed => return (response::precondition_failed(&object), Outcome::PreconditionFailed),
            Reply::Unsatisfiable => return response::failure(&Failure::Unsatisfiable { length_bytes }, head),
        };
        // The fields of any object, but for the length: of the body nothing is in the object.
        let mut response = response::whole(&object, true);
        let (start, end) = range.map_or((0, length_bytes), |range| (range.first(), range.last() + 1));
        let fields = response.headers_mut();
        fields.insert(CONTENT_LENGTH, HeaderValue::from(end - start));
        if let Ok(disposition) = HeaderValue::try_from(self.disposition(address).await) {
            fields.insert(CONTENT_DISPOSITION, disposition);
        }
        let outcome = match range {
            None => Outcome::Whole,
            Some(range) => {
                response::insert_text(fields, CONTENT_RANGE, format!("bytes {}-{}/{length_bytes}", range.first(), range.last()));
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                Outcome::Part
            }
        };
        if !head {
            let reading = Reading { shared: Arc::clone(self), address, object, position: start, end, held: Vec::new() };
            let pieces = stream::unfold(reading, async |mut reading| Some((reading.next().await?, reading)));
            *response.body_mut() = Body::streamed(Box::pin(pieces), end - start);
        }
        (response, outcome)
    }

    async fn disposition(&self, address: Address) -> String {
        let name = timeout(NAME_TIMEOUT, self.library.title_name(address.title)).await.ok().flatten();
        attachment(name.as_deref().unwrap_or_default(), address.file)
    }
}

/// A body on its way: what is left of it.
struct Reading<L> {
    shared: Arc<Shared<L>>,
    address: Address,
    object: Arc<Object>,
    position: u64,
    end: u64,
    /// What was read last of each track: slices are often shorter than what is worth a read.
    held: Vec<Held>,
}

/// Bytes of a segment.
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

impl<L: Library> Reading<L> {
    /// The next piece; none at the end, and after one that could not be read.
    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        if self.position >= self.end {
            return None;
        }
        let piece = self.read().await;
        match &piece {
            Ok(piece) => self.position += piece.len() as u64,
            Err(_) => self.position = self.end,
        }
        Some(piece)
    }

    async fn read(&mut self) -> Result<Bytes, BodyError> {
        let left = self.end - self.position;
        let (source, range) = match self.object.file().and_then(|file| file.piece_at(self.position)).ok_or(BodyError::WrongLength)? {
            Piece::Header(bytes) => {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                return Ok(bytes.slice(..length));
            }
            Piece::Segment(source, range) => (*source, range),
        };
        let end = range.end.min(range.start + left);
        if let Some(bytes) = self.held.iter().find_map(|held| held.get(&source, range.start, end)) {
            return Ok(bytes);
        }
        if let Some(bytes) = self.in_memory(&source, range.start, end).await {
            return Ok(bytes);
        }
        // On into the slices that come after this one, but not further than was asked for.
        let range = range.start..source.size_bytes.min(range.start + left.min(PIECE_BYTES_MAX));
        let reading = self.shared.library.read_parts(self.address.title, source.hash, vec![range.clone()]);
        let bytes = match timeout(READ_TIMEOUT, reading).await {
            Ok(Ok(parts)) => parts.into_iter().next().unwrap_or_default(),
            failed => {
                tracing::warn!(address = ?self.address, ?range, ?failed, "a download breaks off");
                return Err(BodyError::Unreadable);
            }
        };
        let held = Held { source, start: range.start, bytes };
        let piece = held.get(&source, range.start, end).ok_or(BodyError::Unreadable);
        self.held.retain(|former| former.source.track != source.track);
        self.held.push(held);
        piece
    }

    /// The bytes of a segment that viewers have brought into the cache.
    async fn in_memory(&self, source: &SegmentSource, start: u64, end: u64) -> Option<Bytes> {
        let Address { title, generation, .. } = self.address;
        let route = Route::Segment { title, generation, track: source.track, number: source.number };
        let segment = self.shared.cache.get(&route).await?;
        let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end).ok()?);
        (end <= segment.bytes.len()).then(|| segment.bytes.slice(start..end))
    }
}
