//! Answers players and CDNs: a request becomes a response out of cache, store or schedule.

use std::time::Duration;

/// How delivery waits and what it lets caches keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Longest wait for a segment that is planned but not made.
    pub segment_wait: Duration,
    /// Requests that wait at once for what is not in memory.
    pub waiters_max: usize,
    /// How long a cache may keep a multivariant playlist; whole seconds.
    pub multivariant_max_age: Duration,
}
