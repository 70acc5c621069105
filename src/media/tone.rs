//! One colour turned into another, exactly: from what a source means by its codes to what a standard rendition means by
//! its own. High dynamic range is brought under the brightness of a standard display on the way.
//!
//! Light counts in units of reference white, which ITU-R BT.2408 (2.1) puts at 203 cd/m²: a standard display's white is the
//! white of a sheet of paper, and so is that of HDR graphics. What is brighter is rolled off by the curve of BT.2390 (5.4.1),
//! which leaves everything up to half of reference white as it is (with a peak of 1000 cd/m²: up to 91), shows reference
//! white at 90 % of the signal, and reaches 100 % at the source's peak. The curve is applied to the largest of red, green and
//! blue and all three follow in proportion, so hues stay and grey stays grey. What then lies outside the gamut of BT.709
//! is cut off at its edge, as BT.2407 (annex 2) has it: colours inside are exact, and none inside moves for one outside.

use headwater::title::colour::BT2020;
use headwater::title::{ColourFacts, LightFacts, VideoRange};

/// A 10-bit limited-range picture element: Y', Cb, Cr as codes.
pub type Codes = [f64; 3];

/// Red, green and blue.
pub type Vector = [f64; 3];
/// Three rows.
pub type Matrix = [Vector; 3];

/// Luminance of reference white in cd/m² (BT.2408 2.1), which is white on a standard display.
pub const REFERENCE_WHITE_NITS: f64 = 203.0;
/// Peak of a source that does not tell: what HLG is defined for (BT.2100 table 5), and most PQ is mastered for.
const USUAL_PEAK_NITS: f64 = 1000.0;
/// Peak luminance of PQ (BT.2100 table 4).
const PQ_PEAK_NITS: f64 = 10_000.0;
/// Gamma of a standard display (BT.1886).
const DISPLAY_GAMMA: f64 = 2.4;

/// A way from one description to another.
pub struct Conversion {
    from: ColourFacts,
    to: ColourFacts,
    luma_from: (f64, f64),
    luma_to: (f64, f64),
    gamut: Matrix,
    peak_nits: f64,
}

impl Conversion {
    /// The way from `from` to `to`, a standard description, or from PQ to PQ; both without unspecified code points. `light`
    /// tells how bright a PQ source becomes.
    pub fn new(from: ColourFacts, to: ColourFacts, light: &LightFacts) -> Self {
        Self::with_peak(from, to, light, None)
    }

    /// As [`Conversion::new`], of pictures that themselves say how many cd/m² they reach, which counts where `light` says nothing.
    pub fn with_peak(from: ColourFacts, to: ColourFacts, light: &LightFacts, peak_nits: Option<f64>) -> Self {
        Self {
            from,
            to,
            luma_from: luma_weights(from.matrix),
            luma_to: luma_weights(to.matrix),
            gamut: product(&inverse(&to_xyz(to.primaries)), &product(&adaptation(from.primaries, to.primaries), &to_xyz(from.primaries))),
            peak_nits: plausible_peak_nits(from, light, peak_nits),
        }
    }

    /// The non-linear red, green and blue that the codes stand for; a linear function of them.
    pub fn signal(&self, [luma, cb, cr]: Codes) -> Vector {
        let (luma, cb, cr) = ((luma - 64.0) / 876.0, (cb - 512.0) / 896.0, (cr - 512.0) / 896.0);
        if self.from.matrix == YCGCO {
            return [luma - cb + cr, luma + cb, luma - cb - cr];
        }
        let (of_red, of_blue) = self.luma_from;
        let red = luma + 2.0 * (1.0 - of_red) * cr;
        let blue = luma + 2.0 * (1.0 - of_blue) * cb;
        [red, (luma - of_red * red - of_blue * blue) / (1.0 - of_red - of_blue), blue]
    }

    /// The light that one of the three stands for, in units of reference white; of HLG, the light of the scene.
    pub fn light(&self, value: f64) -> f64 {
        let value = value.clamp(0.0, SIGNAL_MAX);
        match self.from.range() {
            VideoRange::Pq => pq_to_nits(value) / REFERENCE_WHITE_NITS,
            VideoRange::Hlg => hlg_to_scene(value),
            VideoRange::Sdr => match self.from.transfer {
                LINEAR => value,
                DCI => value.powf(2.6) * 52.37 / 48.0,
                _ => value.powf(DISPLAY_GAMMA),
            },
        }
    }

    /// What light of a scene is multiplied with for the display, by its luminance; absent when [`Conversion::light`] gives the
    /// display's already.
    pub fn system_gain(&self) -> Option<impl Fn(f64) -> f64> {
        // Gamma 1.2 at 1000 cd/m² (BT.2100 table 5).
        let gain = |luminance: f64| if luminance > 0.0 { USUAL_PEAK_NITS / REFERENCE_WHITE_NITS * luminance.powf(0.2) } else { 0.0 };
        (self.from.range() == VideoRange::Hlg).then_some(gain)
    }

    /// What light is multiplied with to come under reference white, by the largest of red, green and blue; absent for what is
    /// under it already, or need not come under it.
    pub fn roll_off(&self) -> Option<impl Fn(f64) -> f64> {
        let peak_nits = self.peak_nits;
        let gain = move |largest: f64| {
            let nits = largest * REFERENCE_WHITE_NITS;
            if nits > 0.0 { rolled_off(nits, peak_nits) / nits } else { 1.0 }
        };
        (self.from.range() != VideoRange::Sdr && self.to.range() == VideoRange::Sdr).then_some(gain)
    }

    /// From light in the source's primaries to light in the target's.
    pub fn gamut(&self) -> &Matrix {
        &self.gamut
    }

    /// The signal that stands for light, of the target.
    pub fn encoded(&self, light: f64) -> f64 {
        match self.to.range() {
            VideoRange::Pq => nits_to_pq(light * REFERENCE_WHITE_NITS),
            _ => light.clamp(0.0, 1.0).powf(1.0 / DISPLAY_GAMMA),
        }
    }

    /// The codes that stand for a signal of red, green and blue, of the target; a linear function of it.
    pub fn codes(&self, [red, green, blue]: Vector) -> Codes {
        let (of_red, of_blue) = self.luma_to;
        let luma = of_red * red + (1.0 - of_red - of_blue) * green + of_blue * blue;
        let (cb, cr) = ((blue - luma) / (2.0 * (1.0 - of_blue)), (red - luma) / (2.0 * (1.0 - of_red)));
        [64.0 + 876.0 * luma, 512.0 + 896.0 * cb, 512.0 + 896.0 * cr]
    }

    /// The colour of those codes, in the codes of the target.
    #[cfg(test)]
    pub fn convert(&self, codes: Codes) -> Codes {
        let mut light = self.signal(codes).map(|value| self.light(value));
        if let Some(gain) = self.system_gain() {
            let gain = gain(luminance(light));
            light = light.map(|value| value * gain);
        }
        self.shown(light)
    }

    /// What shows that light, in units of reference white and the source's primaries, in the codes of the target.
    #[cfg(test)]
    pub fn shown(&self, mut light: Vector) -> Codes {
        if let Some(gain) = self.roll_off() {
            let gain = gain(light.into_iter().fold(0.0, f64::max));
            light = light.map(|value| value * gain);
        }
        self.codes(times(&self.gamut, light).map(|value| self.encoded(value)))
    }
}

/// The signal of the highest code of video (1019), beyond which a colour cannot be meant.
const SIGNAL_MAX: f64 = 955.0 / 876.0;

/// Weights of red, green and blue in the luminance of BT.2020.
pub const LUMINANCE: Vector = [0.2627, 0.6780, 0.0593];

#[cfg(test)]
fn luminance(light: Vector) -> f64 {
    light.iter().zip(LUMINANCE).map(|(value, weight)| value * weight).sum()
}

/// Matrix of luma, green and orange differences.
const YCGCO: u8 = 8;
/// Transfer that is the light itself.
const LINEAR: u8 = 8;
/// Transfer of SMPTE ST 428-1, digital cinema.
const DCI: u8 = 17;

/// Weights of red and blue in luma (H.273 table 4). Constant luminance counts as non-constant: nobody else tells them apart.
fn luma_weights(matrix: u8) -> (f64, f64) {
    match matrix {
        4 => (0.3, 0.11),
        5 | 6 => (0.299, 0.114),
        7 => (0.212, 0.087),
        9 | 10 => (0.2627, 0.0593),
        _ => (0.2126, 0.0722),
    }
}

/// How bright the source becomes: what its pictures are said to reach, else its mastering display, else what a picture says.
/// Claims below reference white or beyond PQ are slips.
fn plausible_peak_nits(from: ColourFacts, light: &LightFacts, of_picture: Option<f64>) -> f64 {
    if from.range() != VideoRange::Pq {
        return USUAL_PEAK_NITS;
    }
    let content = light.content.map(|content| f64::from(content.max_nits));
    let display = light.mastering.map(|mastering| f64::from(mastering.luminance_max) / 10_000.0);
    let plausible = |nits: &f64| (REFERENCE_WHITE_NITS..=PQ_PEAK_NITS).contains(nits);
    content.filter(plausible).or(display.filter(plausible)).or(of_picture.filter(plausible)).unwrap_or(USUAL_PEAK_NITS)
}

const PQ_M1: f64 = 2610.0 / 16_384.0;
const PQ_M2: f64 = 2523.0 / 4096.0 * 128.0;
const PQ_C1: f64 = 3424.0 / 4096.0;
const PQ_C2: f64 = 2413.0 / 4096.0 * 32.0;
const PQ_C3: f64 = 2392.0 / 4096.0 * 32.0;

/// The EOTF of BT.2100 table 4, PQ.
pub fn pq_to_nits(value: f64) -> f64 {
    let root = value.clamp(0.0, 1.0).powf(1.0 / PQ_M2);
    PQ_PEAK_NITS * ((root - PQ_C1).max(0.0) / (PQ_C2 - PQ_C3 * root)).powf(1.0 / PQ_M1)
}

/// The inverse of [`pq_to_nits`].
pub fn nits_to_pq(nits: f64) -> f64 {
    let power = (nits / PQ_PEAK_NITS).clamp(0.0, 1.0).powf(PQ_M1);
    ((PQ_C1 + PQ_C2 * power) / (1.0 + PQ_C3 * power)).powf(PQ_M2)
}

/// The inverse OETF of BT.2100 table 5, HLG: the light of the scene.
fn hlg_to_scene(value: f64) -> f64 {
    const A: f64 = 0.178_832_77;
    const B: f64 = 1.0 - 4.0 * A;
    let c = 0.5 - A * (4.0 * A).ln();
    if value <= 0.5 { value * value / 3.0 } else { (((value - c) / A).exp() + B) / 12.0 }
}

/// The EETF of BT.2390 5.4.1 from a black of zero and `peak_nits` to a black of zero and reference white.
fn rolled_off(nits: f64, peak_nits: f64) -> f64 {
    let peak = nits_to_pq(peak_nits);
    let largest = nits_to_pq(REFERENCE_WHITE_NITS) / peak;
    if largest >= 1.0 {
        return nits.min(REFERENCE_WHITE_NITS);
    }
    let level = (nits_to_pq(nits) / peak).min(1.0);
    let knee = 1.5 * largest - 0.5;
    if level < knee {
        return nits;
    }
    let t = (level - knee) / (1.0 - knee);
    let (square, cube) = (t * t, t * t * t);
    let rolled =
        (2.0 * cube - 3.0 * square + 1.0) * knee + (cube - 2.0 * square + t) * (1.0 - knee) + (3.0 * square - 2.0 * cube) * largest;
    pq_to_nits(rolled * peak)
}

/// Chromaticities of red, green, blue and white (H.273 table 2).
fn chromaticities(primaries: u8) -> [(f64, f64); 4] {
    const D65: (f64, f64) = (0.3127, 0.3290);
    match primaries {
        5 => [(0.64, 0.33), (0.29, 0.60), (0.15, 0.06), D65],
        4 | 6 | 7 => [(0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65],
        8 => [(0.681, 0.319), (0.243, 0.692), (0.145, 0.049), (0.310, 0.316)],
        9 => [(0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65],
        11 => [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)],
        12 => [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65],
        22 => [(0.630, 0.340), (0.295, 0.605), (0.155, 0.077), D65],
        _ => [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65],
    }
}

fn xyz((x, y): (f64, f64)) -> Vector {
    [x / y, 1.0, (1.0 - x - y) / y]
}

/// From linear light in those primaries to CIE XYZ (SMPTE RP 177).
fn to_xyz(primaries: u8) -> Matrix {
    let [red, green, blue, white] = chromaticities(primaries).map(xyz);
    let columns = transposed(&[red, green, blue]);
    let scale = times(&inverse(&columns), white);
    columns.map(|row| [row[0] * scale[0], row[1] * scale[1], row[2] * scale[2]])
}

/// From the white of one set of primaries to that of another, after Bradford.
fn adaptation(from: u8, to: u8) -> Matrix {
    const CONES: Matrix = [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]];
    let white = |primaries| times(&CONES, xyz(chromaticities(primaries)[3]));
    let (from, to) = (white(from), white(to));
    let scaled = [0, 1, 2].map(|row| CONES[row].map(|value| value * to[row] / from[row]));
    product(&inverse(&CONES), &scaled)
}

/// From the cone responses of Hunt, Pointer and Estevez, of white each 1, to light in the primaries of BT.2020: what the LMS
/// of BT.2100 (table 7) has before it adds crosstalk.
pub fn cones_to_bt2020() -> Matrix {
    const CONES: Matrix = [[0.4002, 0.7076, -0.0808], [-0.2263, 1.1653, 0.0457], [0.0, 0.0, 0.9182]];
    let from_light = product(&CONES, &to_xyz(BT2020));
    inverse(&from_light.map(|row| row.map(|value| value / row.iter().sum::<f64>())))
}

/// The matrix times the vector.
pub fn times(matrix: &Matrix, vector: Vector) -> Vector {
    matrix.map(|row| row[0] * vector[0] + row[1] * vector[1] + row[2] * vector[2])
}

/// The product of two matrices.
pub fn product(left: &Matrix, right: &Matrix) -> Matrix {
    let columns = transposed(right).map(|column| times(left, column));
    transposed(&columns)
}

fn transposed(matrix: &Matrix) -> Matrix {
    [0, 1, 2].map(|column| matrix.map(|row| row[column]))
}

/// The inverse of a matrix that has one, by Cramer's rule.
pub fn inverse(matrix: &Matrix) -> Matrix {
    let cross = |a: Vector, b: Vector| [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    let [a, b, c] = *matrix;
    let columns = [cross(b, c), cross(c, a), cross(a, b)];
    let determinant = a[0] * columns[0][0] + a[1] * columns[0][1] + a[2] * columns[0][2];
    transposed(&columns.map(|column| column.map(|value| value / determinant)))
}

#[cfg(test)]
mod tests {
    use headwater::title::ContentLight;

    use super::*;

    const PQ: ColourFacts = ColourFacts { full_range: Some(false), primaries: 9, transfer: 16, matrix: 9 };
    const HLG: ColourFacts = ColourFacts { full_range: Some(false), primaries: 9, transfer: 18, matrix: 9 };

    fn grey(from: ColourFacts, value: f64) -> f64 {
        let codes = Conversion::new(from, ColourFacts::STANDARD, &LightFacts::default()).convert([64.0 + 876.0 * value, 512.0, 512.0]);
        assert!((codes[1] - 512.0).abs() < 0.01 && (codes[2] - 512.0).abs() < 0.01, "grey became {codes:?}");
        (codes[0] - 64.0) / 876.0
    }

    #[test]
    fn the_curves_meet_the_values_of_the_standards() {
        // BT.2408 table 1: reference white is 58 % of PQ and 75 % of HLG; both are 203 cd/m².
        assert!((nits_to_pq(203.0) - 0.5806).abs() < 0.0005);
        let hlg = Conversion::new(HLG, ColourFacts::STANDARD, &LightFacts::default());
        let nits = |value| hlg.light(value) * hlg.system_gain().expect("a gain")(hlg.light(value)) * 203.0;
        assert!((nits(0.75) - 203.0).abs() < 0.5 && (nits(1.0) - 1000.0).abs() < 0.1);
        for nits in [0.01, 0.1, 1.0, 10.0, 203.0, 1000.0, 10_000.0] {
            assert!((pq_to_nits(nits_to_pq(nits)) / nits - 1.0).abs() < 1e-6, "{nits}");
        }
    }

    #[test]
    fn grey_is_kept_below_the_knee_and_rolled_off_above() {
        let shown = |nits: f64| grey(PQ, nits_to_pq(nits));
        for nits in [0.5, 5.0, 26.0, 50.0, 90.0] {
            assert!((shown(nits) - (nits / 203.0).powf(1.0 / 2.4)).abs() < 0.001, "{nits} cd/m²");
        }
        assert!((shown(203.0) - 0.90).abs() < 0.01, "reference white at {}", shown(203.0));
        assert!((shown(1000.0) - 1.0).abs() < 0.001 && (shown(4000.0) - 1.0).abs() < 0.001);
        let ramp: Vec<f64> = (1..200).map(|step| shown(f64::from(step) * 6.0)).collect();
        assert!(ramp.windows(2).all(|pair| pair[0] <= pair[1] + 1e-9));
        assert!((grey(HLG, 0.75) - shown(203.0)).abs() < 0.002);
    }

    #[test]
    fn a_source_that_never_exceeds_white_is_not_darkened() {
        let light = LightFacts { content: Some(ContentLight { max_nits: 203, average_nits: 100 }), mastering: None };
        let codes = Conversion::new(PQ, ColourFacts::STANDARD, &light).convert([64.0 + 876.0 * nits_to_pq(203.0), 512.0, 512.0]);
        assert!((codes[0] - 940.0).abs() < 0.5, "{codes:?}");
    }

    #[test]
    fn claims_that_cannot_be_are_not_believed() {
        let of = |max_nits| {
            let light = LightFacts { content: Some(ContentLight { max_nits, average_nits: 1 }), mastering: None };
            plausible_peak_nits(PQ, &light, None)
        };
        assert_eq!((of(0), of(50), of(4000), of(20_000)), (1000.0, 1000.0, 4000.0, 1000.0));
        let of_picture = |nits| plausible_peak_nits(PQ, &LightFacts::default(), Some(nits));
        assert_eq!((of_picture(600.0), of_picture(100.0)), (600.0, 1000.0));
    }

    #[test]
    fn the_way_from_bt2020_is_that_of_bt2087() {
        let conversion = Conversion::new(PQ, ColourFacts::STANDARD, &LightFacts::default());
        let expect = [[1.6605, -0.5877, -0.0728], [-0.1246, 1.1330, -0.0084], [-0.0182, -0.1006, 1.1187]];
        for (row, expected) in conversion.gamut.iter().zip(expect) {
            assert!(row.iter().zip(expected).all(|(value, expected)| (value - expected).abs() < 0.0005), "{row:?}");
        }
    }

    #[test]
    fn cones_are_those_of_bt2100() {
        let crosstalk = [0, 1, 2].map(|row| [0, 1, 2].map(|column| if row == column { 0.92 } else { 0.04 }));
        let found = product(&crosstalk, &inverse(&cones_to_bt2020()));
        for (row, expect) in found.iter().zip([[1688.0, 2146.0, 262.0], [683.0, 2951.0, 462.0], [99.0, 309.0, 3688.0]]) {
            assert!(row.iter().zip(expect).all(|(value, expect)| (value * 4096.0 - expect).abs() < 1.0), "{row:?}");
        }
    }

    #[test]
    fn the_same_description_changes_nothing() {
        let conversion = Conversion::new(ColourFacts::STANDARD, ColourFacts::STANDARD, &LightFacts::default());
        for codes in [[64.0, 512.0, 512.0], [940.0, 512.0, 512.0], [400.0, 450.0, 600.0], [251.0, 410.0, 960.0]] {
            let converted = conversion.convert(codes);
            assert!(converted.iter().zip(codes).all(|(new, old)| (new - old).abs() < 1.5), "{codes:?} became {converted:?}");
        }
    }
}
