//! How long each segment lasts as a playlist tells it: decimal numbers whose running total is never off by more than half
//! a unit of their last place, and which are exact as `f32`.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::title::{AAC_FRAME_SAMPLES, AudioTrack, Plan, TrackId, TrackKind};

/// Significant decimal digits that every `f32` keeps.
const DIGITS_EXACT: u32 = f32::DIGITS;

/// The durations of all segments of a plan, computed once for all its playlists.
pub(super) struct Durations {
    /// Digits after the point, the same for all tracks.
    decimals: u32,
    /// Durations of segments of pictures in units of the last place; empty without pictures.
    video_units: Vec<u64>,
    /// Durations of segments of each audio track in units of the last place; tracks of one sample rate are cut alike.
    audio_units: Vec<Rc<[u64]>>,
}

impl Durations {
    pub(super) fn of(plan: &Plan) -> Self {
        let video = Ends::of_pictures(plan);
        let mut sounds: BTreeMap<u32, Ends> = BTreeMap::new();
        for track in &plan.audio {
            sounds.entry(track.sample_rate).or_insert_with(|| Ends::of_sound(plan, track));
        }
        let decimals = sounds.values().chain([&video]).map(Ends::decimals).min().unwrap_or(0);
        let scale = 10_u128.pow(decimals);
        let sounds: BTreeMap<u32, Rc<[u64]>> = sounds.into_iter().map(|(rate, ends)| (rate, ends.durations(scale).into())).collect();
        let audio_units = plan.audio.iter().filter_map(|track| sounds.get(&track.sample_rate).cloned()).collect();
        Self { decimals, video_units: video.durations(scale), audio_units }
    }

    /// Units in a second.
    pub(super) fn scale(&self) -> u64 {
        10_u64.pow(self.decimals)
    }

    /// The durations of a track's segments, in units of the last place; empty when there is no such track.
    pub(super) fn units(&self, track: TrackId) -> &[u64] {
        let sound = |index: usize| self.audio_units.get(index).map_or(&[][..], |units| units);
        match track.kind {
            // Text is cut where pictures are; without pictures, where sound is.
            TrackKind::Text if self.video_units.is_empty() => sound(0),
            TrackKind::Video | TrackKind::Text => &self.video_units,
            TrackKind::Audio => sound(track.index.into()),
        }
    }

    /// The durations of a track's segments in seconds, as numbers that print as they are meant.
    pub(super) fn seconds(&self, track: TrackId) -> impl Iterator<Item = f32> {
        let (scale, width) = (self.scale(), self.decimals as usize);
        // Through the text: the nearest `f32` to the decimal number is the one that prints as it.
        self.units(track).iter().map(move |units| format!("{}.{:0width$}", units / scale, units % scale).parse().unwrap_or(0.0))
    }

    /// `EXT-X-TARGETDURATION` of all tracks: the longest segment of any, rounded half up (RFC 8216bis 4.4.3.1, 6.2.4).
    pub(super) fn target_s(&self) -> u64 {
        let sounds = self.audio_units.iter().flat_map(|units| units.iter());
        let longest = self.video_units.iter().chain(sounds).max().copied().unwrap_or(0);
        ((longest + self.scale() / 2) / self.scale()).max(1)
    }
}

/// When the segments of a track end: counts of samples that last `num / den` seconds each.
struct Ends {
    counts: Vec<u64>,
    num: u128,
    den: u128,
}

impl Ends {
    fn of_pictures(plan: &Plan) -> Self {
        let (num, den) = plan.timeline.frame_rate().fraction();
        let numbers = plan.timeline.segments().take_while(|_| !plan.video.is_empty());
        let counts = numbers.filter_map(|number| plan.timeline.frames(number)).map(|frames| frames.end).collect();
        Self { counts, num: den.into(), den: num.into() }
    }

    fn of_sound(plan: &Plan, track: &AudioTrack) -> Self {
        let frames = plan.timeline.segments().filter_map(|number| plan.timeline.audio_frames(number, track.sample_rate, AAC_FRAME_SAMPLES));
        Self { counts: frames.map(|frames| frames.end).collect(), num: AAC_FRAME_SAMPLES.into(), den: track.sample_rate.into() }
    }

    /// As many digits after the point as leave the longest duration with [`DIGITS_EXACT`] in all.
    fn decimals(&self) -> u32 {
        let starts = std::iter::once(&0).chain(&self.counts);
        let longest = self.counts.iter().zip(starts).map(|(end, start)| end.saturating_sub(*start)).max().unwrap_or(0);
        // The rounding of the running total can add one unit.
        let fits = |decimals: &u32| {
            let units = (u128::from(longest) * self.num * 10_u128.pow(*decimals)).div_ceil(self.den) + 1;
            units < 10_u128.pow(DIGITS_EXACT)
        };
        (0..DIGITS_EXACT).rev().find(fits).unwrap_or(0)
    }

    /// Rounds the running total instead of each duration, so that any run of them stays true.
    fn durations(&self, scale: u128) -> Vec<u64> {
        let rounded = |count: &u64| (2 * u128::from(*count) * self.num * scale + self.den) / (2 * self.den);
        let mut total = 0;
        let mut duration = |count: &u64| {
            let start = std::mem::replace(&mut total, rounded(count));
            u64::try_from(total.saturating_sub(start)).unwrap_or(u64::MAX)
        };
        self.counts.iter().map(&mut duration).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::playlist::testing::plan;
    use crate::title::Ratio;

    const RATES: [(u32, u32); 8] = [(24, 1), (25, 1), (30_000, 1001), (24_000, 1001), (60, 1), (8797, 1000), (60_000, 1001), (1, 2)];

    #[test]
    fn digits_leave_with_length() {
        for (segment_ms, decimals) in [(4000, 5), (9000, 5), (9996, 4), (10_000, 4), (99_000, 4), (100_000, 3)] {
            let plan = plan((250, 1), u64::from(segment_ms) / 4 * 10, segment_ms);
            assert_eq!(Durations::of(&plan).decimals, decimals, "{segment_ms} ms");
        }
    }

    #[test]
    fn a_day_of_numbers_prints_as_meant() {
        let durations = Durations::of(&plan((30_000, 1001), 24 * 3600 * 30_000 / 1001, 4000));
        for track in [TrackId::video(0), TrackId::audio(0)] {
            assert!(durations.units(track).len() > 21_000);
            for (units, seconds) in durations.units(track).iter().zip(durations.seconds(track)) {
                let printed = format!("{seconds}");
                let (whole, part) = printed.split_once('.').unwrap_or((&printed, ""));
                let digits: u64 = format!("{whole}{part:0<5}").parse().expect("digits");
                assert_eq!(digits, *units, "{printed}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_run_drifts(rate in 0_usize..8, frames in 1_u64..4000, segment_ms in 1000_u32..20_000) {
            let mut plan = plan(RATES[rate], frames, segment_ms);
            for sample_rate in [44_100, 32_000] {
                plan.audio.push(AudioTrack { sample_rate, ..plan.audio[0].clone() });
            }
            let durations = Durations::of(&plan);
            let half_unit = Ratio::new(1, 2 * i128::from(durations.scale()));
            for track in plan.tracks() {
                let mut total = 0;
                prop_assert_eq!(durations.units(track).len(), plan.timeline.segment_count() as usize);
                for (units, number) in durations.units(track).iter().zip(plan.timeline.segments()) {
                    let end = match track.kind {
                        TrackKind::Video => plan.timeline.frame_rate().time_of(plan.timeline.frames(number).expect("a segment").end),
                        _ => {
                            let frames = plan.audio_frames(track.index, number).expect("a segment");
                            let sample_rate = plan.audio[usize::from(track.index)].sample_rate;
                            Ratio::new(i128::from(frames.end) * 1024, i128::from(sample_rate))
                        }
                    };
                    prop_assert!(*units > 0);
                    total += i128::from(*units);
                    let off = Ratio::new(total, i128::from(durations.scale())) - end;
                    prop_assert!(off <= half_unit && -off <= half_unit);
                    prop_assert!((units + durations.scale() / 2) / durations.scale() <= durations.target_s());
                }
                prop_assert_eq!(durations.seconds(track).count(), plan.timeline.segment_count() as usize);
            }
        }
    }
}
