//! How single values are written: durations, sizes, URLs. Pure text work; ranges are checked by the reader.

use std::time::Duration;

/// Reads a whole number and `ms`, `s`, `m`, `h` or `d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a whole number and ms, s, m, h or d, such as 8s".to_owned();
    let (number, unit) = number_and_unit(text).ok_or_else(expected)?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(expected()),
    };
    let ms = number.checked_mul(unit_ms).ok_or("the duration is too long to be counted")?;
    Ok(Duration::from_millis(ms))
}

/// Reads a whole number and `B`, `KiB`, `MiB`, `GiB` or `TiB`, into bytes.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let expected = || "expected a whole number and B, KiB, MiB, GiB or TiB, such as 512MiB".to_owned();
    let (number, unit) = number_and_unit(text).ok_or_else(expected)?;
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return Err(expected()),
    };
    number.checked_mul(1 << shift).ok_or_else(|| "the size is too large to be counted".to_owned())
}

/// Reads an absolute `http` or `https` URL without query, user or fragment; a slash at its end is left out.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    let expected = || "expected an absolute http or https URL without user, query or fragment".to_owned();
    let uri: http::Uri = text.parse().map_err(|_| expected())?;
    let scheme = uri.scheme_str().is_some_and(|scheme| scheme == "http" || scheme == "https");
    let authority = uri.authority().is_some_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty());
    if !scheme || !authority || uri.query().is_some() || text.contains('#') {
        return Err(expected());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// A duration as [`duration`] reads it, in the largest unit that is exact.
pub(super) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let (unit_ms, unit) = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")]
        .into_iter()
        .find(|(unit_ms, _)| ms != 0 && ms.is_multiple_of(*unit_ms))
        .unwrap_or((1, "ms"));
    format!("{}{unit}", ms / unit_ms)
}

/// A size as [`bytes`] reads it, in the largest unit that is exact.
pub(super) fn show_bytes(bytes: u64) -> String {
    let (shift, unit) = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| bytes != 0 && bytes.trailing_zeros() >= *shift)
        .unwrap_or((0, "B"));
    format!("{}{unit}", bytes >> shift)
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn durations() {
        for (text, expect) in [
            ("8s", Some(8_000)),
            ("500ms", Some(500)),
            ("24h", Some(86_400_000)),
            ("2m", Some(120_000)),
            ("1d", Some(86_400_000)),
            ("0s", Some(0)),
            ("8", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("1.5s", None),
            ("8 s", None),
            ("8S", None),
            ("1h30m", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(duration(text).ok(), expect.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expect) in [
            ("512MiB", Some(512 << 20)),
            ("0B", Some(0)),
            ("1TiB", Some(1 << 40)),
            ("3KiB", Some(3072)),
            ("512", None),
            ("512MB", None),
            ("512mib", None),
            ("99999999TiB", None),
        ] {
            assert_eq!(bytes(text).ok(), expect, "{text}");
        }
    }

    #[test]
    fn urls() {
        for (text, expect) in [
            ("https://media.example.com", Some("https://media.example.com")),
            ("http://h:8080/films/", Some("http://h:8080/films")),
            ("media.example.com", None),
            ("ftp://h", None),
            ("https://user@h", None),
            ("https://h/?a=b", None),
            ("https://h/#x", None),
            ("https:///x", None),
        ] {
            assert_eq!(base_url(text).ok().as_deref(), expect, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(value in any::<u32>()) {
            let long = Duration::from_millis(u64::from(value));
            assert_eq!(duration(&show_duration(long)), Ok(long));
            assert_eq!(bytes(&show_bytes(u64::from(value))), Ok(u64::from(value)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,20}") {
            let _ = (duration(&text), bytes(&text), base_url(&text));
        }
    }
}
