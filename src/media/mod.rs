//! Everything that touches FFmpeg: opening, surveying, decoding, filtering and encoding. Compiled into the worker alone.
//!
//! The rest of Headwater knows this module only by the messages of `headwater::worker::protocol`.

mod audio_encoder;
mod audio_lane;
mod decoder;
mod engine;
mod light;
mod pulse;
mod recolour;
mod reference;
mod resample;
mod scaler;
mod shape;
mod size_watch;
mod sniff;
mod source;
mod stream_facts;
mod survey;
mod survey_audio;
mod survey_video;
#[cfg(test)]
mod testing;
mod tone;
mod video_encoder;
mod video_lane;

pub use engine::serve;
pub use pulse::Pulse;
