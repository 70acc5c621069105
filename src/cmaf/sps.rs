//! What an H.264 sequence parameter set says about the pictures (H.264 7.3.2.1.1 and E.1.1), as far as the sample entry
//! needs it. A set that breaks the limits of its level is still read, since decoders play it.

use super::bits::{BadBits, Bits};
use super::nal;

/// The fields of a sequence parameter set that packaging needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SpsFacts {
    /// profile_idc.
    pub profile_idc: u8,
    /// The constraint flags and two reserved bits.
    pub constraint_flags: u8,
    /// level_idc.
    pub level_idc: u8,
    /// seq_parameter_set_id.
    pub id: u32,
    /// Bits of frame_num in a slice header.
    pub frame_number_bits: u32,
    /// gaps_in_frame_num_value_allowed_flag.
    pub frame_numbers_may_skip: bool,
    /// How slices tell the order of presentation.
    pub order: PictureOrder,
    /// Whether there are whole frames only, no fields.
    pub frames_only: bool,
    /// Whether black is 0; absent when unspecified.
    pub full_range: Option<bool>,
    /// What the pictures are like.
    pub picture: PictureFacts,
}

/// What a sequence parameter set of either codec says its pictures are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PictureFacts {
    /// chroma_format_idc.
    pub chroma_format_idc: u8,
    /// Bits of a luma sample, 8 to 14, of HEVC to 16.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample, within the same bounds.
    pub bit_depth_chroma: u8,
    /// Width in pixels after cropping.
    pub width: u32,
    /// Height in pixels after cropping.
    pub height: u32,
    /// Width of a pixel over its height; absent when unspecified.
    pub sample_aspect: Option<(u32, u32)>,
    /// Colour description; absent when unspecified.
    pub colour: Option<Colour>,
}

/// pic_order_cnt_type, 7.4.2.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PictureOrder {
    /// Type 0: each slice carries the last so many bits of its count.
    Bits(u32),
    /// Type 1: counted along a cycle.
    Cycle,
    /// Type 2: pictures are shown as they are decoded.
    AsDecoded,
}

/// Colour by the code points of ITU-T H.273.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour {
    pub primaries: u8,
    pub transfer: u8,
    pub matrix: u8,
    pub full_range: bool,
}

/// Reads a sequence parameter set, given as a NAL unit; absent when it is malformed.
pub(super) fn read(unit: &[u8]) -> Option<SpsFacts> {
    if nal::unit_type(unit) != Some(nal::SPS) {
        return None;
    }
    read_payload(&nal::without_emulation_prevention(&unit[1..])).ok().flatten()
}

/// Profiles that write the chroma format (7.3.2.1.1).
const WITH_CHROMA_FORMAT: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
/// num_ref_frames_in_pic_order_cnt_cycle at most (7.4.2.1.1).
const ORDER_CYCLE_MAX: u32 = 255;

fn read_payload(payload: &[u8]) -> Result<Option<SpsFacts>, BadBits> {
    let mut bits = Bits::new(payload);
    let profile_idc = bits.number(8)? as u8;
    let constraint_flags = bits.number(8)? as u8;
    let level_idc = bits.number(8)? as u8;
    let id = bits.exp_golomb()?;
    let mut chroma = Chroma { format_idc: 1, planes_apart: false, bit_depth_luma: 8, bit_depth_chroma: 8 };
    if WITH_CHROMA_FORMAT.contains(&profile_idc) {
        chroma = Chroma::read(&mut bits)?;
    }
    if chroma.format_idc > 3 || chroma.bit_depth_luma > 14 || chroma.bit_depth_chroma > 14 {
        return Ok(None);
    }
    let frame_number_bits = count_bits(&mut bits)?;
    let order = read_picture_order(&mut bits)?;
    bits.exp_golomb()?; // max_num_ref_frames
    let frame_numbers_may_skip = bits.flag()?;
    let Some(Size { width, height, frames_only }) = read_size(&mut bits, &chroma)? else {
        return Ok(None);
    };
    let usability = if bits.flag()? { read_usability(&mut bits)? } else { Usability::default() };
    let Usability { sample_aspect, full_range, colour } = usability;
    Ok(Some(SpsFacts {
        profile_idc,
        constraint_flags,
        level_idc,
        id,
        frame_number_bits,
        frame_numbers_may_skip,
        order,
        frames_only,
        full_range,
        picture: PictureFacts {
            chroma_format_idc: chroma.format_idc as u8,
            bit_depth_luma: chroma.bit_depth_luma as u8,
            bit_depth_chroma: chroma.bit_depth_chroma as u8,
            width,
            height,
            sample_aspect,
            colour,
        },
    }))
}

struct Chroma {
    format_idc: u32,
    planes_apart: bool,
    bit_depth_luma: u32,
    bit_depth_chroma: u32,
}

impl Chroma {
    fn read(bits: &mut Bits<'_>) -> Result<Self, BadBits> {
        let format_idc = bits.exp_golomb()?;
        let planes_apart = format_idc == 3 && bits.flag()?;
        let bit_depth_luma = bits.exp_golomb()?.saturating_add(8);
        let bit_depth_chroma = bits.exp_golomb()?.saturating_add(8);
        bits.flag()?; // qpprime_y_zero_transform_bypass_flag
        if bits.flag()? {
            for list in 0..if format_idc == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        Ok(Self { format_idc, planes_apart, bit_depth_luma, bit_depth_chroma })
    }

    /// CropUnitX and CropUnitY for frames (7-19 to 7-22).
    fn crop_units(&self) -> (u64, u64) {
        match self.format_idc {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        }
    }
}

/// 7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut Bits<'_>, length: u32) -> Result<(), BadBits> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..length {
        if next != 0 {
            next = (last + bits.signed_exp_golomb()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Ok(())
}

/// The length of a field of which four bits less are written; 16 at most (7.4.2.1.1).
fn count_bits(bits: &mut Bits<'_>) -> Result<u32, BadBits> {
    Some(bits.exp_golomb()?).filter(|count| *count <= 12).map(|count| count + 4).ok_or(BadBits)
}

fn read_picture_order(bits: &mut Bits<'_>) -> Result<PictureOrder, BadBits> {
    match bits.exp_golomb()? {
        0 => count_bits(bits).map(PictureOrder::Bits),
        1 => {
            bits.flag()?; // delta_pic_order_always_zero_flag
            bits.signed_exp_golomb()?; // offset_for_non_ref_pic
            bits.signed_exp_golomb()?; // offset_for_top_to_bottom_field
            let count = bits.exp_golomb()?;
            if count > ORDER_CYCLE_MAX {
                return Err(BadBits);
            }
            for _ in 0..count {
                bits.signed_exp_golomb()?;
            }
            Ok(PictureOrder::Cycle)
        }
        _ => Ok(PictureOrder::AsDecoded),
    }
}

/// The pictures' size after cropping.
struct Size {
    width: u32,
    height: u32,
    frames_only: bool,
}

/// Absent when cropping leaves nothing or the size is beyond all sense.
fn read_size(bits: &mut Bits<'_>, chroma: &Chroma) -> Result<Option<Size>, BadBits> {
    let width_blocks = u64::from(bits.exp_golomb()?) + 1;
    let height_units = u64::from(bits.exp_golomb()?) + 1;
    let frames_only = bits.flag()?;
    if !frames_only {
        bits.flag()?; // mb_adaptive_frame_field_flag
    }
    let fields = if frames_only { 1 } else { 2 };
    bits.flag()?; // direct_8x8_inference_flag
    let (mut across, mut down) = (0, 0);
    if bits.flag()? {
        across = u64::from(bits.exp_golomb()?) + u64::from(bits.exp_golomb()?);
        down = u64::from(bits.exp_golomb()?) + u64::from(bits.exp_golomb()?);
    }
    let (unit_x, unit_y) = if chroma.planes_apart { (1, 1) } else { chroma.crop_units() };
    let width = (width_blocks * 16).checked_sub(across * unit_x);
    let height = (height_units * 16 * fields).checked_sub(down * unit_y * fields);
    let side = |length: Option<u64>| length.and_then(|length| u32::try_from(length).ok()).filter(|length| *length > 0);
    Ok(side(width).zip(side(height)).map(|(width, height)| Size { width, height, frames_only }))
}

/// The pixel shapes of table E-1, from aspect_ratio_idc 1 on.
const SHAPES: [(u32, u32); 16] = [
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];
/// aspect_ratio_idc that announces a shape in numbers.
const EXTENDED_SHAPE: u32 = 255;

/// What the video usability information says of use here.
#[derive(Default)]
pub(super) struct Usability {
    pub(super) sample_aspect: Option<(u32, u32)>,
    pub(super) full_range: Option<bool>,
    pub(super) colour: Option<Colour>,
}

/// Pixel shape and colour, with which the usability information of H.264 (E.1.1) and of HEVC (E.2.1) begins alike.
pub(super) fn read_usability(bits: &mut Bits<'_>) -> Result<Usability, BadBits> {
    let mut found = Usability::default();
    if bits.flag()? {
        found.sample_aspect = match bits.number(8)? {
            EXTENDED_SHAPE => Some((bits.number(16)?, bits.number(16)?)).filter(|(wide, high)| *wide != 0 && *high != 0),
            code => (code as usize).checked_sub(1).and_then(|index| SHAPES.get(index).copied()),
        };
    }
    if bits.flag()? {
        bits.flag()?; // overscan_appropriate_flag
    }
    if bits.flag()? {
        bits.number(3)?; // video_format
        let full_range = bits.flag()?;
        found.full_range = Some(full_range);
        if bits.flag()? {
            let (primaries, transfer, matrix) = (bits.number(8)? as u8, bits.number(8)? as u8, bits.number(8)? as u8);
            found.colour = Some(Colour { primaries, transfer, matrix, full_range });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::*;
    use crate::cmaf::testing::bytes;

    const BT709: Colour = Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false };

    #[test]
    fn sets_of_a_real_encoder() {
        // (set, profile and level, chroma format, size, pixel shape, colour)
        for (hex, profile, chroma, size, shape, colour) in [
            ("6764001facd9405005bb016a020202800001f480007530078c18cb", (100, 0, 31), 1, (1280, 720), Some((1, 1)), Some(BT709)),
            ("67640015acd941b1fe4f016a020202800001f480007530078b16cb", (100, 0, 21), 1, (426, 240), Some((1, 1)), Some(BT709)),
            ("6764001eacd940a03deeb0e10000030001000003 00320f162d96", (100, 0, 30), 1, (636, 478), Some((4, 3)), None),
            ("67f4000a919b28e4f1b2e0220000030002000003 00641e244b2c", (244, 0, 10), 3, (100, 60), Some((1, 1)), None),
            ("6742c028d900780227e5c0440000030004000003 00c83c60c920", (66, 0xc0, 40), 1, (1920, 1080), Some((1, 1)), None),
            ("67640028acd94078044fde0220000003 00200000 0643e2c5b2c0", (100, 0, 40), 1, (1920, 1080), Some((1, 1)), None),
        ] {
            let facts = read(&bytes(hex)).expect(hex);
            assert_eq!((facts.profile_idc, facts.constraint_flags, facts.level_idc), profile, "{hex}");
            let picture = facts.picture;
            assert_eq!((picture.chroma_format_idc, picture.bit_depth_luma, picture.bit_depth_chroma), (chroma, 8, 8), "{hex}");
            assert_eq!(((picture.width, picture.height), picture.sample_aspect, picture.colour), (size, shape, colour), "{hex}");
        }
    }

    #[test]
    fn cut_and_foreign_units_are_refused() {
        let whole = bytes("6764001facd9405005bb016a020202800001f480007530078c18cb");
        for length in 0..14 {
            assert_eq!(read(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(read(&bytes("68ef8fcb")), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(profile in prop::sample::select(vec![66_u8, 100, 244]), payload in any::<Vec<u8>>()) {
            let _ = read(&[&[0x67, profile, 0, 30][..], &payload].concat());
        }
    }
}
