//! What is counted while titles are made.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::worker::Worker;

/// Workers and segments. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Worker processes that run.
    pub workers: Gauge,
    /// Requests to workers that ended other than well, under the label `outcome`.
    pub worker_failures: Family<[(&'static str, &'static str); 1], Counter>,
    /// Segments verified and in the ledger, under the label `kind`: `video` or `audio`.
    pub segments: Family<[(&'static str, &'static str); 1], Counter>,
    /// Bytes of those segments.
    pub segment_bytes: Counter,
    /// Seconds that a worker took for one segment of some tracks.
    pub task_seconds: Histogram,
    /// Segments not made yet.
    pub segments_waiting: Gauge,
    /// Processor time that workers took, under the label `work`: `survey`, `open`, `segments`, or the name of a pass. What ended
    /// badly is not in it.
    pub worker_cpu: Family<[(&'static str, &'static str); 1], Counter<f64, AtomicU64>>,
}

/// Takes the processor time of a worker.
pub struct Stopwatch(Duration);

impl Stopwatch {
    /// Starts with what the worker takes from now on.
    pub fn start(worker: &Worker) -> Self {
        Self(worker.cpu_time())
    }

    /// Counts what the worker took since the start, or since the last time.
    pub fn lap(&mut self, metrics: &Metrics, work: &'static str, worker: &Worker) {
        let now = worker.cpu_time();
        let before = std::mem::replace(&mut self.0, now);
        metrics.worker_cpu.get_or_create(&[("work", work)]).inc_by(now.saturating_sub(before).as_secs_f64());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            workers: Gauge::default(),
            worker_failures: Family::default(),
            segments: Family::default(),
            segment_bytes: Counter::default(),
            task_seconds: Histogram::new([0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]),
            segments_waiting: Gauge::default(),
            worker_cpu: Family::default(),
        }
    }
}

impl Metrics {
    /// Adds them to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("workers", "Worker processes that run", self.workers.clone());
        registry.register("worker_failures", "Requests to workers that ended other than well", self.worker_failures.clone());
        registry.register("segments", "Segments verified and in the ledger", self.segments.clone());
        registry.register_with_unit("segment", "Bytes of segments verified and in the ledger", Unit::Bytes, self.segment_bytes.clone());
        registry.register_with_unit("task", "Time a task took a worker", Unit::Seconds, self.task_seconds.clone());
        registry.register_with_unit("worker_cpu", "Processor time of workers", Unit::Seconds, self.worker_cpu.clone());
        registry.register("segments_waiting", "Segments not made yet", self.segments_waiting.clone());
    }
}
