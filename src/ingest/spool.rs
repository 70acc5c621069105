//! The thread that writes one upload to its spool file: it hashes, writes, and makes durable, all of which wait or compute.
//!
//! While it writes on, a second thread makes what was written durable in windows and takes it out of the page cache. So an
//! upload of any size keeps no more than two windows of dirty pages, and the final fsync has little left to do.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use rustix::fs::{Advice, fadvise};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::receive::{Received, Refused};
use super::space::Promise;
use crate::title::ContentHash;

/// Bytes written before they are made durable.
const WINDOW_BYTES: u64 = 32 << 20;
/// Space asked for at a time by an upload that did not declare its length, or is longer than it declared.
pub(super) const PROMISE_STEP_BYTES: u64 = 64 << 20;

/// What the receiving side sends.
pub(super) enum Message {
    /// The next bytes.
    Chunk(Bytes),
    /// There are no more. A channel that closes without it is an upload that was given up.
    Finish,
}

/// A spool file being written.
pub(super) struct Spool {
    file: File,
    path: PathBuf,
    promise: Promise,
    // Given back last, when nothing of the upload is left to do.
    permit: OwnedSemaphorePermit,
}

impl Spool {
    /// A new file at `path`.
    pub(super) fn create(path: PathBuf, promise: Promise, permit: OwnedSemaphorePermit) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok(Self { file, path, promise, permit })
    }

    /// Starts the thread. It ends when the channel does, and answers unless the upload was given up.
    pub(super) fn start(self, from: mpsc::Receiver<Message>, answer: oneshot::Sender<Result<Received, Refused>>) -> io::Result<()> {
        let path = self.path.clone();
        let started = thread::Builder::new().name("spool".into()).spawn(move || self.run(from, answer));
        if started.is_err() {
            let _ = fs::remove_file(path);
        }
        started.map(drop)
    }

    fn run(self, mut from: mpsc::Receiver<Message>, answer: oneshot::Sender<Result<Received, Refused>>) {
        let Self { mut file, path, mut promise, permit } = self;
        let outcome = write_all(&mut file, &mut promise, &mut from);
        drop(file);
        if !matches!(outcome, Ok(Some(_))) {
            // What cannot be removed now is swept at the next start.
            let _ = fs::remove_file(&path);
        }
        drop((promise, permit));
        let answered = match outcome {
            Ok(Some((bytes, sha256))) => answer.send(Ok(Received::new(path, bytes, sha256))),
            Ok(None) => Ok(()),
            Err(refused) => answer.send(Err(refused)),
        };
        // An answer that nobody waits for is dropped, and its file with it.
        drop(answered);
        // Only now does the sending side see the channel closed, and looks for the answer.
        drop(from);
    }
}

/// Length and hash of what was written and is durable; absent when the upload was given up.
fn write_all(file: &mut File, promise: &mut Promise, from: &mut mpsc::Receiver<Message>) -> Result<Option<(u64, ContentHash)>, Refused> {
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let mut synced_bytes = 0;
    let mut behind: Option<WriteBehind> = None;
    loop {
        let chunk = match from.blocking_recv() {
            Some(Message::Chunk(chunk)) => chunk,
            Some(Message::Finish) => break,
            None => return Ok(None),
        };
        let length = chunk.len() as u64;
        if promise.bytes() < length {
            promise.extend(PROMISE_STEP_BYTES.max(length))?;
        }
        hash.update(&chunk);
        file.write_all(&chunk).map_err(|error| refusal(error, length, promise))?;
        promise.used(length);
        bytes += length;
        if bytes - synced_bytes >= WINDOW_BYTES {
            synced_bytes = bytes;
            let sync = match behind.take() {
                Some(sync) => sync,
                None => WriteBehind::start(file.try_clone().map_err(Refused::Io)?).map_err(Refused::Io)?,
            };
            behind = Some(sync.window(bytes).map_err(|error| refusal(error, WINDOW_BYTES, promise))?);
        }
    }
    if let Some(sync) = behind {
        sync.end().map_err(|error| refusal(error, WINDOW_BYTES, promise))?;
    }
    file.sync_all().map_err(|error| refusal(error, WINDOW_BYTES, promise))?;
    Ok(Some((bytes, ContentHash(hash.finalize().into()))))
}

fn refusal(error: io::Error, needed_bytes: u64, promise: &Promise) -> Refused {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Refused::NoSpace { needed_bytes, free_bytes: promise.available_bytes() }
        }
        _ => Refused::Io(error),
    }
}

/// The thread that makes windows durable behind the one that writes.
struct WriteBehind {
    ends: SyncSender<u64>,
    thread: JoinHandle<io::Result<()>>,
}

impl WriteBehind {
    fn start(file: File) -> io::Result<Self> {
        // No queue: the writer waits here until the window before is durable.
        let (ends, windows) = sync_channel::<u64>(0);
        let thread = thread::Builder::new().name("spool-sync".into()).spawn(move || {
            let mut start = 0;
            for end in windows {
                file.sync_data()?;
                // Clean pages of a large upload only push out what viewers need. Advice may be ignored.
                let _ = fadvise(&file, start, std::num::NonZeroU64::new(end - start), Advice::DontNeed);
                start = end;
            }
            Ok(())
        })?;
        Ok(Self { ends, thread })
    }

    /// Has everything up to `end` made durable while the caller goes on.
    fn window(self, end: u64) -> io::Result<Self> {
        if self.ends.send(end).is_ok() {
            return Ok(self);
        }
        // It stops only by an error, which is told when it is joined.
        self.end()?;
        Err(io::Error::other("the syncing thread stopped"))
    }

    /// Waits until all windows are durable.
    fn end(self) -> io::Result<()> {
        drop(self.ends);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the syncing thread panicked")))
    }
}
