//! How an answer came about, as `Cache-Status` (RFC 9211) and `Server-Timing` tell it.

use std::time::Duration;

use crate::cache::CacheOutcome;

/// What was done for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provenance {
    /// The cache was not asked: the request itself decided.
    Unasked,
    /// The cache was asked.
    Asked {
        /// How that went.
        outcome: CacheOutcome,
        /// How long it took; nothing for a hit.
        took: Duration,
    },
}

impl Provenance {
    /// It was in memory.
    pub(super) const HIT: Self = Self::Asked { outcome: CacheOutcome::Hit, took: Duration::ZERO };

    /// How the lookup went, if there was one.
    pub(super) fn outcome(&self) -> Option<CacheOutcome> {
        match self {
            Self::Unasked => None,
            Self::Asked { outcome, .. } => Some(*outcome),
        }
    }
}

/// The value of `Cache-Status`: for an object with the seconds that it is fresh for, for a failure with its name.
pub(super) fn cache_status(outcome: CacheOutcome, told: Told) -> String {
    let how = match (outcome, told) {
        (_, Told::Streamed) => "fwd=miss",
        (CacheOutcome::Hit | CacheOutcome::Negative, _) => "hit",
        (CacheOutcome::Miss, Told::Object { .. }) => "fwd=miss; stored",
        (CacheOutcome::Collapsed, Told::Object { .. }) => "fwd=miss; stored; collapsed",
        (CacheOutcome::Miss, Told::Failure(_)) => "fwd=miss",
        (CacheOutcome::Collapsed, Told::Failure(_)) => "fwd=miss; collapsed",
    };
    match told {
        Told::Object { ttl_s } => format!("headwater; {how}; ttl={ttl_s}"),
        Told::Streamed => format!("headwater; {how}; detail=streamed"),
        Told::Failure(name) => format!("headwater; {how}; detail={name}"),
    }
}

/// What an answer tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// An object that is fresh for so many seconds.
    Object {
        /// Until it has to be asked for again: what is in memory is always as fresh as when it was made.
        ttl_s: u64,
    },
    /// An object that is too large to be stored here.
    Streamed,
    /// A failure of that name, which is a token.
    Failure(&'static str),
}

/// The value of `Server-Timing`: how the lookup went, and how long the answer waited for what was not in memory.
pub(super) fn server_timing(outcome: CacheOutcome, took: Duration) -> String {
    match outcome {
        CacheOutcome::Hit => "cache;desc=hit".to_owned(),
        outcome => format!("cache;desc={};dur={:.1}", outcome.as_str(), took.as_secs_f64() * 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told() {
        let object = Told::Object { ttl_s: 5 };
        let late = Told::Failure("not-yet");
        for (outcome, told, expect) in [
            (CacheOutcome::Hit, object, "headwater; hit; ttl=5"),
            (CacheOutcome::Miss, object, "headwater; fwd=miss; stored; ttl=5"),
            (CacheOutcome::Collapsed, object, "headwater; fwd=miss; stored; collapsed; ttl=5"),
            (CacheOutcome::Hit, late, "headwater; hit; detail=not-yet"),
            (CacheOutcome::Miss, late, "headwater; fwd=miss; detail=not-yet"),
            (CacheOutcome::Collapsed, late, "headwater; fwd=miss; collapsed; detail=not-yet"),
            (CacheOutcome::Negative, late, "headwater; hit; detail=not-yet"),
            (CacheOutcome::Miss, Told::Streamed, "headwater; fwd=miss; detail=streamed"),
            (CacheOutcome::Negative, Told::Streamed, "headwater; fwd=miss; detail=streamed"),
        ] {
            assert_eq!(cache_status(outcome, told), expect);
        }
        assert_eq!(server_timing(CacheOutcome::Hit, Duration::ZERO), "cache;desc=hit");
        assert_eq!(server_timing(CacheOutcome::Miss, Duration::from_micros(12_345)), "cache;desc=miss;dur=12.3");
        assert_eq!(server_timing(CacheOutcome::Collapsed, Duration::from_millis(8000)), "cache;desc=collapsed;dur=8000.0");
    }

    #[test]
    fn names_are_tokens() {
        for outcome in crate::delivery::Outcome::ALL {
            assert!(outcome.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{outcome:?}");
        }
    }
}
