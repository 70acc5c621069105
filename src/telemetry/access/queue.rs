//! Between those who answer and the one who writes: bounded, and never waited for by those who answer.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Thread;

use super::metrics::Metrics;
use super::record::Record;

/// When so many wait, the writer is woken; else it comes by itself. Small enough that records stay in the processor's caches,
/// large enough that waking costs little for each.
const WAKE_AT: usize = 128;
/// Records without a request that are kept for the next ones: one and a half megabytes.
const BLANKS_MAX: usize = 512;

/// Where records go when their answers have ended.
pub(super) struct Queue {
    sender: SyncSender<Arc<Record>>,
    waiting: AtomicUsize,
    wake_at: usize,
    blanks: Mutex<Vec<Arc<Record>>>,
    writer: OnceLock<Thread>,
    lost: AtomicU64,
    reopen: AtomicBool,
    stop: AtomicBool,
    metrics: Metrics,
}

impl Queue {
    /// A queue of so many records, and its end for the writer.
    pub(super) fn new(waiting_max: usize, metrics: Metrics) -> (Arc<Self>, Receiver<Arc<Record>>) {
        let (sender, receiver) = sync_channel(waiting_max);
        let queue = Self {
            sender,
            waiting: AtomicUsize::new(0),
            wake_at: waiting_max.div_ceil(2).min(WAKE_AT),
            blanks: Mutex::default(),
            writer: OnceLock::new(),
            lost: AtomicU64::new(0),
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            metrics,
        };
        (Arc::new(queue), receiver)
    }

    /// A record that stands for no request and that nobody else has. Never waits.
    pub(super) fn blank(&self) -> Arc<Record> {
        self.blanks.try_lock().ok().and_then(|mut blanks| blanks.pop()).unwrap_or_default()
    }

    /// Takes back records that are written, as far as nobody else has them any more; leaves none.
    pub(super) fn take_back(&self, records: &mut Vec<Arc<Record>>) {
        for record in &mut *records {
            if let Some(record) = Arc::get_mut(record) {
                record.clear();
            }
        }
        records.retain_mut(|record| Arc::get_mut(record).is_some());
        let mut blanks = self.blanks.lock().unwrap_or_else(PoisonError::into_inner);
        let room = BLANKS_MAX.saturating_sub(blanks.len()).min(records.len());
        blanks.extend(records.drain(..room));
        drop(blanks);
        records.clear();
    }

    /// Takes a record, or counts it as lost where there is no room. Never waits.
    pub(super) fn offer(&self, record: Arc<Record>) {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.sender.try_send(record).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
            self.metrics.lost.inc();
        } else if before + 1 == self.wake_at {
            self.wake();
        }
    }

    /// The writer has taken so many.
    pub(super) fn taken(&self, count: usize) {
        let left = self.waiting.fetch_sub(count, Ordering::Relaxed).saturating_sub(count);
        self.metrics.waiting.set(i64::try_from(left).unwrap_or(i64::MAX));
    }

    /// Records lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Has the writer open its file anew.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether the file is to be opened anew; asked once for each time.
    pub(super) fn is_to_reopen(&self) -> bool {
        self.reopen.swap(false, Ordering::AcqRel)
    }

    /// Has the writer end once nothing waits.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether the writer is to end.
    pub(super) fn is_to_stop(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The thread that writes.
    pub(super) fn written_by(&self, writer: Thread) {
        // There is one writer, and it says so once.
        let _ = self.writer.set(writer);
    }

    fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }
}
