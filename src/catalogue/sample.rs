//! A small title for tests: two video renditions and one of audio, three segments each.

use bytes::Bytes;

use super::{SegmentRecord, TrackRates, TrackRecord};
use crate::title::{
    AudioAnchor, AudioFacts, AudioTrack, CodecHeader, ContentHash, FrameRate, Orientation, Plan, Ratio, SegmentNumber, SourceFacts,
    StreamFacts, TimeBase, Timeline, TitleId, TrackId, TrackKind, VideoEncoding, VideoTrack,
};

/// A title's identifier; a larger `age` is a younger title.
pub(crate) fn title_id(age: u64) -> TitleId {
    TitleId::new(1_700_000_000_000 + age, u128::from(age) * 0x1234_5678_9abc)
}

/// What a survey might have found.
pub(crate) fn facts() -> SourceFacts {
    let audio = AudioFacts {
        stream: 1,
        codec: "aac".into(),
        profile: Some("LC".into()),
        sample_rate: 48_000,
        channels: 2,
        language: Some("ger".into()),
        label: None,
        default: true,
        time_base: TimeBase { num: 1, den: 48_000 },
        first_sample: -1024,
        end_sample: 576_000,
        anchors: vec![AudioAnchor { pts: i64::MIN, position: Some(48), sample: -1024 }],
        discontinuity_count: 0,
    };
    SourceFacts {
        container: "mov,mp4".into(),
        bytes: 6,
        declared_duration_ms: Some(-1),
        streams: vec![StreamFacts::Audio(audio)],
        corrupt_packet_count: 0,
    }
}

/// Two video tracks and one of audio, three segments each. Its origin does not fit 64 bits.
pub(crate) fn plan() -> Plan {
    let video = |name: &str, width, height| VideoTrack {
        name: name.into(),
        width,
        height,
        encoding: VideoEncoding { preset: "veryfast".into(), crf_tenths: 225, maxrate_bps: 3_000_000, bufsize_bits: 6_000_000 },
    };
    Plan {
        origin: Ratio::new(-i128::from(u64::MAX) * 3, (1 << 90) + 1),
        timeline: Timeline::even(FrameRate::new(24, 1).expect("a rate"), 24 * 12, 4000),
        video_stream: Some(0),
        orientation: Orientation::default(),
        video: vec![video("720p", 1280, 720), video("360p", 640, 360)],
        audio: vec![AudioTrack {
            stream: 1,
            name: "German".into(),
            language: Some("de".into()),
            default: true,
            channels: 2,
            bit_rate_bps: 128_000,
        }],
    }
}

/// The bytes of a track's init segment.
pub(crate) fn init_bytes(track: TrackId) -> Bytes {
    Bytes::from(format!("the init segment of {track}"))
}

/// The plan's tracks.
pub(crate) fn tracks() -> Vec<TrackRecord> {
    let header = |track: TrackId| match track.kind {
        TrackKind::Video => CodecHeader::Avc { sps: vec![Bytes::from_static(&[0x67, 0xff, 0])], pps: vec![Bytes::from_static(&[0x68])] },
        TrackKind::Audio => CodecHeader::Aac { config: Bytes::from_static(&[0x11, 0x90]) },
    };
    let record = |track: TrackId| TrackRecord {
        track,
        header: header(track),
        codec: if track.kind == TrackKind::Video { "avc1.64001f".into() } else { "mp4a.40.2".into() },
        init_hash: ContentHash::of(&init_bytes(track)),
        init_bytes: init_bytes(track).len() as u64,
        rates: None,
    };
    plan().tracks().map(record).collect()
}

/// The bytes of a segment; every one is different.
pub(crate) fn segment_bytes(track: TrackId, number: u32) -> Bytes {
    Bytes::from(format!("segment {number} of {track}"))
}

/// The ledger row of a segment.
pub(crate) fn segment(track: TrackId, number: u32) -> SegmentRecord {
    let bytes = segment_bytes(track, number);
    SegmentRecord {
        track,
        number: SegmentNumber(number),
        hash: ContentHash::of(&bytes),
        bytes: bytes.len() as u64,
        decode_time_ticks: u64::from(number) * 49_152,
        duration_ticks: 49_152,
        starts_with_key_frame: true,
        concealed: u64::from(number),
        dropped: 1,
    }
}

/// All ledger rows of the plan, in its order.
pub(crate) fn segments() -> Vec<SegmentRecord> {
    plan().tracks().flat_map(|track| (0..plan().timeline.segment_count()).map(move |number| segment(track, number))).collect()
}

/// Rates of every track.
pub(crate) fn rates() -> Vec<(TrackId, TrackRates)> {
    plan().tracks().map(|track| (track, TrackRates { peak_bps: 2_000_000, average_bps: 1_500_000 })).collect()
}
