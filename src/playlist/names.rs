//! File names: what playlists call each other and their segments. All are relative, so that a title can be served from
//! any path.
//!
//! The multivariant playlist is the only name that stays the same from one generation of a title to the next.

use crate::title::{Generation, SegmentNumber, Still, TrackId};

/// The multivariant playlist, in the title's directory.
pub const MULTIVARIANT: &str = "main.m3u8";
/// A media playlist, in its track's directory.
pub const MEDIA: &str = "index.m3u8";
/// A track's I-frame playlist, in its directory.
pub const I_FRAMES: &str = "iframes.m3u8";
/// A track's init segment, in its track's directory.
pub const INIT: &str = "init.mp4";
/// What a media segment's name ends with.
pub const SEGMENT_SUFFIX: &str = ".m4s";

/// What a text segment's name ends with.
pub const TEXT_SUFFIX: &str = ".vtt";

/// A track's directory, relative to the multivariant playlist: `1/v0`.
pub fn track_directory(generation: Generation, track: TrackId) -> String {
    format!("{generation}/{track}")
}

/// A track's media playlist, relative to the multivariant playlist: `1/v0/index.m3u8`.
pub fn media(generation: Generation, track: TrackId) -> String {
    format!("{}/{MEDIA}", track_directory(generation, track))
}

/// A track's I-frame playlist, relative to the multivariant playlist: `1/v0/iframes.m3u8`.
pub fn i_frames(generation: Generation, track: TrackId) -> String {
    format!("{}/{I_FRAMES}", track_directory(generation, track))
}

/// A still, relative to the multivariant playlist: `1/poster.jpg`.
pub fn still(generation: Generation, still: Still) -> String {
    format!("{generation}/{still}")
}

/// A media segment, relative to its media playlist: `17.m4s`.
pub fn segment(number: SegmentNumber) -> String {
    format!("{number}{SEGMENT_SUFFIX}")
}

/// A text segment, relative to its media playlist: `17.vtt`.
pub fn text_segment(number: SegmentNumber) -> String {
    format!("{number}{TEXT_SUFFIX}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative() {
        assert_eq!(media(Generation(3), TrackId::audio(1)), "3/a1/index.m3u8");
        assert_eq!(i_frames(Generation(3), TrackId::video(1)), "3/v1/iframes.m3u8");
        assert_eq!(still(Generation(3), Still::Poster), "3/poster.jpg");
        assert_eq!(segment(SegmentNumber(17)), "17.m4s");
        assert_eq!(text_segment(SegmentNumber(17)), "17.vtt");
    }
}
