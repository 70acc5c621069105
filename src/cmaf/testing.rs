//! Plans, headers and samples for the tests of this module.

use bytes::Bytes;

use super::Sample;
use crate::title::{
    AAC_FRAME_SAMPLES, CodecHeader, ContentLight, LightFacts, MasteringDisplay, Plan, SegmentNumber, VideoCodec, VideoEncoding,
    VideoMethod, VideoRange, VideoTrack, sample,
};

/// A plan of `frames` frames in segments of four seconds: 720p, 240p and German sound.
pub(crate) fn plan(rate: (u32, u32), frames: u64) -> Plan {
    let mut plan = sample::plan(rate, frames, 4000);
    plan.video.remove(1);
    plan
}

/// x264's parameter sets of 1280×720 at High, level 3.1, BT.709.
pub(crate) fn avc_header() -> CodecHeader {
    let sps = bytes("6764001facd9405005bb016a020202800001f480007530078c18cb");
    CodecHeader::Avc { sps: vec![sps.into()], pps: vec![bytes("68ef8fcb").into()] }
}

/// A plan of 720p, and 720p again in HEVC with PQ, mastered at 1000 cd/m².
pub(crate) fn hevc_plan(rate: (u32, u32), frames: u64) -> Plan {
    let mut plan = plan(rate, frames);
    let encoding = VideoEncoding {
        codec: VideoCodec::Hevc,
        preset: "veryfast".into(),
        crf_tenths: 230,
        maxrate_bps: 4_000_000,
        bufsize_bits: 6_000_000,
    };
    plan.video[1] =
        VideoTrack { name: "720p-hdr".into(), width: 1280, height: 720, range: VideoRange::Pq, method: VideoMethod::Encode(encoding) };
    let primaries = [(34_000, 16_000), (13_250, 34_500), (7500, 3000)];
    let mastering = MasteringDisplay { primaries, white: (15_635, 16_450), luminance_max: 10_000_000, luminance_min: 50 };
    plan.light = LightFacts { mastering: Some(mastering), content: Some(ContentLight { max_nits: 1000, average_nits: 400 }) };
    plan
}

/// x265's sequence parameter set of 1280×720 at Main 10, level 3.1, BT.2100 PQ.
pub(crate) const HEVC_SPS: &str = "42010102200000030090000003000003005da00280802d1365959a4932bc05a84880482000000300200000030321";

/// The parameter sets that go with [`HEVC_SPS`].
pub(crate) fn hevc_header() -> CodecHeader {
    let set = |hex| vec![bytes(hex).into()];
    CodecHeader::Hevc { vps: set("40010c01ffff02200000030090000003000003005d959809"), sps: set(HEVC_SPS), pps: set("4401c172b42240") }
}

/// As [`pictures`], in HEVC.
pub(crate) fn hevc_pictures(plan: &Plan, number: SegmentNumber, order: &[i64]) -> Vec<Sample> {
    let mut samples = pictures(plan, number, order);
    for (index, sample) in samples.iter_mut().enumerate() {
        let kind = if index == 0 { 20 } else { 1 };
        sample.data = Bytes::from(vec![0, 0, 0, 3, kind << 1, 1, 1 + (index % 200) as u8]);
    }
    samples
}

/// AAC-LC, 48 kHz, stereo, with the empty extension that FFmpeg's encoder adds.
pub(crate) fn aac_header() -> CodecHeader {
    CodecHeader::Aac { config: bytes("119056e500").into() }
}

/// A segment's pictures: `order` lists, in decode order, when each of a repeated group is shown.
pub(crate) fn pictures(plan: &Plan, number: SegmentNumber, order: &[i64]) -> Vec<Sample> {
    let frame_ticks = plan.timeline.frame_rate().frame_ticks();
    let frames = plan.timeline.frames(number).expect("a segment");
    let count = frames.end - frames.start;
    (0..count as i64)
        .map(|index| {
            let (group, place) = (index / order.len() as i64, (index % order.len() as i64) as usize);
            let group_start = group * order.len() as i64;
            // A group that the segment's end cuts is shown as it is decoded.
            let whole = group_start + order.len() as i64 <= count as i64;
            let shown = if whole { group_start + order[place] } else { index };
            let unit = [if index == 0 { 0x65 } else { 0x41 }, (index % 200) as u8];
            Sample {
                duration_ticks: frame_ticks,
                composition_offset_ticks: ((shown - index) * i64::from(frame_ticks)) as i32,
                sync: index == 0,
                data: Bytes::from([&[0, 0, 0, 2][..], &unit].concat()),
            }
        })
        .collect()
}

/// A segment's frames of sound, of many sizes.
pub(crate) fn sounds(plan: &Plan, number: SegmentNumber) -> Vec<Sample> {
    let frames = plan.audio_frames(0, number).expect("a segment");
    frames
        .map(|frame| Sample {
            duration_ticks: AAC_FRAME_SAMPLES,
            composition_offset_ticks: 0,
            sync: true,
            data: Bytes::from(vec![0x21; 1 + (frame * 7 % 30) as usize]),
        })
        .collect()
}

/// Bytes written in hexadecimal; blanks do not count.
pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The hexadecimal form of bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
