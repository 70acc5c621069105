//! The tables of a finished segment, read without its samples: where they lie in it, and what they say.

use std::ops::Range;

use bytes::Bytes;

use super::samples::Sample;
use crate::cmaf::boxes::{HEADER_BYTES, split_first};
use crate::cmaf::chunk::Chunk;
use crate::cmaf::fault::Fault;
use crate::cmaf::segment::SYNC;
use crate::cmaf::span::{Span, first_sequence};
use crate::title::{KeyFrameSpan, Plan, SAMPLE_ROW_BYTES, SEGMENT_BOXES_BYTES, SegmentNumber, TrackId, TrackKind};

/// A finished segment whose tables are to be read.
#[derive(Clone, Copy, Debug)]
pub struct SegmentTables {
    track: TrackId,
    number: SegmentNumber,
    size_bytes: u64,
    /// Where its second chunk begins; at the end when there is none.
    second_bytes: u64,
    span: Span,
}

impl SegmentTables {
    /// Those of the segment of `size_bytes` that the ledger has for that place in the plan.
    ///
    /// # Errors
    /// [`Fault::NotPlanned`], and [`Fault::Boxes`] for pictures of which it is not known where their key frame lies.
    pub fn new(
        plan: &Plan,
        track: TrackId,
        number: SegmentNumber,
        size_bytes: u64,
        key_frame: Option<KeyFrameSpan>,
    ) -> Result<Self, Fault> {
        let span = Span::of(plan, track, number).filter(|span| span.sample_count > 0).ok_or(Fault::NotPlanned)?;
        let second_bytes = match (track.kind, key_frame) {
            (TrackKind::Video, Some(span)) => span.offset_bytes.saturating_add(span.length_bytes),
            (TrackKind::Video, None) => return Err(Fault::Boxes),
            (TrackKind::Audio | TrackKind::Text, _) => size_bytes,
        };
        if second_bytes > size_bytes {
            return Err(Fault::Boxes);
        }
        Ok(Self { track, number, size_bytes, second_bytes, span })
    }

    /// The bytes of the segment that [`SegmentTables::read`] wants, one range a chunk: few, and known without reading any.
    pub fn ranges(&self) -> Vec<Range<u64>> {
        let first = self.span.first_chunk(self.track.kind).sample_count;
        let table = |start: u64, end: u64, rows: u32| start..end.min(start + SEGMENT_BOXES_BYTES + SAMPLE_ROW_BYTES * u64::from(rows));
        let mut ranges = vec![table(0, self.second_bytes, first)];
        if self.second_bytes < self.size_bytes {
            ranges.push(table(self.second_bytes, self.size_bytes, self.span.sample_count));
        }
        ranges
    }

    /// Reads the tables out of the bytes at [`SegmentTables::ranges`] and holds them against the plan, without trust in any length.
    ///
    /// # Errors
    /// The first [`Fault`] found.
    pub fn read(&self, parts: &[Bytes]) -> Result<SegmentTable, Fault> {
        let kind = self.track.kind;
        let sequence = first_sequence(kind, self.number).ok_or(Fault::NotPlanned)?;
        let (first, rest) = parts.split_first().ok_or(Fault::Boxes)?;
        let (brands, _, after) = split_first(first).ok_or(Fault::Boxes)?;
        if brands != *b"styp" {
            return Err(Fault::Boxes);
        }
        let mut table = SegmentTable { samples: Vec::with_capacity(self.span.sample_count as usize) };
        let place = (first.len() - after.len()) as u64;
        let first_ticks = table.add(self, after, place..self.second_bytes, self.span.first_chunk(kind), sequence)?;
        match (rest, self.span.second_chunk(kind, first_ticks)) {
            ([], None) => {}
            ([second], Some(span)) => {
                table.add(self, second, self.second_bytes..self.size_bytes, span, sequence + 1)?;
            }
            // Of pictures that last several moments the first alone may be all.
            ([], Some(_)) if self.span.may_hold => {}
            _ => return Err(Fault::Boxes),
        }
        Ok(table)
    }
}

/// What the tables of a segment say: each sample's size, time and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentTable {
    pub(super) samples: Vec<Sample>,
}

impl SegmentTable {
    /// Reads one chunk that fills `place` of the segment; returns how long its samples last.
    fn add(&mut self, of: &SegmentTables, part: &[u8], place: Range<u64>, span: Span, sequence: u32) -> Result<u64, Fault> {
        let (kind, moof, after) = split_first(part).ok_or(Fault::Boxes)?;
        let (size, after) = after.split_first_chunk::<4>().ok_or(Fault::Boxes)?;
        if kind != *b"moof" || !after.starts_with(b"mdat") {
            return Err(Fault::Boxes);
        }
        let before = u32::try_from(self.samples.len()).map_err(|_| Fault::SampleTable)?;
        let chunk = Chunk::read((moof, &[]), of.track.kind, span, sequence, before)?;
        let start_bytes = place.start + (2 * HEADER_BYTES + moof.len()) as u64;
        let mut offset_bytes = start_bytes;
        for (row, sample) in chunk.table.rows().zip(before..) {
            if row.size == 0 {
                return Err(Fault::EmptySample { sample });
            }
            self.samples.push(Sample {
                offset_bytes,
                size_bytes: row.size,
                duration_ticks: row.duration,
                composition_offset_ticks: row.offset,
                sync: row.flags == SYNC,
            });
            offset_bytes += u64::from(row.size);
        }
        // Box and samples both end where the chunk does.
        let mdat_end = start_bytes - HEADER_BYTES as u64 + u64::from(u32::from_be_bytes(*size));
        if offset_bytes != place.end || mdat_end != place.end {
            return Err(Fault::SampleSizes);
        }
        Ok(chunk.ticks())
    }

    /// The samples in chunks that last `ticks` or little more.
    pub(super) fn chunks(&self, ticks: u64) -> impl Iterator<Item = &[Sample]> {
        let mut rest = self.samples.as_slice();
        std::iter::from_fn(move || {
            let mut lasts = 0;
            let before_full = rest.iter().take_while(|sample| {
                let more = lasts < ticks.max(1);
                lasts += u64::from(sample.duration_ticks);
                more
            });
            let (chunk, after) = rest.split_at(before_full.count());
            rest = after;
            (!chunk.is_empty()).then_some(chunk)
        })
    }
}
