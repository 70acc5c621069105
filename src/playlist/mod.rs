//! Playlists, pure: the plan and what the ledger measured become the texts that players read (RFC 8216bis).
//!
//! They are written by `m3u8-rs`. Where it prints less than the standard asks for, its extra attributes carry the rest;
//! where it keeps less than we mean (durations as `f32`), numbers are chosen that survive it.

mod captions;
mod durations;
mod iframes;
mod media;
mod multivariant;
pub mod names;
mod rates;
mod sound_groups;
mod storyboard;
#[cfg(test)]
mod testing;

pub use iframes::i_frames;
pub use media::{media, text};
pub use multivariant::{TrackFacts, multivariant};
pub use rates::{Rates, measure};
pub use storyboard::storyboard;

use crate::title::TrackId;

/// `EXT-X-VERSION` of all playlists but those of text: `EXT-X-MAP` outside of I-frame playlists needs 6 (RFC 8216bis 8), and the
/// multivariant playlist announces it, so that a player too old learns it at once.
const VERSION: usize = 6;

/// Why a playlist cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan does not have that track.
    #[error("the plan has no track {0}")]
    NoSuchTrack(TrackId),
    /// A track of the plan without facts.
    #[error("nothing is known of track {0}")]
    NoFacts(TrackId),
    /// A track's key frames are not one for each of its segments.
    #[error("track {0} does not have one key frame for each segment")]
    KeyFrames(TrackId),
    /// A plan without any track.
    #[error("the plan has no tracks")]
    NoTracks,
    /// The text could not be written.
    #[error("the playlist cannot be written: {0}")]
    Write(#[from] std::io::Error),
    /// The text is not UTF-8.
    #[error("the playlist is not text: {0}")]
    Text(#[from] std::string::FromUtf8Error),
}
