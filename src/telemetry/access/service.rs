//! Delivery with a line in the log for each request.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::Either;
use http::request::Parts;
use http::{Request, Response};

use super::body::LoggedBody;
use super::queue::Queue;
use super::record::{Answered, Facts, Hold, microseconds};
use crate::delivery::{Answering, Body, Delivery, Library, Told};
use crate::schedule::Clock;
use crate::semantics::{Network, client};
use crate::server::Peer;

/// What all requests of a log share.
pub(super) struct Settings {
    pub(super) queue: Arc<Queue>,
    pub(super) clock: Clock,
    pub(super) trusted: Vec<Network>,
}

/// [`Delivery`] as a service whose answers are logged, if there is a log. Clones are the same service.
pub struct Logged<L> {
    delivery: Delivery<L>,
    settings: Option<Arc<Settings>>,
}

impl<L> Logged<L> {
    pub(super) fn new(delivery: Delivery<L>, settings: Option<Arc<Settings>>) -> Self {
        Self { delivery, settings }
    }
}

impl<L> Clone for Logged<L> {
    fn clone(&self) -> Self {
        Self { delivery: self.delivery.clone(), settings: self.settings.clone() }
    }
}

impl<L: Library, B> hyper::service::Service<Request<B>> for Logged<L> {
    type Response = Response<LoggedBody>;
    type Error = Infallible;
    type Future = Answering<Self::Response>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let (parts, _body) = request.into_parts();
        let Some(settings) = &self.settings else {
            return match self.delivery.at_once(&parts.method, parts.uri.path(), &parts.headers) {
                Ok((response, _)) => Either::Left(ready(Ok(response.map(LoggedBody::unlogged)))),
                Err(later) => Either::Right(Box::pin(async move {
                    let (response, _) = later.answer(&parts.method, &parts.headers).await;
                    Ok(response.map(LoggedBody::unlogged))
                })),
            };
        };
        let mut asked = Asked::new(Arc::clone(settings), parts);
        match self.delivery.at_once(&asked.parts.method, asked.parts.uri.path(), &asked.parts.headers) {
            Ok((response, told)) => Either::Left(ready(Ok(asked.answered(response, told)))),
            Err(later) => Either::Right(Box::pin(async move {
                let (response, told) = later.answer(&asked.parts.method, &asked.parts.headers).await;
                Ok(asked.answered(response, told))
            })),
        }
    }
}

/// A request without an answer yet. Dropped before that, it is logged as one whose client has left.
struct Asked {
    settings: Arc<Settings>,
    parts: Parts,
    at_ms: i64,
    began: Instant,
    is_answered: bool,
}

impl Asked {
    fn new(settings: Arc<Settings>, parts: Parts) -> Self {
        let at_ms = (settings.clock)();
        Self { settings, parts, at_ms, began: Instant::now(), is_answered: false }
    }

    fn answered(&mut self, response: Response<Body>, told: Told) -> Response<LoggedBody> {
        self.is_answered = true;
        let body_bytes = response.body().left_bytes();
        let answered = Answered { status: response.status(), told, body_bytes, ttfb_us: microseconds(self.began) };
        let hold = self.hold(Some(answered));
        response.map(|body| LoggedBody::logged(body, hold))
    }

    fn hold(&self, answered: Option<Answered>) -> Hold {
        let peer = self.parts.extensions.get::<Peer>().copied();
        let client = peer.map(|peer| client(peer.address, &self.parts.headers, &self.settings.trusted));
        let facts = Facts { at_ms: self.at_ms, began: self.began, version: self.parts.version, peer, client, answered };
        Hold::first(&self.settings.queue, facts, &self.parts)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.is_answered {
            drop(self.hold(None));
        }
    }
}
