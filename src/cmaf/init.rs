//! Init segments: `ftyp` and `moov` of one track without samples (ISO 23000-19 7.3.1).

use bytes::Bytes;
use mp4_atom::{
    Atom, Audio, Avc1, Avcc, AvccExt, Btrt, BufMut, Codec, Colr, Dinf, Dref, Encode, Esds, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov,
    Mp4a, Mvex, Mvhd, Pasp, Smhd, Stbl, Stco, Stsc, Stsd, Stsz, Stts, Tkhd, Trak, Trex, Url, Visual, Vmhd, esds,
};

use super::codec::MPEG4_AUDIO;
use super::sps::{PictureFacts, SpsFacts};
use super::{Error, TRACK_NUMBER, aac, hevc_entry, nal, sps, timescale};
use crate::title::{AAC_FRAME_SAMPLES, AudioTrack, CodecHeader, Plan, TrackId, TrackKind, VideoMethod, VideoTrack};

/// The init segment of a track: what a player reads once before any of its segments.
///
/// # Errors
/// [`Error::NoSuchTrack`], [`Error::HeaderKind`], [`Error::ParameterSets`] and [`Error::AudioConfig`] for what cannot be
/// used; [`Error::Picture`] and [`Error::Sound`] when the encoder made something other than the plan says.
pub fn init_segment(plan: &Plan, track: TrackId, header: &CodecHeader) -> Result<Bytes, Error> {
    let entry = match (track.kind, header) {
        (TrackKind::Video, CodecHeader::Avc { sps, pps }) => {
            let planned = plan.video.get(usize::from(track.index)).ok_or(Error::NoSuchTrack(track))?;
            Entry { codec: Codec::Avc1(picture_entry(planned, sps, pps)?), further: Vec::new() }
        }
        (TrackKind::Video, CodecHeader::Hevc { vps, sps, pps }) => {
            let planned = plan.video.get(usize::from(track.index)).ok_or(Error::NoSuchTrack(track))?;
            hevc_entry::entry(planned, &plan.light, [vps, sps, pps])?
        }
        (TrackKind::Audio, CodecHeader::Aac { config }) => {
            let planned = plan.audio.get(usize::from(track.index)).ok_or(Error::NoSuchTrack(track))?;
            Entry { codec: Codec::Mp4a(sound_entry(planned, config)?), further: Vec::new() }
        }
        _ if !plan.has(track) => return Err(Error::NoSuchTrack(track)),
        _ => return Err(Error::HeaderKind(track)),
    };
    let mut out = Vec::with_capacity(INIT_BYTES_USUAL);
    file_type().encode(&mut out)?;
    write_movie(&mut out, plan, track, &entry)?;
    Ok(Bytes::from(out))
}

/// A sample entry, and boxes within it that come after those that have a type.
pub(super) struct Entry {
    pub codec: Codec,
    pub further: Vec<u8>,
}

impl Entry {
    /// The finished box.
    fn bytes(&self) -> Result<Vec<u8>, mp4_atom::Error> {
        let mut entry = Vec::new();
        self.codec.encode(&mut entry)?;
        entry.extend_from_slice(&self.further);
        let size = u32::try_from(entry.len()).map_err(|_| mp4_atom::Error::TooLarge(Stsd::KIND))?;
        if let Some(place) = entry.first_chunk_mut() {
            *place = size.to_be_bytes();
        }
        Ok(entry)
    }
}

/// About what an init segment takes, to allocate once.
const INIT_BYTES_USUAL: usize = 1024;

/// iso6 brings `default-base-is-moof`, cmfc is CMAF, cmf2 adds that presentation starts at the decode time by negative
/// offsets and nothing depends on `trex`; mp41 is for readers that look for nothing else.
fn file_type() -> Ftyp {
    let brands = [b"iso6", b"cmfc", b"cmf2", b"mp41"];
    Ftyp { major_brand: FourCC::new(b"iso6"), minor_version: 0, compatible_brands: brands.map(FourCC::new).to_vec() }
}

/// Writes `moov` with its boxes in the order that ISO 14496-12 lists them; durations are zero, for all is in fragments.
fn write_movie(out: &mut Vec<u8>, plan: &Plan, track: TrackId, entry: &Entry) -> mp4_atom::Result<()> {
    let movie =
        Mvhd { timescale: timescale(plan, track), rate: 1.into(), volume: 1.into(), next_track_id: TRACK_NUMBER + 1, ..Mvhd::default() };
    let extends = Trex { track_id: TRACK_NUMBER, default_sample_description_index: 1, ..Trex::default() };
    out.encode_atom(Moov::KIND, |out| {
        movie.encode(out)?;
        out.encode_atom(Trak::KIND, |out| {
            track_header(&entry.codec).encode(out)?;
            out.encode_atom(Mdia::KIND, |out| {
                let language = language(plan, track);
                Mdhd { timescale: timescale(plan, track), language, ..Mdhd::default() }.encode(out)?;
                handler(track.kind).encode(out)?;
                out.encode_atom(Minf::KIND, |out| {
                    match track.kind {
                        TrackKind::Video => Vmhd::default().encode(out)?,
                        TrackKind::Audio | TrackKind::Text => Smhd::default().encode(out)?,
                    }
                    Dinf { dref: Dref { entries: vec![Url::default().into()] } }.encode(out)?;
                    out.encode_atom(Stbl::KIND, |out| {
                        out.encode_atom(Stsd::KIND, |out| {
                            // Version and flags, one entry.
                            0_u32.encode(out)?;
                            1_u32.encode(out)?;
                            out.append_slice(&entry.bytes()?);
                            Ok(())
                        })?;
                        Stts::default().encode(out)?;
                        Stsc::default().encode(out)?;
                        Stsz::default().encode(out)?;
                        Stco::default().encode(out)
                    })
                })
            })
        })?;
        Mvex { mehd: None, trex: vec![extends] }.encode(out)
    })
}

fn track_header(entry: &Codec) -> Tkhd {
    let mut header = Tkhd { track_id: TRACK_NUMBER, enabled: true, in_movie: true, ..Tkhd::default() };
    match entry.visual() {
        Some(visual) => (header.width, header.height) = (visual.width.into(), visual.height.into()),
        None => header.volume = 1.into(),
    }
    header
}

fn handler(kind: TrackKind) -> Hdlr {
    let (handler, name) = match kind {
        TrackKind::Video => (b"vide", "Headwater video"),
        TrackKind::Audio | TrackKind::Text => (b"soun", "Headwater audio"),
    };
    Hdlr { handler: FourCC::new(handler), name: name.to_owned() }
}

/// ISO 639-2 T of the track's language, which is `und` where there is none or it is unknown.
fn language(plan: &Plan, track: TrackId) -> String {
    let tag = match track.kind {
        TrackKind::Video | TrackKind::Text => None,
        TrackKind::Audio => plan.audio.get(usize::from(track.index)).and_then(|audio| audio.language.as_deref()),
    };
    let primary = tag.and_then(|tag| tag.split('-').next()).unwrap_or_default();
    let language = match primary.len() {
        2 => isolang::Language::from_639_1(primary),
        3 => isolang::Language::from_639_3(primary),
        _ => None,
    };
    language.map_or("und", |language| language.to_639_3()).to_owned()
}

fn picture_entry(planned: &VideoTrack, sps: &[Bytes], pps: &[Bytes]) -> Result<Avc1, Error> {
    let first = sps.first().ok_or(Error::ParameterSets("there is no sequence parameter set"))?;
    let facts = sps::read(first).ok_or(Error::ParameterSets("the sequence parameter set is malformed"))?;
    let PictureBoxes { visual, btrt, colr, pasp } = picture_boxes(planned, &facts.picture)?;
    let avcc = decoder_configuration(&facts, sps, pps)?;
    Ok(Avc1 { visual, avcc, btrt: Some(btrt), colr, pasp: Some(pasp), ..Avc1::default() })
}

/// What the sample entry of any codec of pictures holds beside the decoder configuration.
pub(super) struct PictureBoxes {
    pub visual: Visual,
    pub btrt: Btrt,
    pub colr: Option<Colr>,
    pub pasp: Pasp,
}

/// The boxes for a planned track, when the pictures are of the planned size and their pixels square.
pub(super) fn picture_boxes(planned: &VideoTrack, facts: &PictureFacts) -> Result<PictureBoxes, Error> {
    let (wide, high) = facts.sample_aspect.unwrap_or((1, 1));
    if (facts.width, facts.height) != (planned.width, planned.height) || wide != high {
        return Err(Error::Picture {
            found: format!("{}x{} with pixels of {wide}:{high}", facts.width, facts.height),
            planned: format!("{}x{}", planned.width, planned.height),
        });
    }
    let side = |pixels: u32| u16::try_from(pixels).map_err(|_| Error::TooLarge("the picture's size"));
    let visual = Visual { data_reference_index: 1, width: side(facts.width)?, height: side(facts.height)?, ..Visual::default() };
    let max_bitrate = planned.cap_bps();
    let avg_bitrate = match planned.method {
        VideoMethod::Copy { average_bps, .. } => average_bps,
        // The average of a capped rate factor is known only at the end; the cap is its bound.
        VideoMethod::Encode(_) => max_bitrate,
    };
    let colr = facts.colour.map(|colour| Colr::Nclx {
        colour_primaries: colour.primaries.into(),
        transfer_characteristics: colour.transfer.into(),
        matrix_coefficients: colour.matrix.into(),
        full_range_flag: colour.full_range,
    });
    Ok(PictureBoxes {
        visual,
        btrt: Btrt { buffer_size_db: planned.buffer_bits() / 8, max_bitrate, avg_bitrate },
        colr,
        pasp: Pasp { h_spacing: 1, v_spacing: 1 },
    })
}

/// Profiles whose `avcC` ends with the parameter sets (ISO 14496-15 5.3.3.1.2).
const WITHOUT_EXTENSION: [u8; 3] = [66, 77, 88];
/// Most sequence and picture parameter sets that `avcC` can count.
const SPS_COUNT_MAX: usize = 31;
const PPS_COUNT_MAX: usize = 255;

fn decoder_configuration(facts: &SpsFacts, sps: &[Bytes], pps: &[Bytes]) -> Result<Avcc, Error> {
    let usable = |sets: &[Bytes], kind: u8, count_max: usize| {
        let well = |set: &Bytes| nal::unit_type(set) == Some(kind) && u16::try_from(set.len()).is_ok();
        (1..=count_max).contains(&sets.len()) && sets.iter().all(well)
    };
    if !usable(sps, nal::SPS, SPS_COUNT_MAX) {
        return Err(Error::ParameterSets("the sequence parameter sets do not fit"));
    }
    if !usable(pps, nal::PPS, PPS_COUNT_MAX) {
        return Err(Error::ParameterSets("the picture parameter sets are missing or do not fit"));
    }
    let ext = (!WITHOUT_EXTENSION.contains(&facts.profile_idc)).then_some(AvccExt {
        chroma_format: facts.picture.chroma_format_idc,
        bit_depth_luma: facts.picture.bit_depth_luma,
        bit_depth_chroma: facts.picture.bit_depth_chroma,
        sequence_parameter_sets_ext: Vec::new(),
    });
    Ok(Avcc {
        configuration_version: 1,
        avc_profile_indication: facts.profile_idc,
        profile_compatibility: facts.constraint_flags,
        avc_level_indication: facts.level_idc,
        length_size: nal::LENGTH_BYTES as u8,
        sequence_parameter_sets: sps.iter().map(|set| set.to_vec()).collect(),
        picture_parameter_sets: pps.iter().map(|set| set.to_vec()).collect(),
        ext,
    })
}

/// Bytes of a decoder's input buffer for each channel (ISO 14496-3 4.5.3.2: 6144 bits).
const AAC_BUFFER_BYTES: u32 = 768;
/// streamType of audio (ISO 14496-1 table 6).
const AUDIO_STREAM: u8 = 5;
/// Longest AudioSpecificConfig taken; real ones have 2 to 70 bytes.
const AUDIO_CONFIG_BYTES_MAX: usize = 1024;

fn sound_entry(planned: &AudioTrack, config: &[u8]) -> Result<Mp4a, Error> {
    if config.len() > AUDIO_CONFIG_BYTES_MAX {
        return Err(Error::AudioConfig("it is too long"));
    }
    let facts = aac::read(config).ok_or(Error::AudioConfig("it is malformed"))?;
    let channels = facts.channels();
    if (facts.sample_rate, facts.frame_samples, channels) != (planned.sample_rate, AAC_FRAME_SAMPLES, Some(planned.channels.into())) {
        let channels = channels.map_or_else(|| "an unknown number of".to_owned(), |channels| channels.to_string());
        return Err(Error::Sound {
            found: format!("{channels} channels at {} Hz in frames of {}", facts.sample_rate, facts.frame_samples),
            planned: format!("{} channels at {} Hz in frames of {AAC_FRAME_SAMPLES}", planned.channels, planned.sample_rate),
        });
    }
    let rate_bps = planned.bit_rate_bps;
    let buffer_bytes = AAC_BUFFER_BYTES * u32::from(planned.channels);
    let decoder = esds::DecoderConfig {
        object_type_indication: MPEG4_AUDIO,
        stream_type: AUDIO_STREAM,
        up_stream: 0,
        buffer_size_db: buffer_bytes.try_into().map_err(|_| Error::TooLarge("the decoder's buffer"))?,
        max_bitrate: rate_bps,
        avg_bitrate: rate_bps,
        dec_specific: Some(esds::DecoderSpecific {
            profile: facts.core_object_type as u8,
            freq_index: facts.rate_index as u8,
            chan_conf: facts.channel_configuration as u8,
            // What is written: the encoder's bytes as they are.
            raw: config.to_vec(),
        }),
    };
    // Up to 48000 has a place in the 16 bits before the point.
    let sample_rate = u16::try_from(planned.sample_rate).map_err(|_| Error::TooLarge("the sample rate"))?;
    Ok(Mp4a {
        audio: Audio { data_reference_index: 1, channel_count: planned.channels.into(), sample_size: 16, sample_rate: sample_rate.into() },
        // ES_ID is zero in a file (ISO 14496-14 3.1.2).
        esds: Esds { es_desc: esds::EsDescriptor { dec_config: decoder, ..esds::EsDescriptor::default() } },
        btrt: Some(Btrt { buffer_size_db: buffer_bytes, max_bitrate: rate_bps, avg_bitrate: rate_bps }),
        taic: None,
    })
}

#[cfg(test)]
mod tests {
    use mp4_atom::Decode;

    use super::*;
    use crate::cmaf::boxes::{exactly, split_first};
    use crate::cmaf::testing::{aac_header, avc_header, bytes, plan};

    fn read(init: &[u8]) -> Moov {
        let mut rest = init;
        let ftyp = Ftyp::decode(&mut rest).expect("ftyp");
        assert_eq!((ftyp.major_brand, &ftyp.compatible_brands[1]), (FourCC::new(b"iso6"), &FourCC::new(b"cmfc")));
        let moov = Moov::decode(&mut rest).expect("moov");
        assert!(rest.is_empty());
        assert_eq!(moov.mvhd.duration, 0);
        let mvex = moov.mvex.as_ref().expect("mvex");
        assert_eq!((mvex.trex.len(), mvex.trex[0].track_id), (1, 1));
        assert_eq!(moov.trak.len(), 1);
        assert_eq!((moov.trak[0].tkhd.track_id, moov.trak[0].tkhd.duration, moov.trak[0].mdia.mdhd.duration), (1, 0, 0));
        assert!(moov.trak[0].edts.is_none());
        moov
    }

    #[test]
    fn pictures_are_described_from_their_parameter_sets() {
        let init = init_segment(&plan((30_000, 1001), 240), TrackId::video(0), &avc_header()).expect("an init segment");
        let moov = read(&init);
        let media = &moov.trak[0].mdia;
        assert_eq!((media.mdhd.timescale, media.mdhd.language.as_str()), (30_000, "und"));
        assert_eq!(media.hdlr.handler, FourCC::new(b"vide"));
        let tkhd = &moov.trak[0].tkhd;
        assert_eq!((tkhd.width.integer(), tkhd.height.integer(), tkhd.volume.integer()), (1280, 720, 0));
        let [Codec::Avc1(entry)] = media.minf.stbl.stsd.codecs.as_slice() else { panic!("no avc1") };
        assert_eq!((entry.visual.width, entry.visual.height), (1280, 720));
        let ext = entry.avcc.ext.as_ref().expect("a High profile has the extension");
        assert_eq!((ext.chroma_format, ext.bit_depth_luma, ext.bit_depth_chroma), (1, 8, 8));
        assert_eq!((entry.avcc.length_size, entry.avcc.avc_level_indication), (4, 31));
        let nclx = Colr::Nclx { colour_primaries: 1, transfer_characteristics: 1, matrix_coefficients: 1, full_range_flag: false };
        assert_eq!(entry.colr, Some(nclx));
        assert_eq!(entry.pasp, Some(Pasp { h_spacing: 1, v_spacing: 1 }));
        assert_eq!(entry.btrt.as_ref().map(|btrt| (btrt.buffer_size_db, btrt.max_bitrate)), Some((562_500, 3_000_000)));
    }

    #[test]
    fn pixels_are_square_however_it_is_said() {
        let CodecHeader::Avc { sps, .. } = avc_header() else { panic!("not AVC") };
        let facts = sps::read(&sps[0]).expect("a set").picture;
        let planned = &plan((25, 1), 100).video[0];
        for (sample_aspect, square) in [(None, true), (Some((1, 1)), true), (Some((40, 40)), true), (Some((40, 33)), false)] {
            let found = picture_boxes(planned, &PictureFacts { sample_aspect, ..facts.clone() });
            assert_eq!(found.is_ok(), square, "{sample_aspect:?}");
        }
    }

    #[test]
    fn sound_keeps_its_configuration_byte_for_byte() {
        let init = init_segment(&plan((25, 1), 100), TrackId::audio(0), &aac_header()).expect("an init segment");
        let moov = read(&init);
        let media = &moov.trak[0].mdia;
        assert_eq!((media.mdhd.timescale, media.mdhd.language.as_str()), (48_000, "deu"));
        assert_eq!((media.hdlr.handler, moov.trak[0].tkhd.volume.integer()), (FourCC::new(b"soun"), 1));
        let [Codec::Mp4a(entry)] = media.minf.stbl.stsd.codecs.as_slice() else { panic!("no mp4a") };
        assert_eq!((entry.audio.channel_count, entry.audio.sample_rate.integer()), (2, 48_000));
        let decoder = &entry.esds.es_desc.dec_config;
        assert_eq!((decoder.object_type_indication, decoder.stream_type, decoder.avg_bitrate), (0x40, 5, 128_000));
        assert_eq!(decoder.dec_specific.as_ref().map(|specific| specific.raw.clone()), Some(bytes("119056e500")));
    }

    #[test]
    fn boxes_stand_in_their_usual_order() {
        let init = init_segment(&plan((25, 1), 100), TrackId::audio(0), &aac_header()).expect("an init segment");
        let [_, moov] = exactly(&init, [b"ftyp", b"moov"]).expect("ftyp moov");
        let [_, trak, _] = exactly(moov, [b"mvhd", b"trak", b"mvex"]).expect("mvhd trak mvex");
        let [_, mdia] = exactly(trak, [b"tkhd", b"mdia"]).expect("tkhd mdia");
        let [_, _, minf] = exactly(mdia, [b"mdhd", b"hdlr", b"minf"]).expect("mdhd hdlr minf");
        let [_, _, stbl] = exactly(minf, [b"smhd", b"dinf", b"stbl"]).expect("smhd dinf stbl");
        let [stsd, ..] = exactly(stbl, [b"stsd", b"stts", b"stsc", b"stsz", b"stco"]).expect("stsd stts stsc stsz stco");
        assert_eq!(split_first(&stsd[8..]).map(|(kind, ..)| kind), Some(*b"mp4a"));
    }

    #[test]
    fn what_was_not_planned_is_refused() {
        let plan = plan((25, 1), 100);
        let refused = |track, header| init_segment(&plan, track, &header).expect_err("refused");
        assert!(matches!(refused(TrackId::video(9), avc_header()), Error::NoSuchTrack(_)));
        assert!(matches!(refused(TrackId::video(0), aac_header()), Error::HeaderKind(_)));
        assert!(matches!(refused(TrackId::video(1), avc_header()), Error::Picture { .. }), "another size");
        let config = |hex| CodecHeader::Aac { config: bytes(hex).into() };
        assert!(matches!(refused(TrackId::audio(0), config("1210")), Error::Sound { .. }), "44100 Hz");
        assert!(matches!(refused(TrackId::audio(0), config("1188")), Error::Sound { .. }), "mono");
        assert!(matches!(refused(TrackId::audio(0), config("1194")), Error::Sound { .. }), "frames of 960");
        let CodecHeader::Avc { sps, pps } = avc_header() else { panic!("not AVC") };
        let without = CodecHeader::Avc { sps: sps.clone(), pps: Vec::new() };
        assert!(matches!(refused(TrackId::video(0), without), Error::ParameterSets(_)));
        let many = CodecHeader::Avc { sps: vec![sps[0].clone(); 32], pps };
        assert!(matches!(refused(TrackId::video(0), many), Error::ParameterSets(_)));
    }
}
