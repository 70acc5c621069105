//! `headwater upload`: files become titles.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use futures_util::Stream;
use http::{Method, Request, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::fs::File;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::io::ReaderStream;

use super::client::{Client, RequestBody, ServerArguments, block_on, json, read};
use super::meter::Meter;
use super::remote::Title;
use super::{Exit, Failure, Outcome, Terminal, figures, follow};

/// Bytes read from the file at once.
const CHUNK_BYTES: usize = 256 << 10;
/// How long the server has to say that it wants the body; one that says nothing is sent it (RFC 9110 section 10.1.1).
const CONTINUE_WAIT: Duration = Duration::from_secs(2);
/// How often the way is shown.
const TICK: Duration = Duration::from_millis(100);
/// How long the server may take no byte and give no answer.
const STALL: Duration = Duration::from_secs(180);

const EXAMPLES: &str = "\
Examples:
  headwater upload film.mp4
  headwater upload film.mp4 --name 'The Film' --wait
  headwater upload *.mov --server http://origin.internal:8081";

/// Upload files; prints each title's id and playback URL
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The files, each of which becomes a title
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The title's name, for one file [default: the file's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Wait until each title is ready, or fail with the reason why it will not be
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    server: ServerArguments,
}

pub(super) fn run(arguments: Arguments, terminal: &mut Terminal<'_>) -> Outcome {
    if arguments.name.is_some() && arguments.files.len() > 1 {
        return Err(Failure::Usage("--name is for one file; upload the others apart".into()));
    }
    let client = arguments.server.client(terminal)?;
    block_on(async {
        let mut exit = Exit::Done;
        let mut uploaded = Vec::new();
        for file in &arguments.files {
            let name = arguments.name.clone().unwrap_or_else(|| name_of(file));
            match upload(&client, terminal, file, &name).await {
                Ok(title) => {
                    show(terminal, &title)?;
                    uploaded.push(title);
                }
                // The others may do better; whoever interrupts means all of them.
                Err(error) if error.is::<Interrupted>() => return Err(error.into()),
                Err(error) => {
                    terminal.note(format_args!("error: {}: {error:#}", file.display()));
                    exit = Exit::Failed;
                }
            }
        }
        if arguments.wait {
            for title in uploaded {
                match wait(&client, terminal, &title).await {
                    Ok(title) => match &title.problem {
                        Some(problem) => {
                            terminal.note(format_args!("error: {}: {}", title.name, problem.sentence()));
                            exit = Exit::Failed;
                        }
                        None => terminal.print(format_args!("{} is {}", title.id, title.state))?,
                    },
                    Err(error) if error.is::<Interrupted>() => return Err(error.into()),
                    Err(error) => {
                        terminal.note(format_args!("error: {}: {error:#}", title.name));
                        exit = Exit::Failed;
                    }
                }
            }
        }
        Ok(exit)
    })
}

/// Somebody pressed Ctrl-C; what that left.
#[derive(Debug, thiserror::Error)]
#[error("interrupted: {0}")]
struct Interrupted(String);

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

fn show(terminal: &mut Terminal<'_>, title: &Title) -> Outcome<()> {
    terminal.print(format_args!("name      {}", title.name))?;
    terminal.print(format_args!("id        {}", title.id))?;
    terminal.print(format_args!("playback  {}", title.playback.hls.as_deref().unwrap_or("none")))
}

/// Uploads one file.
async fn upload(client: &Client, terminal: &mut Terminal<'_>, path: &Path, name: &str) -> anyhow::Result<Title> {
    let unreadable = || "the file cannot be read";
    let file = File::open(path).await.with_context(unreadable)?;
    let metadata = file.metadata().await.with_context(unreadable)?;
    if metadata.is_dir() {
        bail!("it is a directory");
    }
    // The length of a pipe or a device is not known before its end.
    let declared_bytes = metadata.is_file().then_some(metadata.len());
    let sent = Arc::new(AtomicU64::new(0));
    let request = upload_request(client, name, FileBody::new(file, declared_bytes, sent.clone()))?;
    let sending = async { json::<Title>(&read(client.send(request).await?.into_body()).await?) };
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(sending, interrupted);
    let mut meter = Meter::new(terminal, name);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut moved_at, mut moved_bytes) = (Instant::now(), 0);
    loop {
        tokio::select! {
            answer = &mut sending => return answer,
            _ = &mut interrupted => {
                let whole = declared_bytes.is_some_and(|declared| sent.load(Ordering::Relaxed) >= declared);
                let left = if whole { "the server may have kept the upload; see 'headwater titles list'" } else { "nothing of the upload was kept" };
                return Err(Interrupted(left.into()).into());
            }
            _ = tick.tick() => {
                let now_bytes = sent.load(Ordering::Relaxed);
                if now_bytes != moved_bytes {
                    (moved_at, moved_bytes) = (Instant::now(), now_bytes);
                }
                if moved_at.elapsed() > STALL {
                    bail!("the server took no byte for {} s", STALL.as_secs());
                }
                let fraction = declared_bytes.map_or(0.0, |declared| now_bytes as f64 / declared.max(1) as f64);
                meter.show(fraction, &figures::transfer(now_bytes, declared_bytes, meter.elapsed()));
            }
        }
    }
}

/// The request for an upload. It asks whether the body is wanted, so that a refusal comes before gigabytes are sent.
fn upload_request(client: &Client, name: &str, mut body: FileBody) -> anyhow::Result<Request<RequestBody>> {
    let path = format!("/api/v1/titles?name={}", utf8_percent_encode(name, NON_ALPHANUMERIC));
    let wanted = Arc::new(Notify::new());
    body.gate = Some(Box::pin({
        let wanted = wanted.clone();
        async move {
            // Without a word from the server the body goes all the same.
            let _ = timeout(CONTINUE_WAIT, wanted.notified()).await;
        }
    }));
    let request = client.request(Method::POST, &path).header(header::CONTENT_TYPE, "application/octet-stream");
    let mut request = request.header(header::EXPECT, "100-continue").body(body.boxed_unsync())?;
    hyper::ext::on_informational(&mut request, move |_| wanted.notify_one());
    Ok(request)
}

/// Waits until the title is ready or has failed.
async fn wait(client: &Client, terminal: &mut Terminal<'_>, title: &Title) -> anyhow::Result<Title> {
    let mut meter = Meter::new(terminal, &title.name);
    let following = follow::until_final(client, &title.id, |title| meter.show(title.progress.fraction, &progress(title)));
    tokio::select! {
        title = following => title,
        _ = tokio::signal::ctrl_c() => Err(Interrupted("the server goes on; see 'headwater titles list'".into()).into()),
    }
}

/// How far a title is, in words.
fn progress(title: &Title) -> String {
    let (done, total) = (title.progress.segments_done, title.progress.segments_total);
    if total == 0 {
        return title.state.clone();
    }
    let left = title.progress.eta_ms.filter(|_| !title.is_final()).map(|eta_ms| format!(", {} left", figures::clock(eta_ms)));
    format!("{}, {done} of {total} segments{}", title.state, left.unwrap_or_default())
}

/// A file as the body of a request: what it declares and not a byte more or less.
struct FileBody {
    chunks: ReaderStream<File>,
    declared_bytes: Option<u64>,
    sent: Arc<AtomicU64>,
    gate: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl FileBody {
    fn new(file: File, declared_bytes: Option<u64>, sent: Arc<AtomicU64>) -> Self {
        Self { chunks: ReaderStream::with_capacity(file, CHUNK_BYTES), declared_bytes, sent, gate: None }
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = anyhow::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, anyhow::Error>>> {
        if let Some(gate) = &mut self.gate {
            ready!(gate.as_mut().poll(context));
            self.gate = None;
        }
        let chunk = ready!(Pin::new(&mut self.chunks).poll_next(context));
        let sent = self.sent.load(Ordering::Relaxed);
        let changed = || Poll::Ready(Some(Err(anyhow!("the file changed while it was uploaded"))));
        match chunk {
            Some(Ok(chunk)) => {
                let sent = sent + chunk.len() as u64;
                if self.declared_bytes.is_some_and(|declared| sent > declared) {
                    return changed();
                }
                self.sent.store(sent, Ordering::Relaxed);
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(anyhow::Error::new(error).context("the file cannot be read")))),
            None if self.declared_bytes.is_some_and(|declared| sent < declared) => changed(),
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.declared_bytes.map(|declared| declared.saturating_sub(self.sent.load(Ordering::Relaxed)));
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
