//! Settings that can be changed while the control API serves.

use std::sync::{Arc, PoisonError, RwLock};

use super::Token;

/// What of the settings can be changed.
#[derive(Clone, Debug)]
pub struct Tunable {
    /// Base of playback URLs without a slash at its end; absent: made from the `Host` asked.
    pub public_url: Option<String>,
    /// The token that requests need; absent: none.
    pub token: Option<Token>,
    /// Largest file of subtitles that is taken.
    pub subtitles_bytes_max: u64,
}

/// The settings as they are now. Clones are the same.
#[derive(Clone, Debug)]
pub struct Live(Arc<RwLock<Tunable>>);

impl Live {
    /// These settings at first.
    pub fn new(tunable: Tunable) -> Self {
        Self(Arc::new(RwLock::new(tunable)))
    }

    /// Requests from now on are answered by these.
    pub fn set(&self, tunable: Tunable) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = tunable;
    }

    /// The settings as they are now.
    pub fn get(&self) -> Tunable {
        // Every change is one assignment, so it is whole even after a panic.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
