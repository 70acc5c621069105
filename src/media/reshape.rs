//! The colours of Dolby Vision as tables, for whole pictures: from stored codes by a picture's own metadata to what is shown.
//!
//! As in `recolour`, all arithmetic is of table look-ups and single additions and multiplications, so the outcome is the same
//! on every processor. What the metadata changes is little and made anew when it changes; the large tables stay.

use std::rc::Rc;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::frame::Video;
use headwater::title::{ColourFacts, LightFacts};

use super::dolby_vision::{self, Curve, Metadata, Piece, products};
use super::recolour::{Display, each_pixel, sum};
use super::tone::{Conversion, Matrix, REFERENCE_WHITE_NITS, cones_to_bt2020, pq_to_nits, product};

/// A way from pictures of Dolby Vision to one description, whatever their metadata.
pub struct Reshape {
    to: ColourFacts,
    light_facts: LightFacts,
    /// Light of a signal of PQ in units of reference white.
    lights: Rc<[f32; LIGHTS]>,
    /// What shows light, and the peak it was made for.
    display: Option<(Option<f64>, Rc<Display>)>,
    /// For the metadata of the last picture, which may be none.
    known: Option<(Option<Vec<u8>>, Colours)>,
}

/// Places of the light table: sixteen to a code, for what light passes through afterwards makes more of its rounding than
/// Y'CbCr does.
const LIGHTS: usize = 16 * 1024;
const LAST_LIGHT: f64 = (LIGHTS - 1) as f64;
/// Codes of a component.
const CODES: usize = 1024;
const LAST_CODE: f64 = (CODES - 1) as f64;

impl Reshape {
    /// To standard colours, or to those of BT.2100 in PQ, of pictures of a source that says this of its brightness.
    pub fn new(to: ColourFacts, light_facts: LightFacts) -> Self {
        let light = |place: usize| (pq_to_nits(place as f64 / LAST_LIGHT) / REFERENCE_WHITE_NITS) as f32;
        Self { to, light_facts, lights: Rc::new(std::array::from_fn(light)), display: None, known: None }
    }

    /// Takes the metadata of `stored`, as decoded, for the next picture that is converted.
    pub fn follow(&mut self, stored: &Video) {
        let raw = dolby_vision::raw(stored);
        if self.known.as_ref().is_some_and(|(known, _)| *known == raw) {
            return;
        }
        let metadata = raw.as_deref().and_then(dolby_vision::read).unwrap_or_else(Metadata::standard);
        let colours = self.colours(&metadata);
        self.known = Some((raw, colours));
    }

    /// The converted picture, by the metadata that was taken last. `picture` is in the form of `recolour` with the codes of
    /// the source, and so is the outcome with those of the target.
    ///
    /// # Errors
    /// When the picture is in another form, or no metadata was taken.
    pub fn convert(&self, picture: &Video) -> Result<Video, ffmpeg::Error> {
        let (_, colours) = self.known.as_ref().ok_or(ffmpeg::Error::InvalidData)?;
        each_pixel(picture, |codes| colours.at(codes))
    }

    fn colours(&mut self, metadata: &Metadata) -> Colours {
        let peak_nits = metadata.peak_nits;
        let display = match &self.display {
            Some((known, display)) if *known == peak_nits => Rc::clone(display),
            _ => Rc::new(Display::new(&Conversion::with_peak(ColourFacts::HDR10, self.to, &self.light_facts, peak_nits))),
        };
        self.display = Some((peak_nits, Rc::clone(&display)));
        Colours::new(metadata, Rc::clone(&self.lights), display)
    }
}

/// The colours of pictures with one metadata.
struct Colours {
    components: [Component; 3],
    is_mixed: bool,
    /// From what the curves give to places in `lights`.
    to_places: [[f32; 3]; 3],
    lights: Rc<[f32; LIGHTS]>,
    /// From there to light in the primaries of BT.2020.
    to_light: [[f32; 3]; 3],
    display: Rc<Display>,
}

/// A curve, sampled, less its offset.
struct Component {
    /// By code, where the curve depends on nothing else.
    alone: Box<[f32; CODES]>,
    /// By code: one more than the place in `mixed`; none where the curve depends on nothing else.
    mixed_at: Box<[u8; CODES]>,
    mixed: Vec<Mixed>,
    bounds: (f32, f32),
    offset: f32,
}

/// A piece that depends on all components.
struct Mixed {
    /// Of the products, and last of 1; of their squares, of their cubes.
    factors: [[f32; 8]; 3],
}

impl Colours {
    fn new(metadata: &Metadata, lights: Rc<[f32; LIGHTS]>, display: Rc<Display>) -> Self {
        let components = [0, 1, 2].map(|component| Component::new(&metadata.curves[component], metadata.offset[component]));
        let single = |matrix: &Matrix, scale: f64| matrix.map(|row| row.map(|value| (value * scale) as f32));
        Self {
            is_mixed: components.iter().any(|component| !component.mixed.is_empty()),
            components,
            to_places: single(&metadata.to_signal, LAST_LIGHT),
            lights,
            to_light: single(&product(&cones_to_bt2020(), &metadata.to_cones), 1.0),
            display,
        }
    }

    #[inline(always)]
    fn at(&self, codes: [i32; 3]) -> [u16; 3] {
        let code = |component: usize| codes[component].clamp(0, CODES as i32 - 1) as usize;
        let codes = [code(0), code(1), code(2)];
        let value = |component: usize| self.components[component].alone[codes[component]];
        let mut values = [value(0), value(1), value(2)];
        if self.is_mixed {
            self.mix(codes, &mut values);
        }
        let light = |row: usize| self.lights[place(sum(&self.to_places[row], values))];
        let light = [light(0), light(1), light(2)];
        let light = |row: usize| sum(&self.to_light[row], light);
        self.display.codes([light(0), light(1), light(2)])
    }

    /// The components whose curves depend on all three.
    #[inline(always)]
    fn mix(&self, codes: [usize; 3], values: &mut [f32; 3]) {
        let share = |component: usize| codes[component] as f32 * (1.0 / LAST_CODE as f32);
        let [x, y, z, xy, xz, yz, xyz] = products([share(0), share(1), share(2)]);
        let terms = [x, y, z, xy, xz, yz, xyz, 1.0];
        for component in 0..3 {
            let curve = &self.components[component];
            let Some(mixed) = usize::from(curve.mixed_at[codes[component]]).checked_sub(1).and_then(|place| curve.mixed.get(place)) else {
                continue;
            };
            // Each place of its own, then together: so processors may take several at once and still come to the same.
            let mut sums = [0.0; 8];
            for (place, sum) in sums.iter_mut().enumerate() {
                let term = terms[place];
                let square = term * term;
                *sum = mixed.factors[0][place] * term + mixed.factors[1][place] * square + mixed.factors[2][place] * (square * term);
            }
            let [a, b, c, d, e, f, g, h] = sums;
            let sum = ((a + e) + (b + f)) + ((c + g) + (d + h));
            values[component] = sum.clamp(curve.bounds.0, curve.bounds.1) - curve.offset;
        }
    }
}

/// The nearest place in the table of light; the first for what is no number.
#[inline(always)]
fn place(value: f32) -> usize {
    /// Numbers from here on are whole, and their last bits count them.
    const WHOLE: f32 = (1 << (f32::MANTISSA_DIGITS - 1)) as f32;
    let above = if value > 0.0 { value } else { 0.0 };
    let within = if above < LAST_LIGHT as f32 { above } else { LAST_LIGHT as f32 };
    (within + WHOLE).to_bits() as usize % LIGHTS
}

impl Component {
    fn new(curve: &Curve, offset: f64) -> Self {
        let mut component = Self {
            alone: Box::new([0.0; CODES]),
            mixed_at: Box::new([0; CODES]),
            mixed: Vec::new(),
            bounds: (curve.bounds().0 as f32, curve.bounds().1 as f32),
            offset: offset as f32,
        };
        let mut places = [0; u8::MAX as usize];
        for (piece, place) in curve.pieces.iter().zip(&mut places) {
            if let Piece::Mixed { constant, factors } = piece {
                let mut single = [[0.0; 8]; 3];
                for (single, factors) in single.iter_mut().zip(factors) {
                    for (single, factor) in single.iter_mut().zip(factors) {
                        *single = *factor as f32;
                    }
                }
                single[0][7] = *constant as f32;
                component.mixed.push(Mixed { factors: single });
                *place = component.mixed.len() as u8;
            }
        }
        for code in 0..CODES {
            let value = code as f64 / LAST_CODE;
            component.mixed_at[code] = places[curve.piece_at(value)];
            // Where the others matter, this is not looked at.
            component.alone[code] = (curve.at(0, [value; 3]) - offset) as f32;
        }
        component
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colours(metadata: &Metadata, to: ColourFacts) -> Colours {
        Reshape::new(to, LightFacts::default()).colours(metadata)
    }

    /// Curves of all kinds, and matrices as profile 5 has them.
    fn shaped() -> Metadata {
        let luma = Curve {
            pivots: vec![64.0 / 1023.0, 0.3, 0.6, 940.0 / 1023.0],
            pieces: vec![
                Piece::Polynomial([0.01, 0.8, 0.1]),
                Piece::Mixed { constant: 0.02, factors: vec![[0.8, 0.02, 0.01, 0.1, -0.1, 0.05, 0.02]] },
                Piece::Polynomial([0.0, 1.2, -0.3]),
            ],
        };
        let cube = |first: f64| [0.1, first, 0.05, 0.02, -0.04, 0.03, 0.01];
        let cb = Curve {
            pivots: vec![0.0, 1.0],
            pieces: vec![Piece::Mixed { constant: -0.1, factors: vec![cube(0.9), cube(0.1), cube(0.02)] }],
        };
        let cr = Curve { pivots: vec![0.0, 1.0], pieces: vec![Piece::Polynomial([0.05, 0.9, 0.0])] };
        Metadata { curves: [luma, cb, cr], ..Metadata::standard() }
    }

    #[test]
    fn tables_are_as_good_as_the_functions() {
        for (metadata, to) in [
            (Metadata::standard(), ColourFacts::STANDARD),
            (shaped(), ColourFacts::STANDARD),
            (Metadata::standard(), ColourFacts::HDR10),
            (shaped(), ColourFacts::HDR10),
        ] {
            let colours = colours(&metadata, to);
            let conversion = Conversion::new(ColourFacts::HDR10, to, &LightFacts::default());
            let (mut far, mut sum, mut seed) = (0, 0.0, 1_u32);
            for _ in 0..20_000 {
                let mut next = |from: i32, to: i32| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    from + (seed >> 16) as i32 % (to - from)
                };
                let codes = [next(0, 800), next(432, 592), next(432, 592)];
                let exact = conversion.shown(metadata.light(codes.map(|code| f64::from(code) / LAST_CODE)));
                for (found, exact) in colours.at(codes).into_iter().zip(exact) {
                    let apart = (f64::from(found) - exact).abs();
                    far += u32::from(apart > 4.0);
                    sum += apart / 60_000.0;
                }
            }
            assert!(far < 300 && sum < 0.5, "{far} of 60000 beyond 4, mean {sum:.2}");
        }
    }

    #[test]
    fn grey_is_grey_up_to_half_a_code_of_the_source() {
        // No code of 10 bits is exactly the middle; the curve puts one there.
        let middle = Curve { pivots: vec![0.0, 1.0], pieces: vec![Piece::Polynomial([0.5 - 512.0 / LAST_CODE, 1.0, 0.0])] };
        let [luma, ..] = Metadata::standard().curves;
        let metadata = Metadata { curves: [luma, middle.clone(), middle], ..Metadata::standard() };
        for (to, apart_max) in [(ColourFacts::STANDARD, 1), (ColourFacts::HDR10, 1)] {
            let colours = colours(&metadata, to);
            for luma in 0..1024 {
                let [_, cb, cr] = colours.at([luma, 512, 512]);
                assert!(cb.abs_diff(512) <= apart_max && cr.abs_diff(512) <= apart_max, "{luma}: {cb}, {cr}");
            }
        }
    }

    #[test]
    fn every_code_has_a_place_whatever_the_metadata_says() {
        let mut wild = shaped();
        wild.curves[1].pieces = vec![Piece::Mixed { constant: f64::MAX, factors: vec![[f64::MIN; 7], [f64::MAX; 7]] }];
        wild.offset = [f64::MAX, -8.0, 8.0];
        wild.to_signal = [[4.0; 3], [-4.0; 3], [0.0; 3]];
        for metadata in [Metadata::standard(), shaped(), wild] {
            for to in [ColourFacts::STANDARD, ColourFacts::HDR10] {
                let colours = colours(&metadata, to);
                for luma in [-1, 0, 1, 511, 1023, 1024] {
                    for cb in [0, 512, 1023] {
                        for cr in [0, 512, 1023] {
                            assert!(colours.at([luma, cb, cr]).iter().all(|code| (64..=960).contains(code)));
                        }
                    }
                }
            }
        }
    }
}
