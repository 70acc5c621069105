//! What is cached: a body, and the fields of an answer that follow from it, made once.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::HeaderValue;

use crate::title::ContentHash;

/// Hexadecimal digits of the content hash that make an entity tag: 128 bits.
const ETAG_DIGITS: usize = 32;

/// A body ready to be served.
#[derive(Clone, Debug)]
pub struct Object {
    /// The body. It should own no more memory than it shows, for a slice of something larger keeps all of that alive.
    pub bytes: Bytes,
    /// `Content-Type`.
    pub content_type: HeaderValue,
    /// `Cache-Control`.
    pub cache_control: HeaderValue,
    /// Whether its URL will only ever have this body.
    pub immutable: bool,
    etag: HeaderValue,
    last_modified: HeaderValue,
    last_modified_s: u64,
}

impl Object {
    /// An object whose `ETag` is made of `hash`, the same on every node and after every restart.
    ///
    /// `last_modified_ms` is in Unix milliseconds and comes from the catalogue, never from a file system.
    pub fn new(
        bytes: Bytes,
        hash: ContentHash,
        last_modified_ms: u64,
        content_type: HeaderValue,
        cache_control: HeaderValue,
        immutable: bool,
    ) -> Self {
        // A date beyond the year 9999 cannot be written as an HTTP date.
        let last_modified_s = (last_modified_ms / 1000).min(253_402_300_799);
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(last_modified_s));
        let etag = format!("\"{}\"", &hash.to_string()[..ETAG_DIGITS]);
        // Neither a date nor digits in quotes can be refused as a field's value.
        let field = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
        Self { bytes, content_type, cache_control, immutable, etag: field(&etag), last_modified: field(&date), last_modified_s }
    }

    /// `ETag`: strong, quotes included.
    pub fn etag(&self) -> &HeaderValue {
        &self.etag
    }

    /// `Last-Modified`.
    pub fn last_modified(&self) -> &HeaderValue {
        &self.last_modified
    }

    /// `Last-Modified` in Unix seconds.
    pub fn last_modified_s(&self) -> u64 {
        self.last_modified_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_follow_from_hash_and_time() {
        let value = HeaderValue::from_static("x");
        let object = Object::new(Bytes::from_static(b"abc"), ContentHash::of(b"abc"), 784_111_777_999, value.clone(), value.clone(), true);
        assert_eq!(object.etag(), "\"ba7816bf8f01cfea414140de5dae2223\"");
        assert_eq!(object.last_modified(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(object.last_modified_s(), 784_111_777);
        let far = Object::new(Bytes::new(), ContentHash::of(b""), u64::MAX, value.clone(), value, true);
        assert_eq!(far.last_modified(), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
