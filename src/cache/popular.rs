//! The most popular objects: moka's TinyLFU, which lets an object in if it is asked for more often than what it would displace.
//!
//! Three things are ours. Documents and media have a cache each: moka lets a large object in only if it is more popular than all the
//! small ones together that would make room for it, of which there may be hundreds; so a few forgotten playlists would keep
//! segments out. Entries are slots that are emptied at once when they leave: moka drops a value only when no thread can see it any
//! more, which may be many megabytes later. And moka is shown as many entries as there will be before the first real one comes:
//! when it is half full it decides once and for all how far back it counts, and where entries differ in size it then takes there to
//! be a quarter of those that will be.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use moka::notification::RemovalCause;
use moka::sync::Cache;
use prometheus_client::metrics::counter::Counter;

use super::{CacheKey, Object};

/// What a document weighs, more or less.
const DOCUMENT_BYTES: u64 = 4 << 10;
/// What a segment weighs, more or less; low ones are more of them.
const MEDIA_BYTES: u64 = 128 << 10;
/// Entries that moka is shown at most.
const SHOWN_MAX: u64 = 1 << 18;

/// The popular objects of both kinds.
pub(super) struct Popular<K> {
    documents: Slots<K>,
    media: Slots<K>,
}

/// Keys name what exists and cannot be made up, so that their hash need not be a strong one.
type Slots<K> = Cache<Place<K>, Arc<Slot>, RandomState>;

/// What an entry is found by.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Place<K> {
    Of(K),
    /// One that is only shown.
    Shown(u64),
}

/// Holds an object until it leaves.
struct Slot {
    object: Mutex<Option<Arc<Object>>>,
    weight: u32,
}

impl Slot {
    fn object(&self) -> Option<Arc<Object>> {
        self.object.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn empty(&self) {
        let object = self.object.lock().unwrap_or_else(PoisonError::into_inner).take();
        // What is large is freed outside the lock.
        drop(object);
    }
}

impl<K: CacheKey> Popular<K> {
    /// Holds `bytes_max` at most, an eighth of which is for documents; counts what leaves for others.
    pub(super) fn new(bytes_max: u64, evictions: Counter) -> Self {
        let cache = |bytes_max, entry_bytes| {
            let evictions = evictions.clone();
            let left = move |_, slot: Arc<Slot>, cause| {
                slot.empty();
                if cause == RemovalCause::Size {
                    evictions.inc();
                }
            };
            let cache = Cache::builder()
                .max_capacity(bytes_max)
                .weigher(|_, slot: &Arc<Slot>| slot.weight)
                .eviction_listener(left)
                .support_invalidation_closures()
                .build_with_hasher(RandomState::default());
            show(&cache, bytes_max, entry_bytes);
            cache
        };
        Self { documents: cache(bytes_max / 8, DOCUMENT_BYTES), media: cache(bytes_max - bytes_max / 8, MEDIA_BYTES) }
    }

    /// The object, if it is here. Every question counts for its popularity, also when it is not.
    pub(super) fn get(&self, key: &K) -> Option<Arc<Object>> {
        self.of(key).get(&Place::Of(key.clone()))?.object()
    }

    /// Whether it is here; not a question that counts.
    pub(super) fn contains(&self, key: &K) -> bool {
        self.of(key).contains_key(&Place::Of(key.clone()))
    }

    /// Takes an object in if it is popular enough.
    pub(super) fn offer(&self, key: K, object: Arc<Object>, weight: u64) {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let slot = Arc::new(Slot { object: Mutex::new(Some(object)), weight });
        self.of(&key).insert(Place::Of(key.clone()), slot);
    }

    /// Drops one.
    pub(super) fn remove(&self, key: &K) {
        self.of(key).invalidate(&Place::Of(key.clone()));
    }

    /// Drops those whose keys are `doomed`; they are not found from now on, and freed when things are settled.
    pub(super) fn remove_if(&self, doomed: impl Fn(&K) -> bool + Clone + Send + Sync + 'static) {
        for cache in [&self.documents, &self.media] {
            let doomed = doomed.clone();
            if cache.invalidate_entries_if(move |place, _| matches!(place, Place::Of(key) if doomed(key))).is_err() {
                // Only a cache built without support for closures refuses one; forgetting all is the safe side.
                cache.invalidate_all();
            }
        }
    }

    /// Does what moka has put off: decides who stays, and frees what does not.
    pub(super) fn settle(&self) {
        self.documents.run_pending_tasks();
        self.media.run_pending_tasks();
    }

    /// How many there are, and what they weigh, as of the last time things were settled.
    pub(super) fn load(&self) -> (u64, u64) {
        let both = [&self.documents, &self.media];
        (both.iter().map(|cache| cache.entry_count()).sum(), both.iter().map(|cache| cache.weighted_size()).sum())
    }

    fn of(&self, key: &K) -> &Slots<K> {
        if key.is_document() { &self.documents } else { &self.media }
    }
}

/// Fills half of an empty cache with twice the entries that will find room in it, and takes them away again.
fn show<K: CacheKey>(cache: &Slots<K>, bytes_max: u64, entry_bytes: u64) {
    let count = (2 * bytes_max / entry_bytes).clamp(1, SHOWN_MAX);
    let weight = u32::try_from(bytes_max / 2 / count + 1).unwrap_or(u32::MAX);
    for number in 0..count {
        cache.insert(Place::Shown(number), Arc::new(Slot { object: Mutex::new(None), weight }));
    }
    cache.run_pending_tasks();
    for number in 0..count {
        cache.invalidate(&Place::Shown(number));
    }
    cache.run_pending_tasks();
}
