//! A title being made: which of its segments and passes are there, are being made, or are still to be.

use std::collections::HashMap;
use std::sync::Arc;

use crate::title::{Generation, Plan, SegmentNumber, TrackId};

/// Neighbouring segments that one worker is left to make in a row.
const STRETCH: u32 = 8;

/// Where one segment of one track, or a pass, stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cell {
    Missing,
    Running,
    Made,
}

/// A title whose segments are being made.
pub struct Job {
    /// Its plan.
    pub plan: Arc<Plan>,
    /// The generation that its segments belong to; the title may have come to a later one, with other text.
    pub generation: Generation,
    cells: HashMap<TrackId, Vec<Cell>>,
    done: u64,
    done_at_start: u64,
    attempts: HashMap<SegmentNumber, u32>,
    /// In the order in which they are run.
    passes: Vec<PassState>,
}

/// Work over a whole title that a worker does once, beside making its segments. What comes of it is no part of what players
/// need, so a pass that keeps failing is given up, and the title goes without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pass {
    /// Poster and storyboard.
    Stills,
    /// How loud each sound is.
    Loudness,
}

impl Pass {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stills => "stills",
            Self::Loudness => "loudness",
        }
    }
}

impl std::fmt::Display for Pass {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

#[derive(Clone, Copy)]
struct PassState {
    pass: Pass,
    cell: Cell,
    attempts: u32,
}

impl Job {
    /// A job of which `made` is already there, and `passes` are not.
    pub fn new(plan: Arc<Plan>, generation: Generation, made: &[(TrackId, SegmentNumber)], passes: &[Pass]) -> Self {
        let count = plan.timeline.segment_count() as usize;
        let mut cells: HashMap<TrackId, Vec<Cell>> = plan.tracks().map(|track| (track, vec![Cell::Missing; count])).collect();
        let mut done = 0;
        for (track, number) in made {
            if let Some(cell) = cells.get_mut(track).and_then(|cells| cells.get_mut(number.0 as usize))
                && std::mem::replace(cell, Cell::Made) != Cell::Made
            {
                done += 1;
            }
        }
        let passes = passes.iter().map(|pass| PassState { pass: *pass, cell: Cell::Missing, attempts: 0 }).collect();
        Self { plan, generation, cells, done, done_at_start: done, attempts: HashMap::new(), passes }
    }

    /// Segments made, and how many of those since the job was taken up.
    pub fn done(&self) -> (u64, u64) {
        (self.done, self.done - self.done_at_start)
    }

    /// Whether the plan has that segment and it is not made yet; `None` when the plan has no such segment.
    pub fn lacks(&self, track: TrackId, number: SegmentNumber) -> Option<bool> {
        self.cell(track, number).map(|cell| cell != Cell::Made)
    }

    pub(super) fn cell(&self, track: TrackId, number: SegmentNumber) -> Option<Cell> {
        self.cells.get(&track)?.get(number.0 as usize).copied()
    }

    pub(super) fn set(&mut self, track: TrackId, number: SegmentNumber, to: Cell) {
        if let Some(cell) = self.cells.get_mut(&track).and_then(|cells| cells.get_mut(number.0 as usize)) {
            let before = std::mem::replace(cell, to);
            self.done += u64::from(to == Cell::Made && before != Cell::Made);
        }
    }

    /// Tracks whose segment is neither made nor being made.
    pub(super) fn missing(&self, number: SegmentNumber) -> Vec<TrackId> {
        self.plan.tracks().filter(|track| self.cell(*track, number) == Some(Cell::Missing)).collect()
    }

    /// Whether all segments are made, and all passes are done or given up.
    pub(super) fn is_complete(&self) -> bool {
        self.missing_count() == 0 && self.passes.iter().all(|state| state.cell == Cell::Made)
    }

    /// Segments not made yet.
    pub(super) fn missing_count(&self) -> u64 {
        self.plan.segments_total() - self.done
    }

    /// The pass to run next.
    pub(super) fn next_pass(&self) -> Option<Pass> {
        self.passes.iter().find(|state| state.cell == Cell::Missing).map(|state| state.pass)
    }

    /// Notes where a pass stands. False when it has stood there already, or the job has no such pass.
    pub(super) fn set_pass(&mut self, pass: Pass, to: Cell) -> bool {
        let state = self.passes.iter_mut().find(|state| state.pass == pass);
        state.is_some_and(|state| std::mem::replace(&mut state.cell, to) != to)
    }

    /// Notes that a pass came to nothing and is open again. How often that has happened.
    pub(super) fn pass_failed(&mut self, pass: Pass) -> u32 {
        let Some(state) = self.passes.iter_mut().find(|state| state.pass == pass) else { return 0 };
        state.cell = Cell::Missing;
        state.attempts += 1;
        state.attempts
    }

    /// Notes that making a segment came to nothing. How often that has happened.
    pub(super) fn segment_failed(&mut self, number: SegmentNumber) -> u32 {
        let attempts = self.attempts.entry(number).or_default();
        *attempts += 1;
        *attempts
    }

    /// The segment to make next: the one after `last`, or the first open one of a stretch in which none of `others` works,
    /// or any.
    pub(super) fn next_number(&self, last: Option<SegmentNumber>, others: &[SegmentNumber]) -> Option<SegmentNumber> {
        let open = |number: &SegmentNumber| !self.missing(*number).is_empty();
        let stretch = |number: SegmentNumber| number.0 / STRETCH;
        let following = last.map(|last| SegmentNumber(last.0 + 1)).filter(|next| next.0 % STRETCH != 0).filter(open);
        let quiet = |number: &SegmentNumber| !others.iter().any(|other| stretch(*other) == stretch(*number));
        following.or_else(|| self.open().find(quiet)).or_else(|| self.open().next())
    }

    /// Segments with a track that is neither made nor being made.
    pub(super) fn open(&self) -> impl Iterator<Item = SegmentNumber> + '_ {
        self.plan.timeline.segments().filter(|number| !self.missing(*number).is_empty())
    }
}
