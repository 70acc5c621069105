//! A small title for tests: two video renditions and one of audio, three segments each.

use bytes::Bytes;

use super::{SegmentRecord, StillRecord, TrackRates, TrackRecord};
use crate::playlist::Rates;
use crate::title::{
    AudioAnchor, CodecHeader, ContentHash, KeyFrameSpan, Loudness, Plan, Ratio, SegmentNumber, SourceFacts, Still, StreamFacts, TitleId,
    TrackId, TrackKind, sample,
};

/// A title's identifier; a larger `age` is a younger title.
pub(crate) fn title_id(age: u64) -> TitleId {
    TitleId::new(1_700_000_000_000 + age, u128::from(age) * 0x1234_5678_9abc)
}

/// What a survey might have found.
pub(crate) fn facts() -> SourceFacts {
    let mut audio = sample::audio_facts(-1024, 576_000);
    audio.profile = Some("LC".into());
    audio.anchors = vec![AudioAnchor { pts: i64::MIN, position: Some(48), sample: -1024, retuned: Some((7, i64::MAX)) }];
    SourceFacts { bytes: 6, declared_duration_ms: Some(-1), ..sample::facts(vec![StreamFacts::Audio(audio)]) }
}

/// Two video tracks and one of audio, three segments each. Its origin does not fit 64 bits.
pub(crate) fn plan() -> Plan {
    let mut plan = sample::plan((24, 1), 24 * 12, 4000);
    plan.origin = Ratio::new(-i128::from(u64::MAX) * 3, (1 << 90) + 1);
    plan.video.pop();
    plan
}

/// The bytes of a track's init segment.
pub(crate) fn init_bytes(track: TrackId) -> Bytes {
    Bytes::from(format!("the init segment of {track}"))
}

/// The plan's tracks.
pub(crate) fn tracks() -> Vec<TrackRecord> {
    let header = |track: TrackId| match track.kind {
        TrackKind::Video => CodecHeader::Avc { sps: vec![Bytes::from_static(&[0x67, 0xff, 0])], pps: vec![Bytes::from_static(&[0x68])] },
        TrackKind::Audio | TrackKind::Text => CodecHeader::Aac { config: Bytes::from_static(&[0x11, 0x90]) },
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
        key_frame: (track.kind == TrackKind::Video).then_some(KeyFrameSpan { offset_bytes: 4, length_bytes: 3 + u64::from(number) }),
    }
}

/// The bytes of a still; every one is different.
pub(crate) fn still_bytes(still: Still) -> Bytes {
    Bytes::from(format!("the still {still}"))
}

/// A poster and a storyboard of one sheet.
pub(crate) fn stills() -> Vec<StillRecord> {
    let record = |still: Still| {
        let bytes = still_bytes(still);
        StillRecord { still, hash: ContentHash::of(&bytes), bytes: bytes.len() as u64 }
    };
    [Still::Poster, Still::Sprite(0), Still::Storyboard].map(record).to_vec()
}

/// All ledger rows of the plan, in its order.
pub(crate) fn segments() -> Vec<SegmentRecord> {
    plan().tracks().flat_map(|track| (0..plan().timeline.segment_count()).map(move |number| segment(track, number))).collect()
}

/// Rates of every track.
pub(crate) fn rates() -> Vec<(TrackId, TrackRates)> {
    let key_frames = Rates { peak_bps: 200_000, average_bps: 150_000 };
    let rates = |track: TrackId| TrackRates {
        peak_bps: 2_000_000,
        average_bps: 1_500_000,
        key_frames: (track.kind == TrackKind::Video).then_some(key_frames),
    };
    plan().tracks().map(|track| (track, rates(track))).collect()
}

/// How loud its sound is.
pub(crate) fn loudness() -> Loudness {
    Loudness {
        integrated_hundredths_lufs: Some(-2305),
        range_hundredths_lu: 650,
        true_peak_hundredths_dbtp: Some(-320),
        mix_true_peak_hundredths_dbtp: None,
        silent: false,
    }
}
