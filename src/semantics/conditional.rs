//! Conditional requests (RFC 9110 13): entity tags, dates, and the order in which preconditions are looked at.

use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};

use super::reply::Representation;

/// What the preconditions of a `GET` or `HEAD` say, all but `If-Range`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Go on.
    Holds,
    /// The client has it: 304.
    NotModified,
    /// The client wanted another one: 412.
    Failed,
}

/// An entity tag as it stands in a request (RFC 9110 8.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag<'a> {
    /// Whether `W/` stands before it.
    pub weak: bool,
    /// What stands between the quotes, quotes included.
    pub opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// Reads one entity tag from the start of `text`; gives it and what follows.
    fn split(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, quoted) = match text.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, text),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        // etagc: everything visible but the quote, and the bytes above ASCII.
        let length = inner.iter().position(|&byte| !matches!(byte, 0x21 | 0x23..=0x7e | 0x80..=0xff))?;
        (inner[length] == b'"').then(|| (Self { weak, opaque: &quoted[..length + 2] }, &inner[length + 1..]))
    }
}

/// Looks at If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since in the order of RFC 9110 13.2.2, for a
/// `GET` or `HEAD` of something that exists.
pub fn precondition(headers: &HeaderMap, representation: &Representation) -> Precondition {
    if headers.contains_key(IF_MATCH) {
        if !lists(headers, &IF_MATCH, |tag| strong_match(tag, representation)) {
            return Precondition::Failed;
        }
    } else if date(headers, &IF_UNMODIFIED_SINCE).is_some_and(|since_s| representation.last_modified_s > since_s) {
        return Precondition::Failed;
    }
    let not_modified = if headers.contains_key(IF_NONE_MATCH) {
        lists(headers, &IF_NONE_MATCH, |tag| weak_match(tag, representation))
    } else {
        date(headers, &IF_MODIFIED_SINCE).is_some_and(|since_s| representation.last_modified_s <= since_s)
    };
    if not_modified { Precondition::NotModified } else { Precondition::Holds }
}

/// Whether `If-Range`, if there is one, lets `Range` count (RFC 9110 13.1.5): with our strong entity tag, or with the exact
/// date where the date is a strong validator.
pub fn if_range_allows(headers: &HeaderMap, representation: &Representation) -> bool {
    let mut values = headers.get_all(IF_RANGE).iter();
    let Some(value) = values.next() else { return true };
    if values.next().is_some() {
        return false;
    }
    match EntityTag::split(value.as_bytes()) {
        Some((tag, rest)) => rest.is_empty() && strong_match(tag, representation),
        None => representation.immutable && seconds(value) == Some(representation.last_modified_s),
    }
}

fn strong_match(tag: EntityTag<'_>, representation: &Representation) -> bool {
    !tag.weak && weak_match(tag, representation)
}

/// Ours are always strong, so weak comparison only overlooks the weakness of theirs (RFC 9110 8.8.3.2).
fn weak_match(tag: EntityTag<'_>, representation: &Representation) -> bool {
    tag.opaque == representation.etag.as_bytes()
}

/// Whether a list of entity tags, over however many field lines, is `*` or has one that matches. A list of wrong syntax
/// matches by what stands before the fault.
fn lists(headers: &HeaderMap, name: &HeaderName, matches: impl Fn(EntityTag<'_>) -> bool) -> bool {
    headers.get_all(name).iter().any(|line| {
        let mut rest = line.as_bytes();
        if rest == b"*" {
            return true;
        }
        loop {
            rest = after(rest, |byte| matches!(byte, b' ' | b'\t' | b','));
            let Some((tag, more)) = EntityTag::split(rest) else { return false };
            if matches(tag) {
                return true;
            }
            rest = after(more, |byte| matches!(byte, b' ' | b'\t'));
            if !rest.starts_with(b",") {
                return false;
            }
        }
    })
}

fn after(text: &[u8], skip: impl Fn(u8) -> bool) -> &[u8] {
    let start = text.iter().position(|&byte| !skip(byte)).unwrap_or(text.len());
    &text[start..]
}

/// The date of a field, in Unix seconds; nothing where it is absent, doubled or no date, all of which are ignored.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { seconds(value) }
}

/// An HTTP date in any of its three forms (RFC 9110 5.6.7), in Unix seconds.
fn seconds(value: &HeaderValue) -> Option<u64> {
    let time: SystemTime = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
    Some(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples.
    const NOON_S: u64 = 784_111_777;
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn ours(immutable: bool) -> Representation<'static> {
        Representation { etag: "\"abc\"", last_modified_s: NOON_S, length_bytes: 100, immutable, coded: false }
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::try_from(*name).expect("a name"), HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        headers
    }

    #[test]
    fn preconditions_in_their_order() {
        use Precondition::{Failed, Holds, NotModified};
        let cases: &[(&[(&str, &str)], Precondition)] = &[
            (&[], Holds),
            // If-Match compares strongly.
            (&[("if-match", "\"abc\"")], Holds),
            (&[("if-match", "*")], Holds),
            (&[("if-match", "\"x\", \"abc\"")], Holds),
            (&[("if-match", "\"x\""), ("if-match", "\"abc\"")], Holds),
            (&[("if-match", "W/\"abc\"")], Failed),
            (&[("if-match", "\"x\"")], Failed),
            (&[("if-match", "abc")], Failed),
            (&[("if-match", "")], Failed),
            (&[("if-match", "\"abc")], Failed),
            // If-Unmodified-Since, unless there is If-Match.
            (&[("if-unmodified-since", BEFORE)], Failed),
            (&[("if-unmodified-since", SAME)], Holds),
            (&[("if-unmodified-since", LATER)], Holds),
            (&[("if-unmodified-since", "not a date")], Holds),
            (&[("if-match", "\"abc\""), ("if-unmodified-since", BEFORE)], Holds),
            // If-None-Match compares weakly.
            (&[("if-none-match", "\"abc\"")], NotModified),
            (&[("if-none-match", "W/\"abc\"")], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"a\", W/\"b,c\", ,\"abc\" , \"d\"")], NotModified),
            (&[("if-none-match", "\"a\""), ("if-none-match", "\"abc\"")], NotModified),
            (&[("if-none-match", "\"abd\"")], Holds),
            (&[("if-none-match", "\"abcd\"")], Holds),
            (&[("if-none-match", "\"xabc\"")], Holds),
            (&[("if-none-match", "w/\"abc\"")], Holds),
            (&[("if-none-match", "abc")], Holds),
            // If-Modified-Since, unless there is If-None-Match.
            (&[("if-modified-since", SAME)], NotModified),
            (&[("if-modified-since", LATER)], NotModified),
            (&[("if-modified-since", BEFORE)], Holds),
            (&[("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT")], NotModified),
            (&[("if-modified-since", "Sun Nov  6 08:49:37 1994")], NotModified),
            (&[("if-modified-since", "yesterday")], Holds),
            (&[("if-modified-since", SAME), ("if-modified-since", SAME)], Holds),
            (&[("if-none-match", "\"x\""), ("if-modified-since", SAME)], Holds),
            (&[("if-none-match", "\"abc\""), ("if-modified-since", BEFORE)], NotModified),
            // The first group comes before the second.
            (&[("if-match", "\"x\""), ("if-none-match", "\"abc\"")], Failed),
            (&[("if-match", "\"abc\""), ("if-none-match", "\"abc\"")], NotModified),
            (&[("if-unmodified-since", BEFORE), ("if-modified-since", SAME)], Failed),
        ];
        for (lines, expect) in cases {
            assert_eq!(precondition(&headers(lines), &ours(true)), *expect, "{lines:?}");
        }
    }

    #[test]
    fn if_range() {
        for (value, immutable, expect) in [
            ("\"abc\"", true, true),
            ("\"abc\"", false, true),
            ("W/\"abc\"", true, false),
            ("\"x\"", true, false),
            ("abc", true, false),
            ("\"abc\", \"x\"", true, false),
            (SAME, true, true),
            (SAME, false, false),
            (BEFORE, true, false),
            (LATER, true, false),
            ("yesterday", true, false),
        ] {
            assert_eq!(if_range_allows(&headers(&[("if-range", value)]), &ours(immutable)), expect, "{value}");
        }
        assert!(if_range_allows(&headers(&[]), &ours(true)));
        assert!(!if_range_allows(&headers(&[("if-range", "\"abc\""), ("if-range", "\"abc\"")]), &ours(true)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            for name in [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE] {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    let headers = HeaderMap::from_iter([(name, value)]);
                    precondition(&headers, &ours(true));
                    if_range_allows(&headers, &ours(true));
                }
            }
        }

        #[test]
        fn our_tag_is_found_in_any_list(before in "(\"[!#-~]{0,5}\" ?, ?){0,4}", after in "( ?,\"[!#-~]{0,5}\"){0,4}") {
            let list = format!("{before}\"abc\"{after}");
            assert_eq!(precondition(&headers(&[("if-none-match", &list)]), &ours(true)), Precondition::NotModified);
        }
    }
}
