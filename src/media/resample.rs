//! Sound on one clock: any layout to stereo without touching time, and any rate to 48 kHz with an exact phase.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ChannelLayout;
use ffmpeg_next::format::Sample;
use ffmpeg_next::format::sample::Type;
use ffmpeg_next::frame::Audio;
use ffmpeg_next::software::resampling::Context;
use headwater::title::AUDIO_SAMPLE_RATE;

use super::reference::refer;

const PLANAR: Sample = Sample::F32(Type::Planar);

/// Two channels of samples, equally long.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stereo {
    /// Left.
    pub left: Vec<f32>,
    /// Right.
    pub right: Vec<f32>,
}

impl Stereo {
    /// `length` samples of silence.
    pub fn silence(length: usize) -> Self {
        Self { left: vec![0.0; length], right: vec![0.0; length] }
    }

    /// Samples of each channel.
    pub fn len(&self) -> usize {
        self.left.len()
    }
}

/// Brings decoded frames to stereo float at their own rate. Keeps no samples back.
#[derive(Default)]
pub struct Downmix {
    context: Option<(Context, Form)>,
}

#[derive(Clone, Copy, PartialEq)]
struct Form {
    format: Sample,
    layout: ChannelLayout,
    rate: u32,
}

impl Downmix {
    /// The frame's samples in stereo.
    pub fn convert(&mut self, frame: &Audio) -> Result<Stereo, ffmpeg::Error> {
        let layout = match frame.channel_layout() {
            layout if layout.is_empty() => ChannelLayout::default(i32::from(frame.channels())),
            layout => layout,
        };
        // A single channel goes to both sides as loud as it is, as players do with it.
        let to = if frame.channels() == 1 { layout } else { ChannelLayout::STEREO };
        let form = Form { format: frame.format(), layout, rate: frame.rate() };
        if self.context.as_ref().is_none_or(|(_, known)| *known != form) {
            let context = Context::get(form.format, form.layout, form.rate, PLANAR, to, form.rate)?;
            self.context = Some((context, form));
        }
        let Some((context, _)) = &mut self.context else { return Err(ffmpeg::Error::Bug) };
        let mut input = Audio::empty();
        refer(&mut input, frame)?;
        input.set_channel_layout(layout);
        let mut output = Audio::empty();
        context.run(&input, &mut output)?;
        Ok(read(&output))
    }
}

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
    pub fn resample(self, stretch: &Stereo) -> Result<Stereo, ffmpeg::Error> {
        if self.rate == i64::from(AUDIO_SAMPLE_RATE) {
            return Ok(stretch.clone());
        }
        let rate = self.rate as u32;
        let mut context = Context::get(PLANAR, ChannelLayout::STEREO, rate, PLANAR, ChannelLayout::STEREO, AUDIO_SAMPLE_RATE)?;
        let mut input = Audio::new(PLANAR, stretch.len(), ChannelLayout::STEREO);
        input.set_rate(rate);
        input.plane_mut::<f32>(0).copy_from_slice(&stretch.left);
        input.plane_mut::<f32>(1).copy_from_slice(&stretch.right);
        let room = stretch.len() as i64 * self.period_out / self.period_in + 256;
        let mut output = Audio::new(PLANAR, room as usize, ChannelLayout::STEREO);
        output.set_rate(AUDIO_SAMPLE_RATE);
        context.run(&input, &mut output)?;
        Ok(read(&output))
    }
}

fn read(frame: &Audio) -> Stereo {
    let samples = frame.samples();
    if samples == 0 {
        return Stereo::default();
    }
    let side = |plane: usize| frame.plane::<f32>(plane.min(frame.planes() - 1))[..samples].to_vec();
    Stereo { left: side(0), right: side(1) }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_stretches_agree_on_every_sample() {
        for rate in [8000_u32, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000] {
            let phase = Phase::new(rate);
            let tone = |sample: i64| (sample as f32 * 2.0 * std::f32::consts::PI * 440.0 / rate as f32).sin();
            let make = |start: i64, end: i64| {
                let (first, last, at) = phase.stretch(start, end);
                let left: Vec<f32> = (first..last).map(tone).collect();
                let out = phase.resample(&Stereo { right: left.clone(), left }).expect("resampled");
                let skip = (start - at) as usize;
                out.left[skip..skip + (end - start) as usize].to_vec()
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
