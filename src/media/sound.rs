//! Sound as the worker handles it: floating-point samples, a list for each channel, read out of whatever a decoder gives.

use std::ops::Range;

use ffmpeg_next::format::Sample;
use ffmpeg_next::format::sample::Type;
use ffmpeg_next::frame::Audio;

/// Channels of samples, equally long. Full scale is 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sound {
    channels: Vec<Vec<f32>>,
}

impl Sound {
    /// The channels given, which must be equally long.
    pub fn new(channels: Vec<Vec<f32>>) -> Self {
        debug_assert!(channels.windows(2).all(|pair| pair[0].len() == pair[1].len()));
        Self { channels }
    }

    /// `length` samples of silence in each of `channels`.
    pub fn silence(channels: usize, length: usize) -> Self {
        Self { channels: vec![vec![0.0; length]; channels] }
    }

    /// The samples of a decoded frame, its channels in its order; absent for a form that no decoder gives.
    pub fn decoded(frame: &Audio) -> Option<Self> {
        let (kind, width, number): (Type, usize, Number) = match frame.format() {
            Sample::U8(kind) => (kind, 1, |bytes| (f32::from(bytes[0]) - 128.0) / 128.0),
            Sample::I16(kind) => (kind, 2, |bytes| f32::from(i16::from_ne_bytes(exactly(bytes))) / 32_768.0),
            Sample::I32(kind) => (kind, 4, |bytes| (f64::from(i32::from_ne_bytes(exactly(bytes))) / 2_147_483_648.0) as f32),
            Sample::I64(kind) => (kind, 8, |bytes| (i64::from_ne_bytes(exactly(bytes)) as f64 / 9_223_372_036_854_775_808.0) as f32),
            Sample::F32(kind) => (kind, 4, |bytes| a_number(f32::from_ne_bytes(exactly(bytes)))),
            Sample::F64(kind) => (kind, 8, |bytes| a_number(f64::from_ne_bytes(exactly(bytes)) as f32)),
            Sample::None => return None,
        };
        // SAFETY: the frame is alive, and its layout with it.
        let count = usize::try_from(unsafe { (*frame.as_ptr()).ch_layout.nb_channels }).ok()?;
        let length = frame.samples();
        let planar = kind == Type::Planar;
        let (planes, plane_bytes) = if planar { (count, length * width) } else { (1, length * width * count) };
        let mut channels = vec![Vec::with_capacity(length); count];
        for plane in 0..planes {
            // SAFETY: a decoded frame has so many planes, each of so many bytes. Beyond the eighth they are only found here.
            let bytes = unsafe {
                let start = *(*frame.as_ptr()).extended_data.add(plane);
                if start.is_null() {
                    return None;
                }
                std::slice::from_raw_parts(start, plane_bytes)
            };
            if planar {
                channels[plane].extend(bytes.chunks_exact(width).map(number));
            } else {
                for samples in bytes.chunks_exact(width * count) {
                    channels.iter_mut().zip(samples.chunks_exact(width)).for_each(|(channel, sample)| channel.push(number(sample)));
                }
            }
        }
        Some(Self { channels })
    }

    /// Samples of each channel.
    pub fn len(&self) -> usize {
        self.channels.first().map_or(0, Vec::len)
    }

    /// The channels.
    pub fn channels(&self) -> &[Vec<f32>] {
        &self.channels
    }

    /// Puts the samples `from` of `other`, which has as many channels, in the place that begins at `at`.
    pub fn place(&mut self, at: usize, other: &Self, from: Range<usize>) {
        for (channel, source) in self.channels.iter_mut().zip(&other.channels) {
            channel[at..at + from.len()].copy_from_slice(&source[from.clone()]);
        }
    }

    /// Puts `other`, which has as many channels, at the end.
    pub fn append(&mut self, other: &Self) {
        self.channels.iter_mut().zip(&other.channels).for_each(|(channel, more)| channel.extend_from_slice(more));
    }

    /// Drops the first `count` samples.
    pub fn forget(&mut self, count: usize) {
        self.channels.iter_mut().for_each(|channel| drop(channel.drain(..count.min(channel.len()))));
    }

    /// `length` samples from `skip` on; silence where there are none.
    pub fn cut(&self, skip: usize, length: usize) -> Self {
        let cut = |channel: &Vec<f32>| {
            let mut cut: Vec<f32> = channel.iter().skip(skip).take(length).copied().collect();
            cut.resize(length, 0.0);
            cut
        };
        Self { channels: self.channels.iter().map(cut).collect() }
    }

    /// Makes every sample `factor` times as large.
    pub fn amplify(&mut self, factor: f32) {
        self.channels.iter_mut().flatten().for_each(|sample| *sample *= factor);
    }
}

/// Reads the bytes of a sample, with full scale at 1.
type Number = fn(&[u8]) -> f32;

fn exactly<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap_or([0; N])
}

/// What is not a number is silence.
fn a_number(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use ffmpeg_next::{ChannelLayout, ffi};

    use super::*;

    #[test]
    fn every_form_has_the_same_full_scale() {
        let check = |format: Sample, bytes: &[u8], expect: f32| {
            let mut frame = Audio::new(format, 1, ChannelLayout::MONO);
            frame.data_mut(0)[..bytes.len()].copy_from_slice(bytes);
            assert_eq!(Sound::decoded(&frame).expect("sound").channels()[0], [expect], "{format:?}");
        };
        check(Sample::U8(Type::Packed), &[0], -1.0);
        check(Sample::U8(Type::Packed), &[192], 0.5);
        check(Sample::I16(Type::Packed), &i16::MIN.to_ne_bytes(), -1.0);
        check(Sample::I32(Type::Planar), &1_073_741_824_i32.to_ne_bytes(), 0.5);
        check(Sample::I64(Type::Planar), &(i64::MIN / 2).to_ne_bytes(), -0.5);
        check(Sample::F32(Type::Planar), &1.5_f32.to_ne_bytes(), 1.5);
        check(Sample::F64(Type::Packed), &0.25_f64.to_ne_bytes(), 0.25);
        check(Sample::F32(Type::Packed), &f32::NAN.to_ne_bytes(), 0.0);
    }

    #[test]
    fn packed_and_planar_frames_hold_the_same() {
        let mut packed = Audio::new(Sample::I16(Type::Packed), 3, ChannelLayout::STEREO);
        packed.plane_mut::<(i16, i16)>(0).copy_from_slice(&[(1, -1), (2, -2), (3, -3)]);
        let mut planar = Audio::new(Sample::I16(Type::Planar), 3, ChannelLayout::STEREO);
        planar.plane_mut::<i16>(0).copy_from_slice(&[1, 2, 3]);
        planar.plane_mut::<i16>(1).copy_from_slice(&[-1, -2, -3]);
        let sound = Sound::decoded(&packed).expect("sound");
        assert_eq!(Some(&sound), Sound::decoded(&planar).as_ref());
        assert_eq!(sound.channels()[1], [-1.0 / 32_768.0, -2.0 / 32_768.0, -3.0 / 32_768.0]);
    }

    #[test]
    fn more_channels_than_a_frame_points_to() {
        let mut frame = Audio::empty();
        frame.set_format(Sample::F32(Type::Planar));
        frame.set_samples(2);
        // SAFETY: the frame is given 24 planes of two samples.
        unsafe {
            ffi::av_channel_layout_default(&mut (*frame.as_mut_ptr()).ch_layout, 24);
            assert!(ffi::av_frame_get_buffer(frame.as_mut_ptr(), 0) >= 0);
            for plane in 0..24 {
                (*(*frame.as_mut_ptr()).extended_data.add(plane)).cast::<f32>().write(plane as f32);
            }
        }
        let sound = Sound::decoded(&frame).expect("sound");
        assert_eq!(sound.channels().iter().map(|channel| channel[0]).collect::<Vec<_>>(), (0..24_u8).map(f32::from).collect::<Vec<_>>());
    }
}
