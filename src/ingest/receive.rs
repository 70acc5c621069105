//! Receives the bytes of one upload into the spool directory: bounded in memory, limited in size, hashed on the way,
//! durable at the end.
//!
//! The spool lies on the store's file system, so that a received file becomes the title's source by a rename.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::space::Space;
use super::spool::{Message, PROMISE_STEP_BYTES, Spool};
use crate::title::ContentHash;

/// Bytes gathered before they are handed to the writing thread.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks on their way to the writing thread; with the one being gathered and the one being written, all that an upload
/// holds in memory.
const CHUNKS_MAX: usize = 8;

/// What uploads may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveLimits {
    /// Largest upload in bytes.
    pub upload_bytes_max: u64,
    /// Free space that uploads leave to everything else, in bytes.
    pub reserve_bytes: u64,
    /// Uploads at the same time; at least one.
    pub uploads_max: u32,
}

/// Why an upload was not taken. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is larger than uploads may be.
    #[error("the upload is larger than the {limit_bytes} bytes allowed")]
    TooLarge {
        /// The largest allowed.
        limit_bytes: u64,
    },
    /// There is not enough space for it.
    #[error("the upload needs {needed_bytes} bytes more and only {free_bytes} are free for uploads")]
    NoSpace {
        /// Bytes asked for.
        needed_bytes: u64,
        /// Bytes that were left, the reserve and what is promised to others taken off.
        free_bytes: u64,
    },
    /// As many uploads as are allowed are under way.
    #[error("too many uploads are under way")]
    Busy,
    /// It ended, and its length is not what was declared.
    #[error("the upload was interrupted: {received_bytes} bytes arrived of {declared_bytes}")]
    Interrupted {
        /// Bytes declared.
        declared_bytes: u64,
        /// Bytes that arrived.
        received_bytes: u64,
    },
    /// The spool cannot be written.
    #[error("the upload could not be written: {0}")]
    Io(#[source] io::Error),
}

/// Takes uploads.
#[derive(Debug)]
pub struct Receiver {
    directory: PathBuf,
    limits: ReceiveLimits,
    /// As `limits` has it at first; it can be changed.
    upload_bytes_max: AtomicU64,
    space: Arc<Space>,
    permits: Arc<Semaphore>,
    next: AtomicU64,
}

impl Receiver {
    /// Opens the spool directory, creates it when absent, and removes what uploads of an earlier process left there. No other
    /// process may be using it.
    ///
    /// # Errors
    /// When the directory cannot be created, read or cleared.
    pub async fn open(directory: &Path, limits: ReceiveLimits) -> io::Result<Self> {
        let swept = directory.to_owned();
        tokio::task::spawn_blocking(move || sweep(&swept)).await??;
        let measured = directory.to_owned();
        let space = Space::new(limits.reserve_bytes, move || {
            let state = rustix::fs::statvfs(&measured)?;
            Ok(state.f_bavail.saturating_mul(state.f_frsize))
        });
        let permits = Arc::new(Semaphore::new(limits.uploads_max as usize));
        let upload_bytes_max = AtomicU64::new(limits.upload_bytes_max);
        Ok(Self { directory: directory.to_owned(), limits, upload_bytes_max, space, permits, next: AtomicU64::new(0) })
    }

    /// Uploads that begin from now on may have so many bytes.
    pub fn limit(&self, upload_bytes_max: u64) {
        self.upload_bytes_max.store(upload_bytes_max, Ordering::Relaxed);
    }

    /// Begins an upload of `declared_bytes`, if the length is known. The space for it is promised to nobody else.
    ///
    /// # Errors
    /// Any [`Refused`] but [`Refused::Interrupted`].
    pub async fn begin(&self, declared_bytes: Option<u64>) -> Result<Upload, Refused> {
        let limit_bytes = self.upload_bytes_max.load(Ordering::Relaxed);
        if declared_bytes.is_some_and(|declared| declared > limit_bytes) {
            return Err(Refused::TooLarge { limit_bytes });
        }
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| Refused::Busy)?;
        let path = self.directory.join(format!("upload-{}", self.next.fetch_add(1, Ordering::Relaxed)));
        let space = self.space.clone();
        let (to, from) = mpsc::channel(CHUNKS_MAX);
        let (answer, outcome) = oneshot::channel();
        let started = tokio::task::spawn_blocking(move || {
            let promise = space.promise(declared_bytes.unwrap_or(PROMISE_STEP_BYTES.min(limit_bytes)))?;
            Spool::create(path, promise, permit).and_then(|spool| spool.start(from, answer)).map_err(Refused::Io)
        });
        started.await.map_err(|error| Refused::Io(error.into()))??;
        Ok(Upload { to, outcome, gathered: BytesMut::new(), received_bytes: 0, declared_bytes, limit_bytes })
    }

    /// Waits until no upload is under way and the files of those given up are gone.
    pub async fn idle(&self) {
        // The semaphore is never closed, so this cannot fail; if it were, there would be no upload either.
        let _ = self.permits.acquire_many(self.limits.uploads_max).await;
    }
}

/// An upload under way. Dropping it gives it up and removes its file.
#[derive(Debug)]
pub struct Upload {
    to: mpsc::Sender<Message>,
    outcome: oneshot::Receiver<Result<Received, Refused>>,
    gathered: BytesMut,
    received_bytes: u64,
    declared_bytes: Option<u64>,
    limit_bytes: u64,
}

impl Upload {
    /// Takes the next bytes; waits while the disk is slower than the sender.
    ///
    /// A call that was cancelled may have taken a part of them; the upload must then be given up.
    ///
    /// # Errors
    /// [`Refused::TooLarge`], [`Refused::NoSpace`], [`Refused::Io`]; [`Refused::Interrupted`] when there is more than was
    /// declared. The upload is over then.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), Refused> {
        self.received_bytes += bytes.len() as u64;
        if self.received_bytes > self.limit_bytes {
            return Err(Refused::TooLarge { limit_bytes: self.limit_bytes });
        }
        if self.declared_bytes.is_some_and(|declared| self.received_bytes > declared) {
            return Err(self.interrupted());
        }
        while !bytes.is_empty() {
            // Copied, so that a small piece does not keep a large buffer of the connection alive.
            let part = bytes.split_to(bytes.len().min(CHUNK_BYTES - self.gathered.len()));
            self.gathered.extend_from_slice(&part);
            if self.gathered.len() == CHUNK_BYTES {
                self.hand_over().await?;
            }
        }
        Ok(())
    }

    /// Ends the upload: once this returns, all its bytes are on stable storage.
    ///
    /// # Errors
    /// [`Refused::Interrupted`] when fewer bytes arrived than were declared; [`Refused::NoSpace`], [`Refused::Io`].
    pub async fn finish(mut self) -> Result<Received, Refused> {
        if self.declared_bytes.is_some_and(|declared| self.received_bytes != declared) {
            return Err(self.interrupted());
        }
        if !self.gathered.is_empty() {
            self.hand_over().await?;
        }
        // When the thread has ended already, it has answered why.
        let _ = self.to.send(Message::Finish).await;
        self.outcome.await.unwrap_or_else(|_| Err(stopped()))
    }

    async fn hand_over(&mut self) -> Result<(), Refused> {
        let chunk = self.gathered.split().freeze();
        if self.to.send(Message::Chunk(chunk)).await.is_ok() {
            return Ok(());
        }
        match self.outcome.try_recv() {
            Ok(Err(refused)) => Err(refused),
            _ => Err(stopped()),
        }
    }

    fn interrupted(&self) -> Refused {
        Refused::Interrupted { declared_bytes: self.declared_bytes.unwrap_or(0), received_bytes: self.received_bytes }
    }
}

/// An upload that is whole and on stable storage. Dropping it removes the file, unless it was moved away.
#[derive(Debug)]
pub struct Received {
    path: PathBuf,
    bytes: u64,
    sha256: ContentHash,
}

impl Received {
    pub(super) fn new(path: PathBuf, bytes: u64, sha256: ContentHash) -> Self {
        Self { path, bytes, sha256 }
    }

    /// Where it lies until the store adopts it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its hash.
    pub fn sha256(&self) -> ContentHash {
        self.sha256
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        // No later upload of this process has the same name.
        let _ = fs::remove_file(&self.path);
    }
}

fn stopped() -> Refused {
    Refused::Io(io::Error::other("the upload has ended already"))
}

fn sweep(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            continue;
        }
        tracing::info!(file = ?entry.file_name(), "removing an upload that was cut off");
        fs::remove_file(entry.path())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tiny_disk::TinyDisk;

    const LIMITS: ReceiveLimits = ReceiveLimits { upload_bytes_max: 1 << 30, reserve_bytes: 0, uploads_max: 4 };

    async fn receiver(limits: ReceiveLimits) -> (tempfile::TempDir, Receiver) {
        let directory = tempfile::tempdir().expect("a directory");
        let receiver = Receiver::open(directory.path(), limits).await.expect("a receiver");
        (directory, receiver)
    }

    fn files(directory: &Path) -> usize {
        fs::read_dir(directory).expect("a directory").count()
    }

    #[tokio::test]
    async fn what_arrives_is_what_lies_there() {
        let (directory, receiver) = receiver(LIMITS).await;
        let mut expect = Vec::new();
        let mut upload = receiver.begin(None).await.expect("begun");
        // More than two windows of write-behind, in pieces that fit no boundary.
        for piece in 0..9_000_u32 {
            let bytes = Bytes::from(vec![(piece % 251) as u8; 8_191]);
            expect.extend_from_slice(&bytes);
            upload.write(bytes).await.expect("taken");
        }
        let received = upload.finish().await.expect("received");
        assert_eq!(received.bytes(), expect.len() as u64);
        assert_eq!(received.sha256(), ContentHash::of(&expect));
        assert!(fs::read(received.path()).expect("read") == expect);
        drop(received);
        assert_eq!(files(directory.path()), 0, "nobody wanted it");
    }

    #[tokio::test]
    async fn an_empty_upload_is_received_too() {
        let (_directory, receiver) = receiver(LIMITS).await;
        for declared in [Some(0), None] {
            let received = receiver.begin(declared).await.expect("begun").finish().await.expect("received");
            assert_eq!((received.bytes(), received.sha256()), (0, ContentHash::of(b"")));
        }
    }

    #[tokio::test]
    async fn a_moved_file_is_not_removed() {
        let (directory, receiver) = receiver(LIMITS).await;
        let received = receiver.begin(None).await.expect("begun").finish().await.expect("received");
        let elsewhere = directory.path().join("source");
        fs::rename(received.path(), &elsewhere).expect("moved");
        drop(received);
        assert!(elsewhere.exists());
    }

    #[tokio::test]
    async fn a_dropped_upload_leaves_nothing() {
        let (directory, receiver) = receiver(LIMITS).await;
        let mut upload = receiver.begin(Some(10 << 20)).await.expect("begun");
        upload.write(Bytes::from(vec![1; 5 << 20])).await.expect("taken");
        assert_eq!(files(directory.path()), 1);
        drop(upload);
        receiver.idle().await;
        assert_eq!(files(directory.path()), 0);
    }

    #[tokio::test]
    async fn the_length_is_held_to() {
        let limits = ReceiveLimits { upload_bytes_max: 100, ..LIMITS };
        let (directory, receiver) = receiver(limits).await;
        assert!(matches!(receiver.begin(Some(101)).await, Err(Refused::TooLarge { limit_bytes: 100 })));
        let mut unknown = receiver.begin(None).await.expect("begun");
        unknown.write(Bytes::from(vec![0; 100])).await.expect("taken");
        assert!(matches!(unknown.write(Bytes::from_static(b"x")).await, Err(Refused::TooLarge { .. })));
        drop(unknown);
        let mut short = receiver.begin(Some(3)).await.expect("begun");
        short.write(Bytes::from_static(b"ab")).await.expect("taken");
        assert!(matches!(short.finish().await, Err(Refused::Interrupted { declared_bytes: 3, received_bytes: 2 })));
        let mut long = receiver.begin(Some(3)).await.expect("begun");
        assert!(matches!(long.write(Bytes::from_static(b"abcd")).await, Err(Refused::Interrupted { .. })));
        drop(long);
        receiver.idle().await;
        assert_eq!(files(directory.path()), 0);
    }

    #[tokio::test]
    async fn uploads_at_once_are_limited() {
        let (_directory, receiver) = receiver(ReceiveLimits { uploads_max: 2, ..LIMITS }).await;
        let first = receiver.begin(Some(1)).await.expect("begun");
        let _second = receiver.begin(Some(1)).await.expect("begun");
        assert!(matches!(receiver.begin(Some(1)).await, Err(Refused::Busy)));
        drop(first);
        // The place is free once the thread has cleared up; until then it is busy, and nothing else.
        loop {
            match receiver.begin(Some(1)).await {
                Ok(_) => break,
                Err(refused) => assert!(matches!(refused, Refused::Busy), "{refused}"),
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn uploads_at_once_do_not_mix() {
        let (_directory, receiver) = receiver(LIMITS).await;
        let receiver = Arc::new(receiver);
        let uploads = [1_u8, 2, 3, 4].map(|mark| {
            let receiver = receiver.clone();
            tokio::spawn(async move {
                let mut upload = receiver.begin(Some(3_000_000)).await?;
                for _ in 0..1000 {
                    upload.write(Bytes::from(vec![mark; 3000])).await?;
                }
                upload.finish().await
            })
        });
        for (upload, mark) in uploads.into_iter().zip(1_u8..) {
            let received = upload.await.expect("no panic").expect("received");
            assert_eq!(received.sha256(), ContentHash::of(&vec![mark; 3_000_000]));
        }
    }

    #[tokio::test]
    async fn space_is_checked_before_the_first_byte() {
        let (directory, receiver) = receiver(ReceiveLimits { upload_bytes_max: u64::MAX, ..LIMITS }).await;
        assert!(matches!(receiver.begin(Some(1 << 60)).await, Err(Refused::NoSpace { .. })));
        assert_eq!(files(directory.path()), 0);
        let reserve = ReceiveLimits { reserve_bytes: 1 << 60, ..LIMITS };
        let receiver = Receiver::open(directory.path(), reserve).await.expect("a receiver");
        assert!(matches!(receiver.begin(None).await, Err(Refused::NoSpace { free_bytes: 0, .. })));
        receiver.idle().await;
    }

    #[tokio::test]
    async fn a_start_sweeps_what_was_cut_off() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("upload-0"), b"half").expect("written");
        let receiver = Receiver::open(directory.path(), LIMITS).await.expect("a receiver");
        assert_eq!(files(directory.path()), 0);
        drop(receiver.begin(None).await.expect("begun"));
        receiver.idle().await;
    }

    #[tokio::test]
    async fn a_disk_that_fills_up_is_told_by_name() {
        let Some(disk) = TinyDisk::mount("a_disk_that_fills_up_is_told_by_name", 4) else { return };
        let receiver = Receiver::open(disk.path(), LIMITS).await.expect("a receiver");
        let mut upload = receiver.begin(Some(3 << 20)).await.expect("begun");
        // Someone else takes the space that was there when the upload began.
        fs::write(disk.path().join("other"), vec![0; 2 << 20]).expect("written");
        let mut refused = None;
        for _ in 0..48 {
            refused = upload.write(Bytes::from(vec![1; 64 << 10])).await.err();
            if refused.is_some() {
                break;
            }
        }
        let refused = match refused {
            Some(refused) => {
                drop(upload);
                refused
            }
            None => upload.finish().await.expect_err("there is no space for it"),
        };
        receiver.idle().await;
        assert!(matches!(refused, Refused::NoSpace { .. }), "{refused}");
        assert_eq!(files(disk.path()), 1, "only the other file");
    }
}
