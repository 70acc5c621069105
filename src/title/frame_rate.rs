//! Frame rates as exact fractions, and the choice of the output's rate from what the survey measured.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Ratio, TimeBase, VideoFacts};

/// Frames a second as a fraction in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameRate {
    num: u32,
    den: u32,
}

/// A measured rate this near, as a fraction, to a standard one is that one; 24 and 23.976 are twice as far apart.
const STANDARD_TOLERANCE: f64 = 0.0005;

/// The rates that cameras and standards use.
const STANDARD: [(u32, u32); 17] = [
    (24_000, 1001),
    (24, 1),
    (25, 1),
    (30_000, 1001),
    (30, 1),
    (48_000, 1001),
    (48, 1),
    (50, 1),
    (60_000, 1001),
    (60, 1),
    (20, 1),
    (15, 1),
    (15_000, 1001),
    (12_000, 1001),
    (12, 1),
    (10, 1),
    (5, 1),
];

/// Frames a second that a camera or a screen recorder may come to.
const MEASURED_MAX: f64 = 2000.0;
/// Frames a second of film; below it motion is coarse.
const FILM: f64 = 23.9;
/// Frames a second that a grid has at least.
const GRID_MIN: u32 = 5;
/// The rates that a grid for a varying one is chosen from.
const GRIDS: [f64; 5] = [24.0, 25.0, 30.0, 50.0, 60.0];

/// Below this, media timescales grow coarse; a rate's numerator is doubled until it is reached.
const TIMESCALE_MIN: u32 = 10_000;

impl FrameRate {
    /// A rate of `num / den` frames a second, brought to lowest terms; absent when either is zero.
    pub fn new(num: u32, den: u32) -> Option<Self> {
        if num == 0 || den == 0 {
            return None;
        }
        let ratio = num_rational::Ratio::new(num, den);
        Some(Self { num: *ratio.numer(), den: *ratio.denom() })
    }

    /// Frames a second.
    pub fn per_second(self) -> Ratio {
        Ratio::new(i128::from(self.num), i128::from(self.den))
    }

    /// Frames a second, for people and for playlists.
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// Numerator and denominator.
    pub fn fraction(self) -> (u32, u32) {
        (self.num, self.den)
    }

    /// When frame `frame` starts, in seconds after frame 0.
    pub fn time_of(self, frame: u64) -> Ratio {
        Ratio::new(i128::from(frame) * i128::from(self.den), i128::from(self.num))
    }

    /// The frame that starts nearest to `ticks` after frame 0; of two equally near ones the later.
    pub fn frame_near(self, ticks: i64, base: TimeBase) -> i128 {
        // floor(ticks * base * rate + 1/2), without the reduction of fractions that would cost more than all the rest.
        let over = 2 * i128::from(base.den) * i128::from(self.den);
        (2 * i128::from(ticks) * i128::from(base.num) * i128::from(self.num) + over / 2).div_euclid(over)
    }

    /// Ticks a second of a media timescale in which every frame is a whole number of ticks ([`FrameRate::frame_ticks`]).
    pub fn timescale(self) -> u32 {
        self.num * self.multiplier()
    }

    /// Length of one frame in ticks of [`FrameRate::timescale`].
    pub fn frame_ticks(self) -> u32 {
        self.den * self.multiplier()
    }

    fn multiplier(self) -> u32 {
        let mut multiplier = 1;
        while self.num * multiplier < TIMESCALE_MIN {
            multiplier *= 2;
        }
        multiplier
    }

    fn snapped(frames_per_second: f64) -> Option<Self> {
        let near = |rate: f64| (frames_per_second / rate - 1.0).abs() < STANDARD_TOLERANCE;
        for (num, den) in STANDARD {
            if near(f64::from(num) / f64::from(den)) {
                return Self::new(num, den);
            }
        }
        let whole = frames_per_second.round();
        if (1.0..=MEASURED_MAX).contains(&whole) && near(whole) {
            return Self::new(whole as u32, 1);
        }
        // Six and its multiples, a thousandth slower, as television in America has it.
        let sixth = (frames_per_second * 1.001 / 6.0).round() * 6.0;
        if (30.0..=MEASURED_MAX).contains(&sixth) && near(sixth / 1.001) {
            return Self::new(sixth as u32 * 1000, 1001);
        }
        if (0.000_001..1.0).contains(&frames_per_second) {
            return Self::new(1000, (1000.0 / frames_per_second).round() as u32);
        }
        let thousandths = (frames_per_second * 1000.0).round();
        if !(1.0..=MEASURED_MAX * 1000.0).contains(&thousandths) {
            return None;
        }
        Self::new(thousandths as u32, 1000)
    }

    /// This rate, or the largest whole fraction of it that is at most `limit`, where a slip above the limit does not count:
    /// every other picture, or every third, moves evenly. Where that falls far below the limit and below the rate of film,
    /// motion would be coarse, and the limit itself is the better choice although it leaves pictures out unevenly.
    fn at_most(self, limit: u32) -> Self {
        let mut divisor = 1;
        while u64::from(self.num) * 100 > u64::from(limit) * 101 * u64::from(self.den) * u64::from(divisor) {
            divisor += 1;
        }
        let fraction = Self::new(self.num, self.den.saturating_mul(divisor)).unwrap_or(self);
        let coarse = divisor > 1 && fraction.as_f64() < FILM && fraction.as_f64() * 1.25 < f64::from(limit);
        if coarse || fraction.as_f64() > f64::from(limit) { Self::new(limit, 1).unwrap_or(fraction) } else { fraction }
    }

    /// This rate, or the smallest whole multiple of it that is at least [`GRID_MIN`], so far as `limit` allows: pictures of a
    /// slide show stay where they are, and segments hold enough frames to seek in and to keep sound and picture together.
    fn at_least_grid(self, limit: u32) -> Self {
        let of_den = |frames: u32| u64::from(frames) * u64::from(self.den);
        let mut multiple: u32 = 1;
        while u64::from(self.num) * u64::from(multiple) < of_den(GRID_MIN) && u64::from(self.num) * u64::from(multiple + 1) <= of_den(limit)
        {
            multiple += 1;
        }
        Self::new(self.num.saturating_mul(multiple), self.den).unwrap_or(self)
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.3}", self.as_f64());
        out.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Chooses the rate of the output's frame grid: the source's own where it has one, a standard rate fine enough for its quick parts
/// where it varies, never above `rate_max` frames a second, and never so slow that a segment holds next to nothing.
///
/// A source with a single picture gets the rate it declares, else ten frames a second.
pub fn choose(video: &VideoFacts, rate_max: u32) -> FrameRate {
    let still = FrameRate { num: 10, den: 1 };
    let tick = f64::from(video.time_base.num) / f64::from(video.time_base.den);
    if video.frame_count < 2 || video.last_pts <= video.first_pts || video.interval_median <= 0 {
        return declared(video).unwrap_or(still).at_most(rate_max);
    }
    let chosen = if is_constant(video) {
        steady(video, tick)
    } else if is_paired(video) {
        // Film shown for three fields and two in turn: one slot a picture, and the unevenness is gone.
        FrameRate::snapped(video.interval_paired_count as f64 * 2.0 / (video.interval_paired_ticks as f64 * tick))
    } else {
        varying(video, tick, rate_max)
    };
    chosen.unwrap_or(still).at_most(rate_max).at_least_grid(rate_max)
}

/// The source's own rate, where nearly all pictures are equally far apart.
fn steady(video: &VideoFacts, tick: f64) -> Option<FrameRate> {
    let regular_s = video.interval_regular_ticks as f64 * tick;
    let pace = video.interval_regular_count as f64 / regular_s;
    if !pace.is_finite() {
        return None;
    }
    // Timestamps rounded to coarse ticks (Matroska and FLV count milliseconds) leave the pace of a short clip uncertain
    // by a tick or so over its length; within that, what the source declares is the better word.
    let uncertain = (1.5 * tick / regular_s).max(STANDARD_TOLERANCE);
    let declared = declared(video).filter(|rate| (rate.as_f64() / pace - 1.0).abs() <= uncertain);
    FrameRate::snapped(declared.map_or(pace, FrameRate::as_f64))
}

/// A standard rate fine enough for the quick parts of a varying one.
fn varying(video: &VideoFacts, tick: f64, rate_max: u32) -> Option<FrameRate> {
    // A steady rate with pictures left out here and there goes on at that rate.
    let slack = (video.interval_median / 8).max(1);
    let one_pace = video.interval_regular_count * 2 >= video.frame_count && video.interval_quick + slack >= video.interval_median;
    if one_pace && let Some(rate) = steady(video, tick).filter(|rate| STANDARD.contains(&rate.fraction()) && rate.as_f64() >= FILM) {
        return Some(rate);
    }
    let quick = 1.0 / (video.interval_quick.max(1) as f64 * tick);
    let wanted = quick.min(f64::from(rate_max));
    let near = GRIDS.into_iter().find(|rate| (wanted / rate - 1.0).abs() < 0.02);
    // Jitter makes a quarter of the distances a little shorter than the pace they are meant to have.
    near.or_else(|| GRIDS.into_iter().find(|rate| *rate >= wanted * 0.92)).or(GRIDS.last().copied()).and_then(FrameRate::snapped)
}

/// The source's own rate, where nearly all pictures are equally far apart; what it declares counts only where it agrees.
pub(super) fn measured(video: &VideoFacts) -> Option<FrameRate> {
    let tick = f64::from(video.time_base.num) / f64::from(video.time_base.den);
    if is_constant(video) && video.frame_count > 1 { steady(video, tick) } else { None }
}

/// How many of a source's pictures share a slot of `grid`: 1 where each has one of its own, and where the rate varies.
pub fn pictures_a_slot(video: &VideoFacts, grid: FrameRate) -> u32 {
    let regular_s = video.time_base.seconds(video.interval_regular_ticks);
    if video.interval_regular_count * 2 < video.frame_count || regular_s <= Ratio::from_integer(0) {
        return 1;
    }
    let exact = Ratio::from_integer(i128::from(video.interval_regular_count)) / regular_s / grid.per_second();
    let whole = exact.round();
    let near = (exact - whole) * 50 <= whole && (whole - exact) * 50 <= whole;
    if near { u32::try_from(whole.to_integer()).unwrap_or(1).max(1) } else { 1 }
}

/// Whether nearly all pictures are equally far apart.
pub(super) fn is_constant(video: &VideoFacts) -> bool {
    let intervals = video.frame_count.saturating_sub(1);
    // One tick either way is the container's rounding, not the camera's.
    intervals == 0 || video.interval_regular_count * 100 >= intervals * 95
}

/// Whether pictures are shown for three fields and two in turn.
pub(super) fn is_paired(video: &VideoFacts) -> bool {
    video.frame_count > 3 && video.interval_paired_count * 100 >= (video.frame_count - 2) * 80
}

fn declared(video: &VideoFacts) -> Option<FrameRate> {
    let (num, den) = video.declared_rate?;
    FrameRate::new(num, den).filter(|rate| (1.0..=240.0).contains(&rate.as_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title::sample::video_facts;

    #[test]
    fn timescales_divide_the_frame() {
        for (num, den, timescale, ticks) in
            [(24, 1, 12_288, 512), (30_000, 1001, 30_000, 1001), (25, 1, 12_800, 512), (60, 1, 15_360, 256), (8797, 1000, 17_594, 2000)]
        {
            let rate = FrameRate::new(num, den).expect("a rate");
            assert_eq!((rate.timescale(), rate.frame_ticks()), (timescale, ticks), "{num}/{den}");
        }
    }

    #[test]
    fn every_time_is_near_one_frame() {
        let ntsc = FrameRate::new(30_000, 1001).expect("a rate");
        let base = TimeBase { num: 1, den: 1000 };
        for (ticks, frame) in [(0, 0), (16, 0), (17, 1), (33, 1), (1001, 30), (-16, 0), (-17, -1), (3_600_000, 107_892)] {
            assert_eq!(ntsc.frame_near(ticks, base), frame, "{ticks} ms");
            let exact = base.seconds(ticks) * ntsc.per_second() + Ratio::new(1, 2);
            assert_eq!(ntsc.frame_near(ticks, base), exact.floor().to_integer(), "{ticks} ms");
        }
        assert_eq!(FrameRate::new(1, 1).expect("a rate").frame_near(500, base), 1);
    }

    #[test]
    fn the_rate_is_the_sources_own_where_it_has_one() {
        // (time base, interval, frames, declared) -> rate
        for (den, interval, count, declared, expect) in [
            (12_288_u32, 512_i64, 1440_u64, Some((24, 1)), (24, 1)),
            (30_000, 1001, 300, Some((30_000, 1001)), (30_000, 1001)),
            (90_000, 3600, 100, None, (25, 1)),
            (90_000, 750, 100, Some((120, 1)), (60, 1)),
            (90_000, 900, 100, None, (50, 1)),
            (90_000, 1000, 100, None, (45, 1)),
            (90_000, 625, 100, None, (48, 1)),
            (90_000, 1250, 100, None, (36, 1)),
            (90_000, 1200, 100, None, (75, 2)),
            (90_000, 375, 100, None, (60, 1)),
            (96_000, 100, 1000, None, (60, 1)),
            (120_000, 1001, 1000, None, (60_000, 1001)),
            (1_000_000, 1000, 1000, Some((1000, 1)), (1000, 17)),
            (1000, 1000, 60, None, (5, 1)),
            (1000, 5000, 12, Some((1, 5)), (5, 1)),
            (1000, 500, 12, None, (6, 1)),
            (1000, 333, 90, Some((3, 1)), (3003, 500)),
            (90_000, 90_000 * 60, 3, None, (5, 1)),
            (90_000, 3600, 100, Some((1000, 1)), (25, 1)),
            (1000, 200, 88, Some((5, 1)), (5, 1)),
            (90_000, 10_231, 46, None, (8797, 1000)),
        ] {
            let facts = video_facts(den, interval, count, declared);
            assert_eq!(choose(&facts, 60).fraction(), expect, "{den} {interval} {declared:?}");
        }
    }

    #[test]
    fn pictures_share_a_slot_where_the_rate_was_brought_down() {
        for (den, interval, grid, expect) in [
            (90_000, 3600, (25, 1), 1),
            (90_000, 750, (60, 1), 2),
            (90_000, 375, (60, 1), 4),
            (90_000, 625, (48, 1), 3),
            (1000, 8, (60_000, 1001), 2),
            (90_000, 900, (60, 1), 1),
            (1000, 1000, (5, 1), 1),
        ] {
            let mut facts = video_facts(den, interval, 1000, None);
            if den == 1000 && interval == 8 {
                // Milliseconds, 119.88.
                facts.interval_regular_ticks = 8333;
            }
            let grid = FrameRate::new(grid.0, grid.1).expect("a rate");
            assert_eq!(pictures_a_slot(&facts, grid), expect, "{den} {interval}");
        }
        let mut varying = video_facts(90_000, 750, 1000, None);
        varying.interval_regular_count = 400;
        assert_eq!(pictures_a_slot(&varying, FrameRate::new(60, 1).expect("a rate")), 1);
    }

    #[test]
    fn missing_pictures_do_not_change_the_pace() {
        // A cut in decoding order leaves holes near the end: the mean over the whole would be 23.98.
        let mut facts = video_facts(12_288, 512, 1441, Some((24, 1)));
        facts.last_pts += 1024;
        facts.interval_max = 1024;
        (facts.interval_regular_count, facts.interval_regular_ticks) = (1438, 1438 * 512);
        assert_eq!(choose(&facts, 60).fraction(), (24, 1));
    }

    #[test]
    fn rounded_timestamps_tell_the_rate_over_their_length() {
        // Milliseconds, 23.976: 42 and 41 in turn; the container says 24.
        let mut facts = video_facts(1000, 42, 1000, Some((24, 1)));
        facts.last_pts = 41_667;
        facts.interval_regular_ticks = 41_667;
        assert_eq!(choose(&facts, 60).fraction(), (24_000, 1001));
        // One second of it cannot tell, so what is declared counts.
        let mut short = video_facts(1000, 42, 24, Some((24_000, 1001)));
        short.last_pts = 958;
        short.interval_regular_ticks = 958;
        assert_eq!(choose(&short, 60).fraction(), (24_000, 1001));
    }

    #[test]
    fn a_varying_rate_gets_the_standard_one_above_it() {
        let mut facts = video_facts(90_000, 3970, 190, None);
        facts.interval_regular_count = 20;
        assert_eq!(choose(&facts, 60).fraction(), (24, 1));
        facts.interval_quick = 1500;
        assert_eq!(choose(&facts, 60).fraction(), (60, 1));
    }

    /// Facts of a clip whose pictures are so many milliseconds apart, over and over, in ticks of `1/den` s.
    fn varied(den: u32, intervals: &[i64], times: usize) -> VideoFacts {
        let all: Vec<i64> = intervals.iter().copied().cycle().take(intervals.len() * times).collect();
        let mut facts = video_facts(den, 1, all.len() as u64 + 1, None);
        let mut sorted = all.clone();
        sorted.sort_unstable();
        (facts.interval_median, facts.interval_quick) = (sorted[sorted.len() / 2], sorted[sorted.len() / 4]);
        facts.last_pts = all.iter().sum();
        let slack = (facts.interval_median / 8).max(1);
        let regular: Vec<i64> = all.iter().copied().filter(|interval| (interval - facts.interval_median).abs() <= slack).collect();
        (facts.interval_regular_count, facts.interval_regular_ticks) = (regular.len() as u64, regular.iter().sum());
        let pairs: Vec<i64> = all
            .windows(2)
            .filter(|pair| (13..=17).contains(&(pair[0].max(pair[1]) * 10 / pair[0].min(pair[1]))))
            .map(|pair| pair[0] + pair[1])
            .collect();
        (facts.interval_paired_count, facts.interval_paired_ticks) = (pairs.len() as u64, pairs.iter().sum());
        facts
    }

    /// 29.97 in milliseconds, with pictures left out three times.
    const DROPPED: &[i64] = &[
        33, 33, 34, 33, 33, 34, 33, 34, 67, 33, 33, 34, 33, 33, 34, 33, 34, 100, 33, 33, 34, 33, 33, 34, 33, 34, 67, 33, 33, 34, 33, 33, 34,
    ];

    #[test]
    fn varying_rates_get_a_grid_fine_enough() {
        for (what, den, intervals, max, expect) in [
            ("film by field flags", 90_000, [3003, 4505, 3003, 4504].as_slice(), 60, (24_000, 1001)),
            (
                "film by field flags, in milliseconds",
                1000,
                &[33, 50, 34, 50, 33, 50, 34, 50, 33, 50, 34, 50, 33, 50, 33, 50, 34, 50, 33, 50, 34, 50, 33, 50],
                60,
                (24_000, 1001),
            ),
            ("a recording with pictures left out", 90_000, &[3003, 3003, 6006, 3003, 3003, 3003, 9009], 60, (30_000, 1001)),
            ("the same, in milliseconds", 1000, DROPPED, 60, (30_000, 1001)),
            ("a phone in dim light", 1000, &[31, 36, 42, 29, 45, 33, 38, 33, 30, 41, 34, 52], 60, (30, 1)),
            ("a screen: stills, then motion", 1000, &[17, 17, 16, 17, 17, 16, 2000, 17, 17, 16, 450, 17, 17, 100, 100], 60, (60, 1)),
            ("half of it at 60, half at 20", 1000, &[17, 16, 17, 50, 50, 50], 60, (60, 1)),
            ("slides at will", 1000, &[4000, 7000, 12_000, 3000, 60_000], 60, (24, 1)),
            ("motion at 120, limited", 1000, &[8, 8, 9, 8, 30, 200, 8, 8], 60, (60, 1)),
            ("the same, limited to 30", 1000, &[8, 8, 9, 8, 30, 200, 8, 8], 30, (30, 1)),
        ] {
            assert_eq!(choose(&varied(den, intervals, 30), max).fraction(), expect, "{what}");
        }
    }

    #[test]
    fn a_limit_is_met_evenly_where_motion_allows() {
        for (rate, limit, expect) in [
            ((50, 1), 30, (25, 1)),
            ((60, 1), 30, (30, 1)),
            ((60_000, 1001), 30, (30_000, 1001)),
            ((48, 1), 30, (24, 1)),
            ((25, 1), 30, (25, 1)),
            ((31, 1), 30, (30, 1)),
            ((60, 1), 50, (30, 1)),
            ((50, 1), 24, (24, 1)),
            ((60, 1), 24, (20, 1)),
            ((30, 1), 15, (15, 1)),
            ((25, 1), 15, (25, 2)),
            ((144, 1), 120, (72, 1)),
        ] {
            let rate = FrameRate::new(rate.0, rate.1).expect("a rate");
            assert_eq!(rate.at_most(limit).fraction(), expect, "{rate} at most {limit}");
        }
    }

    #[test]
    fn a_slow_grid_keeps_to_the_limit_too() {
        for (interval_ms, limit, expect) in
            [(40, 2, (25, 13)), (333, 5, (3003, 1000)), (1000, 5, (5, 1)), (1000, 2, (2, 1)), (5000, 1, (1, 1))]
        {
            let chosen = choose(&video_facts(1000, interval_ms, 60, None), limit);
            assert_eq!(chosen.fraction(), expect, "{interval_ms} ms, at most {limit}");
        }
    }

    #[test]
    fn a_gap_does_not_bend_the_rate_and_a_slip_does_not_halve_it() {
        let mut facts = video_facts(1000, 33, 901, Some((30, 1)));
        facts.last_pts = 30_043;
        (facts.interval_regular_count, facts.interval_regular_ticks) = (899, 30_043 - 76);
        assert_eq!(choose(&facts, 60).fraction(), (30, 1));
        facts.last_pts = 30_030;
        (facts.interval_regular_count, facts.interval_regular_ticks) = (900, 30_030);
        assert_eq!(choose(&facts, 60).fraction(), (30_000, 1001));
        let facts = video_facts(90_000, 1499, 18, Some((810_000, 13_487)));
        assert_eq!(choose(&facts, 60).fraction(), (60, 1));
        assert_eq!(choose(&facts, 30).fraction(), (30, 1));
    }

    #[test]
    fn a_single_picture_has_some_rate() {
        let facts = video_facts(25, 1, 1, None);
        assert_eq!(choose(&facts, 60).fraction(), (10, 1));
    }
}
