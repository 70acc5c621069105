//! Everything that touches FFmpeg: opening, surveying, decoding, filtering and encoding. Compiled into the worker alone.
//!
//! The rest of Headwater knows this module only by the messages of `headwater::worker::protocol`.

mod audio_encoder;
mod audio_lane;
mod clock;
mod colour;
mod cut_off;
mod decoder;
mod deinterlace;
mod engine;
mod look;
mod pulse;
mod reference;
mod resample;
mod scaler;
mod sniff;
mod source;
mod stream_facts;
mod survey;
mod survey_audio;
mod survey_video;
mod video_encoder;
mod video_lane;

pub use engine::serve;
pub use pulse::Pulse;
