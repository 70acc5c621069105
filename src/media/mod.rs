//! Everything that touches FFmpeg: opening, surveying, decoding, filtering and encoding. Compiled into the worker alone.
//!
//! The rest of Headwater knows this module only by the messages of `headwater::worker::protocol`.

mod aac_copy;
mod aac_survey;
mod audio_encoder;
mod audio_header;
mod audio_lane;
mod avc_copy;
mod avc_survey;
mod black;
mod clock;
mod comb;
mod cover;
mod cut_off;
mod decoder;
mod deinterlace;
mod dolby_vision;
mod downmix;
mod edit_start;
mod engine;
mod filters;
mod glance;
mod jpeg;
mod judge;
mod light;
mod listen;
mod look;
mod pulse;
mod recolour;
mod reference;
mod resample;
mod reshape;
mod retune;
mod scaler;
mod shape;
mod silence;
mod size_watch;
mod sniff;
mod sound;
mod source;
mod speakers;
mod stills;
mod stream_facts;
mod survey;
mod survey_audio;
mod survey_subtitle;
mod survey_video;
#[cfg(test)]
mod testing;
mod tone;
mod video_encoder;
mod video_lane;

pub use engine::serve;
pub use pulse::Pulse;
