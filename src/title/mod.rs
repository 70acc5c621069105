//! The nouns of Headwater, pure: what a title is, what its source holds, what was planned for it.
//!
//! Everything here is data and arithmetic. Nothing here reads a clock, a file, an environment variable or a random
//! number; time and randomness come in as arguments.

pub mod colour;
mod facts;
mod findings;
mod findings_picture;
mod frame_rate;
mod hash;
mod id;
mod ladder;
mod language;
mod plan;
mod problem;
mod report;
#[cfg(test)]
pub(crate) mod sample;
mod state;
mod timeline;
mod track;

pub use facts::{
    AudioAnchor, AudioFacts, ColourFacts, ContentLight, DolbyVision, FieldOrder, KeyFrame, LightFacts, MasteringDisplay, Orientation,
    OtherStream, SourceFacts, StreamFacts, SubtitleFacts, TimeBase, VideoFacts,
};
pub use frame_rate::{FrameRate, choose as choose_frame_rate};
pub use hash::{ContentHash, InvalidContentHash};
pub use id::{Generation, InvalidTitleId, TitleId};
pub use ladder::{InvalidLadder, Ladder, Rung, RungSize, fit as fit_ladder, fit_hdr};
pub use plan::{
    AAC_FRAME_SAMPLES, AUDIO_SAMPLE_RATE, AudioMethod, AudioTier, AudioTrack, Plan, PlanPolicy, PlanRefusal, TextKind, TextOrigin,
    TextTrack, VideoCodec, VideoEncoding, VideoMethod, VideoRange, VideoTrack, memory, plan,
};
pub use problem::{Problem, ProblemCode};
pub use report::{Remark, RemarkCode, Severity};
pub use state::{InvalidState, TitleState};
pub use timeline::{SegmentNumber, Timeline};
pub use track::{CodecHeader, InvalidTrackId, TrackId, TrackKind};

/// Exact rational arithmetic over seconds, used wherever rounding could add up.
pub type Ratio = num_rational::Ratio<i128>;
