//! What the access log counts: its own lines and losses, how answers ended, and what players tell of themselves. No label
//! names a viewer, a session or a title.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::record::Ended;
use crate::delivery::Class;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Counters of the access log. Clones count together. Without a log they stay at nothing.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(super) lines: Counter,
    pub(super) lost: Counter,
    pub(super) faults: Counter,
    pub(super) waiting: Gauge,
    ended: Family<Labels<2>, Counter>,
    players: Family<Labels<1>, Counter>,
    starved: Family<Labels<1>, Counter>,
    startups: Family<Labels<1>, Counter>,
}

impl Metrics {
    /// Puts them into `registry`, under names that begin with `access_log` and `player`.
    pub fn register(&self, registry: &mut Registry) {
        let log = registry.sub_registry_with_prefix("access_log");
        log.register("lines", "Lines of the access log that were written", self.lines.clone());
        log.register("lost", "Requests that are not in the access log, for it was too slow", self.lost.clone());
        log.register("faults", "Failed attempts to write the access log", self.faults.clone());
        log.register("waiting", "Requests that wait to be written to the access log", self.waiting.clone());
        log.register("answers", "Logged answers by what was asked for and how they ended", self.ended.clone());
        let player = registry.sub_registry_with_prefix("player");
        player.register("requests", "Logged requests with client data (CMCD)", self.players.clone());
        player.register("starvations", "Logged requests whose player's buffer had run empty", self.starved.clone());
        player.register("startups", "Logged requests for what a player needed to begin or go on", self.startups.clone());
    }

    /// Requests lost so far.
    pub fn lost(&self) -> u64 {
        self.lost.get()
    }

    pub(super) fn ended(&self, class: Class, ended: Ended) {
        self.ended.get_or_create(&[("class", class.as_str()), ("ended", ended.as_str())]).inc();
    }

    pub(super) fn player(&self, class: Class, starved: bool, startup: bool) {
        let class = [("class", class.as_str())];
        self.players.get_or_create(&class).inc();
        if starved {
            self.starved.get_or_create(&class).inc();
        }
        if startup {
            self.startups.get_or_create(&class).inc();
        }
    }
}
