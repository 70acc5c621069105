//! Which titles there are, where they stand, and which are gone: in memory, so that strangers' questions cost a look-up.

use std::collections::{HashMap, VecDeque};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::delivery::Presence;
use crate::title::{Generation, TitleId, TitleState};

/// Deleted titles that are remembered; the oldest are forgotten first.
const GONE_MAX: usize = 10_000;

/// What of a title decides which multivariant playlist it has.
pub type Standing = (TitleState, Generation);

/// Every title of the catalogue, and the latest deletions.
#[derive(Default)]
pub struct Listing {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    listed: HashMap<TitleId, Listed>,
    /// Until when each is remembered, in Unix milliseconds.
    gone: HashMap<TitleId, i64>,
    gone_order: VecDeque<TitleId>,
}

struct Listed {
    /// As the catalogue's changes told.
    followed: Standing,
    /// The latest that was seen, which may be ahead of that.
    newest: Standing,
}

impl Listing {
    /// Notes where a title stands; gives where it stood before.
    pub fn put(&self, id: TitleId, standing: Standing) -> Option<Standing> {
        let mut state = self.write();
        match state.listed.get_mut(&id) {
            Some(listed) => {
                listed.newest = later(listed.newest, standing);
                Some(std::mem::replace(&mut listed.followed, standing))
            }
            None => {
                state.listed.insert(id, Listed { followed: standing, newest: standing });
                None
            }
        }
    }

    /// Notes a standing that was read in the catalogue, before its change is told. A title that was taken off stays off.
    pub fn seen(&self, id: TitleId, standing: Standing) {
        if let Some(listed) = self.write().listed.get_mut(&id) {
            listed.newest = later(listed.newest, standing);
        }
    }

    /// Takes a title off; it is gone until `until_ms`, and unknown after that.
    pub fn remove(&self, id: TitleId, until_ms: i64) {
        let mut state = self.write();
        state.listed.remove(&id);
        if state.gone.insert(id, until_ms).is_none() {
            state.gone_order.push_back(id);
        }
        if state.gone_order.len() > GONE_MAX
            && let Some(oldest) = state.gone_order.pop_front()
        {
            state.gone.remove(&oldest);
        }
    }

    /// What is known of a title.
    pub fn presence(&self, id: TitleId, now_ms: i64) -> Presence {
        let state = self.read();
        if state.listed.contains_key(&id) {
            return Presence::Here;
        }
        if state.gone.get(&id).is_some_and(|until_ms| now_ms < *until_ms) { Presence::Gone } else { Presence::Unknown }
    }

    /// Where a title stands, as far as anyone may have been told of it.
    pub fn standing(&self, id: TitleId) -> Option<Standing> {
        self.read().listed.get(&id).map(|listed| listed.newest)
    }

    /// The titles that have had more than one generation.
    pub fn changed(&self) -> Vec<TitleId> {
        let state = self.read();
        state.listed.iter().filter(|(_, listed)| listed.newest.1 > Generation::FIRST).map(|(id, _)| *id).collect()
    }

    /// Titles by state.
    pub fn counts(&self) -> HashMap<TitleState, i64> {
        self.read().listed.values().fold(HashMap::new(), |mut counts, listed| {
            *counts.entry(listed.followed.0).or_default() += 1;
            counts
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// States move only forward, and so do generations.
fn later(one: Standing, other: Standing) -> Standing {
    (one.0.max(other.0), one.1.max(other.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Standing = (TitleState::Surveying, Generation(1));
    const READY: Standing = (TitleState::Ready, Generation(2));

    #[test]
    fn what_was_seen_is_known_before_it_is_told() {
        let (listing, id) = (Listing::default(), TitleId::new(1, 1));
        assert_eq!(listing.put(id, NEW), None);
        listing.seen(id, READY);
        assert_eq!(listing.standing(id), Some(READY));
        assert_eq!(listing.put(id, (TitleState::Processing, Generation(1))), Some(NEW), "the changes are told in their order");
        assert_eq!((listing.standing(id), listing.changed()), (Some(READY), vec![id]));
        listing.seen(TitleId::new(2, 2), READY);
        assert_eq!(listing.presence(TitleId::new(2, 2), 0), Presence::Unknown);
    }

    #[test]
    fn the_deleted_are_gone_for_a_while_and_bounded() {
        let (listing, id) = (Listing::default(), TitleId::new(1, 1));
        listing.put(id, READY);
        listing.remove(id, 100);
        listing.seen(id, READY);
        assert_eq!((listing.presence(id, 99), listing.presence(id, 100)), (Presence::Gone, Presence::Unknown));
        for number in 0..GONE_MAX as u128 {
            listing.remove(TitleId::new(2, number), 100);
        }
        assert_eq!(listing.presence(id, 0), Presence::Unknown);
        assert_eq!(listing.presence(TitleId::new(2, 0), 0), Presence::Gone);
        let state = listing.read();
        assert_eq!((state.gone.len(), state.gone_order.len()), (GONE_MAX, GONE_MAX));
    }
}
