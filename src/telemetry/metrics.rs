//! The registry of everything that is counted, and its text form.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::{cache, delivery, server};

/// The type of [`Metrics::render`]'s text.
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is counted. The parts' own metrics are handed to them as clones.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Objects in memory.
    pub cache: cache::Metrics,
    /// The public listener's answers.
    pub delivery: delivery::Metrics,
    /// Connections of all listeners.
    pub server: server::Metrics,
    /// Uploads, workers and segments.
    pub work: WorkMetrics,
}

/// What is counted on the way from an upload to its segments. Clones count together.
#[derive(Clone, Debug)]
pub struct WorkMetrics {
    /// Uploads that are being received.
    pub uploads_open: Gauge,
    /// Uploads by how they ended, under the label `outcome`.
    pub uploads: Family<[(&'static str, &'static str); 1], Counter>,
    /// Bytes of uploads received.
    pub upload_bytes: Counter,
    /// Titles by their state, under the label `state`.
    pub titles: Family<[(&'static str, &'static str); 1], Gauge>,
    /// Worker processes that run.
    pub workers: Gauge,
    /// Worker processes by how they ended, under the label `outcome`.
    pub worker_ends: Family<[(&'static str, &'static str); 1], Counter>,
    /// Segments verified and in the ledger, under the label `kind`: `video` or `audio`.
    pub segments: Family<[(&'static str, &'static str); 1], Counter>,
    /// Bytes of those segments.
    pub segment_bytes: Counter,
    /// Seconds from handing a task to a worker to its last segment in the ledger.
    pub task_seconds: Histogram,
    /// Tasks that wait for a worker.
    pub tasks_waiting: Gauge,
}

impl Default for WorkMetrics {
    fn default() -> Self {
        Self {
            uploads_open: Gauge::default(),
            uploads: Family::default(),
            upload_bytes: Counter::default(),
            titles: Family::default(),
            workers: Gauge::default(),
            worker_ends: Family::default(),
            segments: Family::default(),
            segment_bytes: Counter::default(),
            task_seconds: Histogram::new([0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]),
            tasks_waiting: Gauge::default(),
        }
    }
}

impl WorkMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("uploads_open", "Uploads that are being received", self.uploads_open.clone());
        registry.register("uploads", "Uploads by how they ended", self.uploads.clone());
        registry.register_with_unit("upload", "Bytes of uploads received", Unit::Bytes, self.upload_bytes.clone());
        registry.register("titles", "Titles by state", self.titles.clone());
        registry.register("workers", "Worker processes that run", self.workers.clone());
        registry.register("worker_ends", "Worker processes by how they ended", self.worker_ends.clone());
        registry.register("segments", "Segments verified and in the ledger", self.segments.clone());
        registry.register_with_unit("segment", "Bytes of segments verified and in the ledger", Unit::Bytes, self.segment_bytes.clone());
        registry.register_with_unit("task", "Time a task took a worker", Unit::Seconds, self.task_seconds.clone());
        registry.register("tasks_waiting", "Tasks that wait for a worker", self.tasks_waiting.clone());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("headwater");
        let (cache, delivery) = (cache::Metrics::default(), delivery::Metrics::default());
        let (server, work) = (server::Metrics::default(), WorkMetrics::default());
        cache.register(&mut registry);
        delivery.register(&mut registry);
        server.register(&mut registry);
        work.register(&mut registry);
        Self { registry, cache, delivery, server, work }
    }
}

impl Metrics {
    /// All metrics as OpenMetrics text, which Prometheus reads.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail, and no metric of ours refuses to be written.
        if encode(&mut text, &self.registry).is_err() {
            tracing::error!("the metrics could not be written");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_text_is_whole_and_names_each_metric_once() {
        let metrics = Metrics::default();
        metrics.work.segments.get_or_create(&[("kind", "video")]).inc_by(3);
        metrics.work.workers.set(2);
        metrics.cache.hits.inc();
        let text = metrics.render();
        for line in ["headwater_segments_total{kind=\"video\"} 3", "headwater_workers 2", "headwater_cache_hits_total 1"] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(text.ends_with("# EOF\n"));
        let types: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
        assert_eq!(types.iter().collect::<HashSet<_>>().len(), types.len());
        assert!(types.len() > 15, "{text}");
    }
}
