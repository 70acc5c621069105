//! What delivery counts: requests by class and outcome, bytes, waits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::semantics::Route;

/// What kind of thing a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A multivariant playlist.
    Multivariant,
    /// A media playlist, or one of I-frames.
    MediaPlaylist,
    /// An init segment.
    Init,
    /// A media segment.
    Segment,
    /// A poster, or a part of a storyboard.
    Still,
    /// A progressive file.
    Download,
    /// A path that names nothing.
    Other,
}

impl Class {
    /// Every class, in the order of the declaration.
    pub const ALL: [Self; 7] =
        [Self::Multivariant, Self::MediaPlaylist, Self::Init, Self::Segment, Self::Still, Self::Download, Self::Other];

    /// The class of a route.
    pub fn of(route: &Route) -> Self {
        match route {
            Route::Multivariant { .. } => Self::Multivariant,
            Route::MediaPlaylist { .. } | Route::IFramePlaylist { .. } => Self::MediaPlaylist,
            Route::Init { .. } => Self::Init,
            Route::Segment { .. } => Self::Segment,
            Route::Still { .. } => Self::Still,
            Route::Download { .. } => Self::Download,
        }
    }

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Multivariant => "multivariant",
            Self::MediaPlaylist => "media-playlist",
            Self::Init => "init",
            Self::Segment => "segment",
            Self::Still => "still",
            Self::Download => "download",
            Self::Other => "other",
        }
    }
}

/// What a request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// 200.
    Whole,
    /// 206.
    Part,
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
    /// 416.
    Unsatisfiable,
    /// 406.
    NotAcceptable,
    /// 404.
    NotFound,
    /// 410.
    Gone,
    /// 503: not made in time.
    NotYet,
    /// 503: cannot be had.
    Unavailable,
    /// 503: as many wait as may.
    Busy,
    /// 503: what is left is for requests whose loss would cost more.
    Shed,
    /// 405 or 501.
    MethodRefused,
    /// 204.
    Options,
}

impl Outcome {
    /// Whether the answer tells of an object, with its validators.
    pub(super) fn is_of_object(self) -> bool {
        matches!(self, Self::Whole | Self::Part | Self::NotModified | Self::PreconditionFailed)
    }

    /// Every outcome, in the order of the declaration.
    pub const ALL: [Self; 14] = [
        Self::Whole,
        Self::Part,
        Self::NotModified,
        Self::PreconditionFailed,
        Self::Unsatisfiable,
        Self::NotAcceptable,
        Self::NotFound,
        Self::Gone,
        Self::NotYet,
        Self::Unavailable,
        Self::Busy,
        Self::Shed,
        Self::MethodRefused,
        Self::Options,
    ];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Part => "part",
            Self::NotModified => "not-modified",
            Self::PreconditionFailed => "precondition-failed",
            Self::Unsatisfiable => "unsatisfiable",
            Self::NotAcceptable => "not-acceptable",
            Self::NotFound => "not-found",
            Self::Gone => "gone",
            Self::NotYet => "not-yet",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Shed => "shed",
            Self::MethodRefused => "method-refused",
            Self::Options => "options",
        }
    }
}

/// Where the bytes of a body come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// They were in memory when they were asked for.
    Memory,
    /// They were read, or made, into memory meanwhile.
    Fill,
    /// They were read from the store piece by piece, and not kept.
    Stream,
}

impl Origin {
    /// Every origin, in the order of the declaration.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Fill, Self::Stream];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Fill => "fill",
            Self::Stream => "stream",
        }
    }
}

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Counters of the public listener's answers. Clones count together.
#[derive(Clone)]
pub struct Metrics {
    requests: Family<Labels<2>, Counter>,
    body_bytes: Family<Labels<1>, Counter>,
    waits: Family<Labels<1>, Histogram, fn() -> Histogram>,
    waiting: Gauge,
    origins: Family<Labels<1>, Counter>,
    origin_bytes: [Counter; Origin::ALL.len()],
    /// The same counters by class and outcome, found without a lock.
    cells: Arc<[Cell; Class::ALL.len()]>,
}

struct Cell {
    requests: [Counter; Outcome::ALL.len()],
    body_bytes: Counter,
    waits: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let requests = Family::default();
        let body_bytes = Family::default();
        let waits = Family::new_with_constructor(buckets as fn() -> Histogram);
        let cells = Class::ALL.map(|class| {
            let class = ("class", class.as_str());
            Cell {
                requests: Outcome::ALL.map(|outcome| Counter::clone(&requests.get_or_create(&[class, ("outcome", outcome.as_str())]))),
                body_bytes: Counter::clone(&body_bytes.get_or_create(&[class])),
                waits: Histogram::clone(&waits.get_or_create(&[class])),
            }
        });
        let origins = Family::default();
        let origin_bytes = Origin::ALL.map(|from| Counter::clone(&origins.get_or_create(&[("from", from.as_str())])));
        Self { requests, body_bytes, waits, waiting: Gauge::default(), origins, origin_bytes, cells: Arc::new(cells) }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Metrics").field("requests", &self.requests).field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl Metrics {
    /// Puts them into `registry`, under names that begin with `delivery`.
    pub fn register(&self, registry: &mut Registry) {
        let delivery = registry.sub_registry_with_prefix("delivery");
        delivery.register("requests", "Answers by what was asked for and what came of it", self.requests.clone());
        delivery.register_with_unit("body", "Body bytes handed to connections", Unit::Bytes, self.body_bytes.clone());
        delivery.register_with_unit("wait", "Time spent on what was not in memory", Unit::Seconds, self.waits.clone());
        delivery.register_with_unit("origin", "Body bytes by where they come from", Unit::Bytes, self.origins.clone());
        delivery.register("waiting", "Requests that wait for what is not in memory", self.waiting.clone());
    }

    /// Answers of that class and outcome so far.
    pub fn requests(&self, class: Class, outcome: Outcome) -> u64 {
        self.cells[class as usize].requests[outcome as usize].get()
    }

    pub(super) fn count(&self, class: Class, outcome: Outcome, body_bytes: u64) {
        let cell = &self.cells[class as usize];
        cell.requests[outcome as usize].inc();
        cell.body_bytes.inc_by(body_bytes);
    }

    /// Body bytes that came from there so far.
    pub fn origin_bytes(&self, from: Origin) -> u64 {
        self.origin_bytes[from as usize].get()
    }

    pub(super) fn served(&self, from: Origin, body_bytes: u64) {
        self.origin_bytes[from as usize].inc_by(body_bytes);
    }

    pub(super) fn streamed(&self, piece_bytes: u64) {
        self.served(Origin::Stream, piece_bytes);
    }

    pub(super) fn waited(&self, class: Class, time: Duration) {
        self.cells[class as usize].waits.observe(time.as_secs_f64());
    }

    pub(super) fn waiting(&self) -> WaitingGuard {
        self.waiting.inc();
        WaitingGuard(self.waiting.clone())
    }
}

/// Counts a request as waiting until it is dropped.
pub(super) struct WaitingGuard(Gauge);

impl Drop for WaitingGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn buckets() -> Histogram {
    Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_its_own_counter() {
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, index);
        }
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
        }
        let metrics = Metrics::default();
        metrics.count(Class::Segment, Outcome::Part, 100);
        metrics.waited(Class::Segment, Duration::from_millis(3));
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
        assert!(text.contains("delivery_requests_total{class=\"segment\",outcome=\"part\"} 1\n"), "{text}");
        assert!(text.contains("delivery_requests_total{class=\"segment\",outcome=\"whole\"} 0\n"), "{text}");
        assert!(text.contains("delivery_body_bytes_total{class=\"segment\"} 100\n"), "{text}");
        assert!(text.contains("delivery_wait_seconds_count{class=\"segment\"} 1\n"), "{text}");
    }
}
