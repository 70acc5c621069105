//! Plans for the tests of this module.

use crate::title::{AudioTrack, FrameRate, Orientation, Plan, Ratio, Timeline, VideoEncoding, VideoTrack};

/// A plan of `frames` frames: 720p, 540p, 240p and German sound.
pub(super) fn plan(rate: (u32, u32), frames: u64, segment_ms: u32) -> Plan {
    Plan {
        origin: Ratio::from_integer(0),
        timeline: Timeline::even(FrameRate::new(rate.0, rate.1).expect("a rate"), frames, segment_ms),
        video_stream: Some(0),
        orientation: Orientation::default(),
        video: vec![video("720p", 1280, 720, 3_000_000), video("540p", 960, 540, 1_800_000), video("240p", 426, 240, 450_000)],
        audio: vec![audio("German", Some("de"), true)],
    }
}

fn video(name: &str, width: u32, height: u32, maxrate_bps: u32) -> VideoTrack {
    let encoding = VideoEncoding { preset: "veryfast".into(), crf_tenths: 230, maxrate_bps, bufsize_bits: maxrate_bps / 2 * 3 };
    VideoTrack { name: name.into(), width, height, encoding }
}

/// A stereo audio track.
pub(super) fn audio(name: &str, language: Option<&str>, default: bool) -> AudioTrack {
    AudioTrack { stream: 1, name: name.into(), language: language.map(str::to_owned), default, channels: 2, bit_rate_bps: 128_000 }
}
