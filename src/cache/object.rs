//! What is cached: a body, and the fields of an answer that follow from it, made once.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;

use crate::cmaf::Progressive;
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
    /// The same, gzip-coded: another representation, with a tag of its own. Absent for what is never coded.
    pub gzip: Option<Box<Self>>,
    /// Whether this is the gzip-coded one of two.
    pub is_gzip: bool,
    file: Option<Box<Progressive>>,
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
        Self {
            bytes,
            content_type,
            cache_control,
            immutable,
            gzip: None,
            is_gzip: false,
            file: None,
            etag: field(&etag),
            last_modified: field(&date),
            last_modified_s,
        }
    }

    /// Adds the gzip-coded representation, made once, unless coding does not pay. For text: coded media only grows.
    #[must_use]
    pub fn with_gzip(mut self) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory cannot fail; if it did, the plain body is still right.
        let coded = encoder.write_all(&self.bytes).and_then(|()| encoder.finish());
        if let Ok(coded) = coded
            && coded.len() < self.bytes.len()
        {
            let hash = ContentHash::of(&coded);
            let time_ms = self.last_modified_s * 1000;
            let (content_type, cache_control) = (self.content_type.clone(), self.cache_control.clone());
            let gzip = Self::new(Bytes::from(coded), hash, time_ms, content_type, cache_control, self.immutable);
            self.gzip = Some(Box::new(Self { is_gzip: true, ..gzip }));
        }
        self
    }

    /// Makes it the object of a progressive file, whose body is not in memory: what is kept is where it lies.
    #[must_use]
    pub fn with_file(self, file: Progressive) -> Self {
        Self { file: Some(Box::new(file)), ..self }
    }

    /// The progressive file that it stands for.
    pub fn file(&self) -> Option<&Progressive> {
        self.file.as_deref()
    }

    /// The representation for a client that prefers gzip, or not.
    pub fn representation(&self, prefers_gzip: bool) -> &Self {
        self.gzip.as_deref().filter(|_| prefers_gzip).unwrap_or(self)
    }

    /// Whether what is answered here depends on `Accept-Encoding`.
    pub fn varies(&self) -> bool {
        self.is_gzip || self.gzip.is_some()
    }

    /// Bytes that it keeps in memory: all its bodies, and where those lie that it does not keep.
    pub fn body_bytes(&self) -> u64 {
        let file_bytes = self.file.as_ref().map_or(0, |file| file.memory_bytes());
        self.bytes.len() as u64 + self.gzip.as_ref().map_or(0, |gzip| gzip.bytes.len() as u64) + file_bytes
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
        assert!(!object.clone().with_gzip().varies(), "three bytes do not shrink");
        let far = Object::new(Bytes::new(), ContentHash::of(b""), u64::MAX, value.clone(), value, true);
        assert_eq!(far.last_modified(), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn gzip_is_a_representation_of_its_own_and_always_the_same() {
        let value = HeaderValue::from_static("x");
        let text = Bytes::from("#EXTINF:4,\n0.m4s\n".repeat(100));
        let make = || Object::new(text.clone(), ContentHash::of(&text), 5000, value.clone(), value.clone(), true).with_gzip();
        let (plain, coded) = (make(), make().representation(true).clone());
        assert_ne!(plain.etag(), coded.etag());
        assert_eq!(make().representation(true).etag(), coded.etag());
        assert_eq!((plain.varies(), coded.varies(), plain.representation(false).is_gzip), (true, true, false));
        assert_eq!(coded.last_modified(), plain.last_modified());
        let mut read = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&coded.bytes[..]), &mut read).expect("gzip");
        assert_eq!(read.as_bytes(), &text[..]);
    }
}
