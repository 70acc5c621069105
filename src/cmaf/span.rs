//! What the plan says about one segment of one track, in ticks, and the chunks it is made of.

use crate::title::{AAC_FRAME_SAMPLES, Plan, SegmentNumber, TrackId, TrackKind};

/// The samples of a segment, or of one of its chunks, as planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Decode time of the first sample, in ticks; the presentation of a segment begins there too.
    pub start_ticks: u64,
    /// How many samples of the usual length it holds.
    pub sample_count: u32,
    /// How long each of them lasts, in ticks.
    pub sample_ticks: u32,
    /// Whether there may be fewer samples that last as long as several do.
    pub may_hold: bool,
}

impl Span {
    /// Absent when the plan has no such track or segment, or the segment ends beyond what the fields can tell.
    pub(super) fn of(plan: &Plan, track: TrackId, number: SegmentNumber) -> Option<Self> {
        if !plan.has(track) {
            return None;
        }
        let (samples, sample_ticks) = match track.kind {
            TrackKind::Video => (plan.timeline.frames(number)?, plan.timeline.frame_rate().frame_ticks()),
            TrackKind::Text => return None,
            TrackKind::Audio => (plan.audio_frames(track.index, number)?, AAC_FRAME_SAMPLES),
        };
        samples.end.checked_mul(u64::from(sample_ticks))?;
        Some(Self {
            start_ticks: samples.start * u64::from(sample_ticks),
            sample_count: u32::try_from(samples.end.checked_sub(samples.start)?).ok()?,
            sample_ticks,
            may_hold: track.kind == TrackKind::Video && plan.video.get(usize::from(track.index))?.encoding().is_none(),
        })
    }

    /// What the segment's first chunk holds: of pictures the key frame alone.
    pub(super) fn first_chunk(self, kind: TrackKind) -> Self {
        Self { sample_count: if kind == TrackKind::Video { 1 } else { self.sample_count }, ..self }
    }

    /// What its second chunk holds, when the first lasts `first_ticks`; absent when there is none.
    pub(super) fn second_chunk(self, kind: TrackKind, first_ticks: u64) -> Option<Self> {
        if kind != TrackKind::Video {
            return None;
        }
        let held = if self.may_hold { (first_ticks / u64::from(self.sample_ticks)).max(1) } else { 1 };
        let sample_count = self.sample_count.checked_sub(u32::try_from(held).ok()?)?;
        (sample_count > 0).then_some(Self { start_ticks: self.start_ticks.saturating_add(first_ticks), sample_count, ..self })
    }
}

/// `sequence_number` of a segment's first chunk: they count through the track, two a segment of pictures, one of others.
///
/// Absent when it, or that of the chunk after it, does not fit the field.
pub(super) fn first_sequence(kind: TrackKind, number: SegmentNumber) -> Option<u32> {
    match kind {
        TrackKind::Video => number.0.checked_mul(2)?.checked_add(1).filter(|sequence| *sequence < u32::MAX),
        TrackKind::Audio | TrackKind::Text => number.0.checked_add(1),
    }
}
