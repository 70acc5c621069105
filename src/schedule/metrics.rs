//! What is counted while titles are made.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

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
        registry.register("segments_waiting", "Segments not made yet", self.segments_waiting.clone());
    }
}
