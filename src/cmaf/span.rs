//! What the plan says about one segment of one track, in ticks, and the chunks it is made of.

use crate::title::{AAC_FRAME_SAMPLES, Plan, SegmentNumber, TrackId, TrackKind};

/// The samples of a segment, or of one of its chunks, as planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Decode time of the first sample, in ticks; the presentation of a segment begins there too.
    pub start_ticks: u64,
    /// How many samples it holds.
    pub sample_count: u32,
    /// How long each of them lasts, in ticks.
    pub sample_ticks: u32,
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
        })
    }

    /// The chunks that the segment is made of: a segment of pictures begins with its key frame in a chunk of its own.
    pub(super) fn chunks(self, kind: TrackKind) -> (Self, Option<Self>) {
        if kind != TrackKind::Video || self.sample_count < 2 {
            return (self, None);
        }
        let start_ticks = self.start_ticks.saturating_add(self.sample_ticks.into());
        (Self { sample_count: 1, ..self }, Some(Self { start_ticks, sample_count: self.sample_count - 1, ..self }))
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
