//! Plans for the tests of this module.

pub(super) use crate::title::sample::{audio_track as audio, low_track as low, plan, surround_track as surround};
