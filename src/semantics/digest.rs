//! Digests of a representation, for whoever asks (RFC 9530).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderMap, HeaderName};

use crate::title::ContentHash;

/// `Want-Repr-Digest`, the request's field.
pub const WANT_REPR_DIGEST: HeaderName = HeaderName::from_static("want-repr-digest");

/// The value of `Repr-Digest` for a representation whose bytes have this hash, codings applied and before any range.
pub fn repr_digest(hash: &ContentHash) -> String {
    format!("sha-256=:{}:", STANDARD.encode(hash.0))
}

/// Whether the request wants a digest that there is, which is SHA-256: with a preference above zero, whatever else it would like
/// better. What cannot be read counts as not said, and of several preferences the last one counts (RFC 8941 3.2).
pub fn wants_sha256(headers: &HeaderMap) -> bool {
    let mut wanted = false;
    for member in headers.get_all(WANT_REPR_DIGEST).iter().flat_map(|line| line.as_bytes().split(|&byte| byte == b',')) {
        // Parameters have no meaning here.
        let bare = member.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        if let Some(preference) = bare.strip_prefix(b"sha-256=") {
            // Of 0 to 10, in any spelling of an integer.
            let number =
                std::str::from_utf8(preference).ok().filter(|text| !text.starts_with('+')).and_then(|text| text.parse::<u8>().ok());
            wanted = number.map_or(wanted, |number| (1..=10).contains(&number));
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn asked(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(WANT_REPR_DIGEST, HeaderValue::from_bytes(line.as_bytes()).expect("a value"));
        }
        headers
    }

    #[test]
    fn the_digest_of_the_standards_example() {
        let hash = ContentHash::of(b"{\"hello\": \"world\"}\n");
        assert_eq!(repr_digest(&hash), "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:");
    }

    #[test]
    fn what_is_wanted() {
        for (lines, expect) in [
            (&[][..], false),
            (&[""], false),
            (&["sha-256=1"], true),
            (&["sha-256=10"], true),
            (&["sha-256=0"], false),
            (&["sha-256=11"], false),
            (&["sha-256=-1"], false),
            (&["sha-256=+1"], false),
            (&["sha-256"], false),
            (&["sha-256=?1"], false),
            (&["sha-256=1.5"], false),
            (&["sha-256=\"1\""], false),
            (&["sha-512=10"], false),
            (&["sha-512=10, sha-256=1"], true),
            (&["sha-512=3, sha-256=10, unixsum=0"], true),
            (&["md5=5,\tsha-256=2;x=y , sha=1"], true),
            (&["sha-512=1", "sha-256=1"], true),
            (&["sha-256=5, sha-256=0"], false),
            (&["sha-256=0", "sha-256=5"], true),
            (&["SHA-256=1"], false),
            (&["xsha-256=1"], false),
            (&["sha-256=1 2"], false),
        ] {
            assert_eq!(wants_sha256(&asked(lines)), expect, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn the_last_preference_counts(preferences in proptest::collection::vec(0_u8..=10, 1..5)) {
            let members: Vec<String> = preferences.iter().map(|preference| format!("sha-256={preference}")).collect();
            prop_assert_eq!(wants_sha256(&asked(&[&members.join(", ")])), preferences.last() > Some(&0));
        }

        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                wants_sha256(&HeaderMap::from_iter([(WANT_REPR_DIGEST, value)]));
            }
        }
    }
}
