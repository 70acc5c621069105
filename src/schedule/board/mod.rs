//! What is to be made and what to make next: pure book-keeping over the titles being worked on.
//!
//! The order serves viewers: first what is done is told, then what somebody waits for, then getting a new title planned, then the beginning of every
//! title, then the passes (a poster early is worth much), then the rest, each worker going on where it just was so that its
//! decoder can run on.

mod job;

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::title::{Problem, SegmentNumber, TitleId, TrackId};

use job::Cell;
pub use job::{Job, Pass};

/// Segments somebody waits for at most; a further one has to come again later.
const WANTED_MAX: usize = 1024;

/// A thing for a worker to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Survey and plan a title.
    Prepare(TitleId),
    /// Make one segment of some tracks.
    Make(Task),
    /// Run a pass over a title.
    Run(TitleId, Pass),
    /// Record that a title's way is over.
    End(TitleId, Ending),
}

/// How a title's way ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All its segments are in the ledger, and its passes are over.
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
            Some(Work::Run(title, pass)) => {
                if let Some(job) = self.jobs.get_mut(title) {
                    job.set_pass(*pass, Cell::Running);
                }
            }
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
        let here = self.places.get(&slot).copied();
        let pass = || {
            // A worker that has the title open is there already.
            let same = here.and_then(|(title, _)| self.jobs.get_key_value(&title));
            same.into_iter().chain(&self.jobs).find_map(|(title, job)| job.next_pass().map(|pass| Work::Run(*title, pass)))
        };
        if let Some(first) = beginning.or_else(pass) {
            return Some(first);
        }
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
        let before = job.missing_count();
        task.tracks.iter().for_each(|track| job.set(*track, task.number, Cell::Made));
        if job.missing_count() < before && job.is_complete() {
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
        job.segment_failed(task.number)
    }

    /// Notes that a pass is over, well or given up. With the last thing to do, the title's end is to be recorded.
    pub fn pass_over(&mut self, title: TitleId, pass: Pass) {
        let Some(job) = self.jobs.get_mut(&title) else { return };
        if job.set_pass(pass, Cell::Made) && job.is_complete() {
            self.end(title, Ending::Finish);
        }
    }

    /// Notes that a pass came to nothing, through no fault of its own, and is open again.
    pub fn pass_failed_for_now(&mut self, title: TitleId, pass: Pass) {
        if let Some(job) = self.jobs.get_mut(&title) {
            job.set_pass(pass, Cell::Missing);
        }
    }

    /// Notes that a pass came to nothing and is open again. How often that has happened.
    pub fn pass_failed(&mut self, title: TitleId, pass: Pass) -> u32 {
        self.jobs.get_mut(&title).map_or(0, |job| job.pass_failed(pass))
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
        let missing = self.jobs.values().map(Job::missing_count).sum();
        (self.preparing.len(), self.jobs.len(), missing)
    }
}

#[cfg(test)]
mod tests;
