//! What the cache counts. The hit ratio is `hits / (hits + misses + collapsed)`.

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
    /// Lookups that found it remembered that there is nothing.
    pub negative_hits: Counter,
    /// Lookups refused because too many fills were under way.
    pub refusals: Counter,
    /// Fills that gave an object.
    pub fills: Counter,
    /// Fills that gave none.
    pub failed_fills: Counter,
    /// Body bytes that fills gave.
    pub filled_bytes: Counter,
    /// Objects dropped for others, or not let in for them.
    pub evictions: Counter,
    /// Objects that were read ahead of their reader.
    pub ahead: Counter,
    /// Of these, those that were asked for.
    pub ahead_used: Counter,
    /// Of these, those that were dropped before anyone asked.
    pub ahead_wasted: Counter,
    /// Bytes the objects weigh.
    pub objects_bytes: Gauge,
    /// Objects.
    pub objects: Gauge,
    /// Absences that are remembered.
    pub negatives: Gauge,
    /// Bytes reserved for bodies: objects, fills, and what was dropped but is still being sent.
    pub held_bytes: Gauge,
    /// Bytes reserved for pieces of what is streamed.
    pub piece_bytes: Gauge,
}

impl Metrics {
    /// Puts them into `registry`, under names that begin with `cache`.
    pub fn register(&self, registry: &mut Registry) {
        let cache = registry.sub_registry_with_prefix("cache");
        for (name, help, counter) in [
            ("hits", "Lookups that found their object", &self.hits),
            ("misses", "Lookups that began a fill", &self.misses),
            ("collapsed", "Lookups that waited for the fill of another", &self.collapsed),
            ("negative_hits", "Lookups that found it remembered that there is nothing, or nothing to be cached", &self.negative_hits),
            ("refusals", "Lookups refused because too many fills were under way", &self.refusals),
            ("fills", "Fills that gave an object", &self.fills),
            ("failed_fills", "Fills that gave none", &self.failed_fills),
            ("evictions", "Objects dropped to make room, or not let in for lack of it", &self.evictions),
            ("read_ahead", "Objects read ahead of their reader", &self.ahead),
            ("read_ahead_used", "Objects read ahead that were asked for", &self.ahead_used),
            ("read_ahead_wasted", "Objects read ahead that were dropped before anyone asked", &self.ahead_wasted),
        ] {
            cache.register(name, help, counter.clone());
        }
        cache.register_with_unit("filled", "Body bytes that fills gave", Unit::Bytes, self.filled_bytes.clone());
        cache.register("objects", "Objects in memory", self.objects.clone());
        cache.register("negatives", "Absences remembered", self.negatives.clone());
        for (name, help, gauge) in [
            ("objects", "What the objects in memory weigh", &self.objects_bytes),
            ("held", "Memory reserved for bodies: objects, fills, and what is still being sent", &self.held_bytes),
            ("pieces", "Memory reserved for pieces of what is streamed", &self.piece_bytes),
        ] {
            cache.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        }
    }
}
