//! What the plan says about one segment of one track, in ticks.

use crate::title::{AAC_FRAME_SAMPLES, Plan, SegmentNumber, TrackId, TrackKind};

/// The samples of a segment as planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Decode and presentation time of the segment's start, in ticks.
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
}
