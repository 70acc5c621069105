//! How far reading ahead is trusted: what is read for nothing costs twice, once to read and once by what it displaces.

use std::sync::atomic::{AtomicU32, Ordering};

/// Credit at most, and to begin with.
const CREDIT_MAX: u32 = 64;
/// What one use earns; one waste costs one.
const EARNED: u32 = 2;
/// Without credit, one in so many is tried all the same: readers change.
const PROBE_EVERY: u32 = 64;

/// Earned by what was read ahead and used, spent by what was wasted.
#[derive(Debug)]
pub(super) struct Credit {
    left: AtomicU32,
    asked: AtomicU32,
}

impl Default for Credit {
    fn default() -> Self {
        Self { left: AtomicU32::new(CREDIT_MAX), asked: AtomicU32::new(0) }
    }
}

impl Credit {
    /// Something that was read ahead was asked for.
    pub(super) fn earn(&self) {
        self.change(|left| (left + EARNED).min(CREDIT_MAX));
    }

    /// So many were dropped before anyone asked.
    pub(super) fn spend(&self, wasted: u64) {
        self.change(|left| left.saturating_sub(u32::try_from(wasted).unwrap_or(u32::MAX)));
    }

    /// Whether to read ahead now.
    pub(super) fn allows(&self) -> bool {
        self.left.load(Ordering::Relaxed) > 0 || self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(PROBE_EVERY)
    }

    fn change(&self, change: impl Fn(u32) -> u32) {
        // The closure always gives a value, so this cannot fail.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(change(left)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waste_stops_it_but_for_probes_and_use_brings_it_back() {
        let credit = Credit::default();
        credit.earn();
        credit.spend(u64::from(CREDIT_MAX) - 1);
        assert!((0..100).all(|_| credit.allows()), "as long as there is some");
        credit.spend(u64::MAX);
        assert_eq!((0..640).filter(|_| credit.allows()).count(), 10);
        credit.earn();
        assert!((0..100).all(|_| credit.allows()));
    }
}
