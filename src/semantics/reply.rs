//! The decision: which answer a `GET` or `HEAD` of something that exists gets.

use http::header::{HeaderMap, RANGE};

use super::conditional::{Precondition, if_range_allows, precondition};
use super::range::{ByteRange, Selection, select};

/// What a request says that bears on the answer.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'a> {
    /// `HEAD`, for which ranges do not count (RFC 9110 14.2).
    pub head: bool,
    /// The request's fields.
    pub headers: &'a HeaderMap,
}

/// What is known of the thing asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Representation<'a> {
    /// Its entity tag, strong, quotes included.
    pub etag: &'a str,
    /// When it last changed, in Unix seconds.
    pub last_modified_s: u64,
    /// Length of its body.
    pub length_bytes: u64,
    /// Whether its URL will only ever have this one body, so that its date is a strong validator (RFC 9110 8.8.2.2).
    pub immutable: bool,
    /// Whether a content coding was applied to it.
    pub coded: bool,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 200 and the whole body.
    Whole,
    /// 206 and these bytes.
    Part(ByteRange),
    /// 206 and these parts, two or more, as `multipart/byteranges`.
    Parts(Box<[ByteRange]>),
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
    /// 416.
    Unsatisfiable,
}

/// Decides in the order of RFC 9110 13.2.2.
///
/// Several ranges of a coded body are ignored, as a server may: `Content-Encoding` would have to stand either on the whole of the
/// parts, which is not coded, or in each part, where nobody looks.
pub fn decide(request: &RequestFacts<'_>, representation: &Representation<'_>) -> Reply {
    match precondition(request.headers, representation) {
        Precondition::Failed => return Reply::PreconditionFailed,
        Precondition::NotModified => return Reply::NotModified,
        Precondition::Holds => {}
    }
    let mut ranges = request.headers.get_all(RANGE).iter();
    // Range is no list field: two lines of it are wrong syntax, which is ignored.
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return Reply::Whole };
    if request.head || !if_range_allows(request.headers, representation) {
        return Reply::Whole;
    }
    match select(range.as_bytes(), representation.length_bytes) {
        Selection::All => Reply::Whole,
        Selection::One(range) => Reply::Part(range),
        Selection::Several(_) if representation.coded => Reply::Whole,
        Selection::Several(ranges) => Reply::Parts(ranges),
        Selection::None => Reply::Unsatisfiable,
    }
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderName, HeaderValue};
    use proptest::prelude::{any, proptest};

    use super::*;

    const OURS: Representation<'static> =
        Representation { etag: "\"abc\"", last_modified_s: 784_111_777, length_bytes: 100, immutable: true, coded: false };

    fn reply(head: bool, lines: &[(&'static str, &str)]) -> Reply {
        reply_of(&OURS, head, lines)
    }

    fn reply_of(ours: &Representation<'_>, head: bool, lines: &[(&'static str, &str)]) -> Reply {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
        }
        decide(&RequestFacts { head, headers: &headers }, ours)
    }

    fn part(first: u64, last: u64) -> Reply {
        match select(format!("bytes={first}-{last}").as_bytes(), u64::MAX) {
            Selection::One(range) => Reply::Part(range),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn replies() {
        let (range, beyond) = (("range", "bytes=0-9"), ("range", "bytes=100-"));
        assert_eq!(reply(false, &[]), Reply::Whole);
        assert_eq!(reply(false, &[range]), part(0, 9));
        assert_eq!(reply(false, &[beyond]), Reply::Unsatisfiable);
        let (two, coded) = (("range", "bytes=0-9,20-29"), Representation { coded: true, ..OURS });
        assert!(matches!(reply(false, &[two]), Reply::Parts(ranges) if ranges.len() == 2));
        assert_eq!(reply(true, &[two]), Reply::Whole);
        assert_eq!(reply(false, &[two, ("if-range", "\"x\"")]), Reply::Whole);
        assert_eq!(reply_of(&coded, false, &[two]), Reply::Whole);
        assert_eq!(reply_of(&coded, false, &[range]), part(0, 9));
        assert_eq!(reply(false, &[range, ("range", "bytes=20-29")]), Reply::Whole);
        // Ranges count for GET only.
        assert_eq!(reply(true, &[range]), Reply::Whole);
        assert_eq!(reply(true, &[beyond]), Reply::Whole);
        // If-Range decides whether Range counts at all.
        assert_eq!(reply(false, &[range, ("if-range", "\"abc\"")]), part(0, 9));
        assert_eq!(reply(false, &[range, ("if-range", "\"x\"")]), Reply::Whole);
        assert_eq!(reply(false, &[beyond, ("if-range", "\"x\"")]), Reply::Whole);
        assert_eq!(reply(false, &[beyond, ("if-range", "\"abc\"")]), Reply::Unsatisfiable);
        assert_eq!(reply(false, &[("if-range", "\"x\"")]), Reply::Whole);
        // Preconditions come first.
        assert_eq!(reply(false, &[range, ("if-none-match", "\"abc\"")]), Reply::NotModified);
        assert_eq!(reply(false, &[beyond, ("if-none-match", "\"abc\"")]), Reply::NotModified);
        assert_eq!(reply(true, &[("if-none-match", "\"abc\"")]), Reply::NotModified);
        assert_eq!(reply(false, &[range, ("if-none-match", "\"x\"")]), part(0, 9));
        assert_eq!(reply(false, &[range, ("if-match", "\"x\"")]), Reply::PreconditionFailed);
        assert_eq!(reply(false, &[range, ("if-match", "\"abc\"")]), part(0, 9));
    }

    proptest! {
        #[test]
        fn no_fields_panic(
            lines in proptest::collection::vec((0_usize..6, proptest::collection::vec(any::<u8>(), 0..30)), 0..6),
            length_bytes in any::<u64>(), head in any::<bool>(),
        ) {
            let names = ["range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"];
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    headers.append(HeaderName::from_static(names[name]), value);
                }
            }
            let ours = Representation { length_bytes, ..OURS };
            match decide(&RequestFacts { head, headers: &headers }, &ours) {
                Reply::Part(range) => assert!(!head && range.last() < length_bytes),
                Reply::Parts(ranges) => assert!(!head && ranges.iter().all(|range| range.last() < length_bytes)),
                Reply::Whole | Reply::NotModified | Reply::PreconditionFailed | Reply::Unsatisfiable => {}
            }
        }
    }
}
