//! One slot: a worker process at a time, kept as long as there is work on its title.

use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;
use tokio::task::JoinHandle;

use crate::catalogue;
use crate::store::{self, Key};
use crate::title::{Generation, Plan, Problem, ProblemCode, TitleId, TrackKind};
use crate::worker::protocol::MadeSegment;
use crate::worker::{self, Failure, Worker};

use super::board::{Ending, Job, Pass, Task, Work};
use super::keep::{self, keep};
use super::metrics::Stopwatch;
use super::pass;
use super::prepare::{Error, Prepared, prepare};
use super::setback::Setback;
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
            Work::Run(id, _) | Work::End(id, _) => *id,
        };
        let _busy = Busy::mark(&self.shared, title);
        match work {
            Work::Prepare(id) => self.prepare(id).await,
            Work::Make(task) => self.make(task).await,
            Work::Run(id, pass) => self.run(id, pass).await,
            Work::End(id, ending) => self.end(id, ending).await,
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
        // Only taken off once it has ended: whoever is stopped here waits for it again.
        if let Some(storing) = &mut self.storing {
            // A panic in there is logged by the runtime; the segment is made again after the next start.
            let _ = storing.await;
            self.storing = None;
        }
    }

    async fn prepare(&mut self, id: TitleId) {
        self.dismiss().await;
        match prepare(&self.shared, id).await {
            Prepared::Planned { worker, plan, generation, passes } => {
                tracing::info!(title = %id, segments = plan.segments_total(), "title planned");
                let plan = Arc::new(plan);
                self.shared.add(id, Job::new(Arc::clone(&plan), generation, &[], &passes));
                self.crew = Some(Crew::new(&self.shared, id, generation, plan, *worker));
            }
            Prepared::Refused(problem) => self.shared.fail(id, problem),
            Prepared::Failed(error) => match Setback::from(&error) {
                Setback::Gone => self.shared.forget(id),
                Setback::Passing => {
                    self.shared.pause(id, error.to_string()).await;
                    self.shared.board().prepare(id);
                    self.shared.work.notify_waiters();
                }
                Setback::Counted => {
                    tracing::warn!(title = %id, %error, "preparing a title failed");
                    let attempts = self.shared.board().prepare_failed(id);
                    if attempts >= self.shared.settings().attempts_max {
                        self.shared.fail(id, error.problem());
                    } else {
                        self.shared.work.notify_waiters();
                    }
                }
            },
        }
    }

    async fn make(&mut self, task: Task) {
        let started = std::time::Instant::now();
        match self.try_make(&task).await {
            Ok((made, plan, generation)) => {
                self.shared.metrics.task_seconds.observe(started.elapsed().as_secs_f64());
                // One at a time: a store that is slower than the encoders holds them back.
                self.settle().await;
                let shared = Arc::clone(&self.shared);
                let busy = Busy::mark(&self.shared, task.title);
                self.storing = Some(tokio::spawn(async move {
                    store(&shared, &task, generation, &plan, made).await;
                    drop(busy);
                }));
            }
            Err(error) => {
                self.crew = None;
                if let Error::Worker(failure) = &error {
                    self.shared.metrics.worker_failures.get_or_create(&[("outcome", failure.as_str())]).inc();
                }
                if matches!(error, Error::Store(store::Error::NotFound)) {
                    // The source is gone, which no other attempt will change.
                    self.shared.fail(task.title, error.problem());
                } else {
                    set_back(&self.shared, &task, Setback::from(&error), &error.to_string()).await;
                }
            }
        }
    }

    async fn try_make(&mut self, task: &Task) -> Result<(Vec<MadeSegment>, Arc<Plan>, Generation), Error> {
        let metrics = self.shared.metrics.clone();
        let crew = self.crew_for(task.title).await?;
        let mut watch = Stopwatch::start(&crew.worker);
        let made = crew.worker.make(task.number, &task.tracks).await?;
        watch.lap(&metrics, "segments", &crew.worker);
        Ok((made, Arc::clone(&crew.plan), crew.generation))
    }

    async fn crew_for(&mut self, title: TitleId) -> Result<&mut Crew, Error> {
        // Another title's worker is of no use.
        if self.crew.as_ref().is_some_and(|crew| crew.title != title) {
            self.dismiss().await;
        }
        match &mut self.crew {
            Some(crew) => Ok(crew),
            none => Ok(none.insert(assemble(&self.shared, title).await?)),
        }
    }

    /// Runs a pass. The title does without what does not come of it.
    async fn run(&mut self, id: TitleId, pass: Pass) {
        let outcome = self.try_run(id, pass).await;
        let shared = &self.shared;
        let Err(error) = outcome else {
            shared.clear_obstacle();
            shared.board().pass_over(id, pass);
            return shared.work.notify_waiters();
        };
        self.crew = None;
        if let pass::Error::Worker(failure) = &error {
            shared.metrics.worker_failures.get_or_create(&[("outcome", failure.as_str())]).inc();
        }
        match Setback::from(&error) {
            Setback::Gone => return shared.forget(id),
            Setback::Passing => {
                shared.pause(id, error.to_string()).await;
                shared.board().pass_failed_for_now(id, pass);
            }
            Setback::Counted => {
                let attempts = shared.board().pass_failed(id, pass);
                tracing::warn!(title = %id, %pass, %error, attempts, "a pass came to nothing");
                if attempts >= shared.settings().attempts_max {
                    tracing::warn!(title = %id, %pass, "the title goes without what the pass would have given");
                    shared.board().pass_over(id, pass);
                }
            }
        }
        shared.work.notify_waiters();
    }

    async fn try_run(&mut self, id: TitleId, pass: Pass) -> Result<(), pass::Error> {
        let shared = Arc::clone(&self.shared);
        let Crew { worker, plan, generation, .. } = self.crew_for(id).await?;
        let mut watch = Stopwatch::start(worker);
        pass::run(&shared, worker, id, *generation, plan, pass).await?;
        watch.lap(&shared.metrics, pass.as_str(), worker);
        Ok(())
    }

    /// Records that a title's way is over, and tries again for as long as that cannot be recorded.
    async fn end(&self, id: TitleId, ending: Ending) {
        let shared = &self.shared;
        let recorded = match &ending {
            Ending::Finish => keep::finish(&shared.catalogue, id, shared.now_ms()).await,
            Ending::Fail(problem) => shared.catalogue.fail(id, problem, shared.now_ms()).await.map(drop),
        };
        match (recorded, ending) {
            (Ok(()), Ending::Finish) => {
                tracing::info!(title = %id, "title ready");
                shared.forget(id);
            }
            (Ok(()), Ending::Fail(Problem { code, detail, .. })) => {
                tracing::warn!(title = %id, code = code.as_str(), detail = detail.as_deref().unwrap_or(""), "title failed");
                shared.forget(id);
                // Another slot may still be storing what it has made of the title.
                let shared = Arc::clone(shared);
                tokio::spawn(async move { shared.clear(id, code).await });
            }
            (Err(error), ending) => match Setback::from(&error) {
                Setback::Passing => {
                    shared.pause(id, error.to_string()).await;
                    shared.board().end(id, ending);
                }
                Setback::Gone => shared.forget(id),
                Setback::Counted => {
                    tracing::error!(title = %id, %error, "the end of a title could not be recorded");
                    shared.forget(id);
                }
            },
        }
    }
}

/// A worker that has a title's plan open.
async fn assemble(shared: &Shared, title: TitleId) -> Result<Crew, Error> {
    let (plan, generation) = {
        let board = shared.board();
        let job = board.job(title).ok_or(catalogue::Error::NotFound("title"))?;
        (Arc::clone(&job.plan), job.generation)
    };
    let planned = shared.catalogue.plan(title, generation).await?;
    let source = shared.store.open_file(Key::Source(title)).await?;
    // The plan is a promise, whatever the configuration has become since it was made.
    let settings = shared.settings().worker.clone();
    let settings = worker::Settings { encoder_threads: settings.encoder_threads || planned.plan.encodes_hevc(), ..settings };
    let mut worker = Worker::spawn(&settings, source)?;
    let headers = worker.open(planned.facts, planned.plan).await?;
    let same = planned.tracks.iter().map(|track| (track.track, &track.header)).eq(headers.iter().map(|(id, header)| (*id, header)));
    if !same {
        return Err(Failure::ProtocolError("the encoders changed their headers since the title was planned".into()).into());
    }
    Ok(Crew::new(shared, title, generation, plan, worker))
}

/// Brings what was made of a task into the ledger, and notes what became of it.
async fn store(shared: &Shared, task: &Task, generation: Generation, plan: &Arc<Plan>, made: Vec<MadeSegment>) {
    let counted = Counted::of(&made);
    let needed_bytes = made.iter().map(|segment| segment.bytes.len() as u64).sum();
    let kept = match keep::ensure_room(&shared.store, needed_bytes, shared.settings().free_min_bytes).await {
        Ok(()) => keep(&shared.store, &shared.catalogue, task.title, generation, plan, made, shared.now_ms()).await,
        Err(error) => Err(error.into()),
    };
    match kept {
        Ok(()) => {
            counted.count(&shared.metrics);
            shared.clear_obstacle();
            shared.board().made(task);
            shared.changes.send_modify(|count| *count += 1);
            shared.work.notify_waiters();
        }
        Err(error) => set_back(shared, task, Setback::from(&error), &error.to_string()).await,
    }
}

/// What becomes of a task that came to nothing.
async fn set_back(shared: &Shared, task: &Task, setback: Setback, why: &str) {
    match setback {
        Setback::Gone => return shared.forget(task.title),
        Setback::Passing => {
            shared.pause(task.title, why.to_owned()).await;
            shared.board().failed_for_now(task);
        }
        Setback::Counted => {
            tracing::warn!(title = %task.title, segment = task.number.0, why, "a segment could not be made");
            let attempts = shared.board().failed(task);
            if attempts >= shared.settings().attempts_max {
                let detail = format!("segment {} failed {attempts} times: {why}", task.number);
                return shared.fail(task.title, Problem::with_detail(ProblemCode::WorkerFailed, detail));
            }
        }
    }
    // Whoever waits for it asks again to have it made first.
    shared.changes.send_modify(|count| *count += 1);
    shared.work.notify_waiters();
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
