//! The source's own pictures as the samples of a copied rendition: read at an IDR picture, brought into their new packing,
//! and laid on the timeline. Nothing is decoded.
//!
//! Each picture lasts until the next one is shown, so that what is missing in the source is bridged by the picture before it.
//! Whatever differs from what the survey found is refused: the plan was made from that.

use std::collections::BTreeSet;
use std::ops::Range;

use ffmpeg_next as ffmpeg;
use headwater::cmaf::Sample;
use headwater::cmaf::avc::AvcReader;
use headwater::title::{AvcFacts, CodecHeader, CopyGrid, Plan, Problem, ProblemCode, VideoFacts};

use super::pulse::Pulse;
use super::source::Source;
use super::stream_facts;

/// Copies segments of one video stream.
pub struct AvcCopy {
    source: Source,
    extradata: Vec<u8>,
    stream: u32,
    avc: AvcFacts,
    grid: CopyGrid,
    piece_slots: Vec<u64>,
    frame_ticks: u32,
    pulse: Pulse,
}

/// A segment's pictures.
pub struct Copied {
    /// In decoding order.
    pub samples: Vec<Sample>,
    /// Slots for which the source has no picture, those before its first one and after its last not counted.
    pub concealed: u64,
}

/// A picture of the segment being copied.
struct Picture {
    slot: u64,
    idr: bool,
    data: bytes::Bytes,
}

/// The parameter sets of a copied rendition.
pub fn header(video: &VideoFacts) -> Result<CodecHeader, Problem> {
    let avc = video.avc.as_ref().map_err(failed)?;
    Ok(CodecHeader::Avc { sps: vec![avc.sps.clone()], pps: avc.pps.clone() })
}

impl AvcCopy {
    /// Gets ready to copy `video`.
    pub fn open(mut source: Source, video: &VideoFacts, plan: &Plan, pulse: Pulse) -> Result<Self, Problem> {
        let avc = video.avc.as_ref().map_err(failed)?;
        let stream = source.input().stream(video.stream as usize).ok_or_else(|| failed("the stream is gone"))?;
        let extradata = stream_facts::extradata(stream_facts::parameters(&stream)).to_vec();
        source.only(video.stream);
        let grid = CopyGrid::of(plan, video).ok_or_else(|| failed("the pictures do not lie on the timeline"))?;
        let piece_slots = grid.piece_slots(avc).ok_or_else(|| failed("the pieces do not lie on the timeline"))?;
        let frame_ticks = plan.timeline.frame_rate().frame_ticks();
        Ok(Self { source, extradata, stream: video.stream, avc: avc.clone(), grid, piece_slots, frame_ticks, pulse })
    }

    /// The pictures of the segment of these slots.
    pub fn segment(&mut self, slots: &Range<u64>) -> Result<Copied, Problem> {
        let first = self.piece_slots.partition_point(|slot| *slot < slots.start);
        let after = self.piece_slots.partition_point(|slot| *slot < slots.end);
        let pieces = self.avc.pieces.get(first..after).filter(|pieces| !pieces.is_empty());
        let pieces = pieces.filter(|_| self.piece_slots.get(first) == Some(&slots.start)).ok_or_else(|| failed("it begins at no cut"))?;
        let count: usize = pieces.iter().map(|piece| piece.picture_count as usize).sum();
        let bytes: u64 = pieces.iter().map(|piece| piece.bytes).sum();
        let (pts, position) = (pieces[0].pts, pieces[0].position);
        let mut reader = AvcReader::again(&self.extradata, &self.avc).map_err(failed)?;
        let mut packet = self.source.find_packet(self.stream, pts, position);
        let mut pictures = Vec::with_capacity(count);
        loop {
            let here = packet.as_ref().ok_or_else(|| failed("a picture that the survey found is not there"))?;
            pictures.push(self.read(here, &mut reader)?);
            self.pulse.advance(1);
            if pictures.len() == count {
                break;
            }
            packet = self.source.read_of(self.stream);
        }
        if pictures.iter().map(|picture| picture.data.len() as u64).sum::<u64>() != bytes {
            return Err(failed("the pictures have other sizes than the survey found"));
        }
        // Before the first picture and after the last one none is missing.
        let (begin, end) = (self.grid.lead(), self.grid.lead() + self.avc.slot_count);
        let due = slots.end.min(end).saturating_sub(slots.start.max(begin));
        Ok(Copied { samples: lay(pictures, slots, self.frame_ticks)?, concealed: due.saturating_sub(count as u64) })
    }

    fn read(&self, packet: &ffmpeg::Packet, reader: &mut AvcReader) -> Result<Picture, Problem> {
        let (Some(pts), Some(data)) = (packet.pts(), packet.data()) else { return Err(failed("a picture without time")) };
        if let Some(extradata) = stream_facts::new_extradata(packet) {
            reader.take_extradata(&extradata).map_err(failed)?;
        }
        let unit = reader.take(data).map_err(failed)?;
        let slot = self.grid.slot(pts).ok_or_else(|| failed("a picture before the first"))?;
        Ok(Picture { slot, idr: unit.idr, data: reader.sample(data).map_err(failed)? })
    }
}

/// Gives each picture the time until the next one, and an offset so that it is presented at its slot: what is decoded
/// takes as long in all as what is shown.
fn lay(pictures: Vec<Picture>, slots: &Range<u64>, frame_ticks: u32) -> Result<Vec<Sample>, Problem> {
    let moments: BTreeSet<u64> = pictures.iter().map(|picture| picture.slot).collect();
    let whole = moments.len() == pictures.len() && moments.first() == Some(&slots.start);
    if !whole || moments.last().is_none_or(|slot| *slot >= slots.end) {
        return Err(failed("the pictures have other times than the survey found"));
    }
    let ticks = i64::from(frame_ticks);
    let mut decoded_at = slots.start;
    let mut samples = Vec::with_capacity(pictures.len());
    for Picture { slot, idr, data } in pictures {
        let next = moments.range(slot + 1..).next().copied().unwrap_or(slots.end);
        let offset = (slot as i64 - decoded_at as i64) * ticks;
        samples.push(Sample {
            duration_ticks: u32::try_from((next - slot) * u64::from(frame_ticks)).map_err(failed)?,
            composition_offset_ticks: i32::try_from(offset).map_err(failed)?,
            sync: idr,
            data,
        });
        decoded_at += next - slot;
    }
    Ok(samples)
}

fn failed(what: impl std::fmt::Display) -> Problem {
    Problem::with_detail(ProblemCode::WorkerFailed, format!("copying pictures: {what}"))
}
