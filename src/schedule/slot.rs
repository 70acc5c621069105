//! One slot: a worker process at a time, kept as long as there is work on its title.

use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;
use tokio::task::JoinHandle;

use crate::catalogue;
use crate::store::{self, Key};
use crate::title::{Generation, Plan, Problem, ProblemCode, TitleId, TrackKind};
use crate::worker::protocol::MadeSegment;
use crate::worker::{Failure, Worker};

use super::board::{Job, Task, Work};
use super::keep::{self, keep};
use super::prepare::{Prepared, prepare};
use super::{Metrics, Shared};

/// Runs a slot until the scheduler stops.
pub async fn run(shared: Arc<Shared>, index: usize) {
    let mut slot = Slot { shared: Arc::clone(&shared), crew: None, storing: None };
    let mut stopping = shared.stopping.subscribe();
    loop {
        // Listening starts before looking, so that work that comes in between is not missed.
        let waked = shared.work.notified();
        tokio::pin!(waked);
        waked.as_mut().enable();
        if *stopping.borrow() {
            break;
        }
        let next = shared.board().next(index);
        match next {
            Some(work) => {
                tokio::select! {
                    () = slot.work(work) => {}
                    _ = stopping.wait_for(|stopping| *stopping) => break,
                }
            }
            None => {
                slot.rest().await;
                tokio::select! {
                    () = waked => {}
                    _ = stopping.wait_for(|stopping| *stopping) => break,
                }
            }
        }
    }
    slot.rest().await;
}

struct Slot {
    shared: Arc<Shared>,
    crew: Option<Crew>,
    /// The segments made before, on their way into the ledger.
    storing: Option<JoinHandle<()>>,
}

/// A worker with a title's plan opened.
struct Crew {
    title: TitleId,
    generation: Generation,
    plan: Arc<Plan>,
    worker: Worker,
    _running: Running,
}

impl Crew {
    fn new(shared: &Shared, title: TitleId, generation: Generation, plan: Arc<Plan>, worker: Worker) -> Self {
        Self { title, generation, plan, worker, _running: Running::count(&shared.metrics.workers) }
    }
}

/// Counts a running worker for as long as it lives.
struct Running(Gauge);

impl Running {
    fn count(workers: &Gauge) -> Self {
        workers.inc();
        Self(workers.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Slot {
    async fn work(&mut self, work: Work) {
        let title = match &work {
            Work::Prepare(id) => *id,
            Work::Make(task) => task.title,
        };
        let _busy = Busy::mark(&self.shared, title);
        match work {
            Work::Prepare(id) => self.prepare(id).await,
            Work::Make(task) => self.make(task).await,
        }
    }

    /// Ends what is under way: there is nothing to do for now.
    async fn rest(&mut self) {
        self.dismiss().await;
        self.settle().await;
    }

    /// Ends the worker, if there is one.
    async fn dismiss(&mut self) {
        if let Some(crew) = self.crew.take() {
            crew.worker.end().await;
        }
    }

    async fn settle(&mut self) {
        if let Some(storing) = self.storing.take() {
            // A panic in there is logged by the runtime; the segment is made again after the next start.
            let _ = storing.await;
        }
    }

    async fn prepare(&mut self, id: TitleId) {
        self.dismiss().await;
        match prepare(&self.shared, id).await {
            Prepared::Planned { worker, plan, generation } => {
                tracing::info!(title = %id, segments = plan.segments_total(), "title planned");
                let plan = Arc::new(plan);
                self.shared.add(id, Job::new(Arc::clone(&plan), generation, &[]));
                self.crew = Some(Crew::new(&self.shared, id, generation, plan, *worker));
            }
            Prepared::Refused(problem) => self.shared.fail(id, problem).await,
            Prepared::Failed(error) => {
                tracing::warn!(title = %id, %error, "preparing a title failed");
                let attempts = self.shared.board().prepare_failed(id);
                if attempts >= self.shared.settings.attempts_max {
                    self.shared.fail(id, error.problem()).await;
                } else {
                    self.shared.work.notify_waiters();
                }
            }
        }
    }

    async fn make(&mut self, task: Task) {
        let started = std::time::Instant::now();
        let made = match self.crew_for(&task).await {
            Ok(crew) => crew.worker.make(task.number, &task.tracks).await.map(|made| (made, Arc::clone(&crew.plan), crew.generation)),
            Err(failure) => Err(failure),
        };
        match made {
            Ok((made, plan, generation)) => {
                self.shared.metrics.task_seconds.observe(started.elapsed().as_secs_f64());
                // One at a time: a store that is slower than the encoders holds them back.
                self.settle().await;
                let shared = Arc::clone(&self.shared);
                let busy = Busy::mark(&self.shared, task.title);
                self.storing = Some(tokio::spawn(async move {
                    let counted = Counted::of(&made);
                    let kept = keep(&shared.store, &shared.catalogue, task.title, generation, &plan, made, shared.now_ms()).await;
                    if kept.is_ok() {
                        counted.count(&shared.metrics);
                    }
                    settle_task(&shared, &task, kept).await;
                    drop(busy);
                }));
            }
            Err(failure) => {
                self.crew = None;
                self.shared.metrics.worker_failures.get_or_create(&[("outcome", failure.as_str())]).inc();
                tracing::warn!(title = %task.title, segment = task.number.0, outcome = failure.as_str(), %failure, "making a segment failed");
                give_up_or_retry(&self.shared, &task, &failure.to_string()).await;
            }
        }
    }

    /// The worker that has the task's title open; another title's worker is ended.
    async fn crew_for(&mut self, task: &Task) -> Result<&mut Crew, Failure> {
        if self.crew.as_ref().is_none_or(|crew| crew.title != task.title) {
            self.dismiss().await;
            self.crew = Some(self.assemble(task.title).await?);
        }
        self.crew.as_mut().ok_or(Failure::TimedOut)
    }

    async fn assemble(&self, title: TitleId) -> Result<Crew, Failure> {
        let gone = |what: String| Failure::Rejected(Problem::with_detail(ProblemCode::SourceLost, what));
        let shared = &self.shared;
        let (plan, generation) = {
            let board = shared.board();
            let job = board.job(title).ok_or_else(|| gone("the title is gone".into()))?;
            (Arc::clone(&job.plan), job.generation)
        };
        let planned = shared.catalogue.plan(title, generation).await.map_err(|error| gone(error.to_string()))?;
        let source = shared.store.open_file(Key::Source(title)).await.map_err(|error| gone(error.to_string()))?;
        let mut worker = Worker::spawn(&shared.settings.worker, source)?;
        let headers = worker.open(planned.facts, planned.plan).await?;
        let same = planned.tracks.iter().map(|track| (track.track, &track.header)).eq(headers.iter().map(|(id, header)| (*id, header)));
        if !same {
            return Err(Failure::ProtocolError("the encoders changed their headers since the title was planned".into()));
        }
        Ok(Crew::new(shared, title, generation, plan, worker))
    }
}

/// Notes what became of a task after its worker was done.
async fn settle_task(shared: &Shared, task: &Task, kept: Result<(), keep::Error>) {
    match kept {
        Ok(()) => {
            shared.board().made(task);
            shared.changes.send_modify(|count| *count += 1);
            shared.finish_if_complete(task.title).await;
        }
        // The title was deleted meanwhile.
        Err(keep::Error::Catalogue(catalogue::Error::NotFound(_))) => shared.forget(task.title),
        Err(error @ (keep::Error::Store(store::Error::Full(_)) | keep::Error::Catalogue(catalogue::Error::Unavailable(_)))) => {
            // Trying at once would spin; the segment stays open, and room or time may come.
            tracing::error!(title = %task.title, segment = task.number.0, %error, "a segment could not be stored");
            tokio::time::sleep(RETRY_STORAGE).await;
            shared.board().failed_for_now(task);
            shared.work.notify_waiters();
        }
        Err(error) => {
            tracing::warn!(title = %task.title, segment = task.number.0, %error, "a segment could not be kept");
            give_up_or_retry(shared, task, &error.to_string()).await;
        }
    }
}

/// Pause before storage that refused is tried again.
const RETRY_STORAGE: std::time::Duration = std::time::Duration::from_secs(2);

async fn give_up_or_retry(shared: &Shared, task: &Task, why: &str) {
    let attempts = shared.board().failed(task);
    if attempts >= shared.settings.attempts_max {
        let detail = format!("segment {} failed {attempts} times: {why}", task.number);
        shared.fail(task.title, Problem::with_detail(ProblemCode::WorkerFailed, detail)).await;
    } else {
        shared.work.notify_waiters();
    }
}

/// What a task adds to the counters once it is in the ledger.
struct Counted {
    video: u64,
    audio: u64,
    bytes: u64,
}

impl Counted {
    fn of(made: &[MadeSegment]) -> Self {
        let video = made.iter().filter(|segment| segment.track.kind == TrackKind::Video).count() as u64;
        Self { video, audio: made.len() as u64 - video, bytes: made.iter().map(|segment| segment.bytes.len() as u64).sum() }
    }

    fn count(&self, metrics: &Metrics) {
        metrics.segments.get_or_create(&[("kind", "video")]).inc_by(self.video);
        metrics.segments.get_or_create(&[("kind", "audio")]).inc_by(self.audio);
        metrics.segment_bytes.inc_by(self.bytes);
    }
}

/// Marks a title as being worked on for as long as it lives.
struct Busy {
    shared: Arc<Shared>,
    title: TitleId,
}

impl Busy {
    fn mark(shared: &Arc<Shared>, title: TitleId) -> Self {
        shared.busy.send_modify(|busy| busy.push(title));
        Self { shared: Arc::clone(shared), title }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.shared.busy.send_modify(|busy| {
            if let Some(at) = busy.iter().position(|title| *title == self.title) {
                busy.swap_remove(at);
            }
        });
    }
}
