//! Progressive files: the segments of one track or two seen as one MP4 with all its tables at the start (ISO 14496-12 without
//! fragments), which every player, editor and phone takes. Nothing of it is copied or stored.
//!
//! ```text
//! ftyp moov mdat │ v 0.0 s │ a 0.0 s │ v 0.5 s │ a 0.5 s │ …        each a slice of a segment's mdat
//! └── header ───┘
//! ```
//!
//! The header is a pure function of the tracks' init segments and of the tables in their segments ([`SegmentTables`]): the same
//! on every node. What follows it is pictures and sound in turns of half a second, so that a player that reads on has both.

mod movie;
mod samples;
mod source;
mod tables;

use std::ops::Range;

use bytes::Bytes;

use super::Error;
use crate::title::{AAC_FRAME_SAMPLES, ContentHash, Plan, SegmentNumber, TrackId, TrackKind};
use movie::Track;
use samples::SampleTables;
use source::Description;
pub use tables::{SegmentTable, SegmentTables};

/// A segment that a progressive file takes bytes of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSource {
    /// Of which track.
    pub track: TrackId,
    /// Which one.
    pub number: SegmentNumber,
    /// The hash of its bytes.
    pub hash: ContentHash,
    /// How many those are.
    pub size_bytes: u64,
}

/// Where the next bytes of a progressive file come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Out of the header.
    Header(Bytes),
    /// Out of a segment: these bytes of it.
    Segment(&'a SegmentSource, Range<u64>),
}

/// A progressive file: its header, and where each of its other bytes is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progressive {
    header: Bytes,
    /// In the order of the file, without gaps from the header on.
    slices: Vec<Slice>,
    segments: Vec<SegmentSource>,
    length_bytes: u64,
}

/// A run of bytes of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slice {
    /// Where it ends, counted from the end of the header; it begins where the one before ends.
    end_bytes: u64,
    /// Where in its segment it begins.
    offset_bytes: u32,
    /// Index of its segment.
    segment: u32,
}

impl Progressive {
    /// Length of the whole file.
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// A hash that two files share only if all their bytes are the same: of the header, and of the hashes of all segments. None
    /// of these need be read for it.
    pub fn hash(&self) -> ContentHash {
        let mut hashes = Vec::with_capacity(32 * (1 + self.segments.len()));
        hashes.extend_from_slice(&ContentHash::of(&self.header).0);
        for segment in &self.segments {
            hashes.extend_from_slice(&segment.hash.0);
        }
        ContentHash::of(&hashes)
    }

    /// What it takes in memory.
    pub fn memory_bytes(&self) -> u64 {
        (self.header.len() + self.slices.len() * size_of::<Slice>() + self.segments.len() * size_of::<SegmentSource>()) as u64
    }

    /// The bytes from `position` on, as far as they come from one place; absent at the end and beyond.
    pub fn piece_at(&self, position: u64) -> Option<Piece<'_>> {
        let Some(place) = position.checked_sub(self.header.len() as u64) else {
            return Some(Piece::Header(self.header.slice(usize::try_from(position).ok()?..)));
        };
        let index = self.slices.partition_point(|slice| slice.end_bytes <= place);
        let slice = self.slices.get(index)?;
        let start_bytes = index.checked_sub(1).and_then(|before| self.slices.get(before)).map_or(0, |before| before.end_bytes);
        let source = self.segments.get(slice.segment as usize)?;
        let offset = u64::from(slice.offset_bytes);
        Some(Piece::Segment(source, offset + (place - start_bytes)..offset + (slice.end_bytes - start_bytes)))
    }
}

/// About what making a progressive file of those tracks takes in memory at most, itself included.
pub fn room_bytes(plan: &Plan, tracks: &[TrackId]) -> u64 {
    let duration_ms = plan.timeline.duration_ms();
    let of_track = |track: &TrackId| match track.kind {
        TrackKind::Video => plan.timeline.frame_count() * PICTURE_BYTES,
        TrackKind::Audio => {
            let rate = plan.audio.get(usize::from(track.index)).map_or(0, |audio| u64::from(audio.sample_rate));
            (duration_ms * rate / 1000 / u64::from(AAC_FRAME_SAMPLES) + 1) * SOUND_BYTES
        }
        TrackKind::Text => 0,
    };
    let segments = u64::from(plan.timeline.segment_count()) * SEGMENT_BYTES;
    let chunks = (duration_ms / CHUNK_MS + u64::from(plan.timeline.segment_count())) * CHUNK_BYTES;
    // The tables, and what is written of them.
    tracks.iter().map(|track| 2 * (of_track(track) + segments + chunks)).sum::<u64>() + BOXES_BYTES
}

/// Size, composition offset and duration of a picture that differs in all of them from the one before.
const PICTURE_BYTES: u64 = 20;
/// Size of a frame of sound.
const SOUND_BYTES: u64 = 4;
/// A place in the file, a run of equally long chunks, a slice or two.
const CHUNK_BYTES: u64 = 8 + 12 + 2 * size_of::<Slice>() as u64;
/// Its source, and that decoding can begin with it.
const SEGMENT_BYTES: u64 = size_of::<SegmentSource>() as u64 + 4;
/// Everything that does not grow with the length.
const BOXES_BYTES: u64 = 16 << 10;

/// Aimed length of a chunk. Players hold no more than that of one track while they wait for the other; those that look for the
/// other track further on, over HTTP, do so from a second on.
const CHUNK_MS: u64 = 500;

/// Puts a progressive file together, segment by segment.
#[derive(Debug)]
pub struct ProgressiveBuilder {
    tracks: Vec<Track>,
    slices: Vec<Slice>,
    segments: Vec<SegmentSource>,
    media_bytes: u64,
}

impl ProgressiveBuilder {
    /// A file of the tracks with these init segments, pictures first.
    ///
    /// # Errors
    /// [`Error::Init`] when one was not written by [`super::init_segment`].
    pub fn new<'a>(inits: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, Error> {
        let track = |init| Ok(Track { description: Description::read(init)?, tables: SampleTables::default() });
        let tracks = inits.into_iter().map(track).collect::<Result<_, Error>>()?;
        Ok(Self { tracks, slices: Vec::new(), segments: Vec::new(), media_bytes: 0 })
    }

    /// Adds the next segment of each track, in the order of the tracks.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when something does not fit its field.
    pub fn push(&mut self, segments: &[(SegmentSource, SegmentTable)]) -> Result<(), Error> {
        let mut chunks = Vec::new();
        for (slot, (track, (source, table))) in self.tracks.iter().zip(segments).enumerate() {
            let segment = u32::try_from(self.segments.len()).map_err(|_| Error::TooLarge("the number of segments"))?;
            self.segments.push(*source);
            let (timescale, mut at_ticks) = (track.description.timescale, track.tables.duration_ticks());
            for samples in table.chunks(u64::from(timescale) * CHUNK_MS / 1000) {
                chunks.push(Chunk { at_ticks, timescale, slot, segment, samples });
                at_ticks += samples.iter().map(|sample| u64::from(sample.duration_ticks)).sum::<u64>();
            }
        }
        // In the order of time; of chunks that begin at once, that of the first track comes first, for the sort is stable.
        chunks.sort_by_key(Chunk::nanoseconds);
        for chunk in &chunks {
            let Some(track) = self.tracks.get_mut(chunk.slot) else { continue };
            track.tables.push(self.media_bytes, chunk.samples)?;
            for sample in chunk.samples {
                append(&mut self.slices, &mut self.media_bytes, chunk.segment, sample)?;
            }
        }
        Ok(())
    }

    /// The finished file.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when a table is longer than a box may be.
    pub fn finish(self) -> Result<Progressive, Error> {
        let header = Bytes::from(movie::header(&self.tracks, self.media_bytes)?);
        let Self { mut slices, mut segments, media_bytes, .. } = self;
        slices.shrink_to_fit();
        segments.shrink_to_fit();
        Ok(Progressive { length_bytes: header.len() as u64 + media_bytes, header, slices, segments })
    }
}

/// Samples that follow each other in the file.
struct Chunk<'a> {
    at_ticks: u64,
    timescale: u32,
    slot: usize,
    segment: u32,
    samples: &'a [samples::Sample],
}

impl Chunk<'_> {
    /// When it begins.
    fn nanoseconds(&self) -> u128 {
        u128::from(self.at_ticks) * 1_000_000_000 / u128::from(self.timescale.max(1))
    }
}

/// Adds a sample's bytes to the last slice where they follow it, else as a slice of their own.
fn append(slices: &mut Vec<Slice>, media_bytes: &mut u64, segment: u32, sample: &samples::Sample) -> Result<(), Error> {
    let start_bytes = slices.iter().rev().nth(1).map_or(0, |before| before.end_bytes);
    let end_bytes = *media_bytes + u64::from(sample.size_bytes);
    match slices.last_mut() {
        Some(last) if last.segment == segment && u64::from(last.offset_bytes) + (last.end_bytes - start_bytes) == sample.offset_bytes => {
            last.end_bytes = end_bytes;
        }
        _ => {
            let offset_bytes = u32::try_from(sample.offset_bytes).map_err(|_| Error::TooLarge("a segment"))?;
            slices.push(Slice { end_bytes, offset_bytes, segment });
        }
    }
    *media_bytes = end_bytes;
    Ok(())
}

#[cfg(test)]
mod tests;
