//! What an HEVC sequence parameter set says about the pictures (H.265 7.3.2.2 and E.2.1), as far as the sample entry needs
//! it.

use super::bits::{BadBits, Bits};
use super::hevc;
use super::nal::without_emulation_prevention;
use super::sps::{PictureFacts, Usability, read_usability};

/// The fields of a sequence parameter set that packaging needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HevcFacts {
    /// Profile, tier and level.
    pub profile: Profile,
    /// Temporal layers.
    pub layers: u8,
    /// sps_temporal_id_nesting_flag.
    pub nested: bool,
    /// What the pictures are like.
    pub picture: PictureFacts,
}

/// profile_tier_level (7.3.3), as far as it is about the whole stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    /// general_profile_space.
    pub space: u8,
    /// general_tier_flag: high tier.
    pub high_tier: bool,
    /// general_profile_idc.
    pub idc: u8,
    /// general_profile_compatibility_flags.
    pub compatibility: [u8; 4],
    /// The six bytes from general_progressive_source_flag on.
    pub constraints: [u8; 6],
    /// general_level_idc.
    pub level_idc: u8,
}

/// Reads a sequence parameter set, given as a NAL unit; absent when it is malformed.
pub(super) fn read(unit: &[u8]) -> Option<HevcFacts> {
    if hevc::unit_type(unit) != Some(hevc::SPS) {
        return None;
    }
    read_payload(&mut Bits::new(&without_emulation_prevention(&unit[hevc::HEADER_BYTES..]))).ok().flatten()
}

/// sps_max_sub_layers_minus1 at most (7.4.3.2.1).
const SUB_LAYERS_MAX: u32 = 6;
/// num_short_term_ref_pic_sets at most (7.4.3.2.1).
const REFERENCE_SETS_MAX: u32 = 64;
/// Pictures that one reference picture set can name.
const REFERENCES_MAX: u32 = 16;
/// num_long_term_ref_pics_sps at most (7.4.3.2.1).
const LONG_TERM_MAX: u32 = 32;

fn read_payload(bits: &mut Bits<'_>) -> Result<Option<HevcFacts>, BadBits> {
    bits.number(4)?; // sps_video_parameter_set_id
    let sub_layers = bits.number(3)?;
    let nested = bits.flag()?;
    if sub_layers > SUB_LAYERS_MAX {
        return Ok(None);
    }
    let profile = read_profile(bits, sub_layers)?;
    bits.exp_golomb()?; // sps_seq_parameter_set_id
    let chroma_format_idc = bits.exp_golomb()?;
    let planes_apart = chroma_format_idc == 3 && bits.flag()?;
    let (width, height) = (bits.exp_golomb()?, bits.exp_golomb()?);
    let (mut across, mut down) = (0, 0);
    if bits.flag()? {
        across = u64::from(bits.exp_golomb()?) + u64::from(bits.exp_golomb()?);
        down = u64::from(bits.exp_golomb()?) + u64::from(bits.exp_golomb()?);
    }
    let (unit_x, unit_y) = match chroma_format_idc {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let (depth_luma, depth_chroma) = (bits.exp_golomb()?.saturating_add(8), bits.exp_golomb()?.saturating_add(8));
    let side = |length: u32, cut: u64| u64::from(length).checked_sub(cut).and_then(|length| u32::try_from(length).ok()).filter(|l| *l > 0);
    let (Some(width), Some(height)) = (side(width, across * unit_x), side(height, down * unit_y)) else { return Ok(None) };
    if chroma_format_idc > 3 || planes_apart || depth_luma > 16 || depth_chroma > 16 {
        return Ok(None);
    }
    skip_to_usability(bits, sub_layers)?;
    let Usability { sample_aspect, colour, .. } = if bits.flag()? { read_usability(bits)? } else { Usability::default() };
    let picture = PictureFacts {
        chroma_format_idc: chroma_format_idc as u8,
        bit_depth_luma: depth_luma as u8,
        bit_depth_chroma: depth_chroma as u8,
        width,
        height,
        sample_aspect,
        colour,
    };
    Ok(Some(HevcFacts { profile, layers: sub_layers as u8 + 1, nested, picture }))
}

fn read_profile(bits: &mut Bits<'_>, sub_layers: u32) -> Result<Profile, BadBits> {
    let space = bits.number(2)? as u8;
    let high_tier = bits.flag()?;
    let idc = bits.number(5)? as u8;
    let compatibility = bits.number(32)?.to_be_bytes();
    let mut constraints = [0; 6];
    for byte in &mut constraints {
        *byte = bits.number(8)? as u8;
    }
    let level_idc = bits.number(8)? as u8;
    let mut present = [(false, false); SUB_LAYERS_MAX as usize];
    for layer in present.iter_mut().take(sub_layers as usize) {
        *layer = (bits.flag()?, bits.flag()?);
    }
    if sub_layers > 0 {
        bits.number(2 * (8 - sub_layers))?;
    }
    for (profile, level) in present {
        if profile {
            bits.number(32)?;
            bits.number(32)?;
            bits.number(24)?;
        }
        if level {
            bits.number(8)?;
        }
    }
    Ok(Profile { space, high_tier, idc, compatibility, constraints, level_idc })
}

/// From the bit depths to vui_parameters_present_flag.
fn skip_to_usability(bits: &mut Bits<'_>, sub_layers: u32) -> Result<(), BadBits> {
    let order_bits = bits.exp_golomb()?.saturating_add(4);
    if order_bits > 16 {
        return Err(BadBits);
    }
    let each_layer = bits.flag()?;
    for _ in 0..if each_layer { sub_layers + 1 } else { 1 } {
        for _ in 0..3 {
            bits.exp_golomb()?; // sps_max_dec_pic_buffering, sps_max_num_reorder_pics, sps_max_latency_increase
        }
    }
    for _ in 0..6 {
        bits.exp_golomb()?; // sizes of blocks, depths of transform hierarchies
    }
    if bits.flag()? && bits.flag()? {
        skip_scaling_lists(bits)?;
    }
    bits.flag()?; // amp_enabled_flag
    bits.flag()?; // sample_adaptive_offset_enabled_flag
    if bits.flag()? {
        bits.number(8)?; // pcm_sample_bit_depth of luma and chroma
        bits.exp_golomb()?;
        bits.exp_golomb()?;
        bits.flag()?;
    }
    skip_reference_sets(bits)?;
    if bits.flag()? {
        let count = bits.exp_golomb()?;
        if count > LONG_TERM_MAX {
            return Err(BadBits);
        }
        for _ in 0..count {
            bits.number(order_bits)?;
            bits.flag()?;
        }
    }
    bits.flag()?; // sps_temporal_mvp_enabled_flag
    bits.flag()?; // strong_intra_smoothing_enabled_flag
    Ok(())
}

/// scaling_list_data (7.3.4).
fn skip_scaling_lists(bits: &mut Bits<'_>) -> Result<(), BadBits> {
    for size in 0..4_u32 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if !bits.flag()? {
                bits.exp_golomb()?; // scaling_list_pred_matrix_id_delta
                continue;
            }
            if size > 1 {
                bits.signed_exp_golomb()?; // scaling_list_dc_coef
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                bits.signed_exp_golomb()?;
            }
        }
    }
    Ok(())
}

/// The short-term reference picture sets (7.3.7).
fn skip_reference_sets(bits: &mut Bits<'_>) -> Result<(), BadBits> {
    let count = bits.exp_golomb()?;
    if count > REFERENCE_SETS_MAX {
        return Err(BadBits);
    }
    let mut pictures_before = 0;
    for index in 0..count {
        let predicted = index > 0 && bits.flag()?;
        let mut pictures = 0;
        if predicted {
            bits.flag()?; // delta_rps_sign
            bits.exp_golomb()?; // abs_delta_rps_minus1
            for _ in 0..=pictures_before {
                let used = bits.flag()?;
                pictures += u32::from(used || bits.flag()?);
            }
        } else {
            let (earlier, later) = (bits.exp_golomb()?, bits.exp_golomb()?);
            pictures = earlier.saturating_add(later);
            if pictures > REFERENCES_MAX {
                return Err(BadBits);
            }
            for _ in 0..pictures {
                bits.exp_golomb()?;
                bits.flag()?;
            }
        }
        if pictures > REFERENCES_MAX {
            return Err(BadBits);
        }
        pictures_before = pictures;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::cmaf::sps::Colour;
    use crate::cmaf::testing::{HEVC_SPS, bytes};

    #[test]
    fn a_set_of_a_real_encoder() {
        let facts = read(&bytes(HEVC_SPS)).expect("a set");
        assert_eq!((facts.profile.idc, facts.profile.high_tier, facts.profile.level_idc), (2, false, 93));
        let picture = PictureFacts {
            chroma_format_idc: 1,
            bit_depth_luma: 10,
            bit_depth_chroma: 10,
            width: 1280,
            height: 720,
            sample_aspect: Some((1, 1)),
            colour: Some(Colour { primaries: 9, transfer: 16, matrix: 9, full_range: false }),
        };
        assert_eq!(facts.picture, picture);
        assert_eq!((facts.layers, facts.nested), (1, true));
    }

    #[test]
    fn cut_and_foreign_units_are_refused() {
        let whole = bytes(HEVC_SPS);
        for length in 0..20 {
            assert_eq!(read(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(read(&bytes("4401c172b46240")), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(payload in any::<Vec<u8>>()) {
            let _ = read(&[&[0x42, 0x01][..], &payload].concat());
        }
    }
}
