//! What the cache counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Counters and gauges of a cache. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Lookups that found their object.
    pub hits: Counter,
    /// Lookups that began a fill.
    pub misses: Counter,
    /// Lookups that waited for another's fill.
    pub collapsed: Counter,
    /// Lookups refused because too many fills were under way.
    pub refusals: Counter,
    /// Objects dropped for others.
    pub evictions: Counter,
    /// Bytes the objects weigh.
    pub objects_bytes: Gauge,
    /// Objects.
    pub objects: Gauge,
    /// Bytes reserved for fills.
    pub filling_bytes: Gauge,
}

impl Metrics {
    /// Puts them into `registry`, under names that begin with `cache`.
    pub fn register(&self, registry: &mut Registry) {
        let cache = registry.sub_registry_with_prefix("cache");
        cache.register("hits", "Lookups that found their object", self.hits.clone());
        cache.register("misses", "Lookups that began a fill", self.misses.clone());
        cache.register("collapsed", "Lookups that waited for the fill of another", self.collapsed.clone());
        cache.register("refusals", "Lookups refused because too many fills were under way", self.refusals.clone());
        cache.register("evictions", "Objects dropped to make room", self.evictions.clone());
        cache.register_with_unit("objects", "What the objects in memory weigh", Unit::Bytes, self.objects_bytes.clone());
        cache.register("objects", "Objects in memory", self.objects.clone());
        cache.register_with_unit("filling", "Memory reserved for objects that are being read", Unit::Bytes, self.filling_bytes.clone());
    }
}
