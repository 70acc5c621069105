//! What the Dolby Vision metadata of a picture says of its colours: curves for the stored codes, and two matrices with the
//! light of PQ between them (the RPU of ETSI GS CCM 001). FFmpeg reads it; this takes it out of FFmpeg's side data.
//!
//! Only what stands beside the picture in the stream counts. FFmpeg repeats the last metadata it met for a picture that has
//! none, but which that was depends on where decoding began; such a picture is taken as [`Metadata::standard`] has it.

use ffmpeg_next::frame::Video;
use ffmpeg_next::frame::side_data::Type;
use headwater::title::VideoFacts;

use super::glance::Glance;
use super::source::Source;
use super::tone::{Matrix, Vector, inverse, pq_to_nits};

/// How the colours of a picture come about.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    /// The curve of each component: what its code stands for, by the codes of all three; codes count from 0 to 1.
    pub curves: [Curve; 3],
    /// What is taken off what the curves give.
    pub offset: Vector,
    /// From there to a signal of cone responses, in PQ.
    pub to_signal: Matrix,
    /// From the light of that signal to the cone responses of Hunt, Pointer and Estevez.
    pub to_cones: Matrix,
    /// The greatest luminance it was mastered for, in cd/m².
    pub peak_nits: Option<f64>,
    /// Whether the metadata is of the kind that profile 5 has.
    pub is_alone: bool,
}

/// A function in pieces.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Where the pieces begin, and where the last one ends, rising; also the bounds of what it gives.
    pub pivots: Vec<f64>,
    /// One less than there are pivots.
    pub pieces: Vec<Piece>,
}

/// A piece of a curve.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Of the component alone: factors of its powers from 0 to 2.
    Polynomial([f64; 3]),
    /// Of all three components.
    Mixed {
        /// The part that depends on nothing.
        constant: f64,
        /// Factors of the [`products`], of their squares, of their cubes; one to three of these.
        factors: Vec<[f64; 7]>,
    },
}

/// What mixed pieces are made of: the components, their products in pairs, and that of all three.
pub fn products<T: Copy + std::ops::Mul<Output = T>>([x, y, z]: [T; 3]) -> [T; 7] {
    [x, y, z, x * y, x * z, y * z, x * y * z]
}

impl Curve {
    /// The curve that changes nothing.
    fn identity() -> Self {
        Self { pivots: vec![0.0, 1.0], pieces: vec![Piece::Polynomial([0.0, 1.0, 0.0])] }
    }

    /// What the value of `component` becomes, one of `values`.
    pub fn at(&self, component: usize, values: Vector) -> f64 {
        let value = values[component];
        let shaped = match self.pieces.get(self.piece_at(value)) {
            Some(Piece::Polynomial(factors)) => (factors[2] * value + factors[1]) * value + factors[0],
            Some(Piece::Mixed { constant, factors }) => {
                let products = products(values);
                let power = |exponent: usize| products.map(|product| product.powi(exponent as i32 + 1));
                let sum = |(exponent, factors): (usize, &[f64; 7])| -> f64 {
                    factors.iter().zip(power(exponent)).map(|(factor, power)| factor * power).sum()
                };
                constant + factors.iter().enumerate().map(sum).sum::<f64>()
            }
            None => value,
        };
        let (least, greatest) = self.bounds();
        shaped.clamp(least, greatest)
    }

    /// Which piece a value belongs to.
    pub fn piece_at(&self, value: f64) -> usize {
        let inner = self.pivots.get(1..self.pieces.len()).unwrap_or_default();
        inner.iter().take_while(|pivot| value >= **pivot).count()
    }

    /// Least and greatest value it gives.
    pub fn bounds(&self) -> (f64, f64) {
        (self.pivots.first().copied().unwrap_or(0.0), self.pivots.last().copied().unwrap_or(1.0))
    }
}

impl Metadata {
    /// What is taken for a picture without any: its codes are in full range and stand for themselves, IPT-PQ-C2 as ITU-T
    /// H.273 (8.3, MatrixCoefficients 15) has it, with a crosstalk of 2 %.
    pub fn standard() -> Self {
        const FROM_SIGNAL: Matrix = [[1638.0, 1638.0, 820.0], [18_248.0, -19_870.0, 1622.0], [3300.0, 1463.0, -4763.0]];
        const CROSSTALK: f64 = 0.02;
        let crosstalk = [0, 1, 2].map(|row| [0, 1, 2].map(|column| if row == column { 1.0 - 2.0 * CROSSTALK } else { CROSSTALK }));
        Self {
            curves: [Curve::identity(), Curve::identity(), Curve::identity()],
            offset: [0.0, 0.5, 0.5],
            to_signal: inverse(&FROM_SIGNAL.map(|row| row.map(|value| value / 4096.0))),
            to_cones: inverse(&crosstalk),
            peak_nits: None,
            is_alone: true,
        }
    }

    /// The light of a colour in units of reference white, in the primaries of BT.2020; codes count from 0 to 1.
    #[cfg(test)]
    pub fn light(&self, codes: Vector) -> Vector {
        use super::tone::{REFERENCE_WHITE_NITS, cones_to_bt2020, times};
        let values = [0, 1, 2].map(|component| self.curves[component].at(component, codes) - self.offset[component]);
        let light = times(&self.to_signal, values).map(|value| pq_to_nits(value) / REFERENCE_WHITE_NITS);
        times(&cones_to_bt2020(), times(&self.to_cones, light))
    }

    /// What the picture says of itself; absent when it says nothing, or nothing that could be read.
    pub fn of(picture: &Video) -> Option<Self> {
        read(&raw(picture)?)
    }
}

/// Times at which pictures are asked for metadata.
const PLACES: i64 = 8;

/// Whether pictures here and there say something of themselves, in a stream whose first picture does not.
pub fn is_found(source: Source, video: &VideoFacts) -> bool {
    let Some(mut glance) = Glance::open(source, video) else { return false };
    let step = (video.last_pts - video.first_pts) / PLACES;
    (0..=PLACES).any(|place| glance.picture(video.first_pts + step * place, true).is_some_and(|picture| Metadata::of(picture).is_some()))
}

/// The metadata as FFmpeg keeps it, to tell whether that of two pictures is the same.
pub fn raw(picture: &Video) -> Option<Vec<u8>> {
    picture.side_data(Type::DOVI_RPU_BUFFER)?;
    picture.side_data(Type::DOVI_METADATA).map(|side| side.data().to_vec())
}

/// Reads an `AVDOVIMetadata`: where in it the three parts begin, whose layout FFmpeg promises to keep.
pub fn read(data: &[u8]) -> Option<Metadata> {
    let mut parts = Fields { data, at: 0 };
    let mut part = || Some(Fields { data, at: usize::try_from(parts.u64()?).ok()? });
    let (mut header, mut mapping, mut colour) = (part()?, part()?, part()?);

    // rpu_type, rpu_format.
    header.u8()?;
    header.u16()?;
    let rpu_profile = header.u8()?;
    // vdr_rpu_level, chroma_resampling_explicit_filter_flag, coef_data_type.
    header.bytes::<3>()?;
    let denominator = (1_u64 << header.u8().filter(|bits| *bits < 64)?) as f64;
    // vdr_rpu_normalized_idc.
    header.u8()?;
    let full_range = header.u8()? != 0;
    let largest = f64::from((1_u32 << header.u8().filter(|bits| (8..=16).contains(bits))?) - 1);

    // vdr_rpu_id, mapping_color_space, mapping_chroma_format_idc.
    mapping.bytes::<3>()?;
    let mut curve = || mapping.curve(largest, denominator);
    let curves = [curve()?, curve()?, curve()?];

    // dm_metadata_id, scene_refresh_flag.
    colour.bytes::<2>()?;
    let to_signal = colour.matrix()?;
    let offset = colour.vector()?;
    let to_cones = colour.matrix()?;
    // signal_eotf and its parameters, signal_bit_depth to signal_full_range_flag, source_min_pq.
    colour.bytes::<6>()?;
    colour.u32()?;
    colour.bytes::<4>()?;
    colour.u16()?;
    let peak_pq = f64::from(colour.u16()?) / 4095.0;

    // The same grey in all three, and colour differences about as large as those of IPT.
    let standard = Metadata::standard().to_signal;
    let is_ipt = to_signal.iter().flatten().zip(standard.iter().flatten()).all(|(value, usual)| (value - usual).abs() < 0.05);
    Some(Metadata {
        curves,
        offset,
        to_signal,
        to_cones,
        peak_nits: (peak_pq > 0.0).then(|| pq_to_nits(peak_pq)),
        is_alone: rpu_profile == 0 && full_range && is_ipt,
    })
}

/// Most pieces of a curve.
const PIECES_MAX: usize = 8;

/// The fields of a C structure, each at a multiple of its size.
struct Fields<'a> {
    data: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    fn bytes<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        let end = self.at.checked_add(COUNT)?;
        let bytes = self.data.get(self.at..end)?.try_into().ok()?;
        self.at = end;
        Some(bytes)
    }

    fn aligned<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        self.at = self.at.checked_next_multiple_of(COUNT)?;
        self.bytes()
    }

    fn u8(&mut self) -> Option<u8> {
        self.bytes().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.aligned().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.aligned().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.aligned().map(u64::from_ne_bytes)
    }

    /// Numbers in units of 1/`denominator`.
    fn fixed<const COUNT: usize>(&mut self, denominator: f64) -> Option<[f64; COUNT]> {
        let mut numbers = [0.0; COUNT];
        for number in &mut numbers {
            *number = self.u64()?.cast_signed() as f64 / denominator;
        }
        Some(numbers)
    }

    fn fraction(&mut self) -> Option<f64> {
        let (num, den) = (self.u32()?.cast_signed(), self.u32()?.cast_signed());
        (den > 0).then(|| f64::from(num) / f64::from(den))
    }

    fn vector(&mut self) -> Option<Vector> {
        Some([self.fraction()?, self.fraction()?, self.fraction()?])
    }

    fn matrix(&mut self) -> Option<Matrix> {
        Some([self.vector()?, self.vector()?, self.vector()?])
    }

    /// An `AVDOVIReshapingCurve`, whose pivots count from 0 to `largest`.
    fn curve(&mut self, largest: f64, denominator: f64) -> Option<Curve> {
        // It holds numbers of eight bytes, so it begins at a multiple of eight.
        self.at = self.at.checked_next_multiple_of(8)?;
        let count = usize::from(self.u8()?).checked_sub(1).filter(|count| (1..=PIECES_MAX).contains(count))?;
        let mut pivots = [0.0; PIECES_MAX + 1];
        for pivot in &mut pivots {
            *pivot = f64::from(self.u16()?) / largest;
        }
        let mut is_mixed = [false; PIECES_MAX];
        for is_mixed in &mut is_mixed {
            *is_mixed = self.u32()? == 1;
        }
        let orders = self.bytes::<PIECES_MAX>()?;
        let mut polynomials = [[0.0; 3]; PIECES_MAX];
        for (factors, order) in polynomials.iter_mut().zip(orders) {
            *factors = self.fixed(denominator)?;
            // What is beyond the order may be left from an earlier curve.
            factors.iter_mut().skip(usize::from(order) + 1).for_each(|factor| *factor = 0.0);
        }
        let mixed_orders = self.bytes::<PIECES_MAX>()?;
        let constants = self.fixed::<PIECES_MAX>(denominator)?;
        let mut pieces = Vec::with_capacity(count);
        for piece in 0..PIECES_MAX {
            let mut factors = vec![self.fixed(denominator)?, self.fixed(denominator)?, self.fixed(denominator)?];
            factors.truncate(usize::from(mixed_orders[piece]));
            if piece < count {
                let mixed = Piece::Mixed { constant: constants[piece], factors };
                pieces.push(if is_mixed[piece] { mixed } else { Piece::Polynomial(polynomials[piece]) });
            }
        }
        Some(Curve { pivots: pivots[..=count].to_vec(), pieces })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_metadata_is_none() {
        let at = |offsets: [u64; 3], length: usize| {
            let mut data: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_ne_bytes()).collect();
            data.resize(length, 0);
            read(&data)
        };
        assert_eq!((read(&[]), at([24, 48, 6000], 24)), (None, None));
        assert_eq!((at([u64::MAX; 3], 8000), at([24, 48, 6000], 8000)), (None, None), "beyond its end, and all zero");
    }

    #[test]
    fn curves_go_piece_by_piece_within_their_bounds() {
        let curve = Curve {
            pivots: vec![0.1, 0.5, 0.9],
            pieces: vec![
                Piece::Polynomial([0.0, 1.0, 1.0]),
                Piece::Mixed { constant: 0.1, factors: vec![[0.5, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0]] },
            ],
        };
        for (values, expect) in
            [([0.0, 0.0, 0.0], 0.1), ([0.4, 0.0, 0.0], 0.56), ([0.5, 0.0, 0.0], 0.35), ([0.8, 1.0, 0.0], 0.7), ([1.0, 9.0, 0.0], 0.9)]
        {
            assert!((curve.at(0, values) - expect).abs() < 1e-12, "{values:?} became {}", curve.at(0, values));
        }
        let light = Metadata::standard().light([pq(100.0), 0.5, 0.5]);
        assert!(light.iter().all(|value| (value * 203.0 - 100.0).abs() < 0.01), "grey became {light:?}");
    }

    fn pq(nits: f64) -> f64 {
        crate::media::tone::nits_to_pq(nits)
    }
}
