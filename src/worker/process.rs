//! A worker process as the server sees it: started with one source, asked one thing at a time, watched, and ended.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout_at};

use super::protocol::{self, MadeSegment, MadeStills, Reply, Request, SOURCE_FD, Survey};
use crate::title::{CodecHeader, Loudness, Plan, Problem, SegmentNumber, SourceFacts, TrackId};

/// How workers are started and watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The worker program.
    pub program: PathBuf,
    /// Address space of one worker.
    pub memory_max_bytes: u64,
    /// Whether encoders may start threads, which x265 cannot do without; else no thread can be started at all.
    pub encoder_threads: bool,
    /// A worker that shows no progress for so long is ended.
    pub stall: Duration,
    /// A survey that is not done by then is ended, progress or not.
    pub survey_deadline: Duration,
}

/// How a worker, or one request to it, ended other than well.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request cannot be done; the worker is still of use.
    #[error("refused: {}", .0.message)]
    Rejected(Problem),
    /// The program could not be started.
    #[error("the worker did not start: {0}")]
    DidNotStart(io::Error),
    /// A signal ended it.
    #[error("the worker crashed (signal {signal})")]
    Crashed {
        /// Number of the signal.
        signal: i32,
    },
    /// It ended by itself in the middle of a request.
    #[error("the worker exited with code {code}: {said}")]
    Exited {
        /// Its exit code.
        code: i32,
        /// The end of what it wrote to standard error.
        said: String,
    },
    /// No progress in the time allowed.
    #[error("the worker made no progress in time")]
    TimedOut,
    /// It wanted more memory than it is allowed, or the system had none left.
    #[error("the worker ran out of memory")]
    OutOfMemory,
    /// What it said makes no sense.
    #[error("the worker broke the protocol: {0}")]
    ProtocolError(String),
}

impl Failure {
    /// A fixed name for logs and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "rejected",
            Self::DidNotStart(_) => "did-not-start",
            Self::Crashed { .. } => "crashed",
            Self::Exited { .. } => "exited",
            Self::TimedOut => "timed-out",
            Self::OutOfMemory => "out-of-memory",
            Self::ProtocolError(_) => "protocol-error",
        }
    }
}

/// A running worker. Dropping it kills the process.
pub struct Worker {
    child: Child,
    requests: ChildStdin,
    replies: ChildStdout,
    errors: ChildStderr,
    settings: Settings,
}

impl Worker {
    /// Starts a worker for `source`. Must be called from a thread that lives as long as the runtime: the kernel ends the
    /// worker together with the thread that started it.
    ///
    /// # Errors
    /// [`Failure::DidNotStart`].
    pub fn spawn(settings: &Settings, source: File) -> Result<Self, Failure> {
        let mut command = Command::new(&settings.program);
        command
            .arg("--memory-max")
            .arg(settings.memory_max_bytes.to_string())
            .args(settings.encoder_threads.then_some("--encoder-threads"))
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
            .fd_mappings(vec![FdMapping { parent_fd: OwnedFd::from(source), child_fd: SOURCE_FD }])
            .map_err(|error| Failure::DidNotStart(io::Error::other(error)))?;
        let mut child = command.spawn().map_err(Failure::DidNotStart)?;
        // The command keeps the mapped descriptor open until it is dropped.
        drop(command);
        match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(requests), Some(replies), Some(errors)) => Ok(Self { child, requests, replies, errors, settings: settings.clone() }),
            _ => Err(Failure::DidNotStart(io::Error::other("no pipes"))),
        }
    }

    /// Process number, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Processor time that it has taken so far, all threads together, to a hundredth of a second; zero once it has ended.
    pub fn cpu_time(&self) -> Duration {
        let stat = self.pid().and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()).unwrap_or_default();
        // The name in brackets may hold anything; user and system time are the twelfth and thirteenth field after it (proc(5)).
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
        let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1))
    }

    /// Surveys the source.
    ///
    /// # Errors
    /// Any [`Failure`]; after all but `Rejected` the worker is dead.
    pub async fn survey(&mut self) -> Result<Survey, Failure> {
        let deadline = Instant::now() + self.settings.survey_deadline;
        self.ask(&Request::Survey).await?;
        match self.answer(Some(deadline)).await? {
            Reply::Surveyed(survey) => Ok(*survey),
            other => Err(self.nonsense(&other).await),
        }
    }

    /// Hands the worker the plan; gives the codec header of each track.
    ///
    /// # Errors
    /// As [`Worker::survey`].
    pub async fn open(&mut self, facts: SourceFacts, plan: Plan) -> Result<Vec<(TrackId, CodecHeader)>, Failure> {
        self.ask(&Request::Open { facts: Box::new(facts), plan: Box::new(plan) }).await?;
        match self.answer(None).await? {
            Reply::Opened(headers) => Ok(headers),
            other => Err(self.nonsense(&other).await),
        }
    }

    /// Makes one segment of each of `tracks`, in their order.
    ///
    /// # Errors
    /// As [`Worker::survey`].
    pub async fn make(&mut self, number: SegmentNumber, tracks: &[TrackId]) -> Result<Vec<MadeSegment>, Failure> {
        self.ask(&Request::Make { number, tracks: tracks.to_vec() }).await?;
        let mut made = Vec::with_capacity(tracks.len());
        loop {
            match self.answer(None).await? {
                Reply::Segment(segment) if made.len() < tracks.len() && segment.number == number && tracks.contains(&segment.track) => {
                    made.push(segment);
                }
                Reply::Done if made.len() == tracks.len() => return Ok(made),
                other => return Err(self.nonsense(&other).await),
            }
        }
    }

    /// Makes the stills of the plan that is open.
    ///
    /// # Errors
    /// As [`Worker::survey`].
    pub async fn look(&mut self) -> Result<MadeStills, Failure> {
        self.ask(&Request::Look).await?;
        match self.answer(None).await? {
            Reply::Stills(stills) => Ok(stills),
            other => Err(self.nonsense(&other).await),
        }
    }

    /// Measures how loud an audio stream is; decodes all of it.
    ///
    /// # Errors
    /// As [`Worker::survey`].
    pub async fn listen(&mut self, stream: u32) -> Result<Loudness, Failure> {
        self.ask(&Request::Listen { stream }).await?;
        match self.answer(None).await? {
            Reply::Heard(loudness) => Ok(loudness),
            other => Err(self.nonsense(&other).await),
        }
    }

    /// Lets the worker end by itself, which it does when there is nothing more to read; kills it if it will not.
    pub async fn end(self) {
        let Self { mut child, requests, .. } = self;
        drop(requests);
        if timeout_at(Instant::now() + GRACE, child.wait()).await.is_err() {
            // Dropping the child kills it too; this also waits for it.
            let _ = child.kill().await;
        }
    }

    async fn ask(&mut self, request: &Request) -> Result<(), Failure> {
        let message = protocol::encode(request).map_err(|error| Failure::ProtocolError(error.to_string()))?;
        let deadline = Instant::now() + self.settings.stall;
        match timeout_at(deadline, self.requests.write_all(&message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.post_mortem().await),
            Err(_) => Err(self.kill(Failure::TimedOut).await),
        }
    }

    /// The next reply that is not a mere sign of life.
    async fn answer(&mut self, deadline: Option<Instant>) -> Result<Reply, Failure> {
        let mut best = None;
        let mut patience = Instant::now() + self.settings.stall;
        loop {
            let until = deadline.map_or(patience, |deadline| deadline.min(patience));
            match timeout_at(until, self.message()).await {
                Err(_) => return Err(self.kill(Failure::TimedOut).await),
                Ok(Ok(Some(Reply::Alive { progress }))) => {
                    if best.is_none_or(|best| progress > best) {
                        best = Some(progress);
                        patience = Instant::now() + self.settings.stall;
                    }
                }
                Ok(Ok(Some(Reply::Refused(problem)))) => return Err(self.refused(problem).await),
                Ok(Ok(Some(reply))) => return Ok(reply),
                Ok(Ok(None)) => return Err(self.post_mortem().await),
                Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(self.kill(Failure::ProtocolError(error.to_string())).await);
                }
                Ok(Err(_)) => return Err(self.post_mortem().await),
            }
        }
    }

    async fn message(&mut self) -> io::Result<Option<Reply>> {
        let mut length = [0; 4];
        if self.replies.read(&mut length[..1]).await? == 0 {
            return Ok(None);
        }
        self.replies.read_exact(&mut length[1..]).await?;
        let length = u64::from(protocol::body_length(length)?);
        // Grows with what really comes, whatever was announced.
        let mut body = Vec::new();
        (&mut self.replies).take(length).read_to_end(&mut body).await?;
        if body.len() as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        protocol::decode(&body).map(Some)
    }

    async fn nonsense(&mut self, reply: &Reply) -> Failure {
        let what = match reply {
            Reply::Alive { .. } => "a sign of life",
            Reply::Surveyed(_) => "a survey",
            Reply::Opened(_) => "codec headers",
            Reply::Segment(_) => "a segment",
            Reply::Done => "the end",
            Reply::Refused(_) => "a refusal",
            Reply::Stills(_) => "stills",
            Reply::Heard(_) => "a loudness",
        };
        self.kill(Failure::ProtocolError(format!("{what} was not asked for"))).await
    }

    async fn kill(&mut self, failure: Failure) -> Failure {
        // It may have ended meanwhile, which is as good.
        let _ = self.child.kill().await;
        failure
    }

    /// A refusal for want of memory is the end of the worker; another process may find more.
    async fn refused(&mut self, problem: Problem) -> Failure {
        if problem.detail.as_deref().is_some_and(|detail| detail.contains("Cannot allocate memory")) {
            self.kill(Failure::OutOfMemory).await
        } else {
            Failure::Rejected(problem)
        }
    }

    /// Why a worker that stopped talking is dead.
    async fn post_mortem(&mut self) -> Failure {
        let said = self.last_words().await;
        match timeout_at(Instant::now() + GRACE, self.child.wait()).await {
            Ok(Ok(status)) => verdict(status, &said),
            Ok(Err(error)) => Failure::ProtocolError(error.to_string()),
            Err(_) => self.kill(Failure::ProtocolError("it stopped answering and went on running".to_owned())).await,
        }
    }

    async fn last_words(&mut self) -> String {
        let mut said = Vec::new();
        let deadline = Instant::now() + GRACE;
        if timeout_at(deadline, (&mut self.errors).take(LAST_WORDS_BYTES_MAX).read_to_end(&mut said)).await.is_err() {
            let _ = self.child.kill().await;
        }
        String::from_utf8_lossy(&said).trim().to_owned()
    }
}

/// A worker that is asked to end, or whose replies have ended, is given so long.
const GRACE: Duration = Duration::from_secs(2);

const LAST_WORDS_BYTES_MAX: u64 = 4096;

fn verdict(status: ExitStatus, said: &str) -> Failure {
    // Rust says so and aborts; the kernel's last resort says nothing and kills.
    if said.contains("memory allocation of") || status.signal() == Some(libc::SIGKILL) {
        return Failure::OutOfMemory;
    }
    match (status.signal(), status.code()) {
        (Some(signal), _) => Failure::Crashed { signal },
        (None, code) => Failure::Exited { code: code.unwrap_or(0), said: said.to_owned() },
    }
}
