//! The text renditions of a plan: subtitles and captions.

use serde::{Deserialize, Serialize};

use crate::title::{ContentHash, Generation, TrackId};

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

impl TextKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Subtitles, Self::Captions, Self::Forced];

    /// The stable name, as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subtitles => "subtitles",
            Self::Captions => "captions",
            Self::Forced => "forced",
        }
    }
}

impl std::str::FromStr for TextKind {
    type Err = InvalidTextKind;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or(InvalidTextKind)
    }
}

/// A word that names no kind of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of subtitles: use subtitles, captions or forced")]
pub struct InvalidTextKind;

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
    /// Length of that object in bytes.
    pub document_bytes: u64,
    /// The generation in which it appeared as it is. Its URLs are those of that generation for ever.
    pub since: Generation,
    /// Its place among the text tracks of that generation.
    pub index: u8,
}

impl TextTrack {
    /// What it is called within the generation in which it appeared.
    pub fn id(&self) -> TrackId {
        TrackId::text(self.index)
    }
}
