//! The timeline: the output's frame grid and the cut points that every track shares.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{FrameRate, Ratio};

/// Numbers the segments of a track from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SegmentNumber(pub u32);

impl std::fmt::Display for SegmentNumber {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, out)
    }
}

/// Where in a segment of pictures its key frame lies: a chunk (`moof` and `mdat`) that decodes alone after the init segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFrameSpan {
    /// From the segment's first byte to the chunk's.
    pub offset_bytes: u64,
    /// Length of the chunk.
    pub length_bytes: u64,
}

/// The frame grid of a title and where it is cut into segments.
///
/// Invariants: `cuts` starts with 0, strictly grows, and its last element is below `frame_count`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    frame_rate: FrameRate,
    frame_count: u64,
    cuts: Vec<u64>,
}

impl Timeline {
    /// Cuts `frame_count` frames into segments of about `segment_ms` milliseconds.
    ///
    /// All segments have the same number of frames but the last one, which takes a rest shorter than a quarter of a segment
    /// with it rather than leave a stub that players have to fetch for a blink.
    pub fn even(frame_rate: FrameRate, frame_count: u64, segment_ms: u32) -> Self {
        let frame_count = frame_count.max(1);
        let ideal = (frame_rate.per_second() * Ratio::new(i128::from(segment_ms), 1000)).round().to_integer();
        let length = u64::try_from(ideal).unwrap_or(1).max(1);
        let mut cuts: Vec<u64> = (0..frame_count.div_ceil(length)).map(|segment| segment * length).collect();
        let rest = frame_count - cuts.last().copied().unwrap_or(0);
        if cuts.len() > 1 && rest * 4 < length {
            cuts.pop();
        }
        Self { frame_rate, frame_count, cuts }
    }

    /// Frames a second of the grid.
    pub fn frame_rate(&self) -> FrameRate {
        self.frame_rate
    }

    /// Frames from start to end.
    pub fn frame_count(&self) -> u64 {
        self.frame_count
    }

    /// Number of segments; at least one.
    pub fn segment_count(&self) -> u32 {
        self.cuts.len() as u32
    }

    /// All segment numbers in order.
    pub fn segments(&self) -> impl Iterator<Item = SegmentNumber> + use<> {
        (0..self.segment_count()).map(SegmentNumber)
    }

    /// Frames of a segment; absent when there is no such segment.
    pub fn frames(&self, segment: SegmentNumber) -> Option<Range<u64>> {
        let index = segment.0 as usize;
        let start = *self.cuts.get(index)?;
        Some(start..self.cuts.get(index + 1).copied().unwrap_or(self.frame_count))
    }

    /// Audio frames of `frame_samples` samples at `sample_rate` that a segment holds: the cuts fall on the audio frame
    /// nearest to the video cut, so they partition the whole and end within half an audio frame of the video.
    pub fn audio_frames(&self, segment: SegmentNumber, sample_rate: u32, frame_samples: u32) -> Option<Range<u64>> {
        let frames = self.frames(segment)?;
        let nearest = |frame: u64| {
            let samples = self.frame_rate.time_of(frame) * i128::from(sample_rate);
            (samples / i128::from(frame_samples)).round().to_integer() as u64
        };
        Some(nearest(frames.start)..nearest(frames.end).max(1))
    }

    /// Length of the whole in seconds.
    pub fn duration(&self) -> Ratio {
        self.frame_rate.time_of(self.frame_count)
    }

    /// Length of the whole in milliseconds, rounded.
    pub fn duration_ms(&self) -> u64 {
        (self.duration() * 1000).round().to_integer() as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn cuts_grow_and_cover_everything(num in 1_u32..60_000, den in 1_u32..1100, frames in 1_u64..500_000, segment_ms in 500_u32..10_000) {
            let rate = FrameRate::new(num, den).expect("a rate");
            let timeline = Timeline::even(rate, frames, segment_ms);
            let mut at = 0;
            for segment in timeline.segments() {
                let range = timeline.frames(segment).expect("a segment of the timeline");
                prop_assert_eq!(range.start, at);
                prop_assert!(range.end > range.start);
                at = range.end;
            }
            prop_assert_eq!(at, frames);
        }

        #[test]
        fn audio_follows_video_within_half_a_frame(fps in 0_usize..6, frames in 1_u64..200_000, segment_ms in 1000_u32..8000) {
            let (num, den) = [(24, 1), (25, 1), (30_000, 1001), (24_000, 1001), (60, 1), (8797, 1000)][fps];
            let rate = FrameRate::new(num, den).expect("a rate");
            let timeline = Timeline::even(rate, frames, segment_ms);
            let mut at = 0;
            for segment in timeline.segments() {
                let range = timeline.audio_frames(segment, 48_000, 1024).expect("a segment of the timeline");
                prop_assert_eq!(range.start, at);
                at = range.end;
            }
            let audio = Ratio::new(i128::from(at) * 1024, 48_000);
            let half = Ratio::new(1024, 48_000);
            prop_assert!(audio - timeline.duration() <= half && timeline.duration() - audio <= half);
        }
    }

    #[test]
    fn a_short_rest_joins_the_last_segment() {
        let rate = FrameRate::new(24, 1).expect("a rate");
        for (frames, expect) in [(96, vec![0]), (97, vec![0]), (119, vec![0]), (120, vec![0, 96]), (200, vec![0, 96]), (1, vec![0])] {
            assert_eq!(Timeline::even(rate, frames, 4000).cuts, expect, "{frames} frames");
        }
    }
}
