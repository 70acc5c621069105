//! What of a plan is copied instead of encoded. Decided from the survey alone, after the plan was made as if all were encoded:
//! copying changes where a title is cut, which rendition is the largest and how high the others may go, and nothing else.

mod picture;
mod sound;
#[cfg(test)]
mod tests;

pub use picture::{CopyGrid, copy_picture};
pub(super) use sound::copy_sounds;
pub use sound::{SoundPlacement, copy_sound, sound_placement};

use crate::title::CopyDoubt;

/// Why a stream is encoded although it might have been copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyRefusal {
    /// The configuration says so, or there is no such rendition.
    #[error("copying is off")]
    Off,
    /// The survey found something.
    #[error(transparent)]
    Doubt(#[from] CopyDoubt),
    /// The picture is stored turned or mirrored.
    #[error("the picture is not upright")]
    Turned,
    /// The picture's pixels are not square, or container and stream disagree about its size.
    #[error("the picture's size or pixel shape is doubtful")]
    Shape,
    /// The picture is in fields, of which whole pictures are to be made.
    #[error("the picture is interlaced")]
    Interlaced,
    /// Colours that players do not show alike, or about which container and stream disagree.
    #[error("its colours are doubtful")]
    Colours,
    /// More pictures a second than are published.
    #[error("it has too many pictures a second")]
    FrameRate,
    /// Too much of the title has no picture of its own.
    #[error("too many pictures are missing")]
    Holes,
    /// The places where it can be cut are too far apart.
    #[error("it cannot be cut often enough")]
    Cuts,
    /// It is larger than the ladder goes.
    #[error("the ladder does not go as high")]
    Size,
    /// It takes more than the ladder allows.
    #[error("its bit rate is too high")]
    BitRate,
    /// The sound's level is to be changed.
    #[error("its level is changed")]
    Gain,
    /// The sound's frames lie too far from where they would have to lie.
    #[error("its frames lie between those of the presentation")]
    Placement,
}
