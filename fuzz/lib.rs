//! The pure modules that targets need, compiled from where they stand, and how a target makes fields of bytes.

#![allow(dead_code, reason = "targets need a part of what the modules have")]

#[path = "../src/semantics/mod.rs"]
pub mod semantics;
#[path = "../src/title/mod.rs"]
pub mod title;

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// A field of each line that can be a value; which of `names` it has, its first byte says.
pub fn fields(data: &[u8], names: &[HeaderName]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in data.split(|&byte| byte == b'\n') {
        let Some((&first, value)) = line.split_first() else { continue };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(&names[usize::from(first) % names.len()], value);
        }
    }
    headers
}
