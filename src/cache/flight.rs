//! Fills under way: who begins one, who waits for it, and what happens when it lands.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{FillError, Object};

type Landed<E> = Option<Result<Arc<Object>, FillError<E>>>;

/// The fills under way, at most one a key. A fill that was forgotten still lands, for those who waited then.
pub(super) struct Flights<K, E> {
    aloft: Arc<Mutex<Aloft<K, E>>>,
}

struct Aloft<K, E> {
    by_key: HashMap<K, (u64, watch::Receiver<Landed<E>>)>,
    next: u64,
}

impl<K, E> Default for Flights<K, E> {
    fn default() -> Self {
        Self { aloft: Arc::new(Mutex::new(Aloft { by_key: HashMap::new(), next: 0 })) }
    }
}

/// What came of asking for a place.
pub(super) enum Boarding<K: Hash + Eq, E, S> {
    /// A fill is under way.
    Joined(Waiting<E>),
    /// There was none; the caller must run one and land it. `S` is the slot it takes.
    Began(Landing<K, E>, Waiting<E>, S),
    /// There was none, and no slot for one.
    Full,
}

impl<K: Hash + Eq + Clone, E: Clone> Flights<K, E> {
    /// Joins the key's fill or begins it, if `slot` gives one.
    pub(super) fn board<S>(&self, key: &K, slot: impl FnOnce() -> Option<S>) -> Boarding<K, E, S> {
        let mut aloft = lock(&self.aloft);
        if let Some((_, landed)) = aloft.by_key.get(key) {
            return Boarding::Joined(Waiting { landed: landed.clone() });
        }
        let Some(slot) = slot() else { return Boarding::Full };
        let (sender, landed) = watch::channel(None);
        let number = aloft.next;
        aloft.next += 1;
        aloft.by_key.insert(key.clone(), (number, landed.clone()));
        let landing = Landing { aloft: Arc::clone(&self.aloft), key: key.clone(), number, sender };
        Boarding::Began(landing, Waiting { landed }, slot)
    }

    /// Whether the fill was not forgotten.
    pub(super) fn is_current(&self, key: &K, landing: &Landing<K, E>) -> bool {
        lock(&self.aloft).by_key.get(key).is_some_and(|(number, _)| *number == landing.number)
    }

    /// Ends a fill with its result. It is no longer to be found when those who wait are told, so that one that failed is not
    /// joined again.
    pub(super) fn land(&self, landing: Landing<K, E>, result: Result<Arc<Object>, FillError<E>>) {
        landing.remove();
        landing.sender.send_replace(Some(result));
    }

    /// Whoever asks from now on for a `doomed` key begins a new fill.
    pub(super) fn forget(&self, doomed: impl Fn(&K) -> bool) {
        lock(&self.aloft).by_key.retain(|key, _| !doomed(key));
    }
}

/// The duty to land a fill. Dropped without that, those who wait learn that it was lost.
pub(super) struct Landing<K: Hash + Eq, E> {
    aloft: Arc<Mutex<Aloft<K, E>>>,
    key: K,
    number: u64,
    sender: watch::Sender<Landed<E>>,
}

impl<K: Hash + Eq, E> Landing<K, E> {
    /// Whether somebody waits for it, besides whoever began it.
    pub(super) fn is_joined(&self) -> bool {
        // The entry in the map is one.
        self.sender.receiver_count() > 1
    }

    fn remove(&self) {
        let mut aloft = lock(&self.aloft);
        if aloft.by_key.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            aloft.by_key.remove(&self.key);
        }
    }
}

impl<K: Hash + Eq, E> Drop for Landing<K, E> {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A place among those who wait for a fill.
pub(super) struct Waiting<E> {
    landed: watch::Receiver<Landed<E>>,
}

impl<E: Clone> Waiting<E> {
    /// Waits for the fill to land.
    pub(super) async fn result(mut self) -> Result<Arc<Object>, FillError<E>> {
        match self.landed.wait_for(Option::is_some).await {
            Ok(landed) => landed.clone().unwrap_or(Err(FillError::Lost)),
            Err(_) => Err(FillError::Lost),
        }
    }
}

/// Nothing panics while it holds the lock, and the map is whole after every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
