//! Everything that touches FFmpeg: opening, surveying, decoding, filtering and encoding. Compiled into the worker alone.
//!
//! The rest of Headwater knows this module only by the messages of `headwater::worker::protocol`.

mod audio_encoder;
mod audio_lane;
mod colour;
mod cover;
mod decoder;
mod downmix;
mod engine;
mod glance;
mod jpeg;
mod judge;
mod listen;
mod pulse;
mod reference;
mod resample;
mod scaler;
mod sniff;
mod sound;
mod source;
mod speakers;
mod stills;
mod stream_facts;
mod survey;
mod survey_audio;
mod survey_video;
mod video_encoder;
mod video_lane;

pub use engine::serve;
pub use pulse::Pulse;
