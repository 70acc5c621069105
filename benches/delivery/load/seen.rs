//! What clients saw, and how it is told.

use std::time::Duration;

use serde_json::{Value, json};

#[derive(Default)]
pub struct Seen {
    pub ttfb_us: Vec<u32>,
    pub whole_us: Vec<u32>,
    /// Of bodies that came whole.
    pub bytes: u64,
    /// Answers that were compared with the file, byte by byte.
    pub verified: u64,
    pub failures: u64,
    /// The first of these.
    pub failure: Option<String>,
}

impl Seen {
    pub fn add(&mut self, other: Self) {
        self.ttfb_us.extend(other.ttfb_us);
        self.whole_us.extend(other.whole_us);
        self.bytes += other.bytes;
        self.verified += other.verified;
        self.failures += other.failures;
        self.failure = self.failure.take().or(other.failure);
    }

    pub fn told(mut self, took: Duration) -> Value {
        json!({
            "requests": self.whole_us.len(),
            "bytes": self.bytes,
            "verified": self.verified,
            "failures": self.failures,
            "failure": self.failure,
            "seconds": took.as_secs_f64(),
            "ttfb_us": quantiles(&mut self.ttfb_us),
            "whole_us": quantiles(&mut self.whole_us),
        })
    }
}

fn quantiles(times_us: &mut [u32]) -> Value {
    times_us.sort_unstable();
    let last = times_us.len().saturating_sub(1);
    let at = |share: f64| times_us.get(((times_us.len() as f64 * share) as usize).min(last)).copied().unwrap_or(0);
    json!({ "p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": at(1.0) })
}
