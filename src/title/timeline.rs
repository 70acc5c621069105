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

/// How long segments should be where they cannot be cut anywhere, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutAim {
    /// Best length.
    pub target_ms: u32,
    /// Shortest preferred length.
    pub least_ms: u32,
    /// Longest preferred length.
    pub most_ms: u32,
    /// Longest length at all.
    pub longest_ms: u32,
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

    /// Cuts `frame_count` frames at those of `cuts` that leave every segment near `aim.target_ms`, and none longer than
    /// `aim.longest_ms`; absent when the cuts are too far apart for that. `cuts` must start with 0, grow, and lie below
    /// `frame_count`.
    ///
    /// Of all ways to cut, the one is taken in which the squared distances from the target add up to the least, segments out
    /// of the preferred range counting as much more as the target itself.
    pub fn at(frame_rate: FrameRate, frame_count: u64, cuts: &[u64], aim: CutAim) -> Option<Self> {
        let frames = |ms: u32| (frame_rate.per_second() * Ratio::new(i128::from(ms), 1000)).to_integer().unsigned_abs();
        let [target, least, most, longest] = [aim.target_ms, aim.least_ms, aim.most_ms, aim.longest_ms].map(frames);
        let cost = |length: u128| {
            let outside = if (least..=most).contains(&length) { 0 } else { target };
            length.abs_diff(target).pow(2) + outside.pow(2)
        };
        let points: Vec<u64> = cuts.iter().copied().chain([frame_count]).collect();
        if points.first() != Some(&0) || points.windows(2).any(|pair| pair[0] >= pair[1]) {
            return None;
        }
        // The least cost up to each point, and the point before it on the way there.
        let mut ways: Vec<Option<(u128, usize)>> = vec![Some((0, 0))];
        for (index, end) in points.iter().enumerate().skip(1) {
            let lengths = points[..index].iter().enumerate().rev().map(|(from, start)| (from, u128::from(end - start)));
            let reachable = lengths.take_while(|(_, length)| *length <= longest);
            let way = reachable.filter_map(|(from, length)| ways[from].map(|(before, _)| (before + cost(length), from))).min();
            ways.push(way);
        }
        let mut chosen = Vec::new();
        let mut point = points.len() - 1;
        while point > 0 {
            point = ways[point]?.1;
            chosen.push(points[point]);
        }
        chosen.reverse();
        Some(Self { frame_rate, frame_count, cuts: chosen })
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

    /// The period of a segment in whole milliseconds, those it begins and ends in included, so that something that starts and ends
    /// on whole milliseconds overlaps this period exactly when it overlaps the segment's.
    pub fn period_ms(&self, segment: SegmentNumber) -> Option<Range<u64>> {
        let frames = self.frames(segment)?;
        let ms = |frame: u64| self.frame_rate.time_of(frame) * 1000;
        Some(ms(frames.start).floor().to_integer() as u64..ms(frames.end).ceil().to_integer() as u64)
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
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

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

    const AIM: CutAim = CutAim { target_ms: 4000, least_ms: 2000, most_ms: 6000, longest_ms: 10_000 };

    #[test]
    fn cuts_are_chosen_among_those_there_are() {
        let second = |seconds: &[u64]| seconds.iter().map(|second| second * 10).collect::<Vec<_>>();
        // (where it can be cut, length) -> where it is, all in seconds
        for (cuts, length, expect) in [
            (&[0, 2, 4, 6, 8, 10, 12][..], 14, Some(&[0, 4, 8][..])),
            (&[0, 1, 2, 3, 4, 5, 6, 7, 8], 9, Some(&[0, 4])),
            (&[0, 5, 10, 15], 20, Some(&[0, 5, 10, 15])),
            (&[0, 3, 6, 9], 12, Some(&[0, 3, 6, 9])),
            (&[0, 10, 20], 30, Some(&[0, 10, 20])),
            (&[0, 10, 20], 31, None),
            (&[0, 11], 12, None),
            (&[0, 1, 9], 10, Some(&[0])),
            (&[0, 4, 8], 9, Some(&[0, 4])),
            (&[0], 1, Some(&[0])),
            (&[1, 4], 8, None),
            (&[], 8, None),
            (&[0, 4, 4], 8, None),
        ] {
            let rate = FrameRate::new(10, 1).expect("a rate");
            let found = Timeline::at(rate, length * 10, &second(cuts), AIM).map(|timeline| timeline.cuts);
            assert_eq!(found, expect.map(second), "{cuts:?} of {length}");
        }
    }

    proptest! {
        #[test]
        fn chosen_cuts_partition_the_whole(steps in prop::collection::vec(1_u64..300, 1..200), rate in 0_usize..4) {
            let (num, den) = [(24, 1), (30_000, 1001), (60, 1), (25, 1)][rate];
            let rate = FrameRate::new(num, den).expect("a rate");
            let ends: Vec<u64> = steps.iter().scan(0, |at, step| { *at += step; Some(*at) }).collect();
            let (count, inner) = ends.split_last().expect("one at least");
            let cuts: Vec<u64> = [0].into_iter().chain(inner.iter().copied()).collect();
            let longest = Ratio::from_integer(10);
            match Timeline::at(rate, *count, &cuts, AIM) {
                None => prop_assert!(steps.iter().any(|step| rate.time_of(*step) > longest)),
                Some(timeline) => {
                    let mut at = 0;
                    for segment in timeline.segments() {
                        let range = timeline.frames(segment).expect("a segment");
                        prop_assert_eq!(range.start, at);
                        prop_assert!(cuts.contains(&range.start));
                        prop_assert!(range.end > range.start && rate.time_of(range.end - range.start) <= longest);
                        at = range.end;
                    }
                    prop_assert_eq!(at, *count);
                }
            }
        }
    }

    #[test]
    fn periods_are_exact_for_whole_milliseconds() {
        let timeline = Timeline::even(FrameRate::new(30_000, 1001).expect("a rate"), 300, 3000);
        // 90 frames last 3.003 s, 180 frames 6.006 s.
        assert_eq!(timeline.period_ms(SegmentNumber(1)), Some(3003..6006));
        let timeline = Timeline::even(FrameRate::new(24, 1).expect("a rate"), 100, 1050);
        // 25 frames last 1.041666… s: a cue from 1041 ms on is in the first segment too, one until 1041 ms is not in the second.
        assert_eq!((timeline.period_ms(SegmentNumber(0)), timeline.period_ms(SegmentNumber(1))), (Some(0..1042), Some(1041..2084)));
        assert_eq!(timeline.period_ms(SegmentNumber(9)), None);
    }

    #[test]
    fn a_short_rest_joins_the_last_segment() {
        let rate = FrameRate::new(24, 1).expect("a rate");
        for (frames, expect) in [(96, vec![0]), (97, vec![0]), (119, vec![0]), (120, vec![0, 96]), (200, vec![0, 96]), (1, vec![0])] {
            assert_eq!(Timeline::even(rate, frames, 4000).cuts, expect, "{frames} frames");
        }
    }
}
