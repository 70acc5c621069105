//! `Want-Repr-Digest`: any bytes are read, and the last preference counts.

#![no_main]

use headwater_fuzz::fields;
use headwater_fuzz::semantics::{WANT_REPR_DIGEST, wants_sha256};
use http::HeaderValue;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut headers = fields(data, &[WANT_REPR_DIGEST]);
    let wanted = wants_sha256(&headers);
    assert!(!wanted || data.windows(8).any(|window| window == b"sha-256="));
    headers.append(WANT_REPR_DIGEST, HeaderValue::from_static("sha-512=10"));
    assert_eq!(wants_sha256(&headers), wanted, "what is not offered changes nothing");
    headers.append(WANT_REPR_DIGEST, HeaderValue::from_static("sha-256=1"));
    assert!(wants_sha256(&headers));
    headers.append(WANT_REPR_DIGEST, HeaderValue::from_static("sha-256=0"));
    assert!(!wants_sha256(&headers));
});
