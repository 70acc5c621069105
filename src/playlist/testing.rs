//! Plans for the tests of this module.

pub(super) use crate::title::sample::{audio_track as audio, plan};
