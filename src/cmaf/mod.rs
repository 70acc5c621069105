//! Packaging, pure: encoded samples become the init and media segments of CMAF tracks (ISO 23000-19), and finished
//! segments are read back and held against the plan.
//!
//! Each track is a file of its own, `init.mp4` and one `styp moof mdat` a segment, its track number always [`TRACK_NUMBER`].
//! A segment of pictures has its key frame in a chunk of its own, so that I-frame playlists can name it.
//! Presentation starts at zero in every track: pictures by negative composition offsets, sound because the encoder's
//! priming never gets here. There are no edit lists, but in progressive files (`progressive`).

mod aac;
pub mod aac_packet;
pub mod avc;
mod avc_packing;
mod bits;
mod boxes;
mod chunk;
mod codec;
mod fault;
pub mod hevc;
mod hevc_entry;
mod hevc_sps;
mod init;
pub mod nal;
mod progressive;
mod segment;
mod span;
mod sps;
#[cfg(test)]
pub(crate) mod testing;
mod verify;

use bytes::Bytes;

pub use codec::{codec_string, codec_string_of_init};
pub use fault::Fault;
pub use init::init_segment;
pub use progressive::{Piece, Progressive, ProgressiveBuilder, SegmentSource, SegmentTable, SegmentTables, room_bytes};
pub use segment::media_segment;
pub use verify::{SegmentFacts, verify};

use crate::title::{AUDIO_SAMPLE_RATE, Plan, SegmentNumber, TrackId, TrackKind};

/// `track_ID` of the only track of every file.
pub const TRACK_NUMBER: u32 = 1;

/// Ticks a second of WebVTT's times.
const TEXT_TIMESCALE: u32 = 1000;

/// One encoded picture, or one encoded frame of sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// How long it lasts, in ticks of [`timescale`].
    pub duration_ticks: u32,
    /// When it is presented less when it is decoded, in ticks; below zero for pictures decoded late.
    pub composition_offset_ticks: i32,
    /// Whether decoding can start here: an IDR picture, or any frame of sound.
    pub sync: bool,
    /// Length-prefixed NAL units ([`nal::to_sample`], [`hevc::to_sample`]), or a raw AAC frame.
    pub data: Bytes,
}

/// Ticks a second in which a track's times are written: whole frames of the title's grid for pictures, samples for sound.
pub fn timescale(plan: &Plan, track: TrackId) -> u32 {
    match track.kind {
        TrackKind::Video => plan.timeline.frame_rate().timescale(),
        TrackKind::Audio => plan.audio.get(usize::from(track.index)).map_or(AUDIO_SAMPLE_RATE, |audio| audio.sample_rate),
        TrackKind::Text => TEXT_TIMESCALE,
    }
}

/// Why something cannot be packaged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan does not have that track.
    #[error("the plan has no track {0}")]
    NoSuchTrack(TrackId),
    /// The plan does not have that segment.
    #[error("the plan has no segment {0}")]
    NoSuchSegment(SegmentNumber),
    /// A header of sound for a track of pictures, or the other way round.
    #[error("the codec header is not of the kind of track {0}")]
    HeaderKind(TrackId),
    /// Parameter sets that are missing, too many, too long or malformed.
    #[error("the parameter sets are unusable: {0}")]
    ParameterSets(&'static str),
    /// An AudioSpecificConfig that is malformed.
    #[error("the audio configuration is unusable: {0}")]
    AudioConfig(&'static str),
    /// The pictures have another size than the plan says, or pixels that are not square.
    #[error("the pictures are {found}, planned are {planned} square pixels")]
    Picture {
        /// Size and pixel shape found in the parameter set.
        found: String,
        /// Size in the plan.
        planned: String,
    },
    /// The sound has another rate or other channels than the plan says.
    #[error("the sound is {found}, planned is {planned}")]
    Sound {
        /// What the configuration says.
        found: String,
        /// What the plan says.
        planned: String,
    },
    /// A segment without samples.
    #[error("there are no samples")]
    NoSamples,
    /// A number that has no place in its field.
    #[error("{0} is too large for its field")]
    TooLarge(&'static str),
    /// The bytes are no init segment of one track as [`init_segment`] writes it.
    #[error("the bytes are not an init segment: {0}")]
    Init(&'static str),
    /// A box that cannot be written or read.
    #[error("a box is unusable: {0}")]
    Atom(#[from] mp4_atom::Error),
}
