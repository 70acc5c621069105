//! The nouns of Headwater, pure: what a title is, what its source holds, what was planned for it.
//!
//! Everything here is data and arithmetic. Nothing here reads a clock, a file, an environment variable or a random
//! number; time and randomness come in as arguments.

pub mod colour;
mod copyable;
mod download;
mod facts;
mod findings;
mod frame_rate;
mod hash;
mod id;
mod ladder;
mod language;
mod loudness;
mod plan;
mod problem;
mod report;
#[cfg(test)]
pub(crate) mod sample;
mod seam;
mod state;
mod still;
mod timeline;
mod track;

pub use copyable::{AacFacts, AvcFacts, AvcPiece, COPY_CUT_SPACING_MAX_MS, CopyDoubt};
pub use download::{Download, RenditionName};
pub use facts::{
    AudioAnchor, AudioFacts, AudioRoles, ColourFacts, ContentLight, DolbyVision, FieldOrder, Hole, KeyFrame, LightFacts, MasteringDisplay,
    Orientation, OtherStream, ScanFacts, SourceFacts, StreamFacts, SubtitleFacts, SubtitleForm, TimeBase, VideoFacts,
};
pub use findings::{missing_pictures, of_loudness as loudness_remarks};
pub use frame_rate::{FrameRate, choose as choose_frame_rate, pictures_a_slot};
pub use hash::{ContentHash, InvalidContentHash};
pub use id::{Generation, InvalidTitleId, TitleId};
pub use ladder::{InvalidLadder, Ladder, Rung, RungSize, fit as fit_ladder, fit_hdr, own_size};
pub use language::{InvalidLanguageTag, LanguageTag};
pub use loudness::Loudness;
pub use plan::{
    AAC_FRAME_SAMPLES, AUDIO_SAMPLE_RATE, AudioMethod, AudioTier, AudioTrack, CopyGrid, CopyRefusal, Deinterlace, DeinterlacePolicy,
    InvalidTextKind, Plan, PlanPolicy, PlanRefusal, SAMPLE_ROW_BYTES, SEGMENT_BOXES_BYTES, SoundPlacement, SoundPolicy, TextKind,
    TextOrigin, TextTrack, VideoCodec, VideoEncoding, VideoMethod, VideoRange, VideoTrack, copy_picture, copy_sound, display_size,
    is_worth_a_look, memory, plan, sound_placement,
};
pub use problem::{Problem, ProblemCode};
pub use report::{Remark, RemarkCode, Severity};
pub use seam::{PacketTime, Seam, SeamFinder};
pub use state::{InvalidState, TitleState};
pub use still::{Still, Storyboard, jpeg_size, poster_size};
pub use timeline::{CutAim, KeyFrameSpan, SegmentNumber, Timeline};
pub use track::{CodecHeader, InvalidTrackId, TrackId, TrackKind};

/// Exact rational arithmetic over seconds, used wherever rounding could add up.
pub type Ratio = num_rational::Ratio<i128>;
