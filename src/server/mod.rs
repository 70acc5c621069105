//! Listeners, connections, limits and drain; knows nothing of video.

use std::time::Duration;

/// Limits of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Connections open at once.
    pub connections_max: usize,
    /// Longest time from the first byte of a request's head to its last.
    pub header_timeout: Duration,
    /// Longest time without a byte in either direction, unless a request is being worked on.
    pub idle_timeout: Duration,
    /// How long open requests may go on after the signal to stop.
    pub drain: Duration,
}
