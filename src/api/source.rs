//! The upload as clients see it: what was received, and what the survey found in it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::catalogue::SourceRecord;
use crate::title::{AudioFacts, FieldOrder, Loudness, SourceFacts, SubtitleFacts, SubtitleForm, VideoFacts};

/// The upload.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Source {
    /// Its length in bytes.
    bytes: u64,
    /// Its SHA-256 in lower-case hexadecimal digits.
    sha256: String,
    /// The demuxer that reads it, once it was surveyed.
    #[schema(required)]
    container: Option<String>,
    /// The video stream that is shown.
    #[schema(required)]
    video: Option<SourceVideo>,
    /// Its audio streams.
    audio: Vec<SourceAudio>,
    /// Its subtitle streams.
    subtitles: Vec<SourceSubtitle>,
}

/// A video stream of the upload.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SourceVideo {
    /// Index in the container.
    stream: u32,
    /// The codec, such as `h264`.
    codec: String,
    /// Its profile.
    #[schema(required)]
    profile: Option<String>,
    /// Stored width in pixels.
    width: u32,
    /// Stored height in pixels.
    height: u32,
    /// Width of a pixel to its height.
    #[schema(example = "1:1")]
    sample_aspect: String,
    /// Clockwise turn that makes the picture upright, in degrees.
    rotation_degrees: u16,
    /// Pictures.
    frame_count: u64,
    /// Bits of one component.
    bit_depth: u8,
    /// The pixel format, such as `yuv420p`.
    pixel_format: String,
    /// Whether frames are woven of fields, if the stream tells it.
    #[schema(required)]
    interlaced: Option<bool>,
}

/// An audio stream of the upload.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SourceAudio {
    /// Index in the container.
    stream: u32,
    /// The codec, such as `aac`.
    codec: String,
    /// Its profile.
    #[schema(required)]
    profile: Option<String>,
    /// Samples a second.
    sample_rate: u32,
    /// Channels.
    channels: u32,
    /// The language as tagged.
    #[schema(required)]
    language: Option<String>,
    /// Its title as tagged.
    #[schema(required)]
    label: Option<String>,
    /// The channel layout, such as `5.1(side)`, where it is known.
    #[schema(required)]
    layout: Option<String>,
    /// How loud it is, once it was measured.
    #[schema(required)]
    loudness: Option<SourceLoudness>,
}

/// How loud an audio stream of the upload is (EBU R 128).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SourceLoudness {
    /// Integrated loudness in LUFS; absent for silence. A single channel counts as it is played, from both sides.
    #[schema(required, example = -23.0)]
    integrated_lufs: Option<f64>,
    /// Loudness range in LU.
    range_lu: f64,
    /// The highest true peak in dBTP; absent when all samples are zero.
    #[schema(required, example = -1.0)]
    true_peak_dbtp: Option<f64>,
    /// Whether there is nothing to hear from start to end.
    silent: bool,
}

/// A subtitle stream of the upload.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SourceSubtitle {
    /// Index in the container.
    stream: u32,
    /// The codec, such as `subrip`.
    codec: String,
    /// The language as tagged.
    #[schema(required)]
    language: Option<String>,
    /// Its title as tagged.
    #[schema(required)]
    label: Option<String>,
    /// Whether its cues are text; absent when nothing here can read them.
    #[schema(required)]
    text: Option<bool>,
    /// Whether it is marked as the default.
    default: bool,
    /// Whether it is marked as what every viewer needs.
    forced: bool,
    /// Whether it is marked as meant for those who do not hear.
    hearing_impaired: bool,
    /// Cues that were read.
    cue_count: u64,
    /// Cues that could not be read.
    damaged_count: u64,
}

/// What a title shows of its survey.
#[derive(Debug)]
pub(super) struct SourceStreams {
    container: String,
    video: Option<SourceVideo>,
    audio: Vec<SourceAudio>,
    subtitles: Vec<SourceSubtitle>,
}

impl Source {
    /// The upload; without `streams` before it was surveyed.
    pub(super) fn new(record: SourceRecord, streams: Option<&SourceStreams>) -> Self {
        Self {
            bytes: record.bytes,
            sha256: record.sha256.to_string(),
            container: streams.map(|streams| streams.container.clone()),
            video: streams.and_then(|streams| streams.video.clone()),
            audio: streams.map(|streams| streams.audio.clone()).unwrap_or_default(),
            subtitles: streams.map(|streams| streams.subtitles.clone()).unwrap_or_default(),
        }
    }
}

impl SourceStreams {
    /// Takes out of the survey what a title shows of it; `video_stream` is the one that is shown.
    pub(super) fn new(facts: &SourceFacts, video_stream: Option<u32>, loudness: Option<&BTreeMap<u32, Loudness>>) -> Self {
        let loudness = |stream: u32| loudness.and_then(|loudness| loudness.get(&stream));
        Self {
            container: facts.container.clone(),
            video: video_stream.and_then(|stream| facts.video(stream)).map(SourceVideo::new),
            audio: facts.audios().map(|audio| SourceAudio::new(audio, loudness(audio.stream))).collect(),
            subtitles: facts.subtitles().map(SourceSubtitle::new).collect(),
        }
    }
}

impl SourceVideo {
    fn new(facts: &VideoFacts) -> Self {
        let (aspect_width, aspect_height) = facts.sample_aspect;
        Self {
            stream: facts.stream,
            codec: facts.codec.clone(),
            profile: facts.profile.clone(),
            width: facts.width,
            height: facts.height,
            sample_aspect: format!("{aspect_width}:{aspect_height}"),
            rotation_degrees: u16::from(facts.orientation.quarter_turns) * 90,
            frame_count: facts.frame_count,
            bit_depth: facts.bit_depth,
            pixel_format: facts.pixel_format.clone(),
            interlaced: match facts.field_order {
                FieldOrder::Unknown => None,
                FieldOrder::Progressive => Some(false),
                FieldOrder::TopFirst | FieldOrder::BottomFirst => Some(true),
            },
        }
    }
}

impl SourceAudio {
    fn new(facts: &AudioFacts, loudness: Option<&Loudness>) -> Self {
        Self {
            stream: facts.stream,
            codec: facts.codec.clone(),
            profile: facts.profile.clone(),
            sample_rate: facts.sample_rate,
            channels: facts.channels,
            language: facts.language.clone(),
            label: facts.label.clone(),
            layout: facts.layout.clone(),
            loudness: loudness.map(SourceLoudness::new),
        }
    }
}

impl SourceLoudness {
    fn new(loudness: &Loudness) -> Self {
        let shown = |hundredths: i32| f64::from(hundredths) / 100.0;
        Self {
            integrated_lufs: loudness.integrated_hundredths_lufs.map(shown),
            range_lu: shown(loudness.range_hundredths_lu),
            true_peak_dbtp: loudness.true_peak_hundredths_dbtp.map(shown),
            silent: loudness.silent,
        }
    }
}

impl SourceSubtitle {
    fn new(facts: &SubtitleFacts) -> Self {
        Self {
            stream: facts.stream,
            codec: facts.codec.clone(),
            language: facts.language.clone(),
            label: facts.label.clone(),
            text: match facts.form {
                SubtitleForm::Text => Some(true),
                SubtitleForm::Bitmap => Some(false),
                SubtitleForm::Unknown => None,
            },
            default: facts.default,
            forced: facts.forced,
            hearing_impaired: facts.hearing_impaired,
            cue_count: facts.cue_count,
            damaged_count: facts.damaged_count,
        }
    }
}
