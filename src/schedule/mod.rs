//! What to make next, and the worker slots that make it.
//!
//! A [`Scheduler`] owns a number of slots. Each slot runs one worker process at a time and asks the board for its next
//! work. What comes back is verified, put into the store, and only then entered in the ledger; storing one segment overlaps
//! with making the next. Beside segments there are passes, each run once over a whole title.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::catalogue::{self, Catalogue};
use crate::store::Store;
use crate::title::{Generation, PlanPolicy, Problem, ProblemCode, SegmentNumber, TitleId, TitleState, TrackId};
use crate::worker;

mod board;
mod keep;
mod metrics;
mod pass;
mod prepare;
mod setback;
mod slot;

use board::{Board, Ending, Job};
pub use keep::clear_failed;
pub use metrics::Metrics;

/// Tells the time in Unix milliseconds; handed in so that tests can.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How segments are made.
#[derive(Clone)]
pub struct Settings {
    /// Worker processes at a time.
    pub slots: usize,
    /// How often a segment, a pass, or the survey of a title, is tried.
    pub attempts_max: u32,
    /// How workers are started and watched.
    pub worker: worker::Settings,
    /// How titles are planned.
    pub policy: PlanPolicy,
    /// Space that segments leave free on the store's file system.
    pub free_min_bytes: u64,
}

/// How far a title being worked on is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Segments in the ledger.
    pub segments_done: u64,
    /// Segments of the plan.
    pub segments_total: u64,
    /// Estimate of the time left, once a few segments have shown the pace.
    pub eta_ms: Option<u64>,
}

/// Why a wanted segment is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Miss {
    /// The title is not being worked on, or its plan has no such segment.
    #[error("there is no such segment to make")]
    NoSuchSegment,
    /// It was not made in the time allowed; it is being made.
    #[error("the segment is not made yet")]
    NotYet,
    /// Too many segments are being waited for.
    #[error("too many segments are being waited for")]
    Busy,
}

/// Makes titles. Cheap to clone.
#[derive(Clone)]
pub struct Scheduler(Arc<Shared>);

struct Shared {
    settings: RwLock<Arc<Settings>>,
    catalogue: Catalogue,
    store: Store,
    clock: Clock,
    metrics: Metrics,
    board: Mutex<Board>,
    started: Mutex<std::collections::HashMap<TitleId, Instant>>,
    /// Wakes slots when there may be something to do.
    work: Notify,
    /// Grows whenever a segment was made or a title ended.
    changes: watch::Sender<u64>,
    /// True once slots must stop.
    stopping: watch::Sender<bool>,
    /// Titles that a slot is busy with, so that a deletion can wait for it.
    busy: watch::Sender<Vec<TitleId>>,
    /// Why work waits, while it does.
    obstacle: watch::Sender<Option<String>>,
}

impl Scheduler {
    /// A scheduler without work; [`Scheduler::run`] starts its slots.
    pub fn new(settings: Settings, catalogue: Catalogue, store: Store, clock: Clock, metrics: Metrics) -> Self {
        let board = Mutex::new(Board::new(settings.slots));
        Self(Arc::new(Shared {
            settings: RwLock::new(Arc::new(settings)),
            catalogue,
            store,
            clock,
            metrics,
            board,
            started: Mutex::default(),
            work: Notify::new(),
            changes: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            busy: watch::Sender::new(Vec::new()),
            obstacle: watch::Sender::new(None),
        }))
    }

    /// Runs the slots until [`Scheduler::stop`]; then lets each finish storing what it has made.
    pub async fn run(&self) {
        let mut slots = JoinSet::new();
        for index in 0..self.0.settings().slots.max(1) {
            slots.spawn(slot::run(Arc::clone(&self.0), index));
        }
        while slots.join_next().await.is_some() {}
    }

    /// Whatever begins from now on is made by `settings`; the number of slots and the space to leave free stay as they were.
    pub fn reconfigure(&self, settings: Settings) {
        let mut current = self.0.settings.write().unwrap_or_else(PoisonError::into_inner);
        let (slots, free_min_bytes) = (current.slots, current.free_min_bytes);
        *current = Arc::new(Settings { slots, free_min_bytes, ..settings });
    }

    /// Makes the slots stop. What they were making is lost and will be made again.
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
        self.0.work.notify_waiters();
    }

    /// Takes up a title from wherever the catalogue says it stands; does nothing for one that needs no work.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn take_up(&self, id: TitleId) -> catalogue::Result<()> {
        let title = self.0.catalogue.title(id).await?;
        match title.state {
            TitleState::Surveying => self.0.board().prepare(id),
            TitleState::Processing => {
                let planned = self.0.catalogue.plan(id, title.ledger).await?;
                let made = self.0.catalogue.made(id, title.ledger).await?;
                let passes = pass::needed(&title, &planned.plan, &planned.facts);
                self.0.add(id, Job::new(Arc::new(planned.plan), title.ledger, &made, &passes));
            }
            TitleState::Receiving | TitleState::Ready | TitleState::Failed => return Ok(()),
        }
        self.0.work.notify_waiters();
        Ok(())
    }

    /// Lets go of a title, and waits until no slot is busy with it any more.
    pub async fn drop_title(&self, id: TitleId) {
        self.0.board().remove(id);
        self.0.changes.send_modify(|count| *count += 1);
        self.0.wait_until_idle(id).await;
    }

    /// Waits until a segment is in the ledger, having it made before others, for at most `patience`.
    ///
    /// # Errors
    /// [`Miss`].
    pub async fn demand(
        &self,
        id: TitleId,
        generation: Generation,
        track: TrackId,
        number: SegmentNumber,
        patience: Duration,
    ) -> Result<(), Miss> {
        let mut changes = self.0.changes.subscribe();
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            {
                let mut board = self.0.board();
                let job = board.job(id).filter(|job| job.generation == generation);
                match job.and_then(|job| job.lacks(track, number)) {
                    None => return Err(Miss::NoSuchSegment),
                    Some(false) => return Ok(()),
                    Some(true) if !board.want(id, track, number) => return Err(Miss::Busy),
                    Some(true) => {}
                }
            }
            self.0.work.notify_waiters();
            match tokio::time::timeout_at(deadline, changes.changed()).await {
                Ok(_) => {}
                Err(_) => return Err(Miss::NotYet),
            }
        }
    }

    /// How far a title is, while it is being made.
    pub fn progress(&self, id: TitleId) -> Option<Progress> {
        let board = self.0.board();
        let job = board.job(id)?;
        let (done, since) = job.done();
        let total = job.plan.segments_total();
        let started = self.0.started.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied();
        let elapsed_ms = started.map_or(0, |started| started.elapsed().as_millis() as u64);
        let eta_ms = (since >= PACE_SEGMENTS_MIN).then(|| elapsed_ms * (total - done) / since);
        Some(Progress { segments_done: done, segments_total: total, eta_ms })
    }

    /// Why work waits, such as for want of space: absent while it goes on.
    pub fn obstacle(&self) -> watch::Receiver<Option<String>> {
        self.0.obstacle.subscribe()
    }

    /// Titles waiting to be planned, titles being made, and segments not made yet.
    pub fn load(&self) -> (usize, usize, u64) {
        self.0.board().load()
    }
}

/// Segments that must have been made before their pace tells anything.
const PACE_SEGMENTS_MIN: u64 = 3;

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        // A panic while the board was locked leaves at worst a segment marked as running; going on is better than stopping.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    fn add(&self, id: TitleId, job: Job) {
        self.board().add(id, job);
        self.started.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Instant::now());
        self.work.notify_waiters();
    }

    fn forget(&self, id: TitleId) {
        self.board().remove(id);
        self.started.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Has a title recorded as failed.
    fn fail(&self, id: TitleId, problem: Problem) {
        self.board().end(id, Ending::Fail(problem));
        self.changes.send_modify(|count| *count += 1);
        self.work.notify_waiters();
    }

    /// Waits a little after something went wrong that is not the work's own fault, so that trying again does not spin.
    async fn pause(&self, title: TitleId, why: String) {
        tracing::error!(%title, why, "work waits and will be tried again");
        self.obstacle.send_replace(Some(why));
        tokio::time::sleep(PAUSE).await;
    }

    /// Notes that work goes on.
    fn clear_obstacle(&self) {
        self.obstacle.send_if_modified(|obstacle| obstacle.take().is_some());
    }

    /// Removes what the store need not keep of a title that failed, once nobody adds to it any more.
    async fn clear(&self, id: TitleId, code: ProblemCode) {
        self.wait_until_idle(id).await;
        if let Err(error) = clear_failed(&self.store, id, code).await {
            // The next start sweeps it.
            tracing::warn!(title = %id, %error, "objects of a failed title remain");
        }
    }

    async fn wait_until_idle(&self, id: TitleId) {
        let mut busy = self.busy.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = busy.wait_for(|busy| !busy.contains(&id)).await;
    }
}

/// Pause before what was not the work's own fault is tried again.
const PAUSE: Duration = Duration::from_secs(2);
