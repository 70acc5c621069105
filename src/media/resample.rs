//! Sound on one clock: any rate to 48 kHz with an exact phase.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ChannelLayout;
use ffmpeg_next::format::Sample;
use ffmpeg_next::format::sample::Type;
use ffmpeg_next::frame::Audio;
use ffmpeg_next::software::resampling::Context;
use headwater::title::AUDIO_SAMPLE_RATE;

use super::sound::Sound;

const PLANAR: Sample = Sample::F32(Type::Planar);

/// Source samples on either side that the resampling filter looks at, at most, for each sample of rate reduction.
const FILTER_REACH: i64 = 64;

/// The arithmetic of going from a source rate to [`AUDIO_SAMPLE_RATE`] so that every stretch, wherever it begins, falls on
/// the same output samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    rate: i64,
    /// Source samples after which the phase repeats.
    period_in: i64,
    /// Output samples in the same time.
    period_out: i64,
}

impl Phase {
    /// The phase for a source of `rate` samples a second.
    pub fn new(rate: u32) -> Self {
        let (rate, out) = (i64::from(rate.max(1)), i64::from(AUDIO_SAMPLE_RATE));
        let common = gcd(rate, out);
        Self { rate, period_in: rate / common, period_out: out / common }
    }

    /// Source samples to gather for the output samples `start..end` (both relative to presentation zero), as a range, and
    /// the output sample that the range's first source sample falls on.
    pub fn stretch(self, start: i64, end: i64) -> (i64, i64, i64) {
        let out = i64::from(AUDIO_SAMPLE_RATE);
        let reach = FILTER_REACH * (self.rate / out + 1);
        let first = (start * self.rate).div_euclid(out) - reach;
        let periods = first.div_euclid(self.period_in);
        let last = (end * self.rate).div_euclid(out) + 1 + reach;
        (periods * self.period_in, last, periods * self.period_out)
    }

    /// Resamples a whole stretch.
    pub fn resample(self, stretch: &Sound) -> Result<Sound, ffmpeg::Error> {
        if self.rate == i64::from(AUDIO_SAMPLE_RATE) {
            return Ok(stretch.clone());
        }
        let rate = self.rate as u32;
        let layout = layout(stretch.channels().len());
        let mut context = Context::get(PLANAR, layout, rate, PLANAR, layout, AUDIO_SAMPLE_RATE)?;
        let mut input = Audio::new(PLANAR, stretch.len(), layout);
        input.set_rate(rate);
        for (plane, samples) in stretch.channels().iter().enumerate() {
            input.plane_mut::<f32>(plane).copy_from_slice(samples);
        }
        let room = stretch.len() as i64 * self.period_out / self.period_in + 256;
        let mut output = Audio::new(PLANAR, room as usize, layout);
        output.set_rate(AUDIO_SAMPLE_RATE);
        context.run(&input, &mut output)?;
        if output.samples() == 0 {
            return Ok(Sound::silence(stretch.channels().len(), 0));
        }
        Sound::decoded(&output).ok_or(ffmpeg::Error::Bug)
    }
}

/// The layout of sound that goes to the encoder. For 5.1 it is the one that AAC has a channelConfiguration for.
pub fn layout(channels: usize) -> ChannelLayout {
    if channels > 2 { ChannelLayout::_5POINT1_BACK } else { ChannelLayout::STEREO }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_stretches_agree_on_every_sample() {
        let rates = [8000_u32, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000];
        for (rate, channels) in rates.map(|rate| (rate, 2)).into_iter().chain([(44_100, 6)]) {
            let phase = Phase::new(rate);
            let tone = |sample: i64| (sample as f32 * 2.0 * std::f32::consts::PI * 440.0 / rate as f32).sin();
            let make = |start: i64, end: i64| {
                let (first, last, at) = phase.stretch(start, end);
                let channel: Vec<f32> = (first..last).map(tone).collect();
                let out = phase.resample(&Sound::new(vec![channel; channels])).expect("resampled");
                assert!(out.channels().windows(2).all(|pair| pair[0] == pair[1]), "channels stay in step");
                out.cut((start - at) as usize, (end - start) as usize).channels()[channels - 1].clone()
            };
            let whole = make(-2048, 20_480);
            let (one, two) = (make(-2048, 5120), make(5120, 20_480));
            let parts = [one, two].concat();
            assert_eq!(parts.len(), whole.len());
            let worst = parts.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
            assert!(worst < 1e-4, "{rate}: {worst}");
            // And it is the tone itself, in time, not a shifted one.
            let expect = |sample: i64| (sample as f32 * 2.0 * std::f32::consts::PI * 440.0 / 48_000.0).sin();
            let error = whole.iter().zip(-2048..).map(|(got, sample)| (got - expect(sample)).abs()).fold(0.0_f32, f32::max);
            assert!(error < 0.01, "{rate}: {error}");
        }
    }
}
