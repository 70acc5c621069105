//! Codec strings (RFC 6381): what a player is told before it fetches anything.

use mp4_atom::{Avcc, Codec, Decode, Ftyp, Hvcc, Moov};

use super::boxes::{exactly, split_first};
use super::{Error, aac, hevc_entry, hevc_sps, nal};
use crate::title::CodecHeader;

/// objectTypeIndication of MPEG-4 audio (ISO 14496-1 table 5).
pub(super) const MPEG4_AUDIO: u8 = 0x40;

/// The codec string of what an encoder announced, such as `avc1.64001f` or `mp4a.40.2`.
///
/// # Errors
/// [`Error::ParameterSets`] or [`Error::AudioConfig`] when the header is malformed.
pub fn codec_string(header: &CodecHeader) -> Result<String, Error> {
    match header {
        CodecHeader::Avc { sps, .. } => {
            let unit = sps.first().filter(|unit| nal::unit_type(unit) == Some(nal::SPS));
            match unit.map(|unit| &unit[..]) {
                Some([_, profile, constraints, level, ..]) => Ok(avc_string(*profile, *constraints, *level)),
                _ => Err(Error::ParameterSets("the sequence parameter set is cut short")),
            }
        }
        CodecHeader::Hevc { vps, sps, pps } => {
            let facts = sps.first().and_then(|set| hevc_sps::read(set));
            let facts = facts.ok_or(Error::ParameterSets("the sequence parameter set is malformed"))?;
            Ok(hevc_entry::codec_string(&hevc_entry::configuration(&facts, vps, sps, pps)?))
        }
        CodecHeader::Aac { config } => aac_string(config),
    }
}

/// The codec string of a finished init segment, from the bytes of its `avcC`, `hvcC` or `esds`: what the catalogue keeps, since
/// that is what a player will find.
///
/// # Errors
/// [`Error::Init`] when it does not hold exactly one track of H.264, HEVC or AAC, [`Error::Atom`] when a box is malformed.
pub fn codec_string_of_init(init: &[u8]) -> Result<String, Error> {
    if let Some(configuration) = hevc_configuration(init) {
        return Ok(hevc_entry::codec_string(&Hvcc::decode(&mut &configuration[..])?));
    }
    let mut rest = init;
    Ftyp::decode(&mut rest)?;
    let moov = Moov::decode(&mut rest)?;
    let [track] = moov.trak.as_slice() else {
        return Err(Error::Init("it does not have exactly one track"));
    };
    match track.mdia.minf.stbl.stsd.codecs.as_slice() {
        [Codec::Avc1(entry)] => {
            let Avcc { avc_profile_indication, profile_compatibility, avc_level_indication, .. } = entry.avcc;
            Ok(avc_string(avc_profile_indication, profile_compatibility, avc_level_indication))
        }
        [Codec::Mp4a(entry)] => {
            let decoder = &entry.esds.es_desc.dec_config;
            match &decoder.dec_specific {
                Some(specific) if decoder.object_type_indication == MPEG4_AUDIO => aac_string(&specific.raw),
                _ => Err(Error::Init("its audio is not AAC")),
            }
        }
        _ => Err(Error::Init("its sample entry is none of avc1, hvc1 and mp4a")),
    }
}

/// The `hvcC` box of an init segment of HEVC. Looked up by hand: the reader of whole files does not know the boxes about light
/// beside it, and says so each time.
fn hevc_configuration(init: &[u8]) -> Option<Vec<u8>> {
    let [_, moov] = exactly(init, [b"ftyp", b"moov"])?;
    let [_, trak, _] = exactly(moov, [b"mvhd", b"trak", b"mvex"])?;
    let [_, mdia] = exactly(trak, [b"tkhd", b"mdia"])?;
    let [_, _, minf] = exactly(mdia, [b"mdhd", b"hdlr", b"minf"])?;
    let [_, _, stbl] = exactly(minf, [b"vmhd", b"dinf", b"stbl"])?;
    let [stsd, ..] = exactly(stbl, [b"stsd", b"stts", b"stsc", b"stsz", b"stco"])?;
    let [entry] = exactly(stsd.get(STSD_FIELDS_BYTES..)?, [b"hvc1"])?;
    let rest = entry.get(VISUAL_BYTES..)?;
    let (kind, body, after) = split_first(rest)?;
    (kind == *b"hvcC").then(|| rest[..rest.len() - after.len()].to_vec()).filter(|_| !body.is_empty())
}

/// Version, flags and count of `stsd`.
const STSD_FIELDS_BYTES: usize = 8;
/// Fields of a visual sample entry before its boxes (ISO 14496-12 12.1.3.2).
const VISUAL_BYTES: usize = 78;

fn avc_string(profile: u8, constraints: u8, level: u8) -> String {
    format!("avc1.{profile:02x}{constraints:02x}{level:02x}")
}

fn aac_string(config: &[u8]) -> Result<String, Error> {
    let facts = aac::read(config).ok_or(Error::AudioConfig("it is malformed"))?;
    Ok(format!("mp4a.40.{}", facts.object_type))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::{any, prop, prop_assert, proptest};

    use super::*;
    use crate::cmaf::init_segment;
    use crate::cmaf::testing::{aac_header, avc_header, plan};
    use crate::title::TrackId;

    #[test]
    fn the_written_boxes_say_what_the_encoder_said() {
        let plan = plan((30_000, 1001), 240);
        for (track, header, expect) in [(TrackId::video(0), avc_header(), "avc1.64001f"), (TrackId::audio(0), aac_header(), "mp4a.40.2")] {
            let init = init_segment(&plan, track, &header).expect("an init segment");
            assert_eq!(codec_string(&header).expect("a string"), expect);
            assert_eq!(codec_string_of_init(&init).expect("a string"), expect);
        }
    }

    #[test]
    fn malformed_headers_are_refused() {
        let cut = CodecHeader::Avc { sps: vec![Bytes::from_static(&[0x67, 0x64, 0])], pps: Vec::new() };
        assert!(matches!(codec_string(&cut), Err(Error::ParameterSets(_))));
        assert!(matches!(codec_string(&CodecHeader::Avc { sps: Vec::new(), pps: Vec::new() }), Err(Error::ParameterSets(_))));
        assert!(matches!(codec_string(&CodecHeader::Aac { config: Bytes::new() }), Err(Error::AudioConfig(_))));
    }

    proptest! {
        #[test]
        fn no_change_of_an_init_segment_panics(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let init = init_segment(&plan((25, 1), 100), TrackId::audio(0), &aac_header()).expect("an init segment");
            let mut changed = init.to_vec();
            let index = at.index(changed.len());
            changed[index] = byte;
            let _ = codec_string_of_init(&changed);
            prop_assert!(codec_string_of_init(&init[..cut.index(init.len())]).is_err());
        }
    }
}
