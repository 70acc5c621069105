//! Limits that can be changed while a listener serves.

use std::sync::{Arc, PoisonError, RwLock};

use super::Config;

/// The limits of a listener as they are now. Clones are the same. Each connection has the times of when it began.
#[derive(Clone, Debug)]
pub struct LiveConfig(Arc<RwLock<Arc<Config>>>);

impl LiveConfig {
    /// Sets new limits; how many threads there are stays as it was.
    pub fn set(&self, config: Config) {
        // A panic while it was locked leaves one configuration or the other.
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(Config { threads: current.threads, ..config });
    }

    /// The limits as they are now.
    pub fn get(&self) -> Arc<Config> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl From<Config> for LiveConfig {
    fn from(config: Config) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(config))))
    }
}
