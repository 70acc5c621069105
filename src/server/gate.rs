//! What every request passes before the service sees it: the rules for targets and `Host` (RFC 9112 3.2) and `Transfer-Encoding`
//! (6.1) that hyper leaves to us, limits on heads and on how often an address may ask, and the connection's pace.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderMap, STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use http_body_util::{Either, Full};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use pin_project_lite::pin_project;

use super::answer_body::AnswerBody;
use super::connection::Admitted;
use super::limits::{HeadLimits, Limits};
use super::metrics::RefusalCounters;
use super::pace::{Handling, Pace};
use super::paced_stream::HeadWatch;
use super::{Peer, Refusal};

/// A body of this length or less is read away, where none are taken.
const DRAINED_BYTES_MAX: u64 = 8 << 10;

/// A service behind the gate of one connection.
pub(super) struct Gate<S> {
    service: S,
    pace: Arc<Pace>,
    manner: Manner,
}

/// What holds for all requests of a connection.
pub(super) struct Manner {
    /// Requests carry it, if it is there.
    peer: Option<Peer>,
    /// Sent with every answer.
    pub strict_transport_security: Option<HeaderValue>,
    admitted: Admitted,
    head: HeadLimits,
    takes_bodies: bool,
    refusals: Arc<RefusalCounters>,
    /// The first `Host` that was right, for most requests of a connection have the same.
    host: OnceLock<HeaderValue>,
}

impl Manner {
    pub(super) fn new(admitted: Admitted, limits: &Limits, peer: Option<Peer>, refusals: Arc<RefusalCounters>) -> Self {
        let (head, takes_bodies) = (limits.head, limits.takes_bodies);
        Self { peer, strict_transport_security: None, admitted, head, takes_bodies, refusals, host: OnceLock::new() }
    }

    /// Whether a connection of HTTP/1 ends with a request that brings this body.
    fn ends_with(&self, body: &impl Body) -> bool {
        !self.takes_bodies && !body.is_end_stream() && body.size_hint().upper().is_none_or(|bytes| bytes > DRAINED_BYTES_MAX)
    }

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

    /// Why a request is refused, if it is, and after how many seconds it may be sent again.
    fn refusal<B>(&self, request: &Request<B>) -> Option<(Refusal, u64)> {
        let (target, headers) = (request.uri(), request.headers());
        let refusal = if !target_is_right(request.method(), target) {
            Some(Refusal::Target)
        } else if !self.host_is_right(request.version(), headers) {
            Some(Refusal::Host)
        } else if !coding_is_right(headers) {
            Some(Refusal::TransferCoding)
        } else {
            self.head.refusal(target, headers)
        };
        let often = || self.admitted.address.as_ref().and_then(|address| address.ask().err());
        refusal.map(|refusal| (refusal, 0)).or_else(|| often().map(|after_s| (Refusal::TooOften, after_s)))
    }
}

impl<S> Gate<S> {
    pub(super) fn new(service: S, pace: Arc<Pace>, manner: Manner) -> Self {
        Self { service, pace, manner }
    }

    /// What watches over heads that never come to an end. It counts separators and method too, so it is twice as patient.
    pub(super) fn head_watch(&self) -> HeadWatch {
        HeadWatch { bytes_max: self.manner.head.bytes_max * 2, refusals: Arc::clone(&self.manner.refusals) }
    }
}

impl<S, B> Service<Request<Incoming>> for Gate<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: From<Bytes>,
{
    type Response = Response<Either<AnswerBody<B>, Full<B::Data>>>;
    type Error = S::Error;
    type Future = Passing<S::Future, B>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let handling = self.pace.handle();
        self.pace.has_body(!request.body().is_end_stream());
        if let Some((refusal, retry_after_s)) = self.manner.refusal(&request) {
            self.manner.refusals[refusal as usize].inc();
            return Passing::Refused { version: request.version(), refusal, retry_after_s, body: PhantomData };
        }
        if let Some(peer) = self.manner.peer {
            request.extensions_mut().insert(peer);
        }
        // Whoever reads `Connection: close` sends no further request into a connection that is about to be closed.
        let (may_close, strict_transport_security) = (request.version() <= Version::HTTP_11, self.manner.strict_transport_security.clone());
        let close = may_close && (self.manner.admitted.place.is_crowded() || self.manner.ends_with(request.body()));
        Passing::Through { answer: self.service.call(request), handling: Some(handling), may_close, close, strict_transport_security }
    }
}

pin_project! {
    /// An answer on its way out.
    #[project = PassingProjection]
    pub(super) enum Passing<F, B: Body> {
        Refused { version: Version, refusal: Refusal, retry_after_s: u64, body: PhantomData<B> },
        Through {
            #[pin]
            answer: F,
            handling: Option<Handling>,
            may_close: bool,
            close: bool,
            strict_transport_security: Option<HeaderValue>,
        },
    }
}

impl<F, B, E> Future for Passing<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    B::Data: From<Bytes>,
{
    type Output = Result<Response<Either<AnswerBody<B>, Full<B::Data>>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            PassingProjection::Refused { version, refusal, retry_after_s, .. } => {
                Poll::Ready(Ok(refusal.answer(*version, *retry_after_s).map(Either::Right)))
            }
            PassingProjection::Through { answer, handling, may_close, close, strict_transport_security } => {
                let mut response = ready!(answer.poll(context))?;
                let handling = handling.take();
                let ending = handling.as_ref().is_some_and(|handling| handling.is_ending());
                let answering = handling.filter(|_| *may_close).map(|handling| handling.answer());
                if *close || *may_close && ending {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                if let Some(value) = strict_transport_security.take() {
                    response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
                }
                Poll::Ready(Ok(response.map(|body| Either::Left(AnswerBody::new(body, answering)))))
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
