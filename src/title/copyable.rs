//! What the survey found of a stream that could be passed on as it is, and why it found that it cannot.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::FrameRate;

/// Longest time from one place where a copied picture can be cut to the next, in milliseconds.
pub const COPY_CUT_SPACING_MAX_MS: u32 = 10_000;

/// An H.264 stream without anything doubtful in it: 8 bits, 4:2:0, whole frames; one sequence parameter set from start to
/// end; it begins with an IDR picture; its timestamps agree with the order in the bitstream; no picture is missing; and
/// each has a slot of its own on the frame grid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvcFacts {
    /// The sequence parameter set, a NAL unit.
    pub sps: Bytes,
    /// The picture parameter sets, each a NAL unit, by rising id.
    pub pps: Vec<Bytes>,
    /// Width in pixels as the parameter set says it, cropped.
    pub width: u32,
    /// Height in pixels as the parameter set says it, cropped.
    pub height: u32,
    /// Width of a pixel over its height as the parameter set says it.
    pub sample_aspect: Option<(u32, u32)>,
    /// Whether black is 0, as the parameter set says it.
    pub full_range: Option<bool>,
    /// Primaries, transfer and matrix (H.273) as the parameter set says them.
    pub colour: Option<[u8; 3]>,
    /// The frame grid that starts with the first picture and on which each picture has a slot of its own.
    pub grid: FrameRate,
    /// Slots from the first picture to the last, both included.
    pub slot_count: u64,
    /// Most slots from one picture to the next.
    pub slot_step_max: u64,
    /// The pieces that it can be cut into, in order; at least one.
    pub pieces: Vec<AvcPiece>,
}

/// What lies between two places where the stream can be cut: from an IDR picture to before a later one. Everything in it is
/// shown after everything before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvcPiece {
    /// Presentation time of its first picture in ticks.
    pub pts: i64,
    /// Byte offset of its first packet in the source, where the demuxer tells it.
    pub position: Option<u64>,
    /// Pictures in it.
    pub picture_count: u32,
    /// Bytes of its samples as they will be stored.
    pub bytes: u64,
}

/// An AAC-LC stream of mono or stereo at 32, 44.1 or 48 kHz in which each frame follows on the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AacFacts {
    /// The AudioSpecificConfig (ISO 14496-3 1.6.2.1).
    pub config: Bytes,
    /// Position of the first frame's first sample on the stream's sample clock; below the first audible one where the
    /// encoder's delay is in front.
    pub first_sample: i64,
    /// Frames of 1024 samples.
    pub frame_count: u64,
    /// Bytes of all frames.
    pub bytes: u64,
    /// Most bytes of any run of frames of [`AacFacts::window_frames`].
    pub window_bytes_max: u32,
    /// Largest distance of a timestamp from the count of samples.
    pub drift_samples_max: u32,
}

impl AacFacts {
    /// Frames that last a second or a little more at `sample_rate`.
    pub fn window_frames(sample_rate: u32) -> u32 {
        sample_rate.div_ceil(super::AAC_FRAME_SAMPLES).max(1)
    }
}

/// Why a stream is not copied, as far as its packets alone tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum CopyDoubt {
    /// Another codec than H.264 or AAC-LC, or AAC in another packing than ADTS or raw frames.
    #[error("its codec is not one that is copied")]
    Codec,
    /// A profile, level, chroma format, depth, scan, channel layout or rate that not every player takes.
    #[error("its format is not one that every player takes")]
    Format,
    /// Parameter sets or configuration are missing, malformed, or change in mid-stream.
    #[error("its parameter sets are missing or change")]
    ParameterSets,
    /// The packets are not made of what they should be made of.
    #[error("its packets are not well formed")]
    Packets,
    /// Packets are marked as damaged, or a picture that others refer to is missing.
    #[error("it is damaged or incomplete")]
    Damaged,
    /// Timestamps are missing, repeated, leave gaps or contradict the order of presentation.
    #[error("its timestamps are doubtful")]
    Timestamps,
    /// The container has some of it decoded but not shown.
    #[error("not all of it is meant to be shown")]
    Edited,
    /// It does not begin with an IDR picture, or they are too far apart.
    #[error("it cannot be cut often enough")]
    Cuts,
    /// Two pictures are nearest to the same slot of the frame grid.
    #[error("its pictures do not keep to a frame grid")]
    Grid,
}
