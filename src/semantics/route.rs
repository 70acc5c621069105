//! The public listener's paths: each is one typed route in one spelling, or nothing.

use std::fmt;

use crate::title::{Download, Generation, SegmentNumber, Still, TitleId, TrackId, TrackKind};

/// No path of ours is longer.
pub const ROUTE_BYTES_MAX: usize = 84;

/// What a path of the public listener names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// `/t/{title}/main.m3u8`: the one URL of a title that stays.
    Multivariant {
        /// Of which title.
        title: TitleId,
    },
    /// `/t/{title}/{generation}/{track}/index.m3u8`.
    MediaPlaylist {
        /// Of which title.
        title: TitleId,
        /// Of which plan.
        generation: Generation,
        /// Of which track.
        track: TrackId,
    },
    /// `/t/{title}/{generation}/{track}/iframes.m3u8`.
    IFramePlaylist {
        /// Of which title.
        title: TitleId,
        /// Of which plan.
        generation: Generation,
        /// Of which track.
        track: TrackId,
    },
    /// `/t/{title}/{generation}/{track}/init.mp4`; not for text.
    Init {
        /// Of which title.
        title: TitleId,
        /// Of which plan.
        generation: Generation,
        /// Of which track.
        track: TrackId,
    },
    /// `/t/{title}/{generation}/{track}/{number}.m4s`, or `.vtt` for text.
    Segment {
        /// Of which title.
        title: TitleId,
        /// Of which plan.
        generation: Generation,
        /// Of which track.
        track: TrackId,
        /// Which one.
        number: SegmentNumber,
    },
    /// `/t/{title}/{generation}/poster.jpg`, `storyboard.vtt` or `sprite-{n}.jpg`.
    Still {
        /// Of which title.
        title: TitleId,
        /// Of which plan.
        generation: Generation,
        /// Which one.
        still: Still,
    },
    /// `/t/{title}/{generation}/download/{rendition}.mp4`, or `a{n}.m4a`.
    Download {
        /// Of which title.
        title: TitleId,
        /// Of which plan.
        generation: Generation,
        /// Which one.
        file: Download,
    },
}

impl Route {
    /// Reads a path, without query. Only the spelling that [`Route`] is displayed in is read: no percent escapes, no dot or
    /// empty segments, no leading zeros.
    pub fn parse(path: &str) -> Option<Self> {
        if path.len() > ROUTE_BYTES_MAX {
            return None;
        }
        let (title, rest) = path.strip_prefix("/t/")?.split_once('/')?;
        let title = TitleId::parse(title).ok()?;
        if rest == "main.m3u8" {
            return Some(Self::Multivariant { title });
        }
        let (generation, rest) = rest.split_once('/')?;
        let generation = Generation(number(generation).filter(|&generation| generation > 0)?);
        let Some((track, file)) = rest.split_once('/') else {
            return Still::parse(rest).map(|still| Self::Still { title, generation, still });
        };
        if track == DOWNLOADS {
            return Download::parse(file).map(|file| Self::Download { title, generation, file });
        }
        let track = TrackId::parse(track).ok()?;
        match file {
            "index.m3u8" => Some(Self::MediaPlaylist { title, generation, track }),
            "init.mp4" => (track.kind != TrackKind::Text).then_some(Self::Init { title, generation, track }),
            "iframes.m3u8" => (track.kind == TrackKind::Video).then_some(Self::IFramePlaylist { title, generation, track }),
            _ => {
                let number = SegmentNumber(number(file.strip_suffix(suffix(track))?)?);
                Some(Self::Segment { title, generation, track, number })
            }
        }
    }

    /// The title it belongs to.
    pub fn title(&self) -> TitleId {
        match *self {
            Self::Multivariant { title }
            | Self::MediaPlaylist { title, .. }
            | Self::IFramePlaylist { title, .. }
            | Self::Init { title, .. }
            | Self::Segment { title, .. }
            | Self::Still { title, .. }
            | Self::Download { title, .. } => title,
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Multivariant { title } => write!(out, "/t/{title}/main.m3u8"),
            Self::MediaPlaylist { title, generation, track } => write!(out, "/t/{title}/{generation}/{track}/index.m3u8"),
            Self::IFramePlaylist { title, generation, track } => write!(out, "/t/{title}/{generation}/{track}/iframes.m3u8"),
            Self::Download { title, generation, file } => write!(out, "/t/{title}/{generation}/{DOWNLOADS}/{file}"),
            Self::Still { title, generation, still } => write!(out, "/t/{title}/{generation}/{still}"),
            Self::Init { title, generation, track } => write!(out, "/t/{title}/{generation}/{track}/init.mp4"),
            Self::Segment { title, generation, track, number } => {
                write!(out, "/t/{title}/{generation}/{track}/{number}{}", suffix(*track))
            }
        }
    }
}

/// Where a generation's files to take away are.
const DOWNLOADS: &str = "download";

/// What the name of a segment ends with.
fn suffix(track: TrackId) -> &'static str {
    match track.kind {
        TrackKind::Video | TrackKind::Audio => ".m4s",
        TrackKind::Text => ".vtt",
    }
}

/// A number in its one spelling.
fn number(digits: &str) -> Option<u32> {
    let canonical = digits == "0" || digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if canonical { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn title() -> TitleId {
        TitleId::new(1_700_000_000_000, 12345)
    }

    fn routes(title: TitleId, generation: Generation, track: TrackId, number: SegmentNumber) -> [Route; 10] {
        [
            Route::Multivariant { title },
            Route::MediaPlaylist { title, generation, track },
            Route::Init { title, generation, track },
            Route::Segment { title, generation, track, number },
            Route::IFramePlaylist { title, generation, track },
            Route::Still { title, generation, still: Still::Poster },
            Route::Still { title, generation, still: Still::Storyboard },
            Route::Still { title, generation, still: Still::Sprite(number.0 as u16) },
            Route::Download { title, generation, file: Download::Sound(track.index) },
            Route::Download { title, generation, file: Download::parse("24-letters-are-the-most_.mp4").expect("a file") },
        ]
    }

    #[test]
    fn the_paths() {
        let id = title();
        let spelled = routes(id, Generation(3), TrackId::audio(1), SegmentNumber(42)).map(|route| route.to_string());
        assert_eq!(
            spelled,
            [
                format!("/t/{id}/main.m3u8"),
                format!("/t/{id}/3/a1/index.m3u8"),
                format!("/t/{id}/3/a1/init.mp4"),
                format!("/t/{id}/3/a1/42.m4s"),
                format!("/t/{id}/3/a1/iframes.m3u8"),
                format!("/t/{id}/3/poster.jpg"),
                format!("/t/{id}/3/storyboard.vtt"),
                format!("/t/{id}/3/sprite-42.jpg"),
                format!("/t/{id}/3/download/a1.m4a"),
                format!("/t/{id}/3/download/24-letters-are-the-most_.mp4"),
            ]
        );
    }

    #[test]
    fn other_spellings_are_nothing() {
        let id = title();
        for path in [
            "",
            "/",
            "*",
            "/t",
            "/t/",
            "/t//main.m3u8",
            "/t/../main.m3u8",
            "//t/ID/main.m3u8",
            "/t/ID",
            "/t/ID/",
            "/t/ID/main.m3u8/",
            "/t/ID/main.m3u",
            "/t/ID/Main.m3u8",
            "/t/ID/%6dain.m3u8",
            "/t/ID/main.m3u8%00",
            "/t/ID/./main.m3u8",
            "/t/ID/1/v0",
            "/t/ID/1/v0/",
            "/t/ID/01/v0/init.mp4",
            "/t/ID/0/v0/init.mp4",
            "/t/ID/+1/v0/init.mp4",
            "/t/ID/1/v00/init.mp4",
            "/t/ID/1/V0/init.mp4",
            "/t/ID/1//init.mp4",
            "/t/ID/1/v0/01.m4s",
            "/t/ID/1/v0/00.m4s",
            "/t/ID/1/v0/.m4s",
            "/t/ID/1/v0/-1.m4s",
            "/t/ID/1/v0/+1.m4s",
            "/t/ID/1/v0/4294967296.m4s",
            "/t/ID/1/v0/1.m4s/",
            "/t/ID/1/v0/1.mp4",
            "/t/ID/1/v0/\u{661}.m4s",
            "/t/ID/1/v0/../v0/1.m4s",
            "/t/ID/4294967296/v0/init.mp4",
            "/t/ID/1/s0/init.mp4",
            "/t/ID/1/s0/1.m4s",
            "/t/ID/1/v0/1.vtt",
            "/t/ID/1/s0/01.vtt",
            "/t/ID/poster.jpg",
            "/t/ID/0/poster.jpg",
            "/t/ID/1/Poster.jpg",
            "/t/ID/1/sprite-01.jpg",
            "/t/ID/1/sprite-65536.jpg",
            "/t/ID/1/v0/poster.jpg",
            "/t/ID/1/iframes.m3u8",
            "/t/ID/1/download",
            "/t/ID/1/download/",
            "/t/ID/1/download/720p",
            "/t/ID/1/download/.mp4",
            "/t/ID/1/download/720p.mp4/",
            "/t/ID/1/download/../v0/init.mp4",
            "/t/ID/1/download/v0/init.mp4",
            "/t/ID/1/Download/720p.mp4",
            "/t/ID/download/720p.mp4",
        ] {
            assert_eq!(Route::parse(&path.replace("ID", &id.to_string())), None, "{path}");
        }
        assert!(Route::parse(&format!("/t/{}/main.m3u8", id.to_string().to_uppercase())).is_none());
        let text = Route::Segment { title: id, generation: Generation(2), track: TrackId::text(1), number: SegmentNumber(7) };
        assert_eq!((text.to_string(), Route::parse(&text.to_string())), (format!("/t/{id}/2/s1/7.vtt"), Some(text)));
    }

    proptest! {
        #[test]
        fn what_is_displayed_is_read_back(time in any::<u64>(), random in any::<u128>(), generation in 1_u32.., index in any::<u8>(), number in any::<u32>()) {
            for route in routes(TitleId::new(time, random), Generation(generation), TrackId::video(index), SegmentNumber(number)) {
                let path = route.to_string();
                prop_assert!(path.len() <= ROUTE_BYTES_MAX, "{path}");
                prop_assert_eq!(Route::parse(&path), Some(route));
            }
        }

        #[test]
        fn whatever_is_read_is_spelled_so(path in "/t/0123456789abcdefghjkmnpqrs/(main\\.m3u8|0?[0-9]{1,3}/(sprite-0?[0-9]{1,3}\\.jpg|poster\\.jpg)|0?[0-9]{1,3}/download/[a-z0-9.-]{1,30}|0?[0-9]{1,3}/[vas]0?[0-9]{1,2}/(index\\.m3u8|iframes\\.m3u8|init\\.mp4|0?[0-9]{1,4}\\.(m4s|vtt)))") {
            if let Some(route) = Route::parse(&path) {
                prop_assert_eq!(route.to_string(), path);
            }
        }

        #[test]
        fn no_text_panics(path in "\\PC{0,80}") {
            let _ = Route::parse(&path);
        }
    }
}
