//! Objects in memory, weighed in bytes, each filled once however many ask.

/// Limits of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Memory for objects that are ready.
    pub bytes: u64,
    /// Memory for objects that are being read.
    pub fill_bytes_max: u64,
    /// Fills at once, those included that wait for something before they read.
    pub fills_max: usize,
}
