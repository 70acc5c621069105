//! How figures are written for people.

use std::time::Duration;

/// A size, as `1.4 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let mut size = bytes as f64;
    let mut units = ["KiB", "MiB", "GiB", "TiB"].into_iter();
    let mut unit = "B";
    // Below 1000 of a unit there are at most three digits before the point.
    while size >= 999.5 {
        let Some(next) = units.next() else { break };
        (size, unit) = (size / 1024.0, next);
    }
    if unit == "B" || size >= 99.95 { format!("{size:.0} {unit}") } else { format!("{size:.1} {unit}") }
}

/// A length of time, as `1:02:03` or `2:03`.
pub(super) fn clock(ms: u64) -> String {
    let seconds = (ms + 500) / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A part of the whole in percent, never 100 before it is all.
pub(super) fn percent(fraction: f64) -> u64 {
    (fraction.clamp(0.0, 1.0) * 100.0) as u64
}

/// How far a transfer is, how fast, and how long it will take.
pub(super) fn transfer(done_bytes: u64, total_bytes: Option<u64>, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let rate = if seconds > 0.5 { done_bytes as f64 / seconds } else { 0.0 };
    let speed = if rate > 0.0 { format!(", {}/s", bytes(rate as u64)) } else { String::new() };
    match total_bytes {
        Some(total) => format!("{} of {}{speed}{}", bytes(done_bytes), bytes(total), left(done_bytes, total, elapsed)),
        None => format!("{}{speed}", bytes(done_bytes)),
    }
}

/// How far making segments is, how many times faster than playing, and how long it will take.
pub(super) fn transcode(done: u64, total: u64, duration_ms: u64, elapsed: Duration) -> String {
    if total == 0 {
        return "looking at the source".into();
    }
    let seconds = elapsed.as_secs_f64();
    let made_seconds = duration_ms as f64 / 1000.0 * done as f64 / total as f64;
    let speed = if seconds > 0.5 && done > 0 { format!(", {:.1}x", made_seconds / seconds) } else { String::new() };
    format!("{done} of {total} segments{speed}{}", left(done, total, elapsed))
}

/// The time left, if what was done tells it.
fn left(done: u64, total: u64, elapsed: Duration) -> String {
    if done == 0 || done >= total || elapsed < Duration::from_secs(1) {
        return String::new();
    }
    let left = elapsed.as_secs_f64() * (total - done) as f64 / done as f64;
    format!(", {} left", clock((left * 1000.0) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (size, expect) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (200 << 10, "200 KiB"),
            (1 << 20, "1.0 MiB"),
            (10 << 30, "10.0 GiB"),
            (5000 << 40, "5000 TiB"),
        ] {
            assert_eq!(bytes(size), expect);
        }
    }

    #[test]
    fn times_and_parts() {
        for (ms, expect) in [(0, "0:00"), (999, "0:01"), (59_400, "0:59"), (123_000, "2:03"), (3_723_000, "1:02:03")] {
            assert_eq!(clock(ms), expect);
        }
        for (fraction, expect) in [(0.0, 0), (0.999, 99), (1.0, 100), (-1.0, 0), (7.0, 100), (f64::NAN, 0)] {
            assert_eq!(percent(fraction), expect);
        }
    }

    #[test]
    fn how_far_it_is() {
        let seconds = Duration::from_secs;
        assert_eq!(transfer(0, Some(4 << 20), seconds(0)), "0 B of 4.0 MiB");
        assert_eq!(transfer(1 << 20, Some(4 << 20), seconds(2)), "1.0 MiB of 4.0 MiB, 512 KiB/s, 0:06 left");
        assert_eq!(transfer(4 << 20, Some(4 << 20), seconds(4)), "4.0 MiB of 4.0 MiB, 1.0 MiB/s");
        assert_eq!(transfer(1 << 20, None, seconds(1)), "1.0 MiB, 1.0 MiB/s");
        assert_eq!(transcode(0, 0, 0, seconds(3)), "looking at the source");
        assert_eq!(transcode(30, 120, 60_000, seconds(5)), "30 of 120 segments, 3.0x, 0:15 left");
    }
}
