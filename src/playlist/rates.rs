//! Bit rates of a track: measured from its segments, or promised from the plan while they are not all made.

use super::durations::Durations;
use crate::title::{AAC_FRAME_SAMPLES, AacFacts, AudioMethod, AudioTrack, Plan, SEGMENT_BOXES_BYTES, TrackId, TrackKind, VideoMethod};

/// Bit rates of a track in bits a second, container included, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// The peak segment bit rate (RFC 8216bis 4.1): the largest of any run of segments that lasts from half to one and a
    /// half target durations, and half a second more.
    pub peak_bps: u64,
    /// Over the whole title.
    pub average_bps: u64,
}

/// Measures the rates of a track whose segments, in order, have these sizes. Init segments do not count.
///
/// Segments beyond those of the plan are ignored, and so is the plan beyond the last size given.
pub fn measure(plan: &Plan, track: TrackId, segment_bytes: &[u64]) -> Rates {
    rates_of(&Durations::of(plan), track, segment_bytes)
}

fn rates_of(durations: &Durations, track: TrackId, segment_bytes: &[u64]) -> Rates {
    let scale = durations.scale();
    let segments: Vec<Run> =
        durations.units(track).iter().zip(segment_bytes).map(|(units, bytes)| Run { units: *units, bytes: *bytes }).collect();
    let whole = segments.iter().fold(Run::default(), Run::and);
    let target_units = durations.target_s() * scale;
    let (least, most) = (target_units / 2, target_units / 2 * 3 + scale / 2);
    let mut peak_bps = None;
    for first in 0..segments.len() {
        let mut run = Run::default();
        for segment in &segments[first..] {
            run = run.and(segment);
            if run.units > most {
                break;
            }
            if run.units >= least {
                peak_bps = peak_bps.max(Some(run.rate_bps(scale)));
            }
        }
    }
    let average_bps = whole.rate_bps(scale);
    // A title shorter than any window is its own only run.
    Rates { peak_bps: peak_bps.unwrap_or(average_bps).max(average_bps), average_bps }
}

/// Neighbouring segments taken together.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    units: u64,
    bytes: u64,
}

impl Run {
    fn and(self, segment: &Self) -> Self {
        Self { units: self.units + segment.units, bytes: self.bytes.saturating_add(segment.bytes) }
    }

    /// Bits a second, rounded up.
    fn rate_bps(self, scale: u64) -> u64 {
        let rate = (u128::from(self.bytes) * 8 * u128::from(scale)).div_ceil(u128::from(self.units.max(1)));
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

/// Bytes of a row of the sample table at most, where samples last equally long: size, flags and composition offset.
const ROW_BYTES: u64 = 12;
/// An AAC encoder holds its rate over seconds; within one segment it may take so many percent of it.
const AAC_PEAK_PERCENT: u64 = 125;
/// A capped rate factor usually ends so many percent of its cap.
const CAPPED_AVERAGE_PERCENT: u64 = 67;

/// What the plan allows a track at most, and about what it will be; present when the plan has the track.
pub(super) fn promised(plan: &Plan, durations: &Durations, track: TrackId) -> Option<Rates> {
    let scale = durations.scale();
    let bytes_of = |bits_of: &dyn Fn(u64) -> u64, frame_units: u64| -> Vec<u64> {
        let segment = |units: &u64| {
            let samples = units.div_ceil(frame_units.max(1));
            bits_of(*units).div_ceil(8) + SEGMENT_BOXES_BYTES + ROW_BYTES * samples
        };
        durations.units(track).iter().map(segment).collect()
    };
    let index = usize::from(track.index);
    let (most, usual) = match track.kind {
        TrackKind::Video => {
            let video = plan.video.get(index)?;
            if let VideoMethod::Copy { peak_bps, average_bps } = video.method {
                return Some(Rates { peak_bps: peak_bps.into(), average_bps: average_bps.into() });
            }
            let (num, den) = plan.timeline.frame_rate().fraction();
            let frame_units = scale * u64::from(den) / u64::from(num);
            // Each segment's encoder starts with a full buffer to spend on top of the rate.
            let rate_bits = |units: u64| u64::from(video.cap_bps()) * units / scale;
            let most = bytes_of(&|units| rate_bits(units) + u64::from(video.buffer_bits()), frame_units);
            (most, bytes_of(&|units| rate_bits(units) * CAPPED_AVERAGE_PERCENT / 100, frame_units))
        }
        TrackKind::Audio => {
            let audio = plan.audio.get(index)?;
            let rate_bps = u64::from(audio.bit_rate_bps);
            let frame_units = scale * u64::from(AAC_FRAME_SAMPLES) / u64::from(audio.sample_rate);
            let most = match audio.method {
                AudioMethod::Encode => bytes_of(&|units| rate_bps * units / scale * AAC_PEAK_PERCENT / 100, frame_units),
                AudioMethod::Copy { second_bytes_max } => copied_at_most(plan, track.index, audio, second_bytes_max),
            };
            (most, bytes_of(&|units| rate_bps * units / scale, frame_units))
        }
        TrackKind::Text => return None,
    };
    let rates = |segment_bytes: &[u64]| rates_of(durations, track, segment_bytes);
    Some(Rates { peak_bps: rates(&most).peak_bps, average_bps: rates(&usual).average_bps })
}

/// Bytes of each segment of a copied sound at most: any second of it has so many.
fn copied_at_most(plan: &Plan, index: u8, audio: &AudioTrack, second_bytes_max: u32) -> Vec<u64> {
    let second_frames = u64::from(AacFacts::window_frames(audio.sample_rate));
    let frames = plan.timeline.segments().filter_map(|number| plan.audio_frames(index, number));
    let bytes = frames.map(|frames| {
        let count = frames.end - frames.start;
        count.div_ceil(second_frames) * u64::from(second_bytes_max) + SEGMENT_BOXES_BYTES + ROW_BYTES * count
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, proptest};

    use super::*;
    use crate::playlist::testing::plan;

    const TRACK: TrackId = TrackId::video(0);

    #[test]
    fn peaks_are_taken_over_the_windows_of_the_standard() {
        // Segments of 4, 4 and 1.5 s under a target of 4 s: windows of 2 to 6.5 s.
        let plan = plan((10, 1), 95, 4000);
        for (bytes, peak_bps, average_bps) in [
            // The last is too short to count alone: it does with its neighbour, 250000 bytes over 5.5 s.
            ([50_000, 100_000, 150_000], 363_637, 252_632),
            ([500_000, 100_000, 10_000], 1_000_000, 513_685),
            ([0, 0, 0], 0, 0),
        ] {
            assert_eq!(measure(&plan, TRACK, &bytes), Rates { peak_bps, average_bps }, "{bytes:?}");
        }
    }

    #[test]
    fn a_single_picture_has_a_rate() {
        let plan = plan((25, 1), 1, 4000);
        assert_eq!(measure(&plan, TRACK, &[1000]), Rates { peak_bps: 200_000, average_bps: 200_000 });
    }

    #[test]
    fn a_promise_bounds_what_the_buffer_allows() {
        // 4 s at 3 Mbit/s and a buffer of 4.5 Mbit: 16.5 Mbit in a segment, and 12 bytes for each of its 96 rows.
        let plan = plan((24, 1), 960, 4000);
        let promise = promised(&plan, &Durations::of(&plan), TRACK).expect("a track");
        assert_eq!(promise.peak_bps, 4_125_000 + (260 + 12 * 97) * 2);
        assert!((2_010_000..2_020_000).contains(&promise.average_bps), "{promise:?}");
        assert!(promised(&plan, &Durations::of(&plan), TrackId::audio(9)).is_none());
    }

    #[test]
    fn what_is_copied_is_known_before_it_is_made() {
        let mut plan = plan((24, 1), 960, 4000);
        plan.video[0].method = VideoMethod::Copy { peak_bps: 2_345_678, average_bps: 1_234_567 };
        let promise = promised(&plan, &Durations::of(&plan), TRACK).expect("a track");
        assert_eq!(promise, Rates { peak_bps: 2_345_678, average_bps: 1_234_567 });
        // 188 frames in 4.01067 s are four runs of 47, each of 20000 bytes at most.
        (plan.audio[0].bit_rate_bps, plan.audio[0].method) = (150_000, AudioMethod::Copy { second_bytes_max: 20_000 });
        let promise = promised(&plan, &Durations::of(&plan), TrackId::audio(0)).expect("a track");
        let most = f64::from(4 * 20_000 + 260 + 12 * 187) * 8.0 / (187.0 * 1024.0 / 48_000.0);
        assert!((promise.peak_bps as f64 - most).abs() < 10.0, "{promise:?}");
        assert!((150_000..156_000).contains(&promise.average_bps), "{promise:?}");
    }

    proptest! {
        #[test]
        fn the_peak_is_no_less_than_any_window_and_no_more_than_the_largest_segment(
            bytes in prop::collection::vec(1_u64..3_000_000, 1..40),
            rest in 0_u64..96,
        ) {
            let plan = plan((24, 1), 96 * bytes.len() as u64 + rest, 4000);
            let rates = measure(&plan, TRACK, &bytes);
            prop_assert!(rates.average_bps <= rates.peak_bps);
            let seconds = |index: usize| {
                let frames = plan.timeline.frames(crate::title::SegmentNumber(index as u32)).expect("a segment");
                (frames.end - frames.start) as f64 / 24.0
            };
            let alone = bytes.iter().enumerate().map(|(index, bytes)| *bytes as f64 * 8.0 / seconds(index));
            let largest = alone.fold(0.0, f64::max);
            prop_assert!((rates.peak_bps as f64 - largest).abs() <= 1.0 + largest * 1e-5);
        }
    }
}
