//! The text renditions of a plan: subtitles and captions.

use serde::{Deserialize, Serialize};

use crate::title::ContentHash;

/// What the text of a track is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TextKind {
    /// What is said, in another language or for those who like to read along.
    Subtitles,
    /// What is said and heard, for those who do not hear it (SDH).
    Captions,
    /// Only what every viewer needs, such as signs and foreign speech.
    Forced,
}

/// Where a text track came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextOrigin {
    /// A stream of the source, by its index.
    Source(u32),
    /// A file that was added to the title.
    SideCar,
}

/// One text rendition. Its cues are one document, an object of the title; its segments are cut out of that when asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextTrack {
    /// What a player's menu shows; unique among the text tracks.
    pub name: String,
    /// Language as BCP 47, if it is known.
    pub language: Option<String>,
    /// What it is for.
    pub kind: TextKind,
    /// Whether it is shown when nobody chose.
    pub default: bool,
    /// Where it came from.
    pub origin: TextOrigin,
    /// The object that holds its cues.
    pub document: ContentHash,
}
