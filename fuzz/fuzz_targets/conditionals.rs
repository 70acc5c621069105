//! Preconditions and `If-Range`: any fields get a reply, and the tag we gave is known again wherever it is well written.

#![no_main]

use headwater_fuzz::fields;
use headwater_fuzz::semantics::{Precondition, Reply, Representation, RequestFacts, decide, precondition};
use http::HeaderValue;
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE};
use libfuzzer_sys::fuzz_target;

const ETAG: &str = "\"0123456789abcdef0123456789abcdef\"";

fuzz_target!(|input: (bool, bool, bool, &[u8])| {
    let (head, immutable, coded, data) = input;
    let ours = Representation { etag: ETAG, last_modified_s: 784_111_777, length_bytes: 1000, immutable, coded };
    let mut headers = fields(data, &[IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE, RANGE]);
    match decide(&RequestFacts { head, headers: &headers }, &ours) {
        Reply::Part(range) => assert!(!head && range.last() < 1000),
        Reply::Parts(ranges) => assert!(!head && !coded && ranges.iter().all(|range| range.last() < 1000)),
        Reply::Unsatisfiable => assert!(!head && headers.contains_key(RANGE)),
        Reply::NotModified => assert!(headers.contains_key(IF_NONE_MATCH) || headers.contains_key(IF_MODIFIED_SINCE)),
        Reply::PreconditionFailed => assert!(headers.contains_key(IF_MATCH) || headers.contains_key(IF_UNMODIFIED_SINCE)),
        Reply::Whole => {}
    }
    // A line with our tag alone settles both of these, whatever other lines there are.
    headers.append(IF_MATCH, HeaderValue::from_static(ETAG));
    headers.append(IF_NONE_MATCH, HeaderValue::from_static(ETAG));
    assert_eq!(precondition(&headers, &ours), Precondition::NotModified);
});
