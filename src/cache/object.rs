//! What is cached: a body, its coded forms, and the fields of an answer that follow from them, made once.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED,
    VARY,
};

use super::coded::code;
use crate::cmaf::Progressive;
use crate::semantics::{Coding, Form};
use crate::title::ContentHash;

/// Hexadecimal digits of the content hash that make an entity tag: 128 bits.
const ETAG_DIGITS: usize = 32;
/// What a field takes in a map, with its share of the map's index, and the text of a value on the heap.
const FIELD_BYTES: usize = size_of::<HeaderName>() + size_of::<HeaderValue>() + 48;

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
    /// The coding that was applied to the body, if any.
    pub coding: Option<Coding>,
    /// The same in each coding: other representations, with tags of their own. None for what is never coded.
    coded: Vec<Self>,
    length_bytes: u64,
    file: Option<Box<Progressive>>,
    hash: ContentHash,
    etag: HeaderValue,
    last_modified: HeaderValue,
    last_modified_s: u64,
    fields: HeaderMap,
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
            length_bytes: bytes.len() as u64,
            bytes,
            content_type,
            cache_control,
            immutable,
            coding: None,
            coded: Vec::new(),
            file: None,
            hash,
            etag: field(&etag),
            last_modified: field(&date),
            last_modified_s,
            fields: HeaderMap::new(),
        }
    }

    /// Makes it the object of a body that is not in memory, and has `length_bytes`.
    #[must_use]
    pub fn elsewhere(self, length_bytes: u64) -> Self {
        Self { length_bytes, ..self }
    }

    /// Makes it the object of a progressive file, whose body is not in memory: what is kept is where it lies.
    #[must_use]
    pub fn with_file(self, file: Progressive) -> Self {
        let object = self.elsewhere(file.length_bytes());
        Self { file: Some(Box::new(file)), ..object }
    }

    /// The progressive file that it stands for.
    pub fn file(&self) -> Option<&Progressive> {
        self.file.as_deref()
    }

    /// Adds the coded forms, each made once. For text: coded media only grows. It takes some milliseconds for 100 kB.
    #[must_use]
    pub fn with_codings(mut self) -> Self {
        // If an encoder failed, which it has no reason for, the other forms are still right.
        let forms = Coding::ALL.into_iter().filter_map(|coding| Some((coding, code(coding, &self.bytes).ok()?)));
        self.coded = forms
            .map(|(coding, mut bytes)| {
                bytes.shrink_to_fit();
                let hash = ContentHash::of(&bytes);
                let time_ms = self.last_modified_s * 1000;
                let (content_type, cache_control) = (self.content_type.clone(), self.cache_control.clone());
                let form = Self::new(Bytes::from(bytes), hash, time_ms, content_type, cache_control, self.immutable);
                Self { coding: Some(coding), ..form }
            })
            .collect();
        self
    }

    /// Makes the fields of a 200 for each form, once for all answers: those that follow from the object, and `further` ones. To be
    /// called last.
    #[must_use]
    pub fn with_fields(mut self, further: &HeaderMap) -> Self {
        let varies = !self.coded.is_empty();
        for form in &mut self.coded {
            form.make_fields(further, varies);
        }
        self.make_fields(further, varies);
        self
    }

    fn make_fields(&mut self, further: &HeaderMap, varies: bool) {
        let mut fields = HeaderMap::with_capacity(further.len() + 8);
        fields.extend(further.clone());
        fields.insert(CONTENT_TYPE, self.content_type.clone());
        fields.insert(CONTENT_LENGTH, HeaderValue::from(self.length_bytes));
        fields.insert(ETAG, self.etag.clone());
        fields.insert(LAST_MODIFIED, self.last_modified.clone());
        fields.insert(CACHE_CONTROL, self.cache_control.clone());
        fields.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if let Some(coding) = self.coding {
            fields.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
        }
        // On the plain form too: a cache must not give it to all who ask (RFC 9110 12.5.5).
        if varies {
            fields.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        self.fields = fields;
    }

    /// The fields of a 200 with this form, as [`Object::with_fields`] made them.
    pub fn fields(&self) -> &HeaderMap {
        &self.fields
    }

    /// The coded forms.
    pub fn coded(&self) -> &[Self] {
        &self.coded
    }

    /// One form of it; the plain one where it is not coded so.
    pub fn form(&self, form: Form) -> &Self {
        match form {
            Form::Plain => self,
            Form::Coded(coding) => self.coded.iter().find(|coded| coded.coding == Some(coding)).unwrap_or(self),
        }
    }

    /// Length of the body, wherever it is.
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// Bytes of memory of all its forms: bodies, fields, and where a body lies that is not kept.
    pub fn memory_bytes(&self) -> u64 {
        let own = self.bytes.len() + size_of::<Self>() + self.fields.capacity() * FIELD_BYTES;
        let file_bytes = self.file.as_ref().map_or(0, |file| file.memory_bytes());
        own as u64 + file_bytes + self.coded.iter().map(Self::memory_bytes).sum::<u64>()
    }

    /// Bytes of the bodies of all its forms that are in memory.
    pub fn body_bytes(&self) -> u64 {
        self.bytes.len() as u64 + self.coded.iter().map(Self::body_bytes).sum::<u64>()
    }

    /// The hash of the body, codings applied.
    pub fn hash(&self) -> &ContentHash {
        &self.hash
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
        let object = object.with_fields(&HeaderMap::from_iter([(HeaderName::from_static("a"), HeaderValue::from_static("b"))]));
        let fields: Vec<String> =
            object.fields().iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect();
        assert_eq!(
            fields,
            [
                "a: b",
                "content-type: x",
                "content-length: 3",
                "etag: \"ba7816bf8f01cfea414140de5dae2223\"",
                "last-modified: Sun, 06 Nov 1994 08:49:37 GMT",
                "cache-control: x",
                "accept-ranges: bytes",
            ]
        );
        let far = Object::new(Bytes::new(), ContentHash::of(b""), u64::MAX, value.clone(), value, true);
        assert_eq!(far.last_modified(), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn coded_forms_are_representations_of_their_own_and_always_the_same() {
        let value = HeaderValue::from_static("x");
        let text = Bytes::from("#EXTINF:4,\n0.m4s\n".repeat(100));
        let make = || {
            let plain = Object::new(text.clone(), ContentHash::of(&text), 5000, value.clone(), value.clone(), true);
            plain.with_codings().with_fields(&HeaderMap::new())
        };
        let (object, again) = (make(), make());
        assert_eq!(object.form(Form::Plain).bytes, text);
        assert_eq!((object.fields().get(VARY).is_some(), object.fields().get(CONTENT_ENCODING)), (true, None));
        let mut tags = vec![object.etag().clone()];
        for coding in Coding::ALL {
            let (form, other) = (object.form(Form::Coded(coding)), again.form(Form::Coded(coding)));
            assert_eq!((form.coding, form.etag(), &form.bytes), (Some(coding), other.etag(), &other.bytes));
            assert_eq!((form.last_modified(), form.hash()), (object.last_modified(), &ContentHash::of(&form.bytes)));
            assert_eq!(form.fields()[CONTENT_ENCODING], coding.as_str());
            assert_eq!(form.fields()[CONTENT_LENGTH], form.bytes.len().to_string().as_str());
            assert_eq!(form.fields()[ETAG], form.etag());
            assert_eq!(form.fields()[VARY], "Accept-Encoding");
            assert!(!tags.contains(form.etag()));
            tags.push(form.etag().clone());
        }
        let bodies: usize = object.coded().iter().map(|form| form.bytes.len()).sum();
        assert!(object.memory_bytes() > (bodies + text.len() + 4 * size_of::<Object>()) as u64, "all forms and their fields are weighed");
        assert!(object.memory_bytes() < (bodies + text.len()) as u64 + 16_384, "{}", object.memory_bytes());
    }
}
