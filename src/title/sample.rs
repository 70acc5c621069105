//! Facts and plans for tests: every test that needs one starts from these, so that a new field has one place to go.

use super::{
    AUDIO_SAMPLE_RATE, AudioFacts, AudioMethod, AudioRoles, AudioTier, AudioTrack, ColourFacts, ContentHash, CopyDoubt, DeinterlacePolicy,
    FieldOrder, FrameRate, Generation, KeyFrame, Ladder, LightFacts, Orientation, Plan, PlanPolicy, Ratio, SoundPolicy, SourceFacts,
    StreamFacts, TextKind, TextOrigin, TextTrack, TimeBase, Timeline, VideoCodec, VideoEncoding, VideoFacts, VideoMethod, VideoRange,
    VideoTrack,
};

/// A plan of `frames` frames at `rate` in segments of about `segment_ms`: 720p, 540p, 240p and German stereo sound.
pub(crate) fn plan(rate: (u32, u32), frames: u64, segment_ms: u32) -> Plan {
    Plan {
        origin: Ratio::from_integer(0),
        timeline: Timeline::even(FrameRate::new(rate.0, rate.1).expect("a rate"), frames, segment_ms),
        video_stream: Some(0),
        orientation: Orientation::default(),
        deinterlace: None,
        video: vec![
            video_track("720p", 1280, 720, 3_000_000),
            video_track("540p", 960, 540, 1_800_000),
            video_track("240p", 426, 240, 450_000),
        ],
        light: LightFacts::default(),
        audio: vec![audio_track("German", Some("de"), true)],
        gain_hundredths_db: 0,
        mix_hundredths_db: SoundPolicy::MIX_HUNDREDTHS_DB,
        text: Vec::new(),
    }
}

/// An encoded H.264 rendition.
pub(crate) fn video_track(name: &str, width: u32, height: u32, maxrate_bps: u32) -> VideoTrack {
    let encoding = VideoEncoding {
        codec: VideoCodec::Avc,
        preset: "veryfast".into(),
        crf_tenths: 230,
        maxrate_bps,
        bufsize_bits: maxrate_bps / 2 * 3,
    };
    VideoTrack { name: name.into(), width, height, range: VideoRange::Sdr, method: VideoMethod::Encode(encoding) }
}

/// An encoded stereo rendition of stream 1 at 128 kbit/s.
pub(crate) fn audio_track(name: &str, language: Option<&str>, default: bool) -> AudioTrack {
    AudioTrack {
        stream: 1,
        name: name.into(),
        language: language.map(str::to_owned),
        default,
        described: false,
        commentary: false,
        tier: AudioTier::Stereo,
        channels: 2,
        sample_rate: AUDIO_SAMPLE_RATE,
        bit_rate_bps: 128_000,
        method: AudioMethod::Encode,
    }
}

/// A text rendition that appeared in generation `at.0` as number `at.1`.
pub(crate) fn text_track(name: &str, language: Option<&str>, kind: TextKind, at: (u32, u8)) -> TextTrack {
    TextTrack {
        name: name.into(),
        language: language.map(str::to_owned),
        kind,
        default: false,
        origin: TextOrigin::SideCar,
        document: ContentHash::of(name.as_bytes()),
        document_bytes: name.len() as u64,
        since: Generation(at.0),
        index: at.1,
    }
}

/// The 5.1 rendition of the sound of `stereo`.
pub(crate) fn surround_track(stereo: &AudioTrack) -> AudioTrack {
    AudioTrack { tier: AudioTier::Surround, channels: 6, bit_rate_bps: 384_000, ..stereo.clone() }
}

/// The rendition of the sound of `stereo` at the low bit rate.
pub(crate) fn low_track(stereo: &AudioTrack) -> AudioTrack {
    AudioTrack { tier: AudioTier::Low, bit_rate_bps: 64_000, ..stereo.clone() }
}

/// A progressive 1280×720 stream of `count` pictures, `interval` ticks of `1/den` s apart, from time zero.
pub(crate) fn video_facts(den: u32, interval: i64, count: u64, declared_rate: Option<(u32, u32)>) -> VideoFacts {
    let last_pts = interval * (count as i64 - 1);
    VideoFacts {
        codec: "h264".into(),
        colour: ColourFacts::STANDARD,
        coded_aspect: (1, 1),
        field_order: FieldOrder::Progressive,
        last_pts,
        end_pts: last_pts + interval,
        frame_count: count,
        interval_median: if count > 1 { interval } else { 0 },
        interval_quick: if count > 1 { interval } else { 0 },
        interval_max: interval,
        interval_regular_count: count - 1,
        interval_regular_ticks: last_pts,
        declared_rate,
        key_frames: vec![KeyFrame { pts: 0, dts: Some(0), position: None }],
        ..VideoFacts::bare(1280, 720, TimeBase { num: 1, den })
    }
}

/// A stereo AAC stream at 48 kHz with those samples, tagged German.
pub(crate) fn audio_facts(first_sample: i64, end_sample: i64) -> AudioFacts {
    AudioFacts {
        stream: 1,
        codec: "aac".into(),
        profile: None,
        sample_rate: 48_000,
        channels: 2,
        layout: Some("stereo".into()),
        language: Some("ger".into()),
        label: None,
        default: true,
        roles: AudioRoles::default(),
        time_base: TimeBase { num: 1, den: 48_000 },
        first_sample,
        end_sample,
        anchors: Vec::new(),
        discontinuity_count: 0,
        aac: Err(CopyDoubt::Codec),
        form_change_count: 0,
    }
}

/// A source of these streams.
pub(crate) fn facts(streams: Vec<StreamFacts>) -> SourceFacts {
    SourceFacts {
        container: "mov".into(),
        bytes: 1,
        declared_duration_ms: None,
        streams,
        corrupt_packet_count: 0,
        seams: Vec::new(),
        cut_off: false,
    }
}

/// The policy of the defaults.
pub(crate) fn policy() -> PlanPolicy {
    PlanPolicy {
        segment_ms: 4000,
        frame_rate_max: 60,
        deinterlace: DeinterlacePolicy::Field,
        ladder: Ladder::parse(include_str!("../../config/ladders/default.toml")).expect("the shipped ladder"),
        hdr: false,
        preset: "veryfast".into(),
        audio_bps: 128_000,
        video_copy: true,
        audio_copy: true,
        audio_copy_bps_max: 256_000,
        sound: sound_policy(),
        duration_max_ms: 86_400_000,
        pixels_max: 7680 * 4320,
        memory_max_bytes: 2 << 30,
    }
}

/// How sound is planned by default.
pub(crate) fn sound_policy() -> SoundPolicy {
    SoundPolicy { surround_bps: Some(384_000), low_bps: 64_000, target_hundredths_lufs: None }
}
