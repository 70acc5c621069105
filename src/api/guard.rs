//! Who may ask: the host names of this listener, no other site's pages, and whoever has the token.
//!
//! A listener on a loopback address is reached by every page that a browser on this machine has open. Pages can send it
//! requests, though not read the answers, unless they point a name of their own at 127.0.0.1. So changes are refused to
//! other origins, and names that are not ours to everybody.

use std::hint::black_box;

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, header};
use sha2::{Digest, Sha256};

use super::address::{asked, default_port, literal};
use super::error::{ApiError, ErrorCode};

/// Paths that are answered without the token: they tell nothing about any title.
const OPEN_PATHS: [&str; 4] = ["/", "/healthz", "/readyz", "/openapi.json"];

/// The bearer token that requests need. Only its hash is kept.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// The token with this text.
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Compares in a time that depends on neither text.
    fn is(&self, offered: &str) -> bool {
        let offered: [u8; 32] = Sha256::digest(offered).into();
        let difference = self.0.iter().zip(offered).fold(0, |sum, (one, other)| black_box(sum | (one ^ other)));
        black_box(difference) == 0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Token(***)")
    }
}

/// What is checked of every request before anything else.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// Whether the listener is bound to a loopback address.
    pub(super) loopback: bool,
    /// Names it goes by besides `localhost` and the loopback addresses.
    pub(super) host_names: Vec<String>,
    /// The token that is needed, if one is.
    pub(super) token: Option<Token>,
}

impl Guard {
    /// Lets a request in, and tells the host it asks for.
    pub(super) fn admit(&self, request: &Parts) -> Result<Authority, ApiError> {
        let asked = asked(&request.uri, &request.headers)
            .ok_or_else(|| ApiError::new(ErrorCode::InvalidHeader, "The request needs one valid Host."))?;
        if self.loopback && !self.knows(asked.host()) {
            let detail = "The host asked is none of this listener's names; on this machine use localhost.";
            return Err(ApiError::new(ErrorCode::UnknownHost, detail));
        }
        if !request.method.is_safe() && !is_same_origin(&request.headers, &asked) {
            return Err(ApiError::new(ErrorCode::CrossSiteRequest, "Pages of other origins may not change anything here."));
        }
        if !OPEN_PATHS.contains(&request.uri.path()) {
            self.authorise(&request.headers)?;
        }
        Ok(asked)
    }

    fn knows(&self, host: &str) -> bool {
        host.eq_ignore_ascii_case("localhost")
            || literal(host).is_some_and(|ip| ip.is_loopback())
            || self.host_names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    fn authorise(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(token) = &self.token else { return Ok(()) };
        let mut offers = headers.get_all(header::AUTHORIZATION).iter();
        let offer = offers.next().filter(|_| offers.next().is_none()).and_then(|value| value.to_str().ok());
        let (scheme, offered) = offer.and_then(|offer| offer.split_once(' ')).unwrap_or_default();
        if scheme.eq_ignore_ascii_case("bearer") && token.is(offered.trim()) {
            return Ok(());
        }
        Err(ApiError::new(ErrorCode::Unauthorized, "Send the configured token as 'Authorization: Bearer TOKEN'."))
    }
}

/// Whether a browser says that a page of this very origin asks, or no browser does.
fn is_same_origin(headers: &HeaderMap, asked: &Authority) -> bool {
    // A browser sets it and no page can (Fetch Metadata, Sec-Fetch-Site); "none" is a user who typed or clicked.
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    // Browsers leave Sec-Fetch-Site out where the origin is not trustworthy, but send Origin with every such method.
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Some((scheme, rest)) = origin.to_str().ok().and_then(|origin| origin.split_once("://")) else { return false };
    let Ok(origin) = rest.parse::<Authority>() else { return false };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default_port(scheme));
    origin.host().eq_ignore_ascii_case(asked.host()) && port(&origin) == port(asked)
}

/// Refuses a body where none belongs: what would be ignored is better told.
pub(super) fn refuse_body(method: &Method, has_body: bool) -> Result<(), ApiError> {
    if has_body && matches!(*method, Method::GET | Method::HEAD | Method::DELETE) {
        return Err(ApiError::new(ErrorCode::UnexpectedBody, format!("{method} takes no body here.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn guard(token: Option<&str>) -> Guard {
        Guard { loopback: true, host_names: vec!["admin.example.com".into()], token: token.map(Token::new) }
    }

    fn admit(guard: &Guard, method: &str, path: &str, headers: &[(&str, &str)]) -> Option<ErrorCode> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        guard.admit(&parts).err().map(|error| error.code)
    }

    #[test]
    fn hosts_of_a_loopback_listener() {
        for (host, expect) in [
            ("localhost:8081", None),
            ("LOCALHOST", None),
            ("127.0.0.1:8081", None),
            ("127.8.9.1", None),
            ("[::1]:8081", None),
            ("admin.example.com", None),
            ("evil.example.com:8081", Some(ErrorCode::UnknownHost)),
            ("localhost.evil.example.com", Some(ErrorCode::UnknownHost)),
            ("192.168.1.5:8081", Some(ErrorCode::UnknownHost)),
            ("user@localhost", Some(ErrorCode::InvalidHeader)),
            ("", Some(ErrorCode::InvalidHeader)),
        ] {
            assert_eq!(admit(&guard(None), "GET", "/metrics", &[("host", host)]), expect, "{host}");
        }
        let elsewhere = Guard { loopback: false, ..guard(Some("t")) };
        assert_eq!(admit(&elsewhere, "GET", "/healthz", &[("host", "any.example.com")]), None);
    }

    #[test]
    fn pages_of_other_origins_change_nothing() {
        let refused = Some(ErrorCode::CrossSiteRequest);
        for (method, headers, expect) in [
            ("POST", vec![], None),
            ("POST", vec![("sec-fetch-site", "same-origin")], None),
            ("POST", vec![("sec-fetch-site", "none")], None),
            ("POST", vec![("sec-fetch-site", "same-site")], refused),
            ("DELETE", vec![("sec-fetch-site", "cross-site")], refused),
            ("PATCH", vec![("sec-fetch-site", "cross-site"), ("origin", "http://localhost:8081")], refused),
            ("POST", vec![("origin", "http://localhost:8081")], None),
            ("POST", vec![("origin", "http://LocalHost:8081")], None),
            ("POST", vec![("origin", "http://localhost:3000")], refused),
            ("POST", vec![("origin", "http://localhost")], refused),
            ("POST", vec![("origin", "https://evil.example.com")], refused),
            ("POST", vec![("origin", "null")], refused),
            ("GET", vec![("sec-fetch-site", "cross-site")], None),
        ] {
            let mut all = vec![("host", "localhost:8081")];
            all.extend(headers);
            assert_eq!(admit(&guard(None), method, "/api/v1/titles", &all), expect, "{method} {all:?}");
        }
    }

    #[test]
    fn the_token_is_needed() {
        let refused = Some(ErrorCode::Unauthorized);
        let guard = guard(Some("open sesame"));
        for (path, offer, expect) in [
            ("/api/v1/titles", Some("Bearer open sesame"), None),
            ("/api/v1/titles", Some("bearer open sesame"), None),
            ("/api/v1/titles", None, refused),
            ("/api/v1/titles", Some("Bearer"), refused),
            ("/api/v1/titles", Some("Bearer open"), refused),
            ("/api/v1/titles", Some("Bearer open sesamee"), refused),
            ("/api/v1/titles", Some("Basic open sesame"), refused),
            ("/metrics", None, refused),
            ("/nowhere", None, refused),
            ("/healthz", None, None),
            ("/readyz", None, None),
        ] {
            let mut headers = vec![("host", "localhost:8081")];
            headers.extend(offer.map(|offer| ("authorization", offer)));
            assert_eq!(admit(&guard, "GET", path, &headers), expect, "{path} {offer:?}");
        }
        let twice = [("host", "localhost"), ("authorization", "Bearer open sesame"), ("authorization", "Bearer open sesame")];
        assert_eq!(admit(&guard, "GET", "/api", &twice), refused);
        assert_eq!(format!("{guard:?}").matches("sesame").count(), 0);
    }
}
