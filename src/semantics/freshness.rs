//! How long caches may keep what (RFC 9111 5.2, RFC 5861, RFC 8246): the value of `Cache-Control` for each kind of answer, and of
//! `CDN-Cache-Control` (RFC 9213) where it differs.

use std::time::Duration;

/// Answers whose `Cache-Control` is always the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// What is addressed by generation: it never changes.
    Immutable,
    /// There is nothing here, but there may soon be.
    NotFound,
    /// There was something here, and it will not come back.
    Gone,
    /// A range beyond the end of the body.
    Unsatisfiable,
    /// Every form there is was refused.
    NotAcceptable,
    /// The request itself is at fault, or this server is for the moment.
    NotStored,
}

impl Freshness {
    /// The field's value.
    pub fn cache_control(self) -> &'static str {
        match self {
            Self::Immutable => "public, max-age=31536000, immutable",
            Self::NotFound => "public, max-age=2",
            Self::Gone => "public, max-age=30",
            Self::Unsatisfiable | Self::NotAcceptable => "public, max-age=2",
            Self::NotStored => "no-store",
        }
    }
}

/// How long [`Freshness::Immutable`] lets caches keep what never changes.
pub const IMMUTABLE_MAX_AGE: Duration = Duration::from_secs(31_536_000);

/// How long a cache may go on with a multivariant playlist while this origin cannot be reached, in seconds.
const STALE_IF_ERROR_S: u64 = 86_400;

/// The value for a multivariant playlist, the one object that changes: kept for `max_age`, used for twice as long again while
/// a new one is fetched, and for a day if this origin cannot be reached.
pub fn multivariant_cache_control(max_age: Duration) -> String {
    format!("public, {}", cdn_multivariant_cache_control(max_age))
}

/// The same for caches that know `CDN-Cache-Control`, which heed nothing else then.
pub fn cdn_multivariant_cache_control(max_age: Duration) -> String {
    let max_age_s = max_age.as_secs();
    format!("max-age={max_age_s}, stale-while-revalidate={}, stale-if-error={STALE_IF_ERROR_S}", max_age_s.saturating_mul(2))
}

/// For those caches and what never changes but may be taken away: kept for `max_age`, then asked for again.
pub fn cdn_immutable_cache_control(max_age: Duration) -> String {
    format!("max-age={}", max_age.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_never_changes_is_kept_for_long() {
        for freshness in [Freshness::NotFound, Freshness::Gone, Freshness::Unsatisfiable, Freshness::NotAcceptable, Freshness::NotStored] {
            let value = freshness.cache_control();
            let max_age_s: u64 = value.rsplit_once("max-age=").map_or(0, |(_, seconds)| seconds.parse().expect("seconds"));
            assert!(max_age_s <= 60 && !value.contains("immutable"), "{value}");
        }
        assert_eq!(
            multivariant_cache_control(Duration::from_secs(5)),
            "public, max-age=5, stale-while-revalidate=10, stale-if-error=86400"
        );
        assert_eq!(
            cdn_multivariant_cache_control(Duration::from_secs(600)),
            "max-age=600, stale-while-revalidate=1200, stale-if-error=86400"
        );
        assert_eq!(cdn_immutable_cache_control(Duration::from_secs(86_400)), "max-age=86400");
        assert!(Freshness::Immutable.cache_control().contains(&format!("max-age={},", IMMUTABLE_MAX_AGE.as_secs())));
    }
}
