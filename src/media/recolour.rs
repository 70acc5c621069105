//! A colour conversion as tables, for whole pictures.
//!
//! Light is looked up by its exponent and the first bits of its mantissa, which is as fine in the dark as in the bright. All
//! arithmetic is of whole numbers, or of single additions and multiplications, so the outcome is the same on every processor.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;

use super::tone::{Conversion, LUMINANCE};

/// The form of pictures that are converted, before and after: 10 bits, limited range, chroma at full resolution.
pub const FORM: Pixel = Pixel::YUV444P10LE;

/// A conversion, sampled.
pub struct Recolour {
    /// From codes, less black and grey, to places in `light`, in units of [`SIGNAL_ONE`].
    to_signal: [[i32; 3]; 3],
    /// Light by the signal of red, green or blue, from 0 on in steps of a quarter code.
    light: Vec<f32>,
    system_gain: Option<ByLight<f32>>,
    display: Display,
}

/// The part of a conversion from light on.
pub struct Display {
    roll_off: Option<ByLight<f32>>,
    gamut: [[f32; 3]; 3],
    /// The signal of the target by its light, in units of 1/[`ENCODED_ONE`].
    encoded: ByLight<i32>,
    /// From the target's signal to codes, in units of [`CODE_ONE`].
    to_codes: [[i32; 3]; 3],
}

/// Places of the light table within a code.
const PARTS: f64 = 4.0;
const LIGHTS: usize = 4096;
const SIGNAL_BITS: u32 = 14;
const SIGNAL_ONE: f64 = (1 << SIGNAL_BITS) as f64;
const ENCODED_ONE: f64 = 32_768.0;
const CODE_BITS: u32 = 21;
const CODE_ONE: f64 = (1 << CODE_BITS) as f64;

impl Recolour {
    /// Samples the conversion.
    pub fn new(conversion: &Conversion) -> Self {
        let black = conversion.signal([64.0, 512.0, 512.0]);
        let column = |codes| {
            let signal = conversion.signal(codes);
            [0, 1, 2].map(|row| ((signal[row] - black[row]) * 876.0 * PARTS * SIGNAL_ONE).round() as i32)
        };
        let to_signal = transposed([column([65.0, 512.0, 512.0]), column([64.0, 513.0, 512.0]), column([64.0, 512.0, 513.0])]);
        Self {
            to_signal,
            light: (0..LIGHTS).map(|place| conversion.light(place as f64 / (876.0 * PARTS)) as f32).collect(),
            system_gain: conversion.system_gain().map(|gain| ByLight::new(|light| gain(light) as f32)),
            display: Display::new(conversion),
        }
    }

    /// The converted picture. `picture` is in [`FORM`], and so is the outcome.
    ///
    /// # Errors
    /// When the picture is in another form.
    pub fn convert(&self, picture: &Video) -> Result<Video, ffmpeg::Error> {
        each_pixel(picture, |codes| self.at(codes))
    }

    #[inline(always)]
    fn at(&self, [luma, cb, cr]: [i32; 3]) -> [u16; 3] {
        let [luma, cb, cr] = [luma - 64, cb - 512, cr - 512];
        let half = 1 << (SIGNAL_BITS - 1);
        let light = |row: &[i32; 3]| {
            let place = (row[0] * luma + row[1] * cb + row[2] * cr + half) >> SIGNAL_BITS;
            self.light[place.clamp(0, LIGHTS as i32 - 1) as usize]
        };
        let [red, green, blue] = &self.to_signal;
        let mut light = [light(red), light(green), light(blue)];
        if let Some(gain) = &self.system_gain {
            let weights = LUMINANCE.map(|weight| weight as f32);
            let gain = gain.at(sum(&weights, light));
            light = [light[0] * gain, light[1] * gain, light[2] * gain];
        }
        self.display.codes(light)
    }
}

impl Display {
    /// Samples what the conversion does with light.
    pub fn new(conversion: &Conversion) -> Self {
        let dark = conversion.codes([0.0; 3]);
        let column = |signal| {
            let codes = conversion.codes(signal);
            [0, 1, 2].map(|row| ((codes[row] - dark[row]) / ENCODED_ONE * CODE_ONE).round() as i32)
        };
        let mut to_codes = transposed([column([1.0, 0.0, 0.0]), column([0.0, 1.0, 0.0]), column([0.0, 0.0, 1.0])]);
        // Rounding must leave grey without colour.
        for row in &mut to_codes[1..] {
            row[1] = -row[0] - row[2];
        }
        Self {
            roll_off: conversion.roll_off().map(|gain| ByLight::new(|light| gain(light) as f32)),
            gamut: conversion.gamut().map(|row| row.map(|value| value as f32)),
            encoded: ByLight::new(|light| (conversion.encoded(light) * ENCODED_ONE).round() as i32),
            to_codes,
        }
    }

    /// The codes that show light in units of reference white and the source's primaries.
    // This and what it calls is for every pixel. Numbers that go through memory, as arguments or by `map`, take longer than all
    // that is done with them.
    #[inline(always)]
    pub fn codes(&self, mut light: [f32; 3]) -> [u16; 3] {
        if let Some(gain) = &self.roll_off {
            let larger = |one: f32, other: f32| if one > other { one } else { other };
            let gain = gain.at(larger(larger(light[0], light[1]), light[2]));
            light = [light[0] * gain, light[1] * gain, light[2] * gain];
        }
        let signal = |row: usize| self.encoded.at(sum(&self.gamut[row], light));
        let signal = [signal(0), signal(1), signal(2)];
        let half = 1 << (CODE_BITS - 1);
        let code = |row: usize, base: i32| {
            let weights = self.to_codes[row];
            let sum = weights[0] * signal[0] + weights[1] * signal[1] + weights[2] * signal[2] + half;
            (base + (sum >> CODE_BITS)) as u16
        };
        [code(0, 64), code(1, 512), code(2, 512)]
    }
}

/// The sum of three products.
#[inline(always)]
pub fn sum(factors: &[f32; 3], values: [f32; 3]) -> f32 {
    factors[0] * values[0] + factors[1] * values[1] + factors[2] * values[2]
}

/// The picture with each pixel's codes put through `at`. `picture` is in [`FORM`], and so is the outcome.
///
/// # Errors
/// When the picture is in another form.
pub fn each_pixel(picture: &Video, at: impl Fn([i32; 3]) -> [u16; 3]) -> Result<Video, ffmpeg::Error> {
    if picture.format() != FORM {
        return Err(ffmpeg::Error::InvalidData);
    }
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let mut converted = Video::new(FORM, picture.width(), picture.height());
    let mut rows: [Vec<u8>; 3] = [(); 3].map(|()| vec![0; width * 2]);
    for line in 0..height {
        let row = |plane: usize| {
            let start = line * picture.stride(plane);
            picture.data(plane).get(start..start + width * 2).unwrap_or_default()
        };
        let [luma, cb, cr] = &mut rows;
        let codes = row(0).chunks_exact(2).zip(row(1).chunks_exact(2)).zip(row(2).chunks_exact(2));
        let places = luma.chunks_exact_mut(2).zip(cb.chunks_exact_mut(2)).zip(cr.chunks_exact_mut(2));
        for (((luma, cb), cr), ((to_luma, to_cb), to_cr)) in codes.zip(places) {
            let code = |bytes: &[u8]| i32::from(u16::from_le_bytes([bytes[0], bytes[1]]) & 1023);
            let [new_luma, new_cb, new_cr] = at([code(luma), code(cb), code(cr)]);
            to_luma.copy_from_slice(&new_luma.to_le_bytes());
            to_cb.copy_from_slice(&new_cb.to_le_bytes());
            to_cr.copy_from_slice(&new_cr.to_le_bytes());
        }
        for (plane, row) in rows.iter().enumerate() {
            let start = line * converted.stride(plane);
            if let Some(place) = converted.data_mut(plane).get_mut(start..start + width * 2) {
                place.copy_from_slice(row);
            }
        }
    }
    Ok(converted)
}

/// A function of light, by its exponent and the first bits of its mantissa.
struct ByLight<T>(Vec<T>);

/// Bits of the mantissa that are looked at: steps of a thousandth.
const MANTISSA_BITS: u32 = 10;
/// Bits that are not.
const REST_BITS: u32 = f32::MANTISSA_DIGITS - 1 - MANTISSA_BITS;
/// Least and greatest light that are told apart, as powers of two: an eighth of what PQ tells from black, and beyond its peak.
const LEAST: f32 = 1.0 / (1 << 24) as f32;
const GREATEST: f32 = 64.0;

impl<T: Copy> ByLight<T> {
    fn new(function: impl Fn(f64) -> T) -> Self {
        let places = LEAST.to_bits() >> REST_BITS..=GREATEST.to_bits() >> REST_BITS;
        let middle = |place: u32| {
            // What is less than all belongs to the first place, which stands for black.
            if place == LEAST.to_bits() >> REST_BITS { 0.0 } else { f32::from_bits((place << REST_BITS) + (1 << (REST_BITS - 1))).into() }
        };
        Self(places.map(|place| function(middle(place))).collect())
    }

    #[inline(always)]
    fn at(&self, light: f32) -> T {
        self.0[((light.clamp(LEAST, GREATEST).to_bits() - LEAST.to_bits()) >> REST_BITS) as usize]
    }
}

fn transposed(columns: [[i32; 3]; 3]) -> [[i32; 3]; 3] {
    [0, 1, 2].map(|row| columns.map(|column| column[row]))
}

#[cfg(test)]
mod tests {
    use headwater::title::{ColourFacts, LightFacts};

    use super::*;

    const SOURCES: [(u8, u8, u8); 6] = [(9, 16, 9), (9, 18, 9), (9, 14, 9), (12, 1, 1), (6, 6, 6), (1, 8, 8)];

    fn conversion((primaries, transfer, matrix): (u8, u8, u8)) -> Conversion {
        let from = ColourFacts { full_range: Some(false), primaries, transfer, matrix };
        Conversion::new(from, ColourFacts::STANDARD, &LightFacts::default())
    }

    #[test]
    fn grey_stays_grey() {
        for source in SOURCES {
            let conversion = conversion(source);
            let recolour = Recolour::new(&conversion);
            for luma in 0..1024 {
                let [to_luma, cb, cr] = recolour.at([luma, 512, 512]);
                assert_eq!((cb, cr), (512, 512), "{source:?}: {luma}");
                let exact = conversion.convert([f64::from(luma), 512.0, 512.0])[0];
                assert!((f64::from(to_luma) - exact).abs() < 1.0, "{source:?}: {luma} becomes {to_luma} and not {exact}");
            }
        }
    }

    /// Four codes of 10 bits are one of the 8 that come out. At the very edge of the gamut, where one of the three is all but
    /// dark, a hair's breadth of light is a large step of the signal.
    #[test]
    fn tables_are_as_good_as_the_functions() {
        for source in SOURCES {
            let conversion = conversion(source);
            let recolour = Recolour::new(&conversion);
            let (mut far, mut sum, mut seed) = (0, 0.0, 1_u32);
            for _ in 0..20_000 {
                let mut next = |from: i32, to: i32| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    from + (seed >> 16) as i32 % (to - from)
                };
                let codes = [next(64, 941), next(312, 712), next(312, 712)];
                let exact = conversion.convert(codes.map(f64::from));
                for (found, exact) in recolour.at(codes).into_iter().zip(exact) {
                    let apart = (f64::from(found) - exact).abs();
                    far += u32::from(apart > 4.0);
                    sum += apart / 60_000.0;
                }
            }
            assert!(far < 300 && sum < 0.5, "{source:?}: {far} of 60000 beyond 4, mean {sum:.2}");
        }
    }

    #[test]
    fn every_code_has_a_place() {
        for source in SOURCES {
            let recolour = Recolour::new(&conversion(source));
            for luma in [0, 1, 511, 1022, 1023] {
                for cb in [0, 512, 1023] {
                    for cr in [0, 512, 1023] {
                        assert!(recolour.at([luma, cb, cr]).iter().all(|code| (64..=960).contains(code)));
                    }
                }
            }
        }
    }
}
