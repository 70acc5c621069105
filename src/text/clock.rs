//! Times of cues: read as people write them, written as WebVTT wants them.

/// What a cue's time looks like, for messages.
pub(super) const EXAMPLE: &str = "00:01:02,500 --> 00:01:04,000";

/// No time of a cue is later: a thousand hours.
const TIME_MS_MAX: u64 = 3_600_000_000;

/// Reads `HH:MM:SS,mmm`; the hours may be missing, the fraction may have any number of digits, or be missing, and stand after
/// a point or a comma. Absent for anything else.
pub(super) fn read(text: &str) -> Option<u64> {
    let (whole, fraction) = match text.split_once([',', '.']) {
        Some((whole, fraction)) => (whole.trim(), fraction.trim()),
        None => (text.trim(), ""),
    };
    let mut parts = whole.rsplit(':').map(str::trim);
    let seconds = number(parts.next()?, 2)?;
    let minutes = number(parts.next()?, 2)?;
    let hours = parts.next().map_or(Some(0), |hours| number(hours, 4))?;
    if parts.next().is_some() || minutes > 59 || seconds > 59 {
        return None;
    }
    let time_ms = ((hours * 60 + minutes) * 60 + seconds) * 1000 + fraction_ms(fraction)?;
    (time_ms <= TIME_MS_MAX).then_some(time_ms)
}

/// Writes `HH:MM:SS.mmm` (WebVTT 3.3).
pub(super) fn write(time_ms: u64) -> String {
    let (seconds, minutes, hours) = (time_ms / 1000, time_ms / 60_000, time_ms / 3_600_000);
    format!("{hours:02}:{:02}:{:02}.{:03}", minutes % 60, seconds % 60, time_ms % 1000)
}

fn number(digits: &str, length_max: usize) -> Option<u64> {
    let fits = (1..=length_max).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if fits { digits.parse().ok() } else { None }
}

fn fraction_ms(digits: &str) -> Option<u64> {
    if digits.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let tenths_and_on: String = digits.chars().chain("000".chars()).take(3).collect();
    tenths_and_on.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        for (text, expect) in [
            ("00:00:01,500", Some(1500)),
            ("00:00:01.500", Some(1500)),
            ("1:02:03,4", Some(3_723_400)),
            ("02:03.004", Some(123_004)),
            ("00:00:01", Some(1000)),
            ("00:00:01,", Some(1000)),
            (" 00 : 00 : 01 , 250 ", Some(1250)),
            ("100:00:00.000", Some(360_000_000)),
            ("00:00:01,123456", Some(1123)),
            ("00:60:00,000", None),
            ("00:00:60,000", None),
            ("00:00:1x,000", None),
            ("00:00:01,0a0", None),
            ("01,000", None),
            ("-00:00:01,000", None),
            ("9999:00:00,000", None),
            ("0:0:0:1,0", None),
            ("", None),
        ] {
            assert_eq!(read(text), expect, "{text:?}");
        }
        for time_ms in [0, 1, 59_999, 3_599_999, 3_723_004, 360_000_001] {
            assert_eq!(read(&write(time_ms)), Some(time_ms));
        }
        assert_eq!(write(3_723_004), "01:02:03.004");
    }
}
