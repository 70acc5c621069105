//! What listeners count: open connections, and how connections ended.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Refusal;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionEnd {
    /// Either side closed it between requests.
    Closed,
    /// It broke, or what was sent was not HTTP.
    Failed,
    /// The head of a request was not finished in time.
    HeadTimeout,
    /// No byte moved for too long.
    Idle,
    /// It was still open when the time to drain was over.
    Cut,
    /// It was never served, for as many were open as may be.
    Refused,
    /// It was never served, for as many were open from its address as may be.
    AddressRefused,
    /// The client took what it had asked for too slowly.
    SlowReader,
    /// The client sent too much that asks for nothing, such as requests that it took back.
    Flood,
    /// The handshake of TLS was not finished in time.
    HandshakeTimeout,
    /// There was no agreement on TLS, or what was sent was none.
    HandshakeFailed,
    /// Plain HTTP was spoken where TLS is; it was told so.
    PlainText,
}

impl ConnectionEnd {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Failed => "failed",
            Self::HeadTimeout => "head-timeout",
            Self::Idle => "idle",
            Self::Cut => "cut",
            Self::Refused => "refused",
            Self::AddressRefused => "address-refused",
            Self::SlowReader => "slow-reader",
            Self::Flood => "flood",
            Self::HandshakeTimeout => "handshake-timeout",
            Self::HandshakeFailed => "handshake-failed",
            Self::PlainText => "plain-text",
        }
    }
}

/// Requests of a listener that were refused, each counted at the place of its reason.
pub(super) type RefusalCounters = [Counter; Refusal::ALL.len()];

/// Counters of all listeners, told apart by their names. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    open: Family<[(&'static str, &'static str); 1], Gauge>,
    resting: Family<[(&'static str, &'static str); 1], Gauge>,
    ends: Family<[(&'static str, &'static str); 2], Counter>,
    lent_bytes: Family<[(&'static str, &'static str); 1], Counter>,
    handshakes: Family<[(&'static str, &'static str); 3], Counter>,
    certificates: Family<[(&'static str, &'static str); 1], Counter>,
    refusals: Family<[(&'static str, &'static str); 2], Counter>,
}

impl Metrics {
    /// Puts them into `registry`, under names that begin with `server`.
    pub fn register(&self, registry: &mut Registry) {
        let server = registry.sub_registry_with_prefix("server");
        server.register("connections_open", "Open connections", self.open.clone());
        server.register("connections_resting", "Open connections that have no buffers, for nothing is under way", self.resting.clone());
        server.register("connections", "Connections by how they ended", self.ends.clone());
        server.register("lent_bytes", "Bytes of bodies that the kernel sent from the cache without copying", self.lent_bytes.clone());
        server.register("handshakes", "Handshakes of TLS, by version and whether a session was resumed", self.handshakes.clone());
        server.register("refused_requests", "Requests that did not reach the service, by reason", self.refusals.clone());
        server.register("certificate_reloads", "Readings of certificates after the start, by outcome", self.certificates.clone());
    }

    /// Connections of that listener that are open and have no buffers.
    pub fn resting(&self, listener: &'static str) -> i64 {
        self.resting.get_or_create(&[("listener", listener)]).get()
    }

    /// Connections of that listener that ended so.
    pub fn ends(&self, listener: &'static str, end: ConnectionEnd) -> u64 {
        self.ends.get_or_create(&[("listener", listener), ("end", end.as_str())]).get()
    }

    /// Bytes of bodies of that listener that the kernel sent without copying.
    pub fn lent_bytes(&self, listener: &'static str) -> u64 {
        self.lent_bytes.get_or_create(&[("listener", listener)]).get()
    }

    /// Requests to that listener that were refused for that reason.
    pub fn refusals(&self, listener: &'static str, refusal: Refusal) -> u64 {
        self.refusals.get_or_create(&[("listener", listener), ("reason", refusal.as_str())]).get()
    }

    /// Handshakes of TLS of that listener, in that version (`1.2`, `1.3`), whether or not a session was resumed.
    pub fn handshakes(&self, listener: &'static str, version: &'static str, resumed: bool) -> u64 {
        self.handshakes.get_or_create(&handshake(listener, version, resumed)).get()
    }

    /// Certificates were read after the start, and are right or not.
    pub(super) fn certificates_read(&self, right: bool) {
        self.certificates.get_or_create(&[("outcome", if right { "taken" } else { "refused" })]).inc();
    }

    pub(super) fn of(&self, listener: &'static str) -> ListenerMetrics {
        let labels = [("listener", listener)];
        let (open, lent_bytes) = (self.open.get_or_create(&labels).clone(), self.lent_bytes.get_or_create(&labels).clone());
        let resting = self.resting.get_or_create(&labels).clone();
        let refusals = Refusal::ALL.map(|refusal| {
            let labels = [("listener", listener), ("reason", refusal.as_str())];
            Counter::clone(&self.refusals.get_or_create(&labels))
        });
        ListenerMetrics { metrics: self.clone(), listener, open, resting, lent_bytes, refusals: Arc::new(refusals) }
    }
}

fn handshake(listener: &'static str, version: &'static str, resumed: bool) -> [(&'static str, &'static str); 3] {
    [("listener", listener), ("version", version), ("resumed", if resumed { "yes" } else { "no" })]
}

/// The counters of one listener.
#[derive(Clone)]
pub(super) struct ListenerMetrics {
    metrics: Metrics,
    listener: &'static str,
    open: Gauge,
    resting: Gauge,
    lent_bytes: Counter,
    refusals: Arc<RefusalCounters>,
}

impl ListenerMetrics {
    pub(super) fn listener(&self) -> &'static str {
        self.listener
    }

    pub(super) fn ended(&self, end: ConnectionEnd) {
        self.metrics.ends.get_or_create(&[("listener", self.listener), ("end", end.as_str())]).inc();
    }

    pub(super) fn handshake(&self, version: &'static str, resumed: bool) {
        self.metrics.handshakes.get_or_create(&handshake(self.listener, version, resumed)).inc();
    }

    pub(super) fn lent_bytes(&self) -> &Counter {
        &self.lent_bytes
    }

    pub(super) fn refusals(&self) -> &Arc<RefusalCounters> {
        &self.refusals
    }

    /// Counts a connection as open.
    pub(super) fn open(&self) -> Counted {
        Counted::new(&self.open)
    }

    /// Counts a connection as resting.
    pub(super) fn resting(&self) -> Counted {
        Counted::new(&self.resting)
    }
}

/// Counts a connection until it is dropped.
pub(super) struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
