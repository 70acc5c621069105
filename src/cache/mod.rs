//! Objects in memory, weighed in bytes, each filled once however many ask.
//!
//! The cache does not know where objects come from: whoever asks hands in the fill. What fills may take is bounded twice, in
//! number and in bytes, for moka counts only what is already in.

mod coded;
mod flight;
mod metrics;
mod object;
mod room;

use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use moka::notification::RemovalCause;
use tokio::sync::{Mutex, Semaphore};

use crate::arena::Arena;
use flight::{Boarding, Flights, Landing};
pub use metrics::Metrics;
pub use object::Object;
pub use room::{FillReservation, FillRoom};

/// What an entry takes besides its object: key, moka's own books.
const ENTRY_BYTES: usize = 512;

/// Bodies of at least so many bytes are kept in the arena; smaller ones are copied into the socket anyway.
const ARENA_BYTES_MIN: usize = 32 << 10;
/// Addresses for every byte of the cache's memory: what is dropped while it is being sent, and gaps.
const ARENA_ADDRESSES: u64 = 4;

/// Limits of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Memory for objects that are ready.
    pub bytes: u64,
    /// Memory for objects that are being read.
    pub fill_bytes_max: u64,
    /// Fills at once, those included that wait for something before they read.
    pub fills_max: usize,
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
}

impl CacheOutcome {
    /// The stable name, as metrics and logs spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
        }
    }
}

/// Why a lookup gave no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError<E> {
    /// The fill's own error; it is not kept, the next lookup tries again.
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
    objects: moka::future::Cache<K, Arc<Object>>,
    flights: Flights<K, E>,
    /// Held while an object goes in and while one is invalidated, so that a fill begun before never undoes an invalidation.
    publish: Mutex<()>,
    fills: Arc<Semaphore>,
    room: FillRoom,
    metrics: Metrics,
}

impl<K, E> Clone for Cache<K, E> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K, E> Cache<K, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// An empty cache within `config`'s limits that counts into `metrics`.
    pub fn new(config: &Config, metrics: Metrics) -> Self {
        let evictions = metrics.evictions.clone();
        let objects = moka::future::Cache::builder()
            .max_capacity(config.bytes)
            .weigher(|_, object: &Arc<Object>| u32::try_from(object.memory_bytes() + ENTRY_BYTES as u64).unwrap_or(u32::MAX))
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    evictions.inc();
                }
            })
            .support_invalidation_closures()
            .build();
        let arena = Arena::new(config.bytes.saturating_mul(ARENA_ADDRESSES));
        if let Err(error) = &arena {
            tracing::warn!(%error, "no memory that can be sent from without copying; bodies will be copied");
        }
        let shared = Shared {
            arena: arena.ok(),
            objects,
            flights: Flights::default(),
            publish: Mutex::new(()),
            fills: Arc::new(Semaphore::new(config.fills_max.min(Semaphore::MAX_PERMITS))),
            room: FillRoom::new(config.fill_bytes_max, metrics.filling_bytes.clone()),
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Where the large bodies are, for whoever sends them.
    pub fn arena(&self) -> Option<Arc<Arena>> {
        self.shared.arena.clone()
    }

    /// The object, if it is there.
    pub async fn get(&self, key: &K) -> Option<Arc<Object>> {
        let object = self.shared.objects.get(key).await;
        if object.is_some() {
            self.shared.metrics.hits.inc();
        }
        object
    }

    /// The object, filled by `fill` if it is not there. Of all lookups that miss at once, one fill is run; it goes on when the
    /// lookup that began it is dropped. `fill` says by [`FillRoom::reserve`] how much it will read, before it reads.
    ///
    /// A fill has no deadline but its own. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`FillError`]; errors are not kept.
    pub async fn get_or_fill<F, R>(&self, key: K, fill: F) -> (Result<Arc<Object>, FillError<E>>, CacheOutcome)
    where
        F: FnOnce(FillRoom) -> R + Send + 'static,
        R: Future<Output = Result<Object, E>> + Send,
    {
        if let Some(object) = self.get(&key).await {
            return (Ok(object), CacheOutcome::Hit);
        }
        let shared = &self.shared;
        let (landed, outcome) = match shared.flights.board(&key, || Arc::clone(&shared.fills).try_acquire_owned().ok()) {
            Boarding::Joined(landed) => (landed, CacheOutcome::Collapsed),
            Boarding::Began(landing, landed, slot) => {
                let shared = Arc::clone(shared);
                tokio::spawn(async move {
                    let result = shared.fill(&key, &landing, fill).await;
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
            CacheOutcome::Hit | CacheOutcome::Miss => shared.metrics.misses.inc(),
        };
        (landed.result().await, outcome)
    }

    /// Forgets the object. Whoever asks after this has returned gets none that was filled from before.
    pub async fn invalidate(&self, key: &K) {
        let _publish = self.shared.publish.lock().await;
        self.shared.flights.forget(|other| other == key);
        self.shared.objects.invalidate(key).await;
    }

    /// Forgets every object whose key is `doomed`, as [`Cache::invalidate`] does with one.
    pub async fn invalidate_if(&self, doomed: impl Fn(&K) -> bool + Send + Sync + 'static) {
        let _publish = self.shared.publish.lock().await;
        self.shared.flights.forget(&doomed);
        if self.shared.objects.invalidate_entries_if(move |key, _| doomed(key)).is_err() {
            // Only a cache built without support for closures refuses one; forgetting all is the safe side.
            self.shared.objects.invalidate_all();
        }
    }

    /// Does what moka has put off, such as dropping what was invalidated, and brings the gauges up to date. To be called on a
    /// timer of a second or so.
    pub async fn maintain(&self) {
        self.shared.maintain().await;
    }

    /// Bytes that the objects weigh, as of the last maintenance or fill.
    pub fn weighed_bytes(&self) -> u64 {
        self.shared.objects.weighted_size()
    }
}

impl<K, E> Shared<K, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    async fn fill<F, R>(&self, key: &K, landing: &Landing<K, E>, fill: F) -> Result<Arc<Object>, FillError<E>>
    where
        F: FnOnce(FillRoom) -> R,
        R: Future<Output = Result<Object, E>>,
    {
        // The fill before this one may have put the object in after the lookup missed it and before it boarded.
        if let Some(object) = self.objects.get(key).await {
            return Ok(object);
        }
        let mut object = fill(self.room.clone()).await.map_err(FillError::Failed)?;
        if object.bytes.len() >= ARENA_BYTES_MIN
            && let Some(kept) = self.arena.as_ref().and_then(|arena| arena.keep(&object.bytes))
        {
            object.bytes = kept;
        }
        let object = Arc::new(object);
        let publish = self.publish.lock().await;
        if self.flights.is_current(key, landing) {
            self.objects.insert(key.clone(), Arc::clone(&object)).await;
        }
        drop(publish);
        // Moka puts evictions off; objects are large, so what it holds too much is dropped at once.
        self.maintain().await;
        Ok(object)
    }

    async fn maintain(&self) {
        self.objects.run_pending_tasks().await;
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.metrics.objects_bytes.set(count(self.objects.weighted_size()));
        self.metrics.objects.set(count(self.objects.entry_count()));
    }
}

#[cfg(test)]
mod tests;
