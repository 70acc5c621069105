//! Surrogate keys: names that a CDN keeps with what it has cached, so that it can drop all of a title at once.
//!
//! | key | stands on |
//! |---|---|
//! | `{title}` | everything of a title |
//! | `{title}-{generation}` | everything addressed by that generation |
//! | `{title}-main` | the multivariant playlist, the one object that changes |

use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::semantics::Route;
use crate::title::{Generation, TitleId};

const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// Which fields carry the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SurrogateKeys {
    /// None.
    #[default]
    Off,
    /// `Surrogate-Key`, keys parted by spaces: Fastly, Varnish's xkey.
    SurrogateKey,
    /// `Cache-Tag`, keys parted by commas: Cloudflare, Akamai (as `Edge-Cache-Tag` behind a rule), Google.
    CacheTag,
    /// Both.
    Both,
}

impl SurrogateKeys {
    /// Names what an answer belongs to.
    pub(super) fn put(self, route: &Route, fields: &mut HeaderMap) {
        let mut put = |name: HeaderName, separator: &str| {
            let mut keys = String::with_capacity(64);
            // Writing to a string cannot fail.
            let _ = match generation(route) {
                Some(generation) => write!(keys, "{0}{separator}{0}-{generation}", route.title()),
                None => write!(keys, "{}{separator}{}", route.title(), main_key(route.title())),
            };
            if let Ok(value) = HeaderValue::try_from(keys) {
                fields.insert(name, value);
            }
        };
        if matches!(self, Self::SurrogateKey | Self::Both) {
            put(SURROGATE_KEY, " ");
        }
        if matches!(self, Self::CacheTag | Self::Both) {
            put(CACHE_TAG, ",");
        }
    }
}

/// The key of a title's multivariant playlist.
pub(super) fn main_key(title: TitleId) -> String {
    format!("{title}-main")
}

fn generation(route: &Route) -> Option<Generation> {
    match *route {
        Route::Multivariant { .. } => None,
        Route::MediaPlaylist { generation, .. }
        | Route::IFramePlaylist { generation, .. }
        | Route::Init { generation, .. }
        | Route::Segment { generation, .. }
        | Route::Download { generation, .. }
        | Route::Still { generation, .. } => Some(generation),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title::TrackId;

    #[test]
    fn keys() {
        let title = TitleId::new(1, 2);
        let main = Route::Multivariant { title };
        let playlist = Route::MediaPlaylist { title, generation: Generation(3), track: TrackId::video(0) };
        for (which, route, surrogate, tag) in [
            (SurrogateKeys::Off, main, None, None),
            (SurrogateKeys::SurrogateKey, main, Some(format!("{title} {title}-main")), None),
            (SurrogateKeys::CacheTag, playlist, None, Some(format!("{title},{title}-3"))),
            (SurrogateKeys::Both, playlist, Some(format!("{title} {title}-3")), Some(format!("{title},{title}-3"))),
        ] {
            let mut fields = HeaderMap::new();
            which.put(&route, &mut fields);
            let field = |name: &HeaderName| fields.get(name).map(|value| value.to_str().expect("text").to_owned());
            assert_eq!((field(&SURROGATE_KEY), field(&CACHE_TAG)), (surrogate, tag));
        }
    }
}
