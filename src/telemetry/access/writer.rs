//! The one thread that writes: takes what waits, makes lines of it, writes them in batches. It alone waits for the disk.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use super::AccessFormat;
use super::destination::Destination;
use super::line;
use super::metrics::Metrics;
use super::queue::Queue;
use super::record::Record;
use crate::schedule::Clock;

/// Longest that a record waits for the writer when it has nothing else to do.
const TICK: Duration = Duration::from_millis(100);
/// How often it looks whether the file was renamed.
const LOOK: Duration = Duration::from_secs(1);
/// Lines are made until they are so long, and then written. A line is at most some kilobytes.
const BATCH_BYTES: usize = 64 << 10;

/// What the thread works with.
pub(super) struct Writer {
    pub(super) format: AccessFormat,
    pub(super) destination: Destination,
    pub(super) queue: Arc<Queue>,
    pub(super) receiver: Receiver<Arc<Record>>,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
}

/// Lines that are made, and how much of them is written.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    written: usize,
    lines: u64,
}

impl Writer {
    /// Writes until the queue is stopped and everything that waited is written, or cannot be.
    pub(super) fn run(mut self) {
        let (mut batch, mut lost_told, mut looked, mut failing) = (Batch::default(), 0, Instant::now(), false);
        loop {
            // Asked before looking what waits: what was offered before the stop is still taken.
            let stopping = self.queue.is_to_stop();
            if self.queue.is_to_reopen() || looked.elapsed() >= LOOK && self.destination.was_renamed() {
                self.destination.reopen();
                batch.begin_line_anew();
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
            }
            self.fill(&mut batch, &mut lost_told);
            let full = batch.bytes.len() >= BATCH_BYTES;
            match self.write(&mut batch) {
                Ok(()) => {
                    if failing {
                        tracing::info!("the access log can be written again");
                    }
                    failing = false;
                    if full {
                        continue;
                    }
                }
                Err(error) => {
                    self.metrics.faults.inc();
                    if !failing {
                        tracing::warn!(%error, "the access log cannot be written");
                    }
                    failing = true;
                }
            }
            if stopping {
                break;
            }
            thread::park_timeout(TICK);
        }
        if !batch.bytes.is_empty() {
            tracing::error!(lines = batch.lines, "lines of the access log are lost, for they could not be written");
        }
    }

    /// Makes lines of what waits. What cannot be written stays where it is, so that memory has its bound.
    fn fill(&mut self, batch: &mut Batch, lost_told: &mut u64) {
        let lost = self.queue.lost();
        if lost > *lost_told && batch.bytes.len() < BATCH_BYTES {
            line::write_lost(self.format, (self.clock)(), lost - *lost_told, &mut batch.bytes);
            *lost_told = lost;
        }
        let mut taken = Vec::new();
        while batch.bytes.len() < BATCH_BYTES
            && let Ok(record) = self.receiver.try_recv()
        {
            // Every record that is offered stands for a request.
            if let Some(facts) = record.facts() {
                let cmcd = line::cmcd(&record);
                if let Some(answered) = &facts.answered {
                    self.metrics.ended(answered.told.class, record.ended());
                    if !cmcd.is_empty() {
                        self.metrics.player(answered.told.class, cmcd.is("bs"), cmcd.is("su"));
                    }
                }
                line::write(self.format, &record, facts, &cmcd, &mut batch.bytes);
            }
            taken.push(record);
        }
        batch.lines += taken.len() as u64;
        self.queue.taken(taken.len());
        self.queue.take_back(&mut taken);
    }

    fn write(&mut self, batch: &mut Batch) -> std::io::Result<()> {
        while batch.written < batch.bytes.len() {
            batch.written += self.destination.write(&batch.bytes[batch.written..])?;
        }
        self.metrics.lines.inc_by(batch.lines);
        batch.bytes.clear();
        (batch.written, batch.lines) = (0, 0);
        Ok(())
    }
}

impl Batch {
    /// A line of which a part is in the former file goes whole into the new one.
    fn begin_line_anew(&mut self) {
        self.written = self.bytes[..self.written].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_begins_anew() {
        for (written, expect) in [(0, 0), (3, 0), (4, 4), (6, 4), (8, 8)] {
            let mut batch = Batch { bytes: b"one\ntwo\n".to_vec(), written, lines: 2 };
            batch.begin_line_anew();
            assert_eq!(batch.written, expect);
        }
    }
}
