//! Reading ahead: whoever asks for one segment after the other gets the next before asking.
//!
//! Nothing is known of viewers. A track is read in order when a segment is fetched and the one before it was fetched not long
//! ago; from then on, the first use of what was read ahead goes on with it. Only what is made is read, only with room to spare,
//! and nobody waits for it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::fetch::{NoObject, media_segment, read_segment};
use super::response::RETRY_AFTER;
use super::{Library, Miss, SegmentAddress, Shared};
use crate::cache::OBJECT_BYTES;
use crate::semantics::Route;
use crate::title::SegmentNumber;

/// Fetches that are remembered.
const REMEMBERED_MAX: usize = 4096;

/// Which segments were fetched last.
#[derive(Default)]
pub(super) struct Readers {
    fetched: Mutex<Fetched>,
}

#[derive(Default)]
struct Fetched {
    /// How often each is in `order`.
    counts: HashMap<SegmentAddress, u32>,
    order: VecDeque<SegmentAddress>,
}

impl Readers {
    /// Notes that `route` was fetched; tells whether the segment before it was fetched not long ago.
    pub(super) fn follows(&self, route: &Route) -> bool {
        let Some(segment) = media_segment(route) else { return false };
        // Nothing panics under the lock.
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        let before = segment.number.0.checked_sub(1).map(|number| SegmentAddress { number: SegmentNumber(number), ..segment });
        let follows = before.is_some_and(|before| fetched.counts.contains_key(&before));
        *fetched.counts.entry(segment).or_default() += 1;
        fetched.order.push_back(segment);
        if fetched.order.len() > REMEMBERED_MAX
            && let Some(oldest) = fetched.order.pop_front()
            && let Some(count) = fetched.counts.get_mut(&oldest)
        {
            *count -= 1;
            if *count == 0 {
                fetched.counts.remove(&oldest);
            }
        }
        follows
    }
}

impl<L: Library> Shared<L> {
    /// Reads the segments after `route` ahead, where that costs nobody anything.
    pub(super) fn read_on(&self, route: Route) {
        let Some(segment) = media_segment(&route) else { return };
        for step in 1..=self.cache.config().read_ahead {
            let Some(number) = segment.number.0.checked_add(step) else { return };
            let next = SegmentAddress { number: SegmentNumber(number), ..segment };
            let (library, object_bytes_max) = (Arc::clone(&self.library), self.cache.config().object_bytes_max());
            let fields = Arc::clone(&self.settings().fields);
            self.cache.fill_ahead(next.route(), async move |room| {
                // Not remembered: it says nothing about the segment.
                let not_now = NoObject::Missing(Miss::NotYet { retry_after: RETRY_AFTER });
                let facts = library.made_segment(next).await.filter(|facts| facts.size_bytes <= object_bytes_max).ok_or(not_now)?;
                let reservation = room.spare(facts.size_bytes + OBJECT_BYTES).ok_or(not_now)?;
                Ok(read_segment(&*library, &fields, next, &facts, reservation).await?)
            });
        }
    }
}
