//! Answers players and CDNs: a request becomes a response out of cache, store or schedule.
//!
//! A hit touches the cache alone. What is not in memory comes from a [`Library`], which delivery declares and the composition
//! root implements; waits for it are bounded in time and number.

mod body;
mod download;
mod fetch;
mod library;
mod metrics;
mod response;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Response};
use tokio::sync::Semaphore;

use crate::cache::{Cache, CacheOutcome};
use crate::semantics::{Reply, Representation, RequestFacts, Route, decide, multivariant_cache_control, prefers_gzip};
use crate::title::TitleId;

pub use body::{Body, BodyError, Pieces};
pub use library::{Document, Ingredients, Library, Miss, SegmentAddress, SegmentFacts, SegmentPart};
pub use metrics::{Class, Metrics, Outcome};
use response::Failure;

/// How delivery waits and what it lets caches keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Longest wait for a segment that is planned but not made.
    pub segment_wait: Duration,
    /// Requests that wait at once for what is not in memory.
    pub waiters_max: usize,
    /// How long a cache may keep a multivariant playlist; whole seconds.
    pub multivariant_max_age: Duration,
}

/// What is told of an answer beside the answer itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// What the path names.
    pub route: Option<Route>,
    /// What kind of thing that is.
    pub class: Class,
    /// What came of the request.
    pub outcome: Outcome,
    /// How the look-up in memory went, if there was one.
    pub cache: Option<CacheOutcome>,
}

/// The public listener's service. Clones are the same service.
pub struct Delivery<L> {
    shared: Arc<Shared<L>>,
}

struct Shared<L> {
    library: Arc<L>,
    cache: Cache<Route, Miss>,
    settings: RwLock<Arc<Settings>>,
    metrics: Metrics,
}

/// What is made of a [`Config`]; exchanged as a whole when that changes.
struct Settings {
    config: Config,
    waiters: Semaphore,
    multivariant_cache_control: HeaderValue,
}

impl Settings {
    fn new(config: Config) -> Self {
        let cache_control = multivariant_cache_control(config.multivariant_max_age);
        Self {
            config,
            waiters: Semaphore::new(config.waiters_max.min(Semaphore::MAX_PERMITS)),
            // Made of digits and words, so it is a value.
            multivariant_cache_control: HeaderValue::try_from(cache_control).unwrap_or(HeaderValue::from_static("no-cache")),
        }
    }
}

impl<L> Shared<L> {
    fn settings(&self) -> Arc<Settings> {
        // Every change is one assignment, so it is whole even after a panic.
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<L> Clone for Delivery<L> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<L: Library> Delivery<L> {
    /// A service that answers out of `cache`, and out of `library` what is not there.
    pub fn new(config: &Config, library: Arc<L>, cache: Cache<Route, Miss>, metrics: Metrics) -> Self {
        let settings = RwLock::new(Arc::new(Settings::new(*config)));
        Self { shared: Arc::new(Shared { library, cache, settings, metrics }) }
    }

    /// Requests from now on are answered by `config`; those that wait go on by the former one.
    pub async fn reconfigure(&self, config: &Config) {
        let settings = Arc::new(Settings::new(*config));
        let former = std::mem::replace(&mut *self.shared.settings.write().unwrap_or_else(PoisonError::into_inner), settings);
        if former.config.multivariant_max_age != config.multivariant_max_age {
            // What is in memory says how long it may be kept.
            self.shared.cache.invalidate_if(|route| matches!(route, Route::Multivariant { .. })).await;
        }
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
        self.answer_and_tell(method, path, headers).await.0
    }

    /// Answers one request, and tells what of it is not in the answer.
    pub async fn answer_and_tell(&self, method: &Method, path: &str, headers: &HeaderMap) -> (Response<Body>, Told) {
        let route = Route::parse(path);
        let class = route.as_ref().map_or(Class::Other, Class::of);
        let mut cache = None;
        let (response, outcome) = self.response(method, route, class, headers, &mut cache).await;
        let body_bytes = response.body().left_bytes();
        self.shared.metrics.count(class, outcome, body_bytes);
        (response, Told { route, class, outcome, cache })
    }

    async fn response(
        &self,
        method: &Method,
        route: Option<Route>,
        class: Class,
        headers: &HeaderMap,
        cache: &mut Option<CacheOutcome>,
    ) -> (Response<Body>, Outcome) {
        let head = method == Method::HEAD;
        if method == Method::OPTIONS {
            return (response::options(), Outcome::Options);
        }
        if !head && method != Method::GET {
            return response::failure(&Failure::of_method(method), false);
        }
        let Some(route) = route else { return response::failure(&Failure::NotFound, head) };
        let object = match self.shared.cache.get(&route).await {
            Some(object) => {
                *cache = Some(CacheOutcome::Hit);
                object
            }
            None => match self.shared.fetch(route, class, cache).await {
                Ok(object) => object,
                Err(failure) => return response::failure(&failure, head),
            },
        };
        if let Route::Download { title, generation, file } = route {
            return self.shared.answer_download(download::Address { title, generation, file }, object, head, headers).await;
        }
        let object = object.representation(prefers_gzip(headers));
        let representation = Representation {
            etag: object.etag().to_str().unwrap_or_default(),
            last_modified_s: object.last_modified_s(),
            length_bytes: object.bytes.len() as u64,
            immutable: object.immutable,
        };
        match decide(&RequestFacts { head, headers }, &representation) {
            Reply::Whole => (response::whole(object, head), Outcome::Whole),
            Reply::Part(range) => (response::part(object, range), Outcome::Part),
            Reply::NotModified => (response::not_modified(object), Outcome::NotModified),
            Reply::PreconditionFailed => (response::precondition_failed(object), Outcome::PreconditionFailed),
            Reply::Unsatisfiable => response::failure(&Failure::Unsatisfiable { length_bytes: representation.length_bytes }, head),
        }
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
