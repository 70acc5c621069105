//! Decisions become responses: status, fields, and a slice of the object as body.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    LAST_MODIFIED, RETRY_AFTER as RETRY, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::{Body, Miss, Outcome};
use crate::cache::{FillError, Object};
use crate::semantics::{ByteRange, Freshness};

/// When to ask again where nothing better is known.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const ANYONE: HeaderValue = HeaderValue::from_static("*");
const EXPOSED: HeaderValue = HeaderValue::from_static("ETag, Content-Range, Content-Length, Date, Age, Cache-Status, Server-Timing");
/// What a page may send: conditions, ranges, and the common media client data of CTA-5004.
const REQUEST_FIELDS: HeaderValue = HeaderValue::from_static(
    "Range, If-Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status",
);
const A_DAY: HeaderValue = HeaderValue::from_static("86400");
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const CROSS_ORIGIN: HeaderValue = HeaderValue::from_static("cross-origin");

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
    },
    /// 503: planned, but not made in time.
    NotYet(Duration),
    /// 503: cannot be had for the moment.
    Unavailable(Duration),
    /// 503: too many wait already.
    Busy,
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
            FillError::Busy => Self::Busy,
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
            Self::NotYet(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, Freshness::NotStored, Outcome::NotYet, "This is not made yet; ask again soon.\n")
            }
            Self::Unavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, Freshness::NotStored, Outcome::Unavailable, "This cannot be had at the moment.\n")
            }
            Self::Busy => {
                (StatusCode::SERVICE_UNAVAILABLE, Freshness::NotStored, Outcome::Busy, "Too many requests are waiting; ask again soon.\n")
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
pub(super) fn failure(failure: &Failure, head: bool) -> (Response<Body>, Outcome) {
    let (status, freshness, outcome, sentence) = failure.row();
    let mut response = start(status);
    let fields = response.headers_mut();
    fields.insert(CACHE_CONTROL, HeaderValue::from_static(freshness.cache_control()));
    fields.insert(CONTENT_TYPE, TEXT);
    fields.insert(CONTENT_LENGTH, HeaderValue::from(sentence.len()));
    match *failure {
        Failure::Unsatisfiable { length_bytes } => {
            insert_text(fields, CONTENT_RANGE, format!("bytes */{length_bytes}"));
            fields.insert(ACCEPT_RANGES, BYTES);
        }
        // Rounded up: asked again a moment too early, it would fail again (RFC 9110 10.2.3 counts whole seconds).
        Failure::NotYet(after) | Failure::Unavailable(after) => {
            fields.insert(RETRY, HeaderValue::from(after.as_millis().div_ceil(1000).clamp(1, 3600) as u64));
        }
        Failure::Busy => {
            fields.insert(RETRY, HeaderValue::from(RETRY_AFTER.as_secs()));
        }
        Failure::MethodNotAllowed => {
            fields.insert(ALLOW, METHODS);
        }
        Failure::NotFound | Failure::Gone | Failure::MethodUnknown => {}
    }
    if !head {
        *response.body_mut() = Body::whole(Bytes::from_static(sentence.as_bytes()));
    }
    (response, outcome)
}

/// 204 to `OPTIONS`, a preflight included.
pub(super) fn options() -> Response<Body> {
    let mut response = start(StatusCode::NO_CONTENT);
    let fields = response.headers_mut();
    fields.insert(ALLOW, METHODS);
    fields.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_FIELDS);
    fields.insert(ACCESS_CONTROL_MAX_AGE, A_DAY);
    response
}

/// 200; for `HEAD` the same without the body.
pub(super) fn whole(object: &Object, head: bool) -> Response<Body> {
    let mut response = start(StatusCode::OK);
    describe(object, object.bytes.len(), response.headers_mut());
    if !head {
        *response.body_mut() = Body::whole(object.bytes.clone());
    }
    response
}

/// 206 with one range.
pub(super) fn part(object: &Object, range: ByteRange) -> Response<Body> {
    let mut response = start(StatusCode::PARTIAL_CONTENT);
    // The decision was made for this body, so the range lies in it and fits its index type.
    let bytes = object.bytes.slice(range.first() as usize..=range.last() as usize);
    let fields = response.headers_mut();
    describe(object, bytes.len(), fields);
    insert_text(fields, CONTENT_RANGE, format!("bytes {}-{}/{}", range.first(), range.last(), object.bytes.len()));
    *response.body_mut() = Body::whole(bytes);
    response
}

/// 304 with what guides a cache, and nothing of the body (RFC 9110 15.4.5).
pub(super) fn not_modified(object: &Object) -> Response<Body> {
    let mut response = start(StatusCode::NOT_MODIFIED);
    let fields = response.headers_mut();
    fields.insert(ETAG, object.etag().clone());
    fields.insert(CACHE_CONTROL, object.cache_control.clone());
    vary(object, fields);
    response
}

/// 412 with the validator that the client should have had.
pub(super) fn precondition_failed(object: &Object) -> Response<Body> {
    let mut response = not_modified(object);
    *response.status_mut() = StatusCode::PRECONDITION_FAILED;
    response
}

fn describe(object: &Object, body_bytes: usize, fields: &mut HeaderMap) {
    fields.insert(CONTENT_TYPE, object.content_type.clone());
    fields.insert(CONTENT_LENGTH, HeaderValue::from(body_bytes));
    fields.insert(ETAG, object.etag().clone());
    fields.insert(LAST_MODIFIED, object.last_modified().clone());
    fields.insert(CACHE_CONTROL, object.cache_control.clone());
    fields.insert(ACCEPT_RANGES, BYTES);
    if object.is_gzip {
        fields.insert(CONTENT_ENCODING, GZIP);
    }
    vary(object, fields);
}

/// On the plain form too: a cache must not give it to all who ask (RFC 9110 12.5.5).
fn vary(object: &Object, fields: &mut HeaderMap) {
    if object.varies() {
        fields.insert(VARY, ACCEPT_ENCODING);
    }
}

/// Every answer may be read from any page, errors too: a player must be able to tell a 404 from a dead server.
fn start(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.reserve(12);
    fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANYONE);
    fields.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    fields.insert(TIMING_ALLOW_ORIGIN, ANYONE);
    fields.insert(CROSS_ORIGIN_RESOURCE_POLICY, CROSS_ORIGIN);
    response
}

/// For digits and words, which are always a value.
pub(super) fn insert_text(fields: &mut HeaderMap, name: HeaderName, text: String) {
    if let Ok(value) = HeaderValue::try_from(text) {
        fields.insert(name, value);
    }
}
