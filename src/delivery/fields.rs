//! Fields that do not depend on the request: those of every answer, and what is added to an object when it is made.

use std::time::Duration;

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ALT_SVC, HeaderName};
use http::{HeaderMap, HeaderValue};

use super::provenance::{Provenance, Told, cache_status, server_timing};
use super::{Config, SurrogateKeys};
use crate::cache::{CacheOutcome, Object};
use crate::semantics::{IMMUTABLE_MAX_AGE, Route, cdn_immutable_cache_control, cdn_multivariant_cache_control, multivariant_cache_control};
use crate::title::{Still, TrackKind};

const ANYONE: HeaderValue = HeaderValue::from_static("*");
const EXPOSED: HeaderValue =
    HeaderValue::from_static("ETag, Content-Range, Content-Length, Date, Age, Cache-Status, Server-Timing, Repr-Digest");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Fields of the longest answer that is not made of an object's.
const EVERY_CAPACITY: usize = 12;

/// The fields of one service.
pub(super) struct Fields {
    every: HeaderMap,
    multivariant: Lasting,
    immutable: Lasting,
    surrogate_keys: SurrogateKeys,
    /// `Cache-Control` of multivariant playlists.
    pub(super) multivariant_cache_control: HeaderValue,
}

/// What goes with one of the two ways in which objects last.
struct Lasting {
    max_age: Duration,
    /// Those of every answer and those of a hit.
    hit: HeaderMap,
}

impl Lasting {
    fn new(every: &HeaderMap, max_age: Duration, cdn: Option<String>) -> Self {
        let mut hit = every.clone();
        if let Some(cdn) = cdn {
            hit.insert(CDN_CACHE_CONTROL, value(cdn));
        }
        hit.insert(CACHE_STATUS, value(cache_status(CacheOutcome::Hit, Told::Object { ttl_s: max_age.as_secs() })));
        hit.insert(SERVER_TIMING, value(server_timing(CacheOutcome::Hit, Duration::ZERO)));
        Self { max_age, hit }
    }
}

impl Fields {
    pub(super) fn new(config: &Config) -> Self {
        // Every answer may be read from any page, errors too: a player must be able to tell a 404 from a dead server.
        // With room in its index for what answers add: a clone has the same.
        let mut every = HeaderMap::with_capacity(EVERY_CAPACITY);
        every.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANYONE);
        every.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        every.insert(TIMING_ALLOW_ORIGIN, ANYONE);
        every.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
        if let Some(alt_svc) = &config.alt_svc {
            every.insert(ALT_SVC, alt_svc.clone());
        }
        let cdn_multivariant = config.cdn_multivariant_max_age.map(cdn_multivariant_cache_control);
        let cdn_immutable = config.cdn_immutable_max_age.map(cdn_immutable_cache_control);
        Self {
            multivariant: Lasting::new(&every, config.multivariant_max_age, cdn_multivariant),
            immutable: Lasting::new(&every, IMMUTABLE_MAX_AGE, cdn_immutable),
            multivariant_cache_control: value(multivariant_cache_control(config.multivariant_max_age)),
            surrogate_keys: config.surrogate_keys,
            every,
        }
    }

    /// Whether there are fields in all objects that are other ones with another configuration.
    pub(super) fn differ_of_all(former: &Config, config: &Config) -> bool {
        (&former.alt_svc, former.cdn_immutable_max_age, former.surrogate_keys)
            != (&config.alt_svc, config.cdn_immutable_max_age, config.surrogate_keys)
    }

    /// Those of every answer.
    pub(super) fn every(&self) -> HeaderMap {
        self.every.clone()
    }

    /// What is told of an object that was, or will be, in memory.
    pub(super) fn stored(&self, object: &Object) -> Told {
        let lasting = if object.immutable { &self.immutable } else { &self.multivariant };
        Told::Object { ttl_s: lasting.max_age.as_secs() }
    }

    /// Says how the answer came about.
    pub(super) fn tell(&self, provenance: &Provenance, told: Told, fields: &mut HeaderMap) {
        let Provenance::Asked { outcome, took } = *provenance else { return };
        fields.insert(CACHE_STATUS, value(cache_status(outcome, told)));
        fields.insert(SERVER_TIMING, value(server_timing(outcome, took)));
    }

    /// Gives an object its coded forms, if it is text, and all the fields that its answers will have. Texts may take some
    /// milliseconds.
    pub(super) fn dress(&self, route: &Route, object: Object) -> Object {
        let object = if is_text(route) { object.with_codings() } else { object };
        let lasting = if object.immutable { &self.immutable } else { &self.multivariant };
        match self.surrogate_keys {
            SurrogateKeys::Off => object.with_fields(&lasting.hit),
            keys => {
                let mut further = lasting.hit.clone();
                keys.put(route, &mut further);
                object.with_fields(&further)
            }
        }
    }
}

/// Whether what a route names is text, which shrinks when it is coded.
pub(super) fn is_text(route: &Route) -> bool {
    match route {
        Route::Multivariant { .. } | Route::MediaPlaylist { .. } | Route::IFramePlaylist { .. } => true,
        Route::Segment { track, .. } => track.kind == TrackKind::Text,
        Route::Still { still, .. } => *still == Still::Storyboard,
        Route::Init { .. } | Route::Download { .. } => false,
    }
}

/// Of words, digits and what was configured as a value; none of it can be refused.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}
