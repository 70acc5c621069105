//! What every request passes before the service sees it: the rules for targets and `Host` (RFC 9112 3.2) and `Transfer-Encoding`
//! (6.1) that hyper leaves to us, and the connection's pace.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use http::header::{CONNECTION, HOST, HeaderMap, STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{Either, Empty};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use pin_project_lite::pin_project;

use super::Peer;
use super::pace::{Handling, Pace};

/// A service behind the gate of one connection.
pub(super) struct Gate<S> {
    service: S,
    pace: Arc<Pace>,
    manner: Manner,
    /// The first `Host` that was right, for most requests of a connection have the same.
    host: OnceLock<HeaderValue>,
}

/// What holds for all requests of a connection.
pub(super) struct Manner {
    /// Requests carry it, if it is there.
    pub peer: Option<Peer>,
    /// Sent with every answer.
    pub strict_transport_security: Option<HeaderValue>,
}

impl<S> Gate<S> {
    fn host_is_right(&self, version: Version, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        if let (Some(host), None, Some(right)) = (hosts.next(), hosts.next(), self.host.get())
            && host == right
        {
            return true;
        }
        let right = host_is_right(version, headers);
        if right && let Some(host) = headers.get(HOST) {
            // Another one may have been there first, which is as good.
            let _ = self.host.set(host.clone());
        }
        right
    }

    pub(super) fn new(service: S, pace: Arc<Pace>, manner: Manner) -> Self {
        Self { service, pace, manner, host: OnceLock::new() }
    }
}

impl<S, B> Service<Request<Incoming>> for Gate<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
{
    type Response = Response<Either<B, Empty<B::Data>>>;
    type Error = S::Error;
    type Future = Passing<S::Future, B>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let handling = self.pace.handle();
        let (method, target, headers) = (request.method(), request.uri(), request.headers());
        if !target_is_right(method, target) || !self.host_is_right(request.version(), headers) || !coding_is_right(headers) {
            return Passing::Refused { response: Some(bad_request()) };
        }
        if let Some(peer) = self.manner.peer {
            request.extensions_mut().insert(peer);
        }
        // Whoever reads `Connection: close` sends no further request into a connection that is about to be closed.
        let (may_close, strict_transport_security) = (request.version() <= Version::HTTP_11, self.manner.strict_transport_security.clone());
        Passing::Through { answer: self.service.call(request), handling: Some(handling), may_close, strict_transport_security }
    }
}

pin_project! {
    /// An answer on its way out.
    #[project = PassingProjection]
    pub(super) enum Passing<F, B: Body> {
        Refused { response: Option<Response<Either<B, Empty<B::Data>>>> },
        Through {
            #[pin]
            answer: F,
            handling: Option<Handling>,
            may_close: bool,
            strict_transport_security: Option<HeaderValue>,
        },
    }
}

impl<F, B, E> Future for Passing<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<Either<B, Empty<B::Data>>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            PassingProjection::Refused { response } => Poll::Ready(Ok(response.take().unwrap_or_else(bad_request))),
            PassingProjection::Through { answer, handling, may_close, strict_transport_security } => {
                let mut response = ready!(answer.poll(context))?;
                let ending = handling.take().is_some_and(|handling| handling.is_ending());
                if *may_close && ending {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                if let Some(value) = strict_transport_security.take() {
                    response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
                }
                Poll::Ready(Ok(response.map(Either::Left)))
            }
        }
    }
}

/// A target is a path, or a whole URI without a user; an asterisk for `OPTIONS` and a mere host for `CONNECT` alone (RFC 9112
/// 3.2, RFC 9110 4.2.4).
fn target_is_right(method: &Method, target: &Uri) -> bool {
    let form_is_right = match target.path() {
        "*" => *method == Method::OPTIONS,
        "" => *method == Method::CONNECT,
        path => path.starts_with('/'),
    };
    form_is_right && target.authority().is_none_or(|authority| !authority.as_str().contains('@'))
}

/// HTTP/1.1 needs exactly one `Host`, HTTP/1.0 may have one; its value is a host with or without a port, and no user. HTTP/2
/// has `:authority` instead, which is part of the target.
fn host_is_right(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (host, further) = (hosts.next(), hosts.next());
    match host {
        Some(host) => {
            let authority = Authority::try_from(host.as_bytes());
            further.is_none() && authority.is_ok_and(|authority| is_host(&authority))
        }
        None => version != Version::HTTP_11,
    }
}

/// Whether it is a host, with or without a port.
fn is_host(authority: &Authority) -> bool {
    let host = authority.host();
    let port = authority.as_str().strip_prefix(host).map(|rest| rest.strip_prefix(':').unwrap_or(rest));
    !host.is_empty() && port.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A body is chunked once or not at all; any other coding hides where it ends.
fn coding_is_right(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

/// What follows such a request on its connection cannot be trusted either, so it is closed.
fn bad_request<B: Body>() -> Response<Either<B, Empty<B::Data>>> {
    let mut response = Response::new(Either::Right(Empty::new()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (method, target, right) in [
            (Method::GET, "/", true),
            (Method::GET, "/t/x?y=z@a", true),
            (Method::GET, "/@", true),
            (Method::GET, "http://h", true),
            (Method::GET, "http://h:80/t/x", true),
            (Method::GET, "http://u@h/t/x", false),
            (Method::GET, "http://u:p@h/t/x", false),
            (Method::GET, "foo", false),
            (Method::GET, "h:80", false),
            (Method::GET, "*", false),
            (Method::OPTIONS, "*", true),
            (Method::OPTIONS, "/", true),
            (Method::CONNECT, "h:80", true),
        ] {
            assert_eq!(target_is_right(&method, &target.parse().expect("a target")), right, "{method} {target}");
        }
    }

    #[test]
    fn codings() {
        for (codings, right) in [
            (&[][..], true),
            (&["chunked"], true),
            (&["Chunked"], true),
            (&["chunked, chunked"], false),
            (&["chunked", "chunked"], false),
            (&["gzip, chunked"], false),
            (&["identity"], false),
        ] {
            let mut headers = HeaderMap::new();
            for coding in codings {
                headers.append(TRANSFER_ENCODING, HeaderValue::from_static(coding));
            }
            assert_eq!(coding_is_right(&headers), right, "{codings:?}");
        }
    }

    #[test]
    fn hosts() {
        for (version, hosts, right) in [
            (Version::HTTP_11, &["h"][..], true),
            (Version::HTTP_11, &["h:8080"], true),
            (Version::HTTP_11, &["h:"], true),
            (Version::HTTP_11, &["h:x"], false),
            (Version::HTTP_11, &["h:80:80"], false),
            (Version::HTTP_11, &["[::1]x"], false),
            (Version::HTTP_11, &["[::1]:8080"], true),
            (Version::HTTP_11, &[], false),
            (Version::HTTP_11, &[""], false),
            (Version::HTTP_11, &["h", "h"], false),
            (Version::HTTP_11, &["u@h"], false),
            (Version::HTTP_11, &["a b"], false),
            (Version::HTTP_11, &["a/b"], false),
            (Version::HTTP_11, &[":80"], false),
            (Version::HTTP_10, &[], true),
            (Version::HTTP_10, &["h", "h"], false),
            (Version::HTTP_2, &[], true),
        ] {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, HeaderValue::from_static(host));
            }
            assert_eq!(host_is_right(version, &headers), right, "{version:?} {hosts:?}");
        }
    }
}
