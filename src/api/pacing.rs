//! When a change of a title is told to a reader of events: at once, unless it is mere progress that follows too closely.
//!
//! Pure: the time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::catalogue::TitleRecord;
use crate::title::TitleId;

/// Changes held back at once; one more is told at once.
const HELD_MAX: usize = 256;

/// What one reader was told lately, and what is held back for him.
#[derive(Debug)]
pub(super) struct Pacing {
    interval: Duration,
    told: HashMap<TitleId, (Instant, TitleRecord)>,
    held: HashMap<TitleId, (Instant, TitleRecord)>,
}

impl Pacing {
    /// Mere progress of one title is told at most once in an `interval`.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, told: HashMap::new(), held: HashMap::new() }
    }

    /// Takes a change; gives it back when it is to be told now. A title's later change takes the place of one held back.
    pub(super) fn offer(&mut self, title: TitleRecord, now: Instant) -> Option<TitleRecord> {
        self.held.remove(&title.id);
        let due = self.told.get(&title.id).filter(|(_, told)| is_mere_progress(told, &title)).map(|(at, _)| *at + self.interval);
        match due {
            Some(due) if due > now && self.held.len() < HELD_MAX => {
                self.held.insert(title.id, (due, title));
                None
            }
            _ => Some(self.tell(title, now)),
        }
    }

    /// What was held back and is to be told now, in the order of revisions.
    pub(super) fn due(&mut self, now: Instant) -> Vec<TitleRecord> {
        let ids: Vec<TitleId> = self.held.iter().filter(|(_, (due, _))| *due <= now).map(|(id, _)| *id).collect();
        let mut titles: Vec<TitleRecord> = ids.iter().filter_map(|id| self.held.remove(id)).map(|(_, title)| title).collect();
        titles.sort_by_key(|title| title.revision);
        titles.into_iter().map(|title| self.tell(title, now)).collect()
    }

    /// When the next change that is held back is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.held.values().map(|(due, _)| *due).min()
    }

    /// The title is gone.
    pub(super) fn forget(&mut self, id: TitleId) {
        self.told.remove(&id);
        self.held.remove(&id);
    }

    /// The revision up to which the reader has been told everything, when `read` is the last one that was offered.
    pub(super) fn told_up_to(&self, read: i64) -> i64 {
        self.held.values().map(|(_, title)| title.revision - 1).min().unwrap_or(read).min(read)
    }

    fn tell(&mut self, title: TitleRecord, now: Instant) -> TitleRecord {
        // Whatever was told an interval ago delays nothing any more.
        let interval = self.interval;
        self.told.retain(|_, (at, _)| *at + interval > now);
        self.told.insert(title.id, (now, title.clone()));
        title
    }
}

/// Whether nothing but figures changed between the two.
fn is_mere_progress(told: &TitleRecord, title: &TitleRecord) -> bool {
    let figures = |of: &TitleRecord| TitleRecord { segments_done: 0, updated_at_ms: 0, revision: 0, ..of.clone() };
    figures(told) == figures(title)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::sample;
    use crate::title::{Generation, TitleState};

    const INTERVAL: Duration = Duration::from_millis(500);

    fn title(age: u64, revision: i64, state: TitleState) -> TitleRecord {
        TitleRecord {
            id: sample::title_id(age),
            name: "film".into(),
            state,
            generation: Generation::FIRST,
            ledger: Generation::FIRST,
            created_at_ms: 0,
            updated_at_ms: revision,
            revision,
            source: None,
            problem: None,
            remarks: vec![],
            segments_done: revision as u64,
            has_loudness: false,
            segments_total: 100,
            has_poster: false,
            has_storyboard: false,
        }
    }

    fn processing(age: u64, revision: i64) -> TitleRecord {
        title(age, revision, TitleState::Processing)
    }

    fn revisions(titles: Vec<TitleRecord>) -> Vec<i64> {
        titles.into_iter().map(|title| title.revision).collect()
    }

    #[test]
    fn progress_is_told_twice_a_second_and_the_latest_of_it() {
        let mut pacing = Pacing::new(INTERVAL);
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert!(pacing.offer(processing(1, 1), at(0)).is_some());
        assert!(pacing.offer(processing(1, 2), at(10)).is_none());
        assert!(pacing.offer(processing(1, 3), at(400)).is_none());
        assert_eq!(pacing.next_due(), Some(at(500)));
        assert!(pacing.due(at(499)).is_empty());
        assert_eq!(revisions(pacing.due(at(500))), [3]);
        assert!(pacing.offer(processing(1, 4), at(999)).is_none());
        assert!(pacing.offer(processing(1, 5), at(1000)).is_some());
        assert_eq!(pacing.next_due(), None);
    }

    #[test]
    fn other_changes_are_told_at_once() {
        let mut pacing = Pacing::new(INTERVAL);
        let now = Instant::now();
        assert!(pacing.offer(title(1, 1, TitleState::Surveying), now).is_some());
        assert!(pacing.offer(processing(1, 2), now).is_some());
        assert!(pacing.offer(processing(1, 3), now).is_none());
        let renamed = TitleRecord { name: "other".into(), ..processing(1, 4) };
        assert!(pacing.offer(renamed, now).is_some());
        assert!(pacing.offer(title(1, 5, TitleState::Ready), now).is_some());
        assert!(pacing.offer(processing(2, 6), now).is_some(), "titles do not wait for each other");
        assert_eq!(pacing.next_due(), None, "nothing older is told after it");
    }

    #[test]
    fn a_reader_that_comes_back_misses_nothing_held() {
        let mut pacing = Pacing::new(INTERVAL);
        let now = Instant::now();
        pacing.offer(processing(1, 1), now);
        pacing.offer(processing(1, 5), now);
        pacing.offer(title(2, 6, TitleState::Ready), now);
        assert_eq!(pacing.told_up_to(6), 4);
        pacing.offer(processing(1, 8), now);
        assert_eq!(pacing.told_up_to(8), 7);
        pacing.forget(sample::title_id(1));
        assert_eq!(pacing.told_up_to(8), 8);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut pacing = Pacing::new(INTERVAL);
        let start = Instant::now();
        for age in 0..HELD_MAX as u64 {
            assert!(pacing.offer(processing(age, 1), start).is_some());
            assert!(pacing.offer(processing(age, 2), start).is_none());
        }
        assert!(pacing.offer(processing(1000, 3), start).is_some());
        assert!(pacing.offer(processing(1000, 4), start).is_some(), "no more than that is held back");
        let later = start + INTERVAL;
        assert_eq!(pacing.due(later).len(), HELD_MAX);
        pacing.offer(processing(1, 9), later + INTERVAL);
        assert_eq!(pacing.told.len(), 1);
    }
}
