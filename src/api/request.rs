//! How requests are taken apart: the query, the title in the path, a small JSON body, a title's name. Each either becomes a
//! typed value or an error; none of the framework's own rejections gets out.

use std::fmt;
use std::str::FromStr;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use super::error::{ApiError, ErrorCode};
use crate::title::TitleId;

/// Longest JSON body in bytes; the longest name, written in escapes, is a sixth of it.
const JSON_BYTES_MAX: usize = 16 << 10;
/// Longest query in bytes; the longest name, percent-encoded, is a third of it.
const QUERY_BYTES_MAX: usize = 8 << 10;
/// Longest name of a title in characters.
const NAME_CHARS_MAX: usize = 200;

/// The title that the path names.
pub(super) struct InPath(pub(super) TitleId);

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Ok(Path(id)) = Path::<String>::from_request_parts(parts, state).await else {
            return Err(ApiError::title_not_found(""));
        };
        TitleId::parse(&id).map(Self).map_err(|_| ApiError::title_not_found(&id))
    }
}

/// The query's keys and values, each key known and there once.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Takes the query apart; `known` are the keys it may have.
    pub(super) fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, ApiError> {
        let invalid = |detail: String| Err(ApiError::new(ErrorCode::InvalidQuery, detail));
        let query = query.unwrap_or_default();
        if query.len() > QUERY_BYTES_MAX {
            return invalid(format!("The query is longer than {QUERY_BYTES_MAX} bytes."));
        }
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(key), Some(value)) = (decode(key), decode(value)) else {
                return invalid("The query is not percent-encoded UTF-8.".into());
            };
            if !known.contains(&key.as_str()) {
                let list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let shown: String = key.chars().take(40).collect();
                return invalid(format!("There is no key '{}' here; allowed: {list}.", shown.escape_debug()));
            }
            if pairs.iter().any(|(there, _)| *there == key) {
                return invalid(format!("The key '{key}' is there twice."));
            }
            pairs.push((key, value));
        }
        Ok(Self(pairs))
    }

    /// The value of a key, if it is there.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(there, _)| there == key).map(|(_, value)| value.as_str())
    }

    /// The value of a key read as `T`, if it is there and not empty.
    pub(super) fn value<T: FromStr<Err: fmt::Display>>(&self, key: &str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(key).filter(|text| !text.is_empty()) else { return Ok(None) };
        text.parse().map(Some).map_err(|error| ApiError::new(ErrorCode::InvalidQuery, format!("The value of '{key}' is wrong: {error}.")))
    }
}

/// Percent-decodes, a plus being a space (as forms write it).
fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|text| text.into_owned())
}

/// Reads a small JSON body.
pub(super) async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence != "application/json" && essence != "application/merge-patch+json" {
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType, "Expected a body of type application/json."));
    }
    refuse_encoding(headers)?;
    let too_large = || ApiError::new(ErrorCode::BodyTooLarge, format!("At most {JSON_BYTES_MAX} bytes are taken here."));
    if http_body::Body::size_hint(&body).lower() > JSON_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let bytes = axum::body::to_bytes(body, JSON_BYTES_MAX).await.map_err(|error| {
        let limit = std::error::Error::source(&error).is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
        if limit { too_large() } else { ApiError::new(ErrorCode::InvalidBody, "The body broke off.") }
    })?;
    serde_json::from_slice(&bytes).map_err(|error| ApiError::new(ErrorCode::InvalidBody, super::error::sentence(&error.to_string())))
}

/// Refuses a body that would have to be decompressed first (RFC 9110 section 15.5.16).
pub(super) fn refuse_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    let encoded = headers.get_all(header::CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if encoded {
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType, "The body must not have a Content-Encoding."));
    }
    Ok(())
}

/// A title's name: any Unicode without control characters, 1 to 200 characters once the space around it is gone.
pub(super) fn title_name(text: &str) -> Result<String, ApiError> {
    let invalid = |detail: String| Err(ApiError::new(ErrorCode::InvalidName, detail));
    let name = text.trim();
    if name.is_empty() {
        return invalid("The name is empty.".into());
    }
    if name.chars().count() > NAME_CHARS_MAX {
        return invalid(format!("The name is longer than {NAME_CHARS_MAX} characters."));
    }
    if name.chars().any(char::is_control) {
        return invalid("The name has control characters.".into());
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    #[test]
    fn queries() {
        let known = ["limit", "name"];
        let read = |query: &str| Query::parse(Some(query), &known).map(|query| query.0).map_err(|error| error.detail);
        let pair = |key: &str, value: &str| Ok(vec![(key.to_owned(), value.to_owned())]);
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read("&&"), Ok(vec![]));
        assert_eq!(read("name=a+b%20c%2B"), pair("name", "a b c+"));
        assert_eq!(read("name=%E6%98%A0%E7%94%BB"), pair("name", "映画"));
        assert_eq!(read("n%61me=x=y"), pair("name", "x=y"));
        assert_eq!(read("name"), pair("name", ""));
        assert!(read("name=%ff").is_err_and(|detail| detail.contains("UTF-8")));
        assert!(read("nmae=x").is_err_and(|detail| detail.contains("'nmae'") && detail.contains("limit, name")));
        assert!(read("name=x&name=y").is_err_and(|detail| detail.contains("twice")));
        assert!(read(&format!("name={}", "x".repeat(9000))).is_err());
    }

    #[test]
    fn names() {
        for (text, expect) in [
            ("film.mp4", Some("film.mp4")),
            ("  映画 🎬  ", Some("映画 🎬")),
            ("../../etc/passwd", Some("../../etc/passwd")),
            ("", None),
            (" \u{3000} ", None),
            ("a\nb", None),
            ("a\u{0}b", None),
            ("a\u{85}b", None),
        ] {
            assert_eq!(title_name(text).ok().as_deref(), expect, "{text:?}");
        }
        assert!(title_name(&"é".repeat(200)).is_ok());
        assert!(title_name(&"é".repeat(201)).is_err());
    }

    proptest! {
        #[test]
        fn no_query_panics(text in "\\PC{0,60}") {
            let _ = Query::parse(Some(&text), &["a", "b"]);
        }
    }
}
