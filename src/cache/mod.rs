//! Objects in memory within one budget of bytes, each filled once however many ask.
//!
//! The cache does not know where objects come from: whoever asks hands in the fill. All memory for bodies is out of one budget:
//!
//! | share | for what |
//! |---|---|
//! | 12/16 | objects that are ready: an eighth of it for the latest ([`Recent`]), the rest for the most popular ([`Popular`]) |
//! | 2/16 | fills, and objects that were dropped while a client still reads them |
//! | 1/16 | pieces of what is too large to be cached and is streamed |
//! | 1/16 | the rest: remembered absences, documents that segments of text are cut out of, books |
//!
//! The first two are one [`Room`]: what is reserved for a fill goes with the body until its last slice is gone.

mod coded;
mod credit;
mod flight;
mod metrics;
mod object;
mod popular;
mod recent;
mod room;

use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use tokio::sync::Semaphore;

use crate::arena::Arena;
use credit::Credit;
use flight::{Boarding, Flights, Landing};
pub use metrics::Metrics;
pub use object::Object;
use popular::Popular;
use recent::Recent;
pub use room::{Reservation, Room};

/// What an entry takes besides its object: key, moka's own books.
const ENTRY_BYTES: u64 = 1024;
/// To be reserved for an object besides its body; an entry takes less, with all the fields of an object that has one form.
pub const OBJECT_BYTES: u64 = 6 << 10;
/// What a remembered absence takes.
const NEGATIVE_BYTES: u64 = 512;
/// How long an absence is remembered.
const NEGATIVE_TIME: Duration = Duration::from_secs(1);

/// Addresses for every byte of the cache's memory: what is dropped while it is being sent, and gaps.
const ARENA_ADDRESSES: u64 = 4;

/// Limits of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Memory for everything.
    pub bytes: u64,
    /// Fills at once, those included that wait for something before they read.
    pub fills_max: usize,
    /// Segments that are read ahead of a sequential reader; 0 is none.
    pub read_ahead: u32,
}

impl Config {
    /// The largest body that is cached; larger ones are streamed.
    pub fn object_bytes_max(&self) -> u64 {
        self.bytes / 16
    }

    /// Memory for documents that small objects are made of, which their maker keeps.
    pub fn documents_bytes(&self) -> u64 {
        self.bytes / 32
    }

    fn objects_bytes(&self) -> u64 {
        self.bytes / 16 * 12
    }

    fn recent_bytes(&self) -> u64 {
        self.objects_bytes() / 8
    }

    fn room_bytes(&self) -> u64 {
        self.bytes / 16 * 14
    }

    /// Memory for pieces of what is streamed.
    pub fn pieces_bytes(&self) -> u64 {
        self.bytes / 16
    }

    fn negatives_max(&self) -> u64 {
        self.bytes / 64 / NEGATIVE_BYTES
    }
}

/// How a lookup went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheOutcome {
    /// It was there.
    Hit,
    /// This lookup began the fill.
    Miss,
    /// It waited for a fill that another lookup had begun.
    Collapsed,
    /// It was remembered that there is nothing.
    Negative,
}

impl CacheOutcome {
    /// The stable name, as metrics and logs spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Negative => "negative",
        }
    }
}

/// What names an object.
pub trait CacheKey: Hash + Eq + Clone + Send + Sync + 'static {
    /// Whether it names a document, as a rule some kilobytes, and not a stretch of media, a hundred times as large. Either kind
    /// has a part of the budget of its own, so that neither is measured by the other.
    fn is_document(&self) -> bool;
}

/// Why a fill gave no object.
pub trait Absence: Clone + Send + Sync + 'static {
    /// Whether it is remembered for a second, so that whoever asks again meanwhile costs nothing but memory lookups.
    fn is_remembered(&self) -> bool;
}

/// Why a lookup gave no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError<E> {
    /// The fill's own error; kept for a second if it says so, else the next lookup tries again.
    #[error(transparent)]
    Failed(E),
    /// As many fills as may be are under way.
    #[error("too many fills are under way")]
    Busy,
    /// The fill ended without a result: it panicked, or the runtime is shutting down.
    #[error("the fill broke off")]
    Lost,
}

/// A cache from `K` to [`Object`], whose fills fail with `E`. Clones are the same cache.
pub struct Cache<K, E> {
    shared: Arc<Shared<K, E>>,
}

struct Shared<K, E> {
    /// Where large bodies are; without one they are on the heap.
    arena: Option<Arc<Arena>>,
    recent: Recent<K>,
    popular: Popular<K>,
    negatives: moka::sync::Cache<K, E>,
    flights: Flights<K, E>,
    /// Held while an object goes in or moves and while one is invalidated, so that neither undoes the other.
    publish: Mutex<()>,
    fills: Arc<Semaphore>,
    room: Room,
    pieces: Room,
    credit: Credit,
    config: Config,
    metrics: Metrics,
}

/// An object that was there.
pub struct Found {
    /// It.
    pub object: Arc<Object>,
    /// Whether it was read ahead and this is its first use.
    pub first_use: bool,
}

impl<K, E> Clone for Cache<K, E> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K, E> Cache<K, E>
where
    K: CacheKey,
    E: Absence,
{
    /// An empty cache within `config`'s limits that counts into `metrics`.
    pub fn new(config: &Config, metrics: Metrics) -> Self {
        let copied =
            |error: &std::io::Error| tracing::warn!(%error, "no memory that can be sent from without copying; bodies will be copied");
        let arena = Arena::new(config.bytes.saturating_mul(ARENA_ADDRESSES)).inspect_err(copied).ok();
        Self::within(config, arena, metrics)
    }

    fn within(config: &Config, arena: Option<Arc<Arena>>, metrics: Metrics) -> Self {
        let negatives = moka::sync::Cache::builder()
            .max_capacity(config.negatives_max())
            // Those that are asked for now matter, not those that were popular.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(NEGATIVE_TIME)
            .support_invalidation_closures()
            .build();
        let shared = Shared {
            recent: Recent::new(config.recent_bytes(), config.recent_bytes() / 2),
            popular: Popular::new(config.objects_bytes() - config.recent_bytes(), metrics.evictions.clone()),
            negatives,
            flights: Flights::default(),
            publish: Mutex::new(()),
            fills: Arc::new(Semaphore::new(config.fills_max.min(Semaphore::MAX_PERMITS))),
            room: Room::new(config.room_bytes(), arena.clone(), metrics.held_bytes.clone()),
            // A piece is sent once, so one copy is as good as another.
            pieces: Room::new(config.pieces_bytes(), None, metrics.piece_bytes.clone()),
            arena,
            credit: Credit::default(),
            config: *config,
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Where the large bodies are, for whoever sends them.
    pub fn arena(&self) -> Option<Arc<Arena>> {
        self.shared.arena.clone()
    }

    /// The limits.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Fills under way, of [`Config::fills_max`].
    pub fn fills_under_way(&self) -> usize {
        self.shared.config.fills_max.saturating_sub(self.shared.fills.available_permits())
    }

    /// Memory for pieces of what is streamed.
    pub fn pieces(&self) -> &Room {
        &self.shared.pieces
    }

    /// The object, if it is there.
    pub fn find(&self, key: &K) -> Option<Found> {
        let found = self.shared.find(key)?;
        self.shared.metrics.hits.inc();
        Some(found)
    }

    /// The object, if it is there; a question that says nothing about how popular it is.
    pub fn peek(&self, key: &K) -> Option<Arc<Object>> {
        self.shared.find_again(key).map(|found| found.object)
    }

    /// The object, filled by `fill` if it is not there; to be called after [`Cache::find`], which is what counts for an object's
    /// popularity. Of all lookups that miss at once, one fill is run; it goes on when the
    /// lookup that began it is dropped. `fill` says by [`Room::reserve`] how much it will read, before it reads, and ties that to
    /// the body.
    ///
    /// A fill has no deadline but its own. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`FillError`]; only a fill's own error is remembered, and only if it says so.
    pub async fn get_or_fill<F, R>(&self, key: K, fill: F) -> (Result<Arc<Object>, FillError<E>>, CacheOutcome)
    where
        F: FnOnce(Room) -> R + Send + 'static,
        R: Future<Output = Result<Object, E>> + Send,
    {
        if let Some(found) = self.shared.find_again(&key) {
            self.shared.metrics.hits.inc();
            return (Ok(found.object), CacheOutcome::Hit);
        }
        let shared = &self.shared;
        if let Some(absence) = shared.negatives.get(&key) {
            shared.metrics.negative_hits.inc();
            return (Err(FillError::Failed(absence)), CacheOutcome::Negative);
        }
        let (landed, outcome) = match shared.flights.board(&key, || Arc::clone(&shared.fills).try_acquire_owned().ok()) {
            Boarding::Joined(landed) => (landed, CacheOutcome::Collapsed),
            Boarding::Began(landing, landed, slot) => {
                let shared = Arc::clone(shared);
                tokio::spawn(async move {
                    let result = shared.fill(&key, &landing, false, fill).await;
                    drop(slot);
                    shared.flights.land(landing, result);
                });
                (landed, CacheOutcome::Miss)
            }
            Boarding::Full => {
                shared.metrics.refusals.inc();
                return (Err(FillError::Busy), CacheOutcome::Miss);
            }
        };
        match outcome {
            CacheOutcome::Collapsed => shared.metrics.collapsed.inc(),
            CacheOutcome::Hit | CacheOutcome::Miss | CacheOutcome::Negative => shared.metrics.misses.inc(),
        };
        (landed.result().await, outcome)
    }

    /// Fills `key` before anyone asks for it, unless it is there, is being filled, half of all fills are under way, or
    /// what was filled so was mostly dropped before anyone asked. Whoever
    /// asks meanwhile waits for this fill. Such objects have a small share of the budget and go first.
    ///
    /// `fill` should take [`Room::spare`] room only. Must be called within a tokio runtime.
    pub fn fill_ahead<F, R>(&self, key: K, fill: F)
    where
        F: FnOnce(Room) -> R + Send + 'static,
        R: Future<Output = Result<Object, E>> + Send,
    {
        let shared = &self.shared;
        if !shared.credit.allows() || shared.popular.contains(&key) || shared.recent.contains(&key) || shared.negatives.contains_key(&key) {
            return;
        }
        let slot = || {
            let spare = shared.fills.available_permits() > shared.config.fills_max / 2;
            Arc::clone(&shared.fills).try_acquire_owned().ok().filter(|_| spare)
        };
        if let Boarding::Began(landing, _, slot) = shared.flights.board(&key, slot) {
            let shared = Arc::clone(shared);
            tokio::spawn(async move {
                let result = shared.fill(&key, &landing, true, fill).await;
                drop(slot);
                shared.flights.land(landing, result);
            });
        }
    }

    /// Forgets the object. Whoever asks after this has returned gets none that was filled from before.
    pub fn invalidate(&self, key: &K) {
        let _publish = self.shared.publishing();
        self.shared.flights.forget(|other| other == key);
        self.shared.recent.remove(key);
        self.shared.negatives.invalidate(key);
        self.shared.popular.remove(key);
    }

    /// Forgets every object whose key is `doomed`, as [`Cache::invalidate`] does with one.
    pub fn invalidate_if(&self, doomed: impl Fn(&K) -> bool + Clone + Send + Sync + 'static) {
        let _publish = self.shared.publishing();
        self.shared.flights.forget(&doomed);
        self.shared.recent.remove_if(&doomed);
        self.shared.forget_absences(doomed.clone());
        self.shared.popular.remove_if(doomed);
    }

    /// Forgets that there was nothing under `doomed` keys.
    pub fn forget_absences(&self, doomed: impl Fn(&K) -> bool + Clone + Send + Sync + 'static) {
        let _publish = self.shared.publishing();
        self.shared.forget_absences(doomed);
    }

    /// Does what moka has put off, such as dropping what was invalidated, and brings the gauges up to date. To be called on a
    /// timer of a second or so.
    pub fn maintain(&self) {
        self.shared.negatives.run_pending_tasks();
        self.shared.maintain();
    }

    /// Bytes that the objects weigh, as of the last maintenance or fill.
    pub fn weighed_bytes(&self) -> u64 {
        self.shared.popular.load().1 + self.shared.recent.load().1
    }
}

impl<K, E> Shared<K, E>
where
    K: CacheKey,
    E: Absence,
{
    /// Every step under the lock is short, and the maps agree after each.
    fn publishing(&self) -> MutexGuard<'_, ()> {
        self.publish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The filter first: it must learn of every lookup, also of those that are answered elsewhere.
    fn find(&self, key: &K) -> Option<Found> {
        if let Some(object) = self.popular.get(key) {
            return Some(Found { object, first_use: false });
        }
        let (object, first_use) = self.recent.get(key)?;
        if first_use {
            self.metrics.ahead_used.inc();
            self.credit.earn();
        }
        Some(Found { object, first_use })
    }

    /// For whoever looked already: a lookup that misses twice must not make its object look twice as popular.
    fn find_again(&self, key: &K) -> Option<Found> {
        if self.popular.contains(key) || self.recent.contains(key) { self.find(key) } else { None }
    }

    async fn fill<F, R>(&self, key: &K, landing: &Landing<K, E>, ahead: bool, fill: F) -> Result<Arc<Object>, FillError<E>>
    where
        F: FnOnce(Room) -> R,
        R: Future<Output = Result<Object, E>>,
    {
        // The fill before this one may have put the object in after the lookup missed it and before it boarded.
        if let Some(found) = self.find_again(key) {
            return Ok(found.object);
        }
        let filled = fill(self.room.clone()).await;
        let publish = self.publishing();
        let current = self.flights.is_current(key, landing);
        let object = match filled {
            Ok(object) => Arc::new(object),
            Err(absence) => {
                if !ahead {
                    self.metrics.failed_fills.inc();
                }
                if current && absence.is_remembered() {
                    self.negatives.insert(key.clone(), absence.clone());
                }
                return Err(FillError::Failed(absence));
            }
        };
        let joined = landing.is_joined();
        self.metrics.filled_bytes.inc_by(object.body_bytes());
        if current {
            self.take_in(key.clone(), &object, ahead && !joined);
        }
        if ahead {
            self.metrics.ahead.inc();
            if joined {
                self.metrics.ahead_used.inc();
                self.credit.earn();
            }
        } else {
            self.metrics.fills.inc();
        }
        drop(publish);
        // Moka puts evictions off; objects are large, so what it holds too much is dropped at once.
        self.maintain();
        Ok(object)
    }

    fn take_in(&self, key: K, object: &Arc<Object>, ahead: bool) {
        let displaced = self.recent.insert(key, Arc::clone(object), weight(object), ahead);
        self.metrics.ahead_wasted.inc_by(displaced.wasted);
        self.credit.spend(displaced.wasted);
        for (key, object) in displaced.used {
            let weight = weight(&object);
            self.popular.offer(key, object, weight);
        }
    }

    fn forget_absences(&self, doomed: impl Fn(&K) -> bool + Send + Sync + 'static) {
        if self.negatives.invalidate_entries_if(move |key, _| doomed(key)).is_err() {
            // Only a cache built without support for closures refuses one; forgetting all is the safe side.
            self.negatives.invalidate_all();
        }
    }

    fn maintain(&self) {
        self.popular.settle();
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let ((recent, recent_bytes), (popular, popular_bytes)) = (self.recent.load(), self.popular.load());
        self.metrics.objects_bytes.set(count(popular_bytes + recent_bytes));
        self.metrics.objects.set(count(popular + recent));
        self.metrics.negatives.set(count(self.negatives.entry_count()));
    }
}

fn weight(object: &Object) -> u64 {
    object.memory_bytes() + ENTRY_BYTES
}

#[cfg(test)]
mod pressure_tests;
#[cfg(test)]
mod tests;
