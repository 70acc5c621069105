//! Answers players and CDNs: a request becomes a response out of cache, store or schedule.
//!
//! A hit touches the cache alone. What is not in memory comes from a [`Library`], which delivery declares and the composition
//! root implements; waits for it are bounded in time and number.

mod ahead;
mod body;
mod download;
mod fetch;
mod fields;
mod library;
mod metrics;
mod multipart;
mod provenance;
mod purge;
mod response;
mod stream;
mod surrogate;

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::Either;
use http::header::CONTENT_DISPOSITION;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use tokio::sync::Semaphore;

use crate::cache::{self, Cache, CacheOutcome};
use crate::semantics::{ByteRange, Form, Reply, Representation, RequestFacts, Route, Worth, choose, decide, wants_sha256};
use crate::title::{Generation, TitleId, TrackId};

use ahead::Readers;
pub use body::{Body, BodyError, Pieces};
pub use fetch::NoObject;
use fetch::{Found, Place};
use fields::Fields;
pub use library::{Document, Ingredients, Library, Miss, Presence, SegmentAddress, SegmentFacts, SegmentPart};
pub use metrics::{Class, Metrics, Origin, Outcome};
use provenance::Provenance;
pub use purge::{PurgeConfig, PurgeMetrics, PurgeOutcome, PurgeSender, Purger};
use response::Failure;
use stream::{LargeSegment, Source, Streams};
pub use surrogate::SurrogateKeys;

/// How delivery waits, what it lets caches keep, and what it tells besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Longest wait for a segment that is planned but not made.
    pub segment_wait: Duration,
    /// Requests that wait at once for what is not in memory.
    pub waiters_max: usize,
    /// How long what was replaced or deleted is answered for: until then with the object or, where that is gone, with 410.
    pub generation_grace: Duration,
    /// Which fields tell CDNs what an answer belongs to.
    pub surrogate_keys: SurrogateKeys,
    /// How long a cache may keep a multivariant playlist; whole seconds.
    pub multivariant_max_age: Duration,
    /// The same for caches that know `CDN-Cache-Control`; absent: as everyone else.
    pub cdn_multivariant_max_age: Option<Duration>,
    /// How long those may keep what never changes; absent: as everyone else.
    pub cdn_immutable_max_age: Option<Duration>,
    /// `Alt-Svc`, on every answer.
    pub alt_svc: Option<HeaderValue>,
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

/// An answer: there, as most are, or waited for.
pub type Answering<T> = Either<Ready<Result<T, Infallible>>, Pin<Box<dyn Future<Output = Result<T, Infallible>> + Send>>>;

/// The public listener's service. Clones are the same service.
pub struct Delivery<L> {
    shared: Arc<Shared<L>>,
}

struct Shared<L> {
    library: Arc<L>,
    cache: Cache<Route, NoObject>,
    readers: Readers,
    streams: Streams,
    settings: RwLock<Arc<Settings>>,
    /// Requests that there was no room for.
    turned_away: AtomicU64,
    metrics: Metrics,
}

/// What is made of a [`Config`]; exchanged as a whole when that changes.
struct Settings {
    config: Config,
    waiters: Semaphore,
    fields: Arc<Fields>,
}

impl Settings {
    fn new(config: &Config) -> Self {
        let waiters = Semaphore::new(config.waiters_max.min(Semaphore::MAX_PERMITS));
        Self { config: config.clone(), waiters, fields: Arc::new(Fields::new(config)) }
    }
}

impl<L> Shared<L> {
    fn settings(&self) -> Arc<Settings> {
        // Every change is one assignment, so it is whole even after a panic.
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// When to ask again, for a request that there was no room for.
    fn retry_after_s(&self, worth: Worth) -> u64 {
        worth.retry_after_s(self.turned_away.fetch_add(1, Ordering::Relaxed))
    }
}

impl<L> Clone for Delivery<L> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<L: Library> Delivery<L> {
    /// A service that answers out of `cache`, and out of `library` what is not there.
    pub fn new(config: &Config, library: Arc<L>, cache: Cache<Route, NoObject>, metrics: Metrics) -> Self {
        let settings = RwLock::new(Arc::new(Settings::new(config)));
        let streams = Streams::new(cache.pieces().clone(), metrics.clone());
        Self {
            shared: Arc::new(Shared {
                library,
                cache,
                readers: Readers::default(),
                streams,
                settings,
                turned_away: AtomicU64::new(0),
                metrics,
            }),
        }
    }

    /// Requests from now on are answered by `config`; those that wait go on by the former one.
    pub fn reconfigure(&self, config: &Config) {
        let settings = Arc::new(Settings::new(config));
        let former = std::mem::replace(&mut *self.shared.settings.write().unwrap_or_else(PoisonError::into_inner), settings);
        // What is in memory has the fields that it was made with.
        if Fields::differ_of_all(&former.config, config) {
            self.shared.cache.invalidate_if(|_| true);
        } else if former.config.multivariant_max_age != config.multivariant_max_age
            || former.config.cdn_multivariant_max_age != config.cdn_multivariant_max_age
        {
            self.shared.cache.invalidate_if(|route| matches!(route, Route::Multivariant { .. }));
        }
    }

    /// The title's multivariant playlist has changed in the library: nobody who asks from now on gets the former one.
    pub fn invalidate(&self, title: TitleId) {
        self.shared.cache.invalidate(&Route::Multivariant { title });
        self.shared.cache.forget_absences(move |route| route.title() == title);
    }

    /// The title is gone from the library: nothing of it is answered from memory any more.
    pub fn forget(&self, title: TitleId) {
        self.shared.cache.invalidate_if(move |route| route.title() == title);
    }

    /// Nothing of these text tracks is answered from memory any more; each is named by its title, the generation in which it
    /// appeared, and itself.
    pub fn forget_tracks(&self, tracks: HashSet<(TitleId, Generation, TrackId)>) {
        let tracks = Arc::new(tracks);
        let doomed = move |route: &Route| match *route {
            Route::MediaPlaylist { title, generation, track } | Route::Segment { title, generation, track, .. } => {
                tracks.contains(&(title, generation, track))
            }
            _ => false,
        };
        self.shared.cache.invalidate_if(doomed);
    }

    /// Answers one request; its body, if any, does not matter.
    pub async fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Body> {
        match self.at_once(method, path, headers) {
            Ok((response, _)) => response,
            Err(later) => later.answer(method, headers).await.0,
        }
    }

    /// The answer, and what is not in it, where that takes no waiting: for what is in memory, and for what is refused.
    ///
    /// # Errors
    /// What to wait for.
    pub fn at_once(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(Response<Body>, Told), Later<L>> {
        self.shared.at_once(method, path, headers).map_err(|wanted| Later { shared: Arc::clone(&self.shared), wanted })
    }
}

/// An answer that has to be waited for.
pub struct Later<L> {
    shared: Arc<Shared<L>>,
    wanted: Wanted,
}

impl<L: Library> Later<L> {
    /// The answer to the request, and what is not in it.
    pub async fn answer(self, method: &Method, headers: &HeaderMap) -> (Response<Body>, Told) {
        self.shared.later(self.wanted, method == Method::HEAD, headers).await
    }
}

/// What is asked for and not in memory.
#[derive(Clone, Copy)]
struct Wanted {
    route: Route,
    class: Class,
}

impl<L: Library> Shared<L> {
    /// The answer, if that takes no waiting; else what is to be fetched for it.
    fn at_once(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(Response<Body>, Told), Wanted> {
        let route = Route::parse(path);
        let wanted = route.map(|route| Wanted { route, class: Class::of(&route) });
        let head = method == Method::HEAD;
        let refuse = |failure| {
            let settings = self.settings();
            response::failure(&settings.fields, &failure, &Provenance::Unasked, head)
        };
        let (answer, provenance) = if method == Method::OPTIONS {
            let settings = self.settings();
            ((response::options(&settings.fields), Outcome::Options), Provenance::Unasked)
        } else if !head && method != Method::GET {
            (refuse(Failure::of_method(method)), Provenance::Unasked)
        } else if let Some(wanted) = wanted {
            // The name of a download is not in memory.
            let found = self.cache.find(&wanted.route).filter(|_| wanted.class != Class::Download).ok_or(wanted)?;
            let cache::Found { object, first_use } = found;
            if first_use {
                self.read_on(wanted.route);
            }
            (self.reply(&Found { object, place: Place::Memory }, &Provenance::HIT, head, headers), Provenance::HIT)
        } else {
            (refuse(Failure::NotFound), Provenance::Unasked)
        };
        Ok(self.told(wanted, answer, &provenance))
    }

    /// The answer to a `GET` or `HEAD` for what may not be in memory.
    async fn later(&self, wanted: Wanted, head: bool, headers: &HeaderMap) -> (Response<Body>, Told) {
        let Wanted { route, class } = wanted;
        let kept = if class == Class::Download { self.cache.peek(&route) } else { None };
        let (found, provenance) = match kept {
            Some(object) => (Ok(Found { object, place: Place::of(&route) }), Provenance::HIT),
            None => self.fetch(route, class).await,
        };
        let mut answer = match found {
            Ok(found) => self.reply(&found, &provenance, head, headers),
            Err(failure) => response::failure(&self.settings().fields, &failure, &provenance, head),
        };
        if let (Place::File(address), Outcome::Whole | Outcome::Part) = (Place::of(&route), answer.1)
            && let Some(disposition) = self.disposition(address).await
        {
            answer.0.headers_mut().insert(CONTENT_DISPOSITION, disposition);
        }
        self.told(Some(wanted), answer, &provenance)
    }

    /// Counts an answer, and says what it does not say itself.
    fn told(
        &self,
        wanted: Option<Wanted>,
        (mut response, outcome): (Response<Body>, Outcome),
        provenance: &Provenance,
    ) -> (Response<Body>, Told) {
        // Objects have theirs.
        if let Some(wanted) = wanted.filter(|_| !outcome.is_of_object()) {
            self.settings().config.surrogate_keys.put(&wanted.route, response.headers_mut());
        }
        let class = wanted.map_or(Class::Other, |wanted| wanted.class);
        self.metrics.count(class, outcome, response.body().left_bytes());
        (response, Told { route: wanted.map(|wanted| wanted.route), class, outcome, cache: provenance.outcome() })
    }

    /// The answer to a `GET` or `HEAD` of an object that is at hand.
    fn reply(&self, found: &Found, provenance: &Provenance, head: bool, headers: &HeaderMap) -> (Response<Body>, Outcome) {
        let object = &found.object;
        let refuse = |failure| response::failure(&self.settings().fields, &failure, provenance, head);
        // What is never coded is not negotiated: whoever refuses it plain gets it plain, for a 406 without `Vary` would be kept by
        // caches and given to all (RFC 9110 12.5.3 asks for no more).
        let form = match object.coded() {
            [] => Some(Form::Plain),
            coded => choose(headers, object.length_bytes(), coded.iter().filter_map(|form| Some((form.coding?, form.bytes.len() as u64)))),
        };
        let Some(form) = form else { return refuse(Failure::NotAcceptable) };
        let varies = !object.coded().is_empty();
        let object = object.form(form);
        let length_bytes = object.length_bytes();
        let representation = Representation {
            etag: object.etag().to_str().unwrap_or_default(),
            last_modified_s: object.last_modified_s(),
            length_bytes,
            immutable: object.immutable,
            coded: object.coding.is_some(),
        };
        let reply = decide(&RequestFacts { head, headers }, &representation);
        let answer = match &reply {
            Reply::NotModified => Some((response::not_modified(object), Outcome::NotModified)),
            Reply::PreconditionFailed => Some((response::precondition_failed(object), Outcome::PreconditionFailed)),
            Reply::Unsatisfiable => return refuse(Failure::Unsatisfiable { length_bytes, varies }),
            Reply::Whole if head => Some((response::whole(object, Body::default()), Outcome::Whole)),
            Reply::Whole | Reply::Part(_) | Reply::Parts(_) => None,
        };
        let answer = answer.or_else(|| match found.place {
            Place::Memory => {
                let body = |range: ByteRange| {
                    // The decision was made for this body, so the range lies in it and fits its index type.
                    Body::whole(object.bytes.slice(range.first() as usize..=range.last() as usize))
                };
                let answer = respond(object, &reply, || Body::whole(object.bytes.clone()), body);
                let from = if provenance.outcome() == Some(CacheOutcome::Hit) { Origin::Memory } else { Origin::Fill };
                self.metrics.served(from, answer.0.body().left_bytes());
                Some(answer)
            }
            Place::Segment(segment, facts) => {
                self.streamed(object, &reply, LargeSegment { library: Arc::clone(&self.library), segment, facts })
            }
            Place::File(address) => {
                let file = download::File::new(Arc::clone(&self.library), self.cache.clone(), address, Arc::clone(&found.object));
                self.streamed(object, &reply, file)
            }
        });
        let Some((mut response, outcome)) = answer else { return refuse(Failure::Busy { after_s: self.retry_after_s(Worth::Onward) }) };
        if matches!(outcome, Outcome::Whole | Outcome::Part) && wants_sha256(headers) {
            response::tell_digest(object, response.headers_mut());
        }
        // The fields that were made with the object tell of a hit.
        if provenance.outcome() != Some(CacheOutcome::Hit) {
            let settings = self.settings();
            let told = if let Place::Segment(..) = found.place { provenance::Told::Streamed } else { settings.fields.stored(object) };
            settings.fields.tell(provenance, told, response.headers_mut());
        }
        (response, outcome)
    }

    /// An answer whose body is read while it is sent; absent when too many are.
    fn streamed<S: Source>(&self, object: &cache::Object, reply: &Reply, source: S) -> Option<(Response<Body>, Outcome)> {
        let opened = self.streams.open(source)?;
        let body = |range: ByteRange| opened.body(range.first()..range.last() + 1);
        Some(respond(object, reply, || opened.body(0..object.length_bytes()), body))
    }
}

/// The answer with a body.
fn respond(
    object: &cache::Object,
    reply: &Reply,
    whole: impl FnOnce() -> Body,
    part: impl Fn(ByteRange) -> Body,
) -> (Response<Body>, Outcome) {
    match reply {
        Reply::Part(range) => (response::part(object, *range, part(*range)), Outcome::Part),
        Reply::Parts(ranges) => (response::parts(object, ranges, part), Outcome::Part),
        _ => (response::whole(object, whole()), Outcome::Whole),
    }
}

impl<L: Library, B> hyper::service::Service<Request<B>> for Delivery<L> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering<Self::Response>;

    fn call(&self, request: Request<B>) -> Self::Future {
        match self.at_once(request.method(), request.uri().path(), request.headers()) {
            Ok((response, _)) => Either::Left(ready(Ok(response))),
            Err(later) => {
                let (parts, _body) = request.into_parts();
                Either::Right(Box::pin(async move { Ok(later.answer(&parts.method, &parts.headers).await.0) }))
            }
        }
    }
}

#[cfg(test)]
mod load_tests;
#[cfg(test)]
mod tests;
