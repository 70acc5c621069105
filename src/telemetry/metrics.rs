//! The registry of everything that is counted, and its text form.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::AccessMetrics;
use crate::{cache, delivery, ingest, schedule, server};

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
    /// Requests to caches to drop something.
    pub purge: delivery::PurgeMetrics,
    /// Connections of all listeners.
    pub server: server::Metrics,
    /// Workers and segments.
    pub schedule: schedule::Metrics,
    /// Uploads.
    pub ingest: ingest::Metrics,
    /// The access log, and what players tell of themselves.
    pub access: AccessMetrics,
    /// Titles by their state, under the label `state`.
    pub titles: Family<[(&'static str, &'static str); 1], Gauge>,
    /// Readings of the configuration after the start, under the label `outcome`: `taken` or `refused`.
    pub config_reloads: Family<[(&'static str, &'static str); 1], Counter>,
    /// Keys whose configured values wait for a restart.
    pub config_restart_keys: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("headwater");
        let (cache, delivery) = (cache::Metrics::default(), delivery::Metrics::default());
        let (server, schedule, ingest) = (server::Metrics::default(), schedule::Metrics::default(), ingest::Metrics::default());
        let access = AccessMetrics::default();
        let (titles, config_reloads, config_restart_keys) = (Family::default(), Family::default(), Gauge::default());
        cache.register(&mut registry);
        delivery.register(&mut registry);
        let purge = delivery::PurgeMetrics::default();
        purge.register(&mut registry);
        server.register(&mut registry);
        schedule.register(&mut registry);
        ingest.register(&mut registry);
        access.register(&mut registry);
        registry.register("titles", "Titles by state", titles.clone());
        registry.register("config_reloads", "Readings of the configuration after the start, by outcome", config_reloads.clone());
        let waiting = "Keys whose configured values wait for a restart";
        registry.register("config_restart_keys", waiting, config_restart_keys.clone());
        Self { registry, cache, delivery, purge, server, schedule, ingest, access, titles, config_reloads, config_restart_keys }
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
        metrics.schedule.segments.get_or_create(&[("kind", "video")]).inc_by(3);
        metrics.schedule.workers.set(2);
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
