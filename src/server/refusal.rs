//! What a listener refuses by itself, and the answer to it.

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Buf;

/// Why a request does not reach the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// 400: the target is none that a server can be asked for.
    Target,
    /// 400: there is no `Host` where one must be, more than one, or a wrong one.
    Host,
    /// 400: where the body ends is not certain.
    TransferCoding,
    /// 414.
    TargetTooLong,
    /// 431: too many fields.
    TooManyFields,
    /// 431: too many bytes of fields.
    HeadTooLarge,
    /// 429: more requests a second than one address may send.
    TooOften,
}

impl Refusal {
    /// Every reason, in the order of the declaration.
    pub const ALL: [Self; 7] =
        [Self::Target, Self::Host, Self::TransferCoding, Self::TargetTooLong, Self::TooManyFields, Self::HeadTooLarge, Self::TooOften];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Host => "host",
            Self::TransferCoding => "transfer-coding",
            Self::TargetTooLong => "target-too-long",
            Self::TooManyFields => "too-many-fields",
            Self::HeadTooLarge => "head-too-large",
            Self::TooOften => "too-often",
        }
    }

    /// What follows such a request on its connection cannot be trusted either.
    fn closes(self) -> bool {
        self != Self::TooOften
    }

    fn row(self) -> (StatusCode, &'static str) {
        match self {
            Self::Target => (StatusCode::BAD_REQUEST, "The target of the request is wrong.\n"),
            Self::Host => (StatusCode::BAD_REQUEST, "There must be one Host, and it must be right.\n"),
            Self::TransferCoding => (StatusCode::BAD_REQUEST, "The only Transfer-Encoding is chunked.\n"),
            Self::TargetTooLong => (StatusCode::URI_TOO_LONG, "The target of the request is too long.\n"),
            Self::TooManyFields => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The request has too many fields.\n"),
            Self::HeadTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The fields of the request are too long.\n"),
            Self::TooOften => (StatusCode::TOO_MANY_REQUESTS, "Too many requests come from this address; ask again soon.\n"),
        }
    }

    /// The answer as it goes over a connection of HTTP/1.1 that ends with it.
    pub(super) fn raw_answer(self) -> String {
        let (status, sentence) = self.row();
        let length = sentence.len();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\ncache-control: no-store\r\n\
             access-control-allow-origin: *\r\nconnection: close\r\n\r\n{sentence}"
        )
    }

    /// The answer. It is not to be kept, and pages of any origin may read it.
    pub(super) fn answer<D: Buf + From<Bytes>>(self, version: Version, retry_after_s: u64) -> Response<Full<D>> {
        let (status, sentence) = self.row();
        let mut response = Response::new(Full::new(D::from(Bytes::from_static(sentence.as_bytes()))));
        *response.status_mut() = status;
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        if self == Self::TooOften {
            fields.insert(RETRY_AFTER, HeaderValue::from(retry_after_s.max(1)));
        }
        if self.closes() && version <= Version::HTTP_11 {
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_place_and_its_answer() {
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index);
            let answer = refusal.answer::<Bytes>(Version::HTTP_11, 3);
            assert!(answer.status().is_client_error(), "{refusal:?}");
            assert_eq!(answer.headers()["access-control-allow-origin"], "*");
            let often = refusal == Refusal::TooOften;
            assert_eq!(answer.headers().get("retry-after").is_some_and(|after| after == "3"), often);
            assert_eq!(answer.headers().contains_key("connection"), !often);
            assert!(!refusal.answer::<Bytes>(Version::HTTP_2, 0).headers().contains_key("connection"), "HTTP/2 has no such field");
        }
    }
}
