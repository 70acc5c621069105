//! `Accept-Encoding`: what is chosen is there, and a line that refuses all else is obeyed.

#![no_main]

use headwater_fuzz::fields;
use headwater_fuzz::semantics::{Coding, Form, choose};
use http::HeaderValue;
use http::header::ACCEPT_ENCODING;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u64, [u64; 3], &[u8])| {
    let (offered, plain_bytes, lengths, data) = input;
    let coded = || Coding::ALL.into_iter().zip(lengths).filter(|(coding, _)| offered >> (*coding as u8) & 1 == 1);
    let headers = fields(data, &[ACCEPT_ENCODING]);
    match choose(&headers, plain_bytes, coded()) {
        Some(Form::Coded(coding)) => assert!(headers.contains_key(ACCEPT_ENCODING) && coded().any(|(other, _)| other == coding)),
        Some(Form::Plain) => {}
        None => assert!(headers.contains_key(ACCEPT_ENCODING)),
    }
    let mut insisting = headers;
    insisting.append(ACCEPT_ENCODING, HeaderValue::from_static("gzip;q=1, br;q=1, zstd;q=1, identity;q=1, *;q=1"));
    let shortest = coded().map(|(_, bytes)| bytes).min();
    match choose(&insisting, plain_bytes, coded()) {
        Some(Form::Plain) => assert!(shortest.is_none_or(|shortest| plain_bytes <= shortest)),
        Some(Form::Coded(coding)) => assert!(coded().any(|(other, bytes)| other == coding && Some(bytes) == shortest && bytes < plain_bytes)),
        None => panic!("all are accepted"),
    }
});
