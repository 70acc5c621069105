//! What is to be made and what to make next: pure book-keeping over the titles being worked on.
//!
//! The order serves viewers: first what is done is told, then what somebody waits for, then getting a new title planned, then the beginning of every
//! title, then the rest, each worker going on where it just was so that its decoder can run on.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::title::{Generation, Plan, Problem, SegmentNumber, TitleId, TrackId};

/// Neighbouring segments that one worker is left to make in a row.
const STRETCH: u32 = 8;

/// Segments somebody waits for at most; a further one has to come again later.
const WANTED_MAX: usize = 1024;

/// A thing for a worker to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Survey and plan a title.
    Prepare(TitleId),
    /// Make one segment of some tracks.
    Make(Task),
    /// Record that a title's way is over.
    End(TitleId, Ending),
}

/// How a title's way ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All its segments are in the ledger.
    Finish,
    /// It will not become playable.
    Fail(Problem),
}

/// One segment of some tracks of a title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Of which title.
    pub title: TitleId,
    /// Which segment.
    pub number: SegmentNumber,
    /// Of which tracks, in the plan's order.
    pub tracks: Vec<TrackId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cell {
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
}

impl Job {
    /// A job of which `made` is already there.
    pub fn new(plan: Arc<Plan>, generation: Generation, made: &[(TrackId, SegmentNumber)]) -> Self {
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
        Self { plan, generation, cells, done, done_at_start: done, attempts: HashMap::new() }
    }

    /// Segments made, and how many of those since the job was taken up.
    pub fn done(&self) -> (u64, u64) {
        (self.done, self.done - self.done_at_start)
    }

    /// Whether the plan has that segment and it is not made yet; `None` when the plan has no such segment.
    pub fn lacks(&self, track: TrackId, number: SegmentNumber) -> Option<bool> {
        self.cell(track, number).map(|cell| cell != Cell::Made)
    }

    fn cell(&self, track: TrackId, number: SegmentNumber) -> Option<Cell> {
        self.cells.get(&track)?.get(number.0 as usize).copied()
    }

    fn set(&mut self, track: TrackId, number: SegmentNumber, to: Cell) {
        if let Some(cell) = self.cells.get_mut(&track).and_then(|cells| cells.get_mut(number.0 as usize)) {
            let before = std::mem::replace(cell, to);
            self.done += u64::from(to == Cell::Made && before != Cell::Made);
        }
    }

    /// Tracks whose segment is neither made nor being made.
    fn missing(&self, number: SegmentNumber) -> Vec<TrackId> {
        self.plan.tracks().filter(|track| self.cell(*track, number) == Some(Cell::Missing)).collect()
    }

    fn is_complete(&self) -> bool {
        self.done == self.plan.segments_total()
    }

    /// The segment to make next: the one after `last`, or the first open one of a stretch in which none of `others` works,
    /// or any.
    fn next_number(&self, last: Option<SegmentNumber>, others: &[SegmentNumber]) -> Option<SegmentNumber> {
        let open = |number: &SegmentNumber| !self.missing(*number).is_empty();
        let stretch = |number: SegmentNumber| number.0 / STRETCH;
        let following = last.map(|last| SegmentNumber(last.0 + 1)).filter(|next| next.0 % STRETCH != 0).filter(open);
        let quiet = |number: &SegmentNumber| !others.iter().any(|other| stretch(*other) == stretch(*number));
        following.or_else(|| self.open().find(quiet)).or_else(|| self.open().next())
    }

    /// Segments with a track that is neither made nor being made.
    fn open(&self) -> impl Iterator<Item = SegmentNumber> + '_ {
        self.plan.timeline.segments().filter(|number| !self.missing(*number).is_empty())
    }
}

/// All that is to be done.
#[derive(Default)]
pub struct Board {
    preparing: VecDeque<TitleId>,
    prepare_attempts: HashMap<TitleId, u32>,
    jobs: BTreeMap<TitleId, Job>,
    wanted: VecDeque<(TitleId, TrackId, SegmentNumber)>,
    ending: VecDeque<(TitleId, Ending)>,
    /// What each slot made last, or is making.
    places: HashMap<usize, (TitleId, SegmentNumber)>,
    /// How many slots ask for work.
    slots: usize,
}

impl Board {
    /// An empty board that `slots` slots ask for work.
    pub fn new(slots: usize) -> Self {
        Self { slots, ..Self::default() }
    }

    /// Takes up a title that has its source and no plan yet.
    pub fn prepare(&mut self, title: TitleId) {
        if !self.preparing.contains(&title) {
            self.preparing.push_back(title);
        }
    }

    /// Takes up a title that has a plan.
    pub fn add(&mut self, title: TitleId, job: Job) {
        self.prepare_attempts.remove(&title);
        // The process before may have been ended just before it could say so.
        if job.is_complete() {
            self.end(title, Ending::Finish);
        }
        self.jobs.insert(title, job);
    }

    /// Has the end of a title recorded. What fails is no longer worked on.
    pub fn end(&mut self, title: TitleId, ending: Ending) {
        if matches!(ending, Ending::Fail(_)) {
            self.remove(title);
        }
        self.ending.push_back((title, ending));
    }

    /// Forgets a title. True when it was being worked on.
    pub fn remove(&mut self, title: TitleId) -> bool {
        let preparing = self.preparing.len();
        self.preparing.retain(|id| *id != title);
        self.wanted.retain(|(id, _, _)| *id != title);
        self.ending.retain(|(id, _)| *id != title);
        self.prepare_attempts.remove(&title);
        self.jobs.remove(&title).is_some() || preparing != self.preparing.len()
    }

    /// The job of a title, if it has one.
    pub fn job(&self, title: TitleId) -> Option<&Job> {
        self.jobs.get(&title)
    }

    /// Moves a segment to the front. False when too many are being waited for.
    pub fn want(&mut self, title: TitleId, track: TrackId, number: SegmentNumber) -> bool {
        let wanted = (title, track, number);
        if self.wanted.contains(&wanted) {
            return true;
        }
        if self.wanted.len() >= WANTED_MAX {
            return false;
        }
        self.wanted.push_back(wanted);
        true
    }

    /// What `slot` is to do next, marked as being done.
    pub fn next(&mut self, slot: usize) -> Option<Work> {
        let ending = self.ending.pop_front().map(|(title, ending)| Work::End(title, ending));
        let work = ending
            .or_else(|| self.next_wanted())
            .or_else(|| self.preparing.pop_front().map(Work::Prepare))
            .or_else(|| self.next_in_order(slot));
        match &work {
            Some(Work::Make(task)) => {
                self.places.insert(slot, (task.title, task.number));
                if let Some(job) = self.jobs.get_mut(&task.title) {
                    task.tracks.iter().for_each(|track| job.set(*track, task.number, Cell::Running));
                }
            }
            Some(Work::End(..)) => {}
            Some(Work::Prepare(_)) | None => {
                self.places.remove(&slot);
            }
        }
        work
    }

    fn next_wanted(&mut self) -> Option<Work> {
        while let Some((title, track, number)) = self.wanted.pop_front() {
            let job = self.jobs.get(&title);
            if job.and_then(|job| job.cell(track, number)) == Some(Cell::Missing) {
                return Some(Work::Make(Task { title, number, tracks: vec![track] }));
            }
        }
        None
    }

    fn next_in_order(&self, slot: usize) -> Option<Work> {
        let first = SegmentNumber(0);
        let beginning = self.jobs.iter().find_map(|(title, job)| {
            let tracks = job.missing(first);
            (!tracks.is_empty()).then_some(Work::Make(Task { title: *title, number: first, tracks }))
        });
        if beginning.is_some() {
            return beginning;
        }
        let here = self.places.get(&slot).copied();
        let same = here.and_then(|(title, number)| Some((title, self.jobs.get(&title)?, Some(number))));
        let any = self.jobs.iter().map(|(title, job)| (*title, job, None));
        same.into_iter().chain(any).find_map(|(title, job, last)| {
            let elsewhere = self.places.iter().filter(|(other, (theirs, _))| **other != slot && *theirs == title);
            let others: Vec<SegmentNumber> = elsewhere.map(|(_, (_, number))| *number).collect();
            let number = job.next_number(last, &others)?;
            Some(Work::Make(Task { title, number, tracks: self.share(job, number) }))
        })
    }

    /// The tracks of a segment that one slot is given: all that are missing, unless slots are about to run out of work. Then
    /// the largest rendition, which costs about as much as the others together, goes to one and the rest to another.
    fn share(&self, job: &Job, number: SegmentNumber) -> Vec<TrackId> {
        let missing = job.missing(number);
        let open = self.jobs.values().flat_map(Job::open).take(self.slots).count();
        match missing.split_first() {
            Some((largest, rest)) if open < self.slots && *largest == TrackId::video(0) && !rest.is_empty() => vec![*largest],
            _ => missing,
        }
    }

    /// Notes that segments are in the ledger. With the last of them, the title's end is to be recorded.
    pub fn made(&mut self, task: &Task) {
        let Some(job) = self.jobs.get_mut(&task.title) else { return };
        let before = job.done;
        task.tracks.iter().for_each(|track| job.set(*track, task.number, Cell::Made));
        if job.done > before && job.is_complete() {
            self.end(task.title, Ending::Finish);
        }
    }

    /// Notes that a task came to nothing, through no fault of its own, and is open again.
    pub fn failed_for_now(&mut self, task: &Task) {
        let Some(job) = self.jobs.get_mut(&task.title) else { return };
        for track in &task.tracks {
            if job.cell(*track, task.number) == Some(Cell::Running) {
                job.set(*track, task.number, Cell::Missing);
            }
        }
    }

    /// Notes that a task came to nothing and is open again. How often that has happened to its segment.
    pub fn failed(&mut self, task: &Task) -> u32 {
        self.failed_for_now(task);
        let Some(job) = self.jobs.get_mut(&task.title) else { return 0 };
        let attempts = job.attempts.entry(task.number).or_default();
        *attempts += 1;
        *attempts
    }

    /// Notes that surveying a title came to nothing, and takes it up again. How often that has happened.
    pub fn prepare_failed(&mut self, title: TitleId) -> u32 {
        let attempts = self.prepare_attempts.entry(title).or_default();
        *attempts += 1;
        let attempts = *attempts;
        self.prepare(title);
        attempts
    }

    /// Titles waiting to be planned, titles being made, and segments not made yet.
    pub fn load(&self) -> (usize, usize, u64) {
        let missing = self.jobs.values().map(|job| job.plan.segments_total() - job.done).sum();
        (self.preparing.len(), self.jobs.len(), missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title::sample;

    fn plan(segments: u64) -> Arc<Plan> {
        let mut plan = sample::plan((25, 1), segments * 100, 4000);
        plan.video.pop();
        Arc::new(plan)
    }

    fn title(age: u64) -> TitleId {
        TitleId::new(age, 0)
    }

    fn make(board: &mut Board, slot: usize) -> Task {
        match board.next(slot) {
            Some(Work::Make(task)) => task,
            other => panic!("expected a segment, got {other:?}"),
        }
    }

    #[test]
    fn what_somebody_waits_for_comes_first_then_beginnings() {
        let mut board = Board::default();
        board.add(title(1), Job::new(plan(20), Generation::FIRST, &[]));
        assert_eq!(make(&mut board, 0).number, SegmentNumber(0));
        board.add(title(2), Job::new(plan(3), Generation::FIRST, &[]));
        assert!(board.want(title(1), TrackId::video(1), SegmentNumber(12)));
        board.prepare(title(3));
        let wanted = make(&mut board, 0);
        assert_eq!((wanted.number, wanted.tracks), (SegmentNumber(12), vec![TrackId::video(1)]));
        assert_eq!(board.next(0), Some(Work::Prepare(title(3))));
        let beginning = make(&mut board, 1);
        assert_eq!((beginning.title, beginning.number), (title(2), SegmentNumber(0)));
        assert_eq!(beginning.tracks.len(), 3);
        assert_eq!(make(&mut board, 1).number, SegmentNumber(1));
    }

    #[test]
    fn workers_keep_to_stretches_of_their_own() {
        let mut board = Board::default();
        board.add(title(1), Job::new(plan(20), Generation::FIRST, &[]));
        let mut order = [Vec::new(), Vec::new()];
        for turn in 0..20 {
            let slot = turn % 2;
            let task = make(&mut board, slot);
            order[slot].push(task.number.0);
            board.made(&task);
        }
        assert_eq!(order[0][..8], [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(order[1][..8], [8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(board.next(0), Some(Work::End(title(1), Ending::Finish)));
        assert_eq!(board.next(0), None);
    }

    #[test]
    fn the_last_segment_is_shared_out() {
        let mut board = Board::new(2);
        board.add(title(1), Job::new(plan(3), Generation::FIRST, &[]));
        assert_eq!(make(&mut board, 0).tracks.len(), 3);
        assert_eq!(make(&mut board, 1).tracks.len(), 3);
        let (one, other) = (make(&mut board, 0), make(&mut board, 1));
        assert_eq!((one.number, one.tracks), (SegmentNumber(2), vec![TrackId::video(0)]));
        assert_eq!((other.number, other.tracks), (SegmentNumber(2), vec![TrackId::video(1), TrackId::audio(0)]));
        assert_eq!(board.next(0), None);
    }

    #[test]
    fn an_end_is_recorded_before_anything_else_is_done() {
        let mut board = Board::default();
        board.add(title(1), Job::new(plan(2), Generation::FIRST, &[]));
        board.add(title(2), Job::new(plan(2), Generation::FIRST, &[]));
        let failing = make(&mut board, 0);
        assert!(board.want(title(2), TrackId::video(0), SegmentNumber(1)));
        let problem = Problem::new(crate::title::ProblemCode::WorkerFailed);
        board.end(title(1), Ending::Fail(problem.clone()));
        assert_eq!(board.next(0), Some(Work::End(title(1), Ending::Fail(problem.clone()))));
        assert_eq!(make(&mut board, 0).title, title(2));
        board.made(&failing);
        assert_eq!(board.failed(&failing), 0, "it is no longer worked on");
        let mut left = 0;
        while let Some(Work::Make(task)) = board.next(0) {
            assert_eq!(task.title, title(2));
            left += 1;
        }
        assert_eq!(left, 2);
        board.end(title(1), Ending::Fail(problem));
        board.remove(title(1));
        assert_eq!(board.next(0), None, "deleted meanwhile");
    }

    #[test]
    fn what_was_complete_before_is_ended() {
        let mut board = Board::default();
        let all: Vec<_> = plan(1).tracks().map(|track| (track, SegmentNumber(0))).collect();
        board.add(title(1), Job::new(plan(1), Generation::FIRST, &all));
        assert_eq!(board.next(0), Some(Work::End(title(1), Ending::Finish)));
    }

    #[test]
    fn what_fails_is_open_again_and_counted() {
        let mut board = Board::default();
        board.add(title(1), Job::new(plan(1), Generation::FIRST, &[(TrackId::audio(0), SegmentNumber(0))]));
        let task = make(&mut board, 0);
        assert_eq!(task.tracks, [TrackId::video(0), TrackId::video(1)]);
        assert_eq!(board.next(0), None);
        assert_eq!(board.failed(&task), 1);
        assert_eq!(make(&mut board, 0), task);
        assert_eq!(board.failed(&task), 2);
        assert!(board.remove(title(1)));
        assert_eq!(board.next(0), None);
    }

    #[test]
    fn waiting_is_bounded() {
        let mut board = Board::default();
        for number in 0..WANTED_MAX as u32 {
            assert!(board.want(title(1), TrackId::video(0), SegmentNumber(number)));
        }
        assert!(board.want(title(1), TrackId::video(0), SegmentNumber(5)), "already waited for");
        assert!(!board.want(title(1), TrackId::video(0), SegmentNumber(5000)));
    }
}
