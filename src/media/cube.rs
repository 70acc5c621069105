//! A colour conversion sampled into a cube, so that a picture is converted by looking up and interpolating.
//!
//! All arithmetic on pictures is of whole numbers, so the outcome is the same on every processor.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;

use super::tone::Conversion;

/// The form of pictures that a cube takes and gives: 10 bits, limited range, chroma at full resolution.
pub const FORM: Pixel = Pixel::YUV444P10LE;

/// A sampled conversion.
pub struct Cube {
    /// One node a place of the grid, luma outermost: three values in units of a sixteenth of a code, each in a lane of its own.
    nodes: Vec<u64>,
}

/// Codes between nodes, as a power of two.
const LUMA_STEP_BITS: u32 = 4;
const CHROMA_STEP_BITS: u32 = 5;
/// Nodes of an axis: the codes of 10 bits and one step beyond.
const LUMA_NODES: usize = (1024 >> LUMA_STEP_BITS) + 1;
const CHROMA_NODES: usize = (1024 >> CHROMA_STEP_BITS) + 1;
/// Parts of a code in a node's value, as a power of two.
const PART_BITS: u32 = 4;
/// Bits of a lane: a value of 14 bits times weights that add up to 32.
const LANE_BITS: u32 = 21;
const LANE_MASK: u64 = (1 << LANE_BITS) - 1;

impl Cube {
    /// Samples the conversion.
    pub fn new(conversion: &Conversion) -> Self {
        let mut nodes = Vec::with_capacity(LUMA_NODES * CHROMA_NODES * CHROMA_NODES);
        for luma in 0..LUMA_NODES {
            for cb in 0..CHROMA_NODES {
                for cr in 0..CHROMA_NODES {
                    let codes = [luma << LUMA_STEP_BITS, cb << CHROMA_STEP_BITS, cr << CHROMA_STEP_BITS];
                    let values = conversion.convert(codes.map(|code| code as f64));
                    let lane = |value: f64| (value * f64::from(1 << PART_BITS)).round().clamp(0.0, 16_383.0) as u64;
                    nodes.push(lane(values[0]) | lane(values[1]) << LANE_BITS | lane(values[2]) << (2 * LANE_BITS));
                }
            }
        }
        Self { nodes }
    }

    /// The converted picture. `picture` is in [`FORM`], and so is the outcome.
    ///
    /// # Errors
    /// When the picture is in another form, or there is no memory.
    pub fn convert(&self, picture: &Video) -> Result<Video, ffmpeg::Error> {
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
            let codes = row(0).chunks_exact(2).zip(row(1).chunks_exact(2)).zip(row(2).chunks_exact(2));
            let [luma, cb, cr] = &mut rows;
            let places = luma.chunks_exact_mut(2).zip(cb.chunks_exact_mut(2)).zip(cr.chunks_exact_mut(2));
            for (((luma, cb), cr), ((to_luma, to_cb), to_cr)) in codes.zip(places) {
                let code = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes[1]]);
                let [new_luma, new_cb, new_cr] = self.at([code(luma), code(cb), code(cr)]);
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

    /// The colour between nodes, interpolated within the tetrahedron of four of them that it lies in. So colours on the
    /// grey axis come from nodes on that axis alone.
    fn at(&self, codes: [u16; 3]) -> [u16; 3] {
        const STRIDES: [usize; 3] = [CHROMA_NODES * CHROMA_NODES, CHROMA_NODES, 1];
        let [luma, cb, cr] = codes.map(|code| usize::from(code.min(1023)));
        let base = (luma >> LUMA_STEP_BITS) * STRIDES[0] + (cb >> CHROMA_STEP_BITS) * STRIDES[1] + (cr >> CHROMA_STEP_BITS);
        let mask = (1 << CHROMA_STEP_BITS) - 1;
        let mut steps = [
            ((luma << (CHROMA_STEP_BITS - LUMA_STEP_BITS)) & mask, STRIDES[0]),
            (cb & mask, STRIDES[1]),
            (cr & mask, STRIDES[2]),
        ];
        // Along the axis that reaches furthest first; three comparisons sort three.
        if steps[0].0 < steps[1].0 {
            steps.swap(0, 1);
        }
        if steps[1].0 < steps[2].0 {
            steps.swap(1, 2);
        }
        if steps[0].0 < steps[1].0 {
            steps.swap(0, 1);
        }
        let [(far, first), (middle, second), (near, third)] = steps;
        let node = |index: usize| self.nodes.get(index).copied().unwrap_or(0);
        let sum = node(base) * ((mask + 1 - far) as u64)
            + node(base + first) * ((far - middle) as u64)
            + node(base + first + second) * ((middle - near) as u64)
            + node(base + first + second + third) * (near as u64);
        let shift = PART_BITS + CHROMA_STEP_BITS;
        let lane = |index: u32| (((sum >> (index * LANE_BITS) & LANE_MASK) + (1 << (shift - 1))) >> shift) as u16;
        [lane(0), lane(1), lane(2)].map(|code| code.min(1023))
    }
}

#[cfg(test)]
mod tests {
    use headwater::title::{ColourFacts, LightFacts};
    use std::time::Instant;

    use super::*;

    const SOURCES: [(u8, u8, u8); 5] = [(9, 16, 9), (9, 18, 9), (9, 14, 9), (12, 1, 1), (6, 6, 6)];

    fn conversion((primaries, transfer, matrix): (u8, u8, u8)) -> Conversion {
        let from = ColourFacts { full_range: Some(false), primaries, transfer, matrix };
        Conversion::new(from, ColourFacts::STANDARD, &LightFacts::default())
    }

    #[test]
    fn grey_stays_grey() {
        for source in SOURCES {
            let conversion = conversion(source);
            let cube = Cube::new(&conversion);
            for luma in 64..=940 {
                let [to_luma, cb, cr] = cube.at([luma, 512, 512]);
                assert_eq!((cb, cr), (512, 512), "{source:?}: {luma}");
                let exact = conversion.convert([f64::from(luma), 512.0, 512.0])[0];
                assert!((f64::from(to_luma) - exact).abs() < 3.0, "{source:?}: {luma} becomes {to_luma} and not {exact}");
            }
        }
    }

    /// A few codes of 10 bits are less than one of the 8 that come out, and far less than what an encoder does.
    #[test]
    fn between_nodes_it_is_near_the_truth() {
        for source in SOURCES {
            let conversion = conversion(source);
            let cube = Cube::new(&conversion);
            let mut worst: [f64; 3] = [0.0; 3];
            let mut seed = 1_u32;
            let mut sum = 0.0;
            for _ in 0..20_000 {
                let mut next = |from: u16, to: u16| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    from + (seed >> 16) as u16 % (to - from)
                };
                let codes = [next(100, 800), next(440, 584), next(440, 584)];
                let exact = conversion.convert(codes.map(f64::from));
                for (lane, (found, exact)) in cube.at(codes).into_iter().zip(exact).enumerate() {
                    let apart = (f64::from(found) - exact).abs();
                    worst[lane] = worst[lane].max(apart);
                    sum += apart / 60_000.0;
                }
            }
            println!("{source:?}: worst {worst:.1?}, mean {sum:.2} codes of 10 bits");
            assert!(worst.iter().all(|apart| *apart < 12.0) && sum < 1.0, "{source:?}: worst {worst:?}, mean {sum}");
        }
    }

    #[test]
    fn every_code_has_a_place() {
        let cube = Cube::new(&conversion((9, 16, 9)));
        for luma in [0, 1, 511, 1022, 1023, u16::MAX] {
            for cb in [0, 1023] {
                for cr in [0, 1023] {
                    assert!(cube.at([luma, cb, cr]).iter().all(|code| *code <= 1023));
                }
            }
        }
        let start = Instant::now();
        let picture = Video::new(FORM, 640, 360);
        cube.convert(&picture).expect("converted");
        println!("{:?} for 640x360", start.elapsed());
    }
}
