//! Decisions become responses: status, fields, and what of the object is the body.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL,
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, LAST_MODIFIED, RETRY_AFTER as RETRY, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::fields::Fields;
use super::multipart::multipart;
use super::provenance::{Provenance, Told};
use super::{Body, Miss, Outcome};
use crate::cache::{FillError, Object};
use crate::semantics::{ByteRange, Freshness, repr_digest};

/// When to ask again where nothing better is known.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");
const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// What a page may send: conditions, ranges, digests, and the common media client data of CTA-5004.
const REQUEST_FIELDS: HeaderValue = HeaderValue::from_static(
    "Range, If-Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, Want-Repr-Digest, CMCD-Object, CMCD-Request, \
     CMCD-Session, CMCD-Status",
);
const A_DAY: HeaderValue = HeaderValue::from_static("86400");
/// No text that is made for an answer is longer.
const TEXT_BYTES_MAX: usize = 96;
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// Why a request gets no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// 404.
    NotFound,
    /// 410.
    Gone,
    /// 416.
    Unsatisfiable {
        /// Length of the body that the range is not in.
        length_bytes: u64,
        /// Whether another `Accept-Encoding` would have got a body of another length.
        varies: bool,
    },
    /// 406: every form there is was refused.
    NotAcceptable,
    /// 503: planned, but not made in time.
    NotYet(Duration),
    /// 503: cannot be had for the moment.
    Unavailable(Duration),
    /// 503: as many wait already as may.
    Busy {
        /// When to ask again.
        after_s: u64,
    },
    /// 503: so many wait that what is left is for those whom a refusal would cost more.
    Shed {
        /// When to ask again.
        after_s: u64,
    },
    /// 405.
    MethodNotAllowed,
    /// 501.
    MethodUnknown,
}

impl Failure {
    /// What a method that is not for reading gets.
    pub(super) fn of_method(method: &Method) -> Self {
        let known = [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::TRACE, Method::CONNECT];
        if known.contains(method) { Self::MethodNotAllowed } else { Self::MethodUnknown }
    }

    pub(super) fn of_fill(error: &FillError<Miss>) -> Self {
        match *error {
            FillError::Failed(Miss::Unknown) => Self::NotFound,
            FillError::Failed(Miss::Gone) => Self::Gone,
            FillError::Failed(Miss::NotYet { retry_after }) => Self::NotYet(retry_after),
            FillError::Failed(Miss::Unavailable { retry_after }) => Self::Unavailable(retry_after),
            FillError::Busy => Self::Busy { after_s: RETRY_AFTER.as_secs() },
            FillError::Lost => Self::Unavailable(RETRY_AFTER),
        }
    }

    fn row(self) -> (StatusCode, Freshness, Outcome, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, Freshness::NotFound, Outcome::NotFound, "There is nothing here.\n"),
            Self::Gone => (StatusCode::GONE, Freshness::Gone, Outcome::Gone, "What was here is gone.\n"),
            Self::Unsatisfiable { .. } => (
                StatusCode::RANGE_NOT_SATISFIABLE,
                Freshness::Unsatisfiable,
                Outcome::Unsatisfiable,
                "No byte of the range is in the body.\n",
            ),
            Self::NotAcceptable => (
                StatusCode::NOT_ACCEPTABLE,
                Freshness::NotAcceptable,
                Outcome::NotAcceptable,
                "There are plain, br, zstd and gzip; Accept-Encoding refuses them all.\n",
            ),
            Self::NotYet(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, Freshness::NotStored, Outcome::NotYet, "This is not made yet; ask again soon.\n")
            }
            Self::Unavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, Freshness::NotStored, Outcome::Unavailable, "This cannot be had at the moment.\n")
            }
            Self::Busy { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, Freshness::NotStored, Outcome::Busy, "Too many requests are waiting; ask again soon.\n")
            }
            Self::Shed { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, Freshness::NotStored, Outcome::Shed, "Others come first just now; ask again soon.\n")
            }
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, Freshness::NotStored, Outcome::MethodRefused, "This can only be read.\n")
            }
            Self::MethodUnknown => {
                (StatusCode::NOT_IMPLEMENTED, Freshness::NotStored, Outcome::MethodRefused, "The method is not known here.\n")
            }
        }
    }
}

/// The answer to a failure: a sentence, kept for seconds or not at all.
pub(super) fn failure(fields: &Fields, failure: &Failure, provenance: &Provenance, head: bool) -> (Response<Body>, Outcome) {
    let (status, freshness, outcome, sentence) = failure.row();
    let body = if head { Body::default() } else { Body::whole(Bytes::from_static(sentence.as_bytes())) };
    let mut response = with_fields(status, fields.every(), body);
    let told = response.headers_mut();
    told.insert(CACHE_CONTROL, HeaderValue::from_static(freshness.cache_control()));
    told.insert(CONTENT_TYPE, TEXT);
    told.insert(CONTENT_LENGTH, HeaderValue::from(sentence.len()));
    match *failure {
        Failure::Unsatisfiable { length_bytes, varies } => {
            insert_text(told, CONTENT_RANGE, format_args!("bytes */{length_bytes}"));
            told.insert(ACCEPT_RANGES, BYTES);
            if varies {
                told.insert(VARY, ACCEPT_ENCODING);
            }
        }
        Failure::NotAcceptable => {
            told.insert(VARY, ACCEPT_ENCODING);
        }
        // Rounded up: asked again a moment too early, it would fail again (RFC 9110 10.2.3 counts whole seconds).
        Failure::NotYet(after) | Failure::Unavailable(after) => {
            told.insert(RETRY, HeaderValue::from(after.as_millis().div_ceil(1000).clamp(1, 3600) as u64));
        }
        Failure::Busy { after_s } | Failure::Shed { after_s } => {
            told.insert(RETRY, HeaderValue::from(after_s));
        }
        Failure::MethodNotAllowed => {
            told.insert(ALLOW, METHODS);
        }
        Failure::NotFound | Failure::Gone | Failure::MethodUnknown => {}
    }
    fields.tell(provenance, Told::Failure(outcome.as_str()), told);
    (response, outcome)
}

/// 204 to `OPTIONS`, a preflight included.
pub(super) fn options(fields: &Fields) -> Response<Body> {
    let mut response = with_fields(StatusCode::NO_CONTENT, fields.every(), Body::default());
    let told = response.headers_mut();
    told.insert(ALLOW, METHODS);
    told.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    told.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_FIELDS);
    told.insert(ACCESS_CONTROL_MAX_AGE, A_DAY);
    response
}

/// 200.
pub(super) fn whole(object: &Object, body: Body) -> Response<Body> {
    with_fields(StatusCode::OK, object.fields().clone(), body)
}

/// 206 with one range.
pub(super) fn part(object: &Object, range: ByteRange, body: Body) -> Response<Body> {
    let mut response = with_fields(StatusCode::PARTIAL_CONTENT, object.fields().clone(), body);
    let fields = response.headers_mut();
    insert_text(fields, CONTENT_LENGTH, format_args!("{}", range.byte_count()));
    insert_text(fields, CONTENT_RANGE, format_args!("bytes {}-{}/{}", range.first(), range.last(), object.length_bytes()));
    response
}

/// 206 with several ranges, each of which `body` gives.
pub(super) fn parts(object: &Object, ranges: &[ByteRange], body: impl Fn(ByteRange) -> Body) -> Response<Body> {
    let (content_type, body) = multipart(object, ranges, body);
    let length_bytes = body.left_bytes();
    let mut response = with_fields(StatusCode::PARTIAL_CONTENT, object.fields().clone(), body);
    let fields = response.headers_mut();
    fields.insert(CONTENT_LENGTH, HeaderValue::from(length_bytes));
    insert_text(fields, CONTENT_TYPE, format_args!("{content_type}"));
    response
}

/// 304 with what guides a cache, and nothing of the body (RFC 9110 15.4.5).
pub(super) fn not_modified(object: &Object) -> Response<Body> {
    with_fields(StatusCode::NOT_MODIFIED, guiding(object), Body::default())
}

/// 412 with the validator that the client should have had.
pub(super) fn precondition_failed(object: &Object) -> Response<Body> {
    with_fields(StatusCode::PRECONDITION_FAILED, guiding(object), Body::default())
}

/// What a 200 would tell, less what describes its body.
fn guiding(object: &Object) -> HeaderMap {
    let mut fields = object.fields().clone();
    for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, LAST_MODIFIED, ACCEPT_RANGES] {
        fields.remove(name);
    }
    fields
}

/// Adds the digest of the whole representation, of which the body may be a part (RFC 9530 3).
pub(super) fn tell_digest(object: &Object, fields: &mut HeaderMap) {
    insert_text(fields, REPR_DIGEST, format_args!("{}", repr_digest(object.hash())));
}

fn with_fields(status: StatusCode, fields: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}

/// For digits and words, which are always a value. The text is laid out on the stack: the longest are a `Content-Range` of three
/// numbers and the type of a multipart.
fn insert_text(fields: &mut HeaderMap, name: HeaderName, text: fmt::Arguments<'_>) {
    let mut room = [0; TEXT_BYTES_MAX];
    let mut rest = &mut room[..];
    let written = rest.write_fmt(text).map(|()| TEXT_BYTES_MAX - rest.len());
    if let Ok(value) = written.map_err(drop).and_then(|length| HeaderValue::from_bytes(&room[..length]).map_err(drop)) {
        fields.insert(name, value);
    }
}
