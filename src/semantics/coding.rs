//! Content codings: whether an answer may be, and had better be, gzip (RFC 9110 12.5.3).

use http::header::{ACCEPT_ENCODING, HeaderMap};

/// Whether the request prefers gzip over the plain body: it names gzip (or `*`) with a weight above zero, and does not give
/// plain a greater one. What cannot be read counts as not said.
pub fn prefers_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    let lines = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    for member in lines.flat_map(|line| line.split(',')) {
        let mut parts = member.split(';');
        let coding = parts.next().unwrap_or_default().trim();
        let Some(weight) = weight(parts.next()) else { continue };
        // x-gzip is the same coding by its old name (RFC 9110 8.4.1.3).
        if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            gzip = gzip.max(Some(weight));
        } else if coding.eq_ignore_ascii_case("identity") {
            identity = Some(weight);
        } else if coding == "*" {
            any = Some(weight);
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && identity.is_none_or(|identity| gzip >= identity)
}

/// A weight in thousandths (RFC 9110 12.4.2); full without one, absent when it is none.
fn weight(parameter: Option<&str>) -> Option<u32> {
    let Some(parameter) = parameter else { return Some(1000) };
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|digit| digit.is_ascii_digit());
    let thousandths: u32 = format!("{fraction:0<3}").parse().ok().filter(|_| digits)?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_said_decides() {
        for (lines, expect) in [
            (vec![], false),
            (vec![""], false),
            (vec!["gzip"], true),
            (vec!["GZIP"], true),
            (vec!["x-gzip"], true),
            (vec!["br, gzip"], true),
            (vec!["br", "gzip;q=0.1"], true),
            (vec!["gzip;q=0"], false),
            (vec!["gzip;q=0.000, *"], false),
            (vec!["*"], true),
            (vec!["*;q=0"], false),
            (vec!["identity"], false),
            (vec!["gzip;q=0.5, identity"], false),
            (vec!["gzip;q=0.5, identity;q=0.5"], true),
            (vec!["gzip, identity;q=0"], true),
            (vec!["gzip;q=banana, ,;"], false),
            (vec!["gzip;q=1.001"], false),
            (vec!["gzip ; q=1.0"], true),
            (vec!["gzipped"], false),
            (vec!["gzip;level=9"], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in &lines {
                headers.append(ACCEPT_ENCODING, HeaderValue::from_str(line).expect("a value"));
            }
            assert_eq!(prefers_gzip(&headers), expect, "{lines:?}");
        }
    }
}
