//! Answers players and CDNs: a request becomes a response out of cache, store or schedule.
//!
//! A hit touches the cache alone. What is not in memory comes from a [`Library`], which delivery declares and the composition
//! root implements; waits for it are bounded in time and number.

mod ahead;
mod body;
mod fetch;
mod library;
mod metrics;
mod purge;
mod response;
mod stream;
mod surrogate;

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Response};
use tokio::sync::Semaphore;

use crate::cache::Cache;
use crate::semantics::{Reply, Representation, RequestFacts, Route, decide, multivariant_cache_control, prefers_gzip};
use crate::title::{Generation, TitleId, TrackId};

use ahead::Readers;
pub use body::{Body, BodyError, Pieces};
use fetch::Found;
pub use fetch::NoObject;
pub use library::{Document, Library, Miss, Presence, SegmentAddress, SegmentFacts};
pub use metrics::{Class, Metrics, Origin, Outcome};
pub use purge::{PurgeConfig, PurgeMetrics, PurgeOutcome, PurgeSender, Purger};
use response::Failure;
pub use surrogate::SurrogateKeys;

/// How delivery waits and what it lets caches keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Longest wait for a segment that is planned but not made.
    pub segment_wait: Duration,
    /// Requests that wait at once for what is not in memory.
    pub waiters_max: usize,
    /// How long what was replaced or deleted is answered for: until then with the object or, where that is gone, with 410.
    pub generation_grace: Duration,
    /// How long a cache may keep a multivariant playlist; whole seconds.
    pub multivariant_max_age: Duration,
    /// Which fields tell CDNs what an answer belongs to.
    pub surrogate_keys: SurrogateKeys,
}

/// The public listener's service. Clones are the same service.
pub struct Delivery<L> {
    shared: Arc<Shared<L>>,
}

struct Shared<L> {
    library: Arc<L>,
    cache: Cache<Route, NoObject>,
    readers: Readers,
    waiters: Semaphore,
    streams: Arc<Semaphore>,
    segment_wait: Duration,
    multivariant_cache_control: HeaderValue,
    surrogate_keys: SurrogateKeys,
    metrics: Metrics,
}

impl<L> Clone for Delivery<L> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<L: Library> Delivery<L> {
    /// A service that answers out of `cache`, and out of `library` what is not there.
    pub fn new(config: &Config, library: Arc<L>, cache: Cache<Route, NoObject>, metrics: Metrics) -> Self {
        let cache_control = multivariant_cache_control(config.multivariant_max_age);
        let shared = Shared {
            library,
            readers: Readers::default(),
            streams: Arc::new(Semaphore::new(stream::streams_max(cache.config().pieces_bytes()))),
            cache,
            waiters: Semaphore::new(config.waiters_max.min(Semaphore::MAX_PERMITS)),
            segment_wait: config.segment_wait,
            // Made of digits and words, so it is a value.
            multivariant_cache_control: HeaderValue::try_from(cache_control).unwrap_or(HeaderValue::from_static("no-cache")),
            surrogate_keys: config.surrogate_keys,
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The title's multivariant playlist has changed in the library: nobody who asks from now on gets the former one.
    pub async fn invalidate(&self, title: TitleId) {
        self.shared.cache.invalidate(&Route::Multivariant { title }).await;
        self.shared.cache.forget_absences(move |route| route.title() == title).await;
    }

    /// The title is gone from the library: nothing of it is answered from memory any more.
    pub async fn forget(&self, title: TitleId) {
        self.shared.cache.invalidate_if(move |route| route.title() == title).await;
    }

    /// Nothing of these text tracks is answered from memory any more; each is named by its title, the generation in which it
    /// appeared, and itself.
    pub async fn forget_tracks(&self, tracks: HashSet<(TitleId, Generation, TrackId)>) {
        let tracks = Arc::new(tracks);
        let doomed = move |route: &Route| match *route {
            Route::MediaPlaylist { title, generation, track } | Route::Segment { title, generation, track, .. } => {
                tracks.contains(&(title, generation, track))
            }
            _ => false,
        };
        self.shared.cache.invalidate_if(doomed).await;
    }

    /// Answers one request; its body, if any, does not matter.
    pub async fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Body> {
        let route = Route::parse(path);
        let class = route.as_ref().map_or(Class::Other, Class::of);
        let (mut response, outcome) = self.response(method, route, class, headers).await;
        if let Some(route) = &route {
            self.shared.surrogate_keys.put(route, response.headers_mut());
        }
        let body_bytes = response.body().left_bytes();
        self.shared.metrics.count(class, outcome, body_bytes);
        response
    }

    async fn response(&self, method: &Method, route: Option<Route>, class: Class, headers: &HeaderMap) -> (Response<Body>, Outcome) {
        let head = method == Method::HEAD;
        if method == Method::OPTIONS {
            return (response::options(), Outcome::Options);
        }
        if !head && method != Method::GET {
            return response::failure(&Failure::of_method(method), false);
        }
        let Some(route) = route else { return response::failure(&Failure::NotFound, head) };
        let (object, from) = match self.shared.find(route, class).await {
            Ok(Found::Memory(object)) => (object, Origin::Memory),
            Ok(Found::Filled(object)) => (object, Origin::Fill),
            Ok(Found::Large(large)) => return self.shared.stream(*large, head, headers),
            Err(failure) => return response::failure(&failure, head),
        };
        let object = object.representation(prefers_gzip(headers));
        let representation = Representation {
            etag: object.etag().to_str().unwrap_or_default(),
            last_modified_s: object.last_modified_s(),
            length_bytes: object.bytes.len() as u64,
            immutable: object.immutable,
        };
        let answer = match decide(&RequestFacts { head, headers }, &representation) {
            Reply::Whole => (response::whole(object, head), Outcome::Whole),
            Reply::Part(range) => (response::part(object, range), Outcome::Part),
            Reply::NotModified => (response::not_modified(object), Outcome::NotModified),
            Reply::PreconditionFailed => (response::precondition_failed(object), Outcome::PreconditionFailed),
            Reply::Unsatisfiable => {
                return response::failure(&Failure::Unsatisfiable { length_bytes: representation.length_bytes }, head);
            }
        };
        self.shared.metrics.served(from, answer.0.body().left_bytes());
        answer
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
mod load_tests;
#[cfg(test)]
mod tests;
