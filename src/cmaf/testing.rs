//! Plans, headers and samples for the tests of this module.

use bytes::Bytes;

use super::Sample;
use crate::title::{AAC_FRAME_SAMPLES, CodecHeader, Plan, SegmentNumber, sample};

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
