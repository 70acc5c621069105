//! What came in lately: a small share of the budget in the order of last use, in front of the rest.
//!
//! Behind it stands a filter that lets in only what is asked for more often than what it would displace. An object that has
//! just been read has no past, and would be read again for each of its first viewers, were it not kept here for a while.
//!
//! What was read ahead of its reader waits here too. It goes first, and is not offered to the rest when it goes unused.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::fast::RandomState;

use super::Object;

/// The latest objects. All steps are short and none waits.
///
/// A use is only noted, so that many can look at once; the order is put right when something has to leave.
pub(super) struct Recent<K> {
    state: RwLock<State<K>>,
    bytes_max: u64,
    ahead_bytes_max: u64,
}

struct State<K> {
    entries: HashMap<K, Entry, RandomState>,
    /// Places of those that were asked for; what was used since it got its place gets a new one before it would leave.
    used: BTreeMap<u64, K>,
    /// Places of those that were read ahead and not asked for yet, oldest first.
    ahead: BTreeMap<u64, K>,
    next_place: u64,
    used_bytes: u64,
    ahead_bytes: u64,
}

struct Entry {
    object: Arc<Object>,
    weight: u64,
    place: u64,
    ahead: bool,
    used: AtomicBool,
}

/// What had to leave.
#[derive(Debug)]
pub(super) struct Displaced<K> {
    /// Whose objects these are; longest unused first.
    pub(super) used: Vec<(K, Arc<Object>)>,
    /// How many were read ahead for nothing.
    pub(super) wasted: u64,
}

impl<K: Hash + Eq + Clone> Recent<K> {
    /// Holds `bytes_max` at most, of which `ahead_bytes_max` may be read ahead.
    pub(super) fn new(bytes_max: u64, ahead_bytes_max: u64) -> Self {
        let state = State {
            entries: HashMap::default(),
            used: BTreeMap::new(),
            ahead: BTreeMap::new(),
            next_place: 0,
            used_bytes: 0,
            ahead_bytes: 0,
        };
        Self { state: RwLock::new(state), bytes_max, ahead_bytes_max }
    }

    /// The object if it is here, and whether it was read ahead and this is its first use.
    pub(super) fn get(&self, key: &K) -> Option<(Arc<Object>, bool)> {
        if let Some(entry) = self.read().entries.get(key).filter(|entry| !entry.ahead) {
            // Looked at first: where all cores use the same object, none has to take the line from the others.
            if !entry.used.load(Ordering::Relaxed) {
                entry.used.store(true, Ordering::Relaxed);
            }
            return Some((Arc::clone(&entry.object), false));
        }
        let mut state = self.lock();
        let entry = state.take(key)?;
        let found = (Arc::clone(&entry.object), entry.ahead);
        state.put(key.clone(), entry.object, entry.weight, false);
        Some(found)
    }

    /// Whether it is here; not a use.
    pub(super) fn contains(&self, key: &K) -> bool {
        self.read().entries.contains_key(key)
    }

    /// Takes an object in, in place of an earlier one, and gives back what must leave for it.
    pub(super) fn insert(&self, key: K, object: Arc<Object>, weight: u64, ahead: bool) -> Displaced<K> {
        let mut state = self.lock();
        state.take(&key);
        state.put(key, object, weight, ahead);
        let mut displaced = Displaced { used: Vec::new(), wasted: 0 };
        while state.used_bytes + state.ahead_bytes > self.bytes_max || state.ahead_bytes > self.ahead_bytes_max {
            // What was read ahead makes room first, then what was used longest ago.
            let (_, key) = match state.ahead.pop_first() {
                Some(first) => first,
                None => match state.used.pop_first() {
                    Some(first) => first,
                    None => break,
                },
            };
            match state.take(&key) {
                // What is too large to stay leaves also when it was just used.
                Some(entry) if entry.used.load(Ordering::Relaxed) && entry.weight <= self.bytes_max => {
                    state.put(key, entry.object, entry.weight, false);
                }
                Some(entry) if entry.ahead => displaced.wasted += 1,
                Some(entry) => displaced.used.push((key, entry.object)),
                None => {}
            }
        }
        displaced
    }

    /// Drops one.
    pub(super) fn remove(&self, key: &K) {
        self.lock().take(key);
    }

    /// Drops those whose keys are `doomed`.
    pub(super) fn remove_if(&self, doomed: impl Fn(&K) -> bool) {
        let mut state = self.lock();
        let keys: Vec<K> = state.entries.keys().filter(|key| doomed(key)).cloned().collect();
        keys.iter().for_each(|key| drop(state.take(key)));
    }

    /// How many there are, and what they weigh.
    pub(super) fn load(&self) -> (u64, u64) {
        let state = self.read();
        (state.entries.len() as u64, state.used_bytes + state.ahead_bytes)
    }

    /// Nothing panics while it holds the lock, and the books agree after every step.
    fn lock(&self) -> RwLockWriteGuard<'_, State<K>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, State<K>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone> State<K> {
    fn take(&mut self, key: &K) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        if entry.ahead {
            self.ahead.remove(&entry.place);
            self.ahead_bytes -= entry.weight;
        } else {
            self.used.remove(&entry.place);
            self.used_bytes -= entry.weight;
        }
        Some(entry)
    }

    fn put(&mut self, key: K, object: Arc<Object>, weight: u64, ahead: bool) {
        let place = self.next_place;
        self.next_place += 1;
        if ahead {
            self.ahead.insert(place, key.clone());
            self.ahead_bytes += weight;
        } else {
            self.used.insert(place, key.clone());
            self.used_bytes += weight;
        }
        self.entries.insert(key, Entry { object, weight, place, ahead, used: AtomicBool::new(false) });
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderValue;

    use super::*;
    use crate::title::ContentHash;

    fn object() -> Arc<Object> {
        let value = HeaderValue::from_static("x");
        Arc::new(Object::new(Bytes::new(), ContentHash::of(b""), 0, value.clone(), value, true))
    }

    fn keys(displaced: &Displaced<u32>) -> Vec<u32> {
        displaced.used.iter().map(|(key, _)| *key).collect()
    }

    #[test]
    fn the_longest_unused_leaves() {
        let recent = Recent::new(30, 10);
        for key in 1..=3 {
            assert_eq!(keys(&recent.insert(key, object(), 10, false)), [0_u32; 0]);
        }
        assert!(recent.get(&1).is_some_and(|(_, ahead)| !ahead));
        assert_eq!(keys(&recent.insert(4, object(), 10, false)), [2]);
        assert_eq!(keys(&recent.insert(4, object(), 20, false)), [3], "in place of the former one");
        assert_eq!(recent.load(), (2, 30));
        assert_eq!(keys(&recent.insert(5, object(), 31, false)), [1, 4, 5], "what can never fit does not stay");
        assert_eq!(recent.load(), (0, 0));
    }

    #[test]
    fn what_was_read_ahead_is_bounded_and_goes_first() {
        let recent = Recent::new(30, 10);
        recent.insert(1, object(), 10, false);
        recent.insert(2, object(), 10, true);
        assert_eq!(recent.insert(3, object(), 10, true).wasted, 1, "no more than its share");
        assert!(!recent.contains(&2) && recent.contains(&3));
        recent.insert(4, object(), 10, false);
        let displaced = recent.insert(5, object(), 10, false);
        assert_eq!((keys(&displaced), displaced.wasted), (vec![], 1), "before anything that was used");
        recent.remove(&1);
        recent.insert(6, object(), 10, true);
        assert!(recent.get(&6).is_some_and(|(_, ahead)| ahead), "its first use");
        assert!(recent.get(&6).is_some_and(|(_, ahead)| !ahead), "then it is like any other");
        recent.remove_if(|key| *key > 4);
        assert_eq!(recent.load(), (1, 10));
    }
}
