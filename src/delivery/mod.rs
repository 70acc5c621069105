//! Answers players and CDNs: a request becomes a response out of cache, store or schedule.
//!
//! A hit touches the cache alone. What is not in memory comes from a [`Library`], which delivery declares and the composition
//! root implements; waits for it are bounded in time and number.

mod body;
mod fetch;
mod fields;
mod library;
mod metrics;
mod multipart;
mod provenance;
mod response;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Response};
use tokio::sync::Semaphore;

use crate::cache::{Cache, CacheOutcome, Object};
use crate::semantics::{Form, Reply, Representation, RequestFacts, Route, choose, decide, wants_sha256};
use crate::title::TitleId;

pub use body::{Body, BodyError, Pieces};
use fields::Fields;
pub use library::{Document, Library, Miss, SegmentAddress, SegmentFacts};
pub use metrics::{Class, Metrics, Outcome};
use provenance::Provenance;
use response::Failure;

/// How delivery waits, what it lets caches keep, and what it tells besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Longest wait for a segment that is planned but not made.
    pub segment_wait: Duration,
    /// Requests that wait at once for what is not in memory.
    pub waiters_max: usize,
    /// How long a cache may keep a multivariant playlist; whole seconds.
    pub multivariant_max_age: Duration,
    /// The same for caches that know `CDN-Cache-Control`; absent: as everyone else.
    pub cdn_multivariant_max_age: Option<Duration>,
    /// How long those may keep what never changes; absent: as everyone else.
    pub cdn_immutable_max_age: Option<Duration>,
    /// `Alt-Svc`, on every answer.
    pub alt_svc: Option<HeaderValue>,
}

/// The public listener's service. Clones are the same service.
pub struct Delivery<L> {
    shared: Arc<Shared<L>>,
}

struct Shared<L> {
    library: Arc<L>,
    cache: Cache<Route, Miss>,
    waiters: Semaphore,
    segment_wait: Duration,
    fields: Arc<Fields>,
    metrics: Metrics,
}

impl<L> Clone for Delivery<L> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<L: Library> Delivery<L> {
    /// A service that answers out of `cache`, and out of `library` what is not there.
    pub fn new(config: &Config, library: Arc<L>, cache: Cache<Route, Miss>, metrics: Metrics) -> Self {
        let shared = Shared {
            library,
            cache,
            waiters: Semaphore::new(config.waiters_max.min(Semaphore::MAX_PERMITS)),
            segment_wait: config.segment_wait,
            fields: Arc::new(Fields::new(config)),
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The title's multivariant playlist has changed in the library: nobody who asks from now on gets the former one.
    pub async fn invalidate(&self, title: TitleId) {
        self.shared.cache.invalidate(&Route::Multivariant { title }).await;
    }

    /// The title is gone from the library: nothing of it is answered from memory any more.
    pub async fn forget(&self, title: TitleId) {
        self.shared.cache.invalidate_if(move |route| route.title() == title).await;
    }

    /// Answers one request; its body, if any, does not matter.
    pub async fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Body> {
        let route = Route::parse(path);
        let class = route.as_ref().map_or(Class::Other, Class::of);
        let (response, outcome) = self.response(method, route, class, headers).await;
        let body_bytes = response.body().left_bytes();
        self.shared.metrics.count(class, outcome, body_bytes);
        response
    }

    async fn response(&self, method: &Method, route: Option<Route>, class: Class, headers: &HeaderMap) -> (Response<Body>, Outcome) {
        let (head, fields) = (method == Method::HEAD, &self.shared.fields);
        if method == Method::OPTIONS {
            return (response::options(fields), Outcome::Options);
        }
        if !head && method != Method::GET {
            return response::failure(fields, &Failure::of_method(method), &Provenance::Unasked, head);
        }
        let Some(route) = route else { return response::failure(fields, &Failure::NotFound, &Provenance::Unasked, head) };
        let (object, provenance) = match self.shared.cache.get(&route).await {
            Some(object) => (object, Provenance::HIT),
            None => match self.shared.fetch(route, class).await {
                (Ok(object), provenance) => (object, provenance),
                (Err(failure), provenance) => return response::failure(fields, &failure, &provenance, head),
            },
        };
        self.shared.reply(&object, &provenance, head, headers)
    }
}

impl<L> Shared<L> {
    /// The answer to a `GET` or `HEAD` of an object that is at hand.
    fn reply(&self, object: &Object, provenance: &Provenance, head: bool, headers: &HeaderMap) -> (Response<Body>, Outcome) {
        let fields = &self.fields;
        // What is never coded is not negotiated: whoever refuses it plain gets it plain, for a 406 without `Vary` would be kept by
        // caches and given to all (RFC 9110 12.5.3 asks for no more).
        let form = match object.coded() {
            [] => Some(Form::Plain),
            coded => {
                choose(headers, object.bytes.len() as u64, coded.iter().filter_map(|form| Some((form.coding?, form.bytes.len() as u64))))
            }
        };
        let Some(form) = form else { return response::failure(fields, &Failure::NotAcceptable, provenance, head) };
        let varies = !object.coded().is_empty();
        let object = object.form(form);
        let representation = Representation {
            etag: object.etag().to_str().unwrap_or_default(),
            last_modified_s: object.last_modified_s(),
            length_bytes: object.bytes.len() as u64,
            immutable: object.immutable,
            coded: object.coding.is_some(),
        };
        let (mut response, outcome) = match decide(&RequestFacts { head, headers }, &representation) {
            Reply::Whole => (response::whole(object, head), Outcome::Whole),
            Reply::Part(range) => (response::part(object, range), Outcome::Part),
            Reply::Parts(ranges) => (response::parts(object, &ranges), Outcome::Part),
            Reply::NotModified => (response::not_modified(object), Outcome::NotModified),
            Reply::PreconditionFailed => (response::precondition_failed(object), Outcome::PreconditionFailed),
            Reply::Unsatisfiable => {
                let failure = Failure::Unsatisfiable { length_bytes: representation.length_bytes, varies };
                return response::failure(fields, &failure, provenance, head);
            }
        };
        if matches!(outcome, Outcome::Whole | Outcome::Part) && wants_sha256(headers) {
            response::tell_digest(object, response.headers_mut());
        }
        // The fields that were made with the object tell of a hit.
        if provenance.outcome() != Some(CacheOutcome::Hit) {
            fields.tell(provenance, object.immutable, None, response.headers_mut());
        }
        (response, outcome)
    }
}

impl<L: Library, B> hyper::service::Service<Request<B>> for Delivery<L> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let delivery = self.clone();
        let (parts, _body) = request.into_parts();
        Box::pin(async move { Ok(delivery.answer(&parts.method, parts.uri.path(), &parts.headers).await) })
    }
}

#[cfg(test)]
mod tests;
