//! The sample entry of HEVC: `hvc1` with the decoder configuration, the colour description, and how bright the pictures and
//! the display they were mastered on are.

use bytes::Bytes;
use mp4_atom::{Codec, Hvc1, HvcCArray, Hvcc};

use super::hevc_sps::{self, HevcFacts};
use super::init::{Entry, PictureBoxes, picture_boxes};
use super::{Error, hevc, nal};
use crate::title::{LightFacts, VideoTrack};

/// The sample entry of a planned track.
pub(super) fn entry(planned: &VideoTrack, light: &LightFacts, sets: [&[Bytes]; 3]) -> Result<Entry, Error> {
    let [vps, sps, pps] = sets;
    let first = sps.first().ok_or(Error::ParameterSets("there is no sequence parameter set"))?;
    let facts = hevc_sps::read(first).ok_or(Error::ParameterSets("the sequence parameter set is malformed"))?;
    let PictureBoxes { visual, btrt, colr, pasp } = picture_boxes(planned, &facts.picture)?;
    let hvcc = configuration(&facts, vps, sps, pps)?;
    let codec = Codec::Hvc1(Hvc1 { visual, hvcc, btrt: Some(btrt), colr, pasp: Some(pasp), ..Hvc1::default() });
    Ok(Entry { codec, further: light_boxes(light) })
}

/// The codec string (ISO 14496-15 E.3): profile, compatibility with its bits reversed, tier and level, and the constraints
/// without the zeros at their end.
pub(super) fn codec_string(configuration: &Hvcc) -> String {
    let space = ["", "A", "B", "C"][usize::from(configuration.general_profile_space & 3)];
    let compatibility = u32::from_be_bytes(configuration.general_profile_compatibility_flags).reverse_bits();
    let tier = if configuration.general_tier_flag { 'H' } else { 'L' };
    let constraints = &configuration.general_constraint_indicator_flags;
    let told = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let constraints: String = constraints[..told].iter().map(|byte| format!(".{byte:X}")).collect();
    let (profile, level) = (configuration.general_profile_idc, configuration.general_level_idc);
    format!("hvc1.{space}{profile}.{compatibility:X}.{tier}{level}{constraints}")
}

/// The decoder configuration of those parameter sets (ISO 14496-15 8.3.3.1).
pub(super) fn configuration(facts: &HevcFacts, vps: &[Bytes], sps: &[Bytes], pps: &[Bytes]) -> Result<Hvcc, Error> {
    let array = |sets: &[Bytes], kind: u8| {
        let well = |set: &Bytes| hevc::unit_type(set) == Some(kind) && u16::try_from(set.len()).is_ok();
        if sets.is_empty() || sets.len() > SETS_MAX || !sets.iter().all(well) {
            return Err(Error::ParameterSets("a kind of parameter set is missing or does not fit"));
        }
        // Complete: no set of the kind is in the samples, as `hvc1` demands.
        Ok(HvcCArray { completeness: true, nal_unit_type: kind, nalus: sets.iter().map(|set| set.to_vec()).collect() })
    };
    let HevcFacts { profile, layers, nested, picture } = facts;
    if picture.bit_depth_luma > DEPTH_MAX || picture.bit_depth_chroma > DEPTH_MAX {
        return Err(Error::ParameterSets("the samples have more bits than the configuration can tell"));
    }
    Ok(Hvcc {
        configuration_version: 1,
        general_profile_space: profile.space,
        general_tier_flag: profile.high_tier,
        general_profile_idc: profile.idc,
        general_profile_compatibility_flags: profile.compatibility,
        general_constraint_indicator_flags: profile.constraints,
        general_level_idc: profile.level_idc,
        // Zero leaves open how the pictures are parted and what could be decoded side by side.
        min_spatial_segmentation_idc: 0,
        parallelism_type: 0,
        chroma_format_idc: picture.chroma_format_idc,
        bit_depth_luma_minus8: picture.bit_depth_luma - 8,
        bit_depth_chroma_minus8: picture.bit_depth_chroma - 8,
        avg_frame_rate: 0,
        constant_frame_rate: 0,
        num_temporal_layers: *layers,
        temporal_id_nested: *nested,
        length_size_minus_one: nal::LENGTH_BYTES as u8 - 1,
        arrays: vec![array(vps, hevc::VPS)?, array(sps, hevc::SPS)?, array(pps, hevc::PPS)?],
    })
}

/// Parameter sets of a kind at most (H.265 7.4.2.4.4).
const SETS_MAX: usize = 64;
/// Most bits of a sample for which there is room in three bits above eight.
const DEPTH_MAX: u8 = 15;

/// `mdcv` and `clli` (ISO 14496-12 12.1.5 and 12.1.6), where the source told what is in them.
fn light_boxes(light: &LightFacts) -> Vec<u8> {
    let mut boxes = Vec::new();
    if let Some(display) = &light.mastering {
        let [red, green, blue] = display.primaries;
        boxes.extend_from_slice(&32_u32.to_be_bytes());
        boxes.extend_from_slice(b"mdcv");
        // In the order of H.265 D.3.28.
        for (x, y) in [green, blue, red, display.white] {
            boxes.extend_from_slice(&x.to_be_bytes());
            boxes.extend_from_slice(&y.to_be_bytes());
        }
        boxes.extend_from_slice(&display.luminance_max.to_be_bytes());
        boxes.extend_from_slice(&display.luminance_min.to_be_bytes());
    }
    if let Some(content) = &light.content {
        boxes.extend_from_slice(&12_u32.to_be_bytes());
        boxes.extend_from_slice(b"clli");
        boxes.extend_from_slice(&content.max_nits.to_be_bytes());
        boxes.extend_from_slice(&content.average_nits.to_be_bytes());
    }
    boxes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmaf::testing::{bytes, hevc_header, hevc_plan};
    use crate::cmaf::{codec_string as codec_string_of, codec_string_of_init, init_segment};
    use crate::title::TrackId;

    fn holds(init: &[u8], part: &[u8]) -> bool {
        init.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn the_entry_says_what_the_encoder_and_the_source_said() {
        let plan = hevc_plan((25, 1), 100);
        let init = init_segment(&plan, TrackId::video(1), &hevc_header()).expect("an init segment");
        for part in [&b"hvc1"[..], b"hvcC", b"btrt", b"pasp", b"\0\0\0\x13colrnclx\0\x09\0\x10\0\x09\0"] {
            assert!(holds(&init, part), "{part:?}");
        }
        assert!(!holds(&init, b"hev1") && !holds(&init, b"avcC"));
        // Green, blue, red and white, then white's and black's luminance.
        let display = "00000020 6d646376 33c2 86c4 1d4c 0bb8 84d0 3e80 3d13 4042 00989680 00000032";
        assert!(holds(&init, &bytes(display)) && holds(&init, b"\0\0\0\x0cclli\x03\xe8\x01\x90"));
        assert_eq!(codec_string_of(&hevc_header()).expect("a string"), "hvc1.2.4.L93.90");
        assert_eq!(codec_string_of_init(&init).expect("a string"), "hvc1.2.4.L93.90");
    }

    #[test]
    fn a_source_that_tells_nothing_gets_no_boxes_of_light() {
        let mut plan = hevc_plan((25, 1), 100);
        plan.light = LightFacts::default();
        let init = init_segment(&plan, TrackId::video(1), &hevc_header()).expect("an init segment");
        assert!(!holds(&init, b"mdcv") && !holds(&init, b"clli"));
    }

    #[test]
    fn strings_of_other_profiles() {
        let string = |space, tier, profile, compatibility, level, constraints| {
            codec_string(&Hvcc {
                general_profile_space: space,
                general_tier_flag: tier,
                general_profile_idc: profile,
                general_profile_compatibility_flags: compatibility,
                general_constraint_indicator_flags: constraints,
                general_level_idc: level,
                ..Hvcc::new()
            })
        };
        assert_eq!(string(0, false, 1, [0x60, 0, 0, 0], 93, [0xb0, 0, 0, 0, 0, 0]), "hvc1.1.6.L93.B0");
        assert_eq!(string(1, true, 2, [0x20, 0, 0, 0], 153, [0, 0, 0, 0, 0, 8]), "hvc1.A2.4.H153.0.0.0.0.0.8");
        assert_eq!(string(0, false, 2, [0x20, 0, 0, 0], 120, [0; 6]), "hvc1.2.4.L120");
    }
}
