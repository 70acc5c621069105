//! Sound that comes at another rate than its stream's clock, in mid-stream, brought to that clock.
//!
//! Every output sample is computed from the source samples around its exact position, so it does not matter where decoding
//! began or how the sound came in frames.

use std::collections::HashMap;
use std::f64::consts::PI;
use std::rc::Rc;

use super::sound::Sound;

/// Brings frames of other rates to the clock of a stream.
pub struct Retune {
    clock: u32,
    rate: u32,
    /// What is kept of the frames: one sound a target, whose first sample has the index `kept_from`.
    kept: Vec<Sound>,
    kept_from: i64,
    /// Where counting began: a place on the clock, and the index of the sample that lies there.
    runs: Vec<(i64, i64)>,
    /// The next sample of the clock to be made.
    next: i64,
    /// The filter for each place between two samples; usual rates have few.
    filters: HashMap<i64, Rc<[f64]>>,
}

/// Filters kept at most.
const FILTERS_MAX: usize = 1024;

/// Zero crossings of the filter on either side.
const REACH: f64 = 24.0;
/// Where counting begins anew, this far off is rounding, in samples.
const ROUNDING: i64 = 2;

impl Retune {
    /// For a stream whose clock counts `clock` samples a second.
    pub fn new(clock: u32) -> Self {
        Self { clock: clock.max(1), rate: 0, kept: Vec::new(), kept_from: 0, runs: Vec::new(), next: 0, filters: HashMap::new() }
    }

    /// Takes a frame at `rate` that lies `offset` of its samples after the place `base` on the clock, and gives `emit` what
    /// can be made now, with its place.
    pub fn take(&mut self, sounds: &[Sound], rate: u32, (base, offset): (i64, i64), mut emit: impl FnMut(&[Sound], i64)) {
        let here = base + self.on_clock(offset, rate);
        let follows = rate == self.rate && self.end().is_some_and(|end| (end - here).abs() <= ROUNDING);
        if !follows {
            self.finish(&mut emit);
            self.rate = rate.max(1);
            self.filters.clear();
            self.runs = vec![(base, -offset)];
            self.next = here;
            self.kept_from = 0;
        } else if self.runs.last().is_some_and(|(known, _)| *known != base) {
            self.runs.push((base, self.kept_end() - offset));
        }
        if self.kept.len() == sounds.len() {
            self.kept.iter_mut().zip(sounds).for_each(|(kept, sound)| kept.append(sound));
        } else {
            self.kept = sounds.to_vec();
        }
        let ready = self.kept_end() - self.reach() - 1;
        self.make(|position| position.0 < ready, &mut emit);
        let needed = self.position(self.next).0 - self.reach() - 1;
        let spent = usize::try_from(needed - self.kept_from).unwrap_or(0).min(self.kept.first().map_or(0, Sound::len));
        self.kept.iter_mut().for_each(|kept| kept.forget(spent));
        self.kept_from += spent as i64;
        let next = self.next;
        let past = self.runs.partition_point(|(base, _)| *base <= next).saturating_sub(1);
        self.runs.drain(..past);
    }

    /// Makes the rest, as if silence followed.
    pub fn finish(&mut self, mut emit: impl FnMut(&[Sound], i64)) {
        if let Some(end) = self.end() {
            let last = self.position(end);
            self.make(|position| position < last, &mut emit);
        }
        self.kept.clear();
        self.runs.clear();
    }

    /// Samples of the clock in the time of `count` samples at `rate`, rounded down.
    fn on_clock(&self, count: i64, rate: u32) -> i64 {
        (count * i64::from(self.clock)).div_euclid(i64::from(rate.max(1)))
    }

    fn kept_end(&self) -> i64 {
        self.kept_from + self.kept.first().map_or(0, Sound::len) as i64
    }

    /// Where on the clock the kept samples end.
    fn end(&self) -> Option<i64> {
        self.runs.last().map(|(base, index)| base + self.on_clock(self.kept_end() - index, self.rate))
    }

    /// The place among the source's samples of a sample of the clock: the index of the one before it, and by how many parts of
    /// the clock it is later.
    fn position(&self, at: i64) -> (i64, i64) {
        let run = self.runs.iter().rev().find(|(base, _)| *base <= at).or(self.runs.first());
        run.map_or((0, 0), |(base, index)| {
            let scaled = (at - base) * i64::from(self.rate);
            (index + scaled.div_euclid(i64::from(self.clock)), scaled.rem_euclid(i64::from(self.clock)))
        })
    }

    /// The part of the source's band that the clock can hold.
    fn band(&self) -> f64 {
        (f64::from(self.clock) / f64::from(self.rate.max(1))).min(1.0)
    }

    fn reach(&self) -> i64 {
        (REACH / self.band()).ceil() as i64
    }

    fn make(&mut self, may: impl Fn((i64, i64)) -> bool, emit: &mut impl FnMut(&[Sound], i64)) {
        let first = self.next;
        let mut channels: Vec<Vec<Vec<f32>>> = self.kept.iter().map(|kept| vec![Vec::new(); kept.channels().len()]).collect();
        loop {
            let position = self.position(self.next);
            if self.kept.is_empty() || !may(position) {
                break;
            }
            let weights = self.filter(position.1);
            let from = position.0 + 1 - self.reach();
            for (made, kept) in channels.iter_mut().zip(&self.kept) {
                for (made, samples) in made.iter_mut().zip(kept.channels()) {
                    let at = |index: i64| usize::try_from(index).ok().and_then(|index| samples.get(index)).copied().unwrap_or(0.0);
                    let sum = weights.iter().zip(from - self.kept_from..).map(|(weight, index)| weight * f64::from(at(index)));
                    made.push(sum.sum::<f64>() as f32);
                }
            }
            self.next += 1;
        }
        if self.next > first {
            emit(&channels.into_iter().map(Sound::new).collect::<Vec<_>>(), first);
        }
    }

    /// What each source sample counts, from one less than the filter's reach before on: a sinc in a raised cosine, for a place so
    /// many parts of the clock behind a sample. What it comes to does not depend on how large the indices are.
    fn filter(&mut self, parts: i64) -> Rc<[f64]> {
        if let Some(known) = self.filters.get(&parts) {
            return Rc::clone(known);
        }
        let (band, reach) = (self.band(), self.reach());
        let fraction = parts as f64 / f64::from(self.clock);
        let weight = |index: i64| {
            let away = (index as f64 - fraction) * band;
            let sinc = if away == 0.0 { 1.0 } else { (PI * away).sin() / (PI * away) };
            let window = if away.abs() < REACH { 0.5 + 0.5 * (PI * away / REACH).cos() } else { 0.0 };
            band * sinc * window
        };
        let made: Rc<[f64]> = (1 - reach..1 + reach).map(weight).collect();
        if self.filters.len() < FILTERS_MAX {
            self.filters.insert(parts, Rc::clone(&made));
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: u32 = 48_000;

    fn tone(index: i64, rate: u32) -> f32 {
        (index as f64 * 2.0 * PI * 997.0 / f64::from(rate)).sin() as f32 * 0.5
    }

    /// The tone from sample `from` on in frames of `length`; counting began at zero, or anew at every tenth frame.
    fn retuned(rate: u32, from: i64, length: i64, frames: i64, anew: bool) -> Vec<(i64, f32)> {
        let mut retune = Retune::new(CLOCK);
        let mut out: Vec<(i64, f32)> = Vec::new();
        let mut emit = |sounds: &[Sound], at: i64| out.extend((at..).zip(sounds[0].channels()[0].iter().copied()));
        for frame in 0..frames {
            let first = from + frame * length;
            let anchor = if anew { first.div_euclid(length * 10) * length * 10 } else { 0 };
            let base = (anchor * i64::from(CLOCK)).div_euclid(i64::from(rate));
            let sound = Sound::new(vec![(first..first + length).map(|index| tone(index, rate)).collect()]);
            retune.take(&[sound], rate, (base, first - anchor), &mut emit);
        }
        retune.finish(&mut emit);
        out
    }

    #[test]
    fn a_tone_stays_a_tone_in_time() {
        for rate in [8000, 22_050, 44_100, 96_000] {
            let out = retuned(rate, 0, 1000, 40, true);
            assert!(out.iter().zip(0..).all(|((at, _), expect)| *at == expect), "{rate}: without gap");
            assert_eq!(out.len() as i64, 40_000 * i64::from(CLOCK) / i64::from(rate), "{rate}");
            // Away from the ends; counting anew rounds by up to a sample of the clock.
            let inner = 400..out.len() - 400;
            let worst = out[inner].iter().map(|(at, value)| (value - tone(*at, CLOCK)).abs()).fold(0.0, f32::max);
            assert!(worst < 0.08, "{rate}: {worst}");
        }
    }

    #[test]
    fn where_it_began_makes_no_difference() {
        for (rate, anew) in [22_050, 44_100, 96_000].into_iter().flat_map(|rate| [(rate, false), (rate, true)]) {
            let whole = retuned(rate, 0, 1000, 60, anew);
            let late = retuned(rate, 20_000, 1000, 40, anew);
            // After the filter has all it looks at.
            let settled = late[0].0 + 200;
            for (at, value) in late.iter().filter(|(at, _)| *at >= settled) {
                assert_eq!(whole[*at as usize], (*at, *value), "{rate} at {at}");
            }
        }
    }
}
