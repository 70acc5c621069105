//! What a check of durable state finds, each in a plain sentence.

use std::fmt;
use std::path::PathBuf;

use crate::catalogue::Contradiction;
use crate::store::Key;
use crate::title::{ContentHash, SegmentNumber, Still, TitleId, TitleState, TrackId};

/// A part of a title that the catalogue says is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The source as it was uploaded.
    Source,
    /// The init segment of a track.
    Init(TrackId),
    /// A media segment.
    Segment(TrackId, SegmentNumber),
    /// The cues of a text track.
    Document(ContentHash),
    /// The poster or a part of the storyboard.
    Still(Still),
}

/// A broken invariant of durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// What the catalogue names is not in the store.
    Missing {
        /// Of which title.
        title: TitleId,
        /// Which part.
        part: Part,
    },
    /// It is there with another length.
    WrongLength {
        /// Of which title.
        title: TitleId,
        /// Which part.
        part: Part,
        /// Its length as recorded.
        recorded_bytes: u64,
        /// Its length in the store.
        found_bytes: u64,
    },
    /// It is there with other contents.
    WrongHash {
        /// Of which title.
        title: TitleId,
        /// Which part.
        part: Part,
    },
    /// An object of a finished title that nothing names.
    Unnamed {
        /// Of which title.
        title: TitleId,
        /// Which object.
        key: Key,
    },
    /// Files of a title that is neither in the catalogue nor on the garbage list.
    Ownerless {
        /// Of which title.
        title: TitleId,
        /// How many files.
        files: u64,
    },
    /// A file in the store that no key leads to, relative to the store's root.
    Stranger(PathBuf),
    /// The catalogue contradicts itself.
    Contradiction(Contradiction),
    /// What the catalogue holds of a title cannot be read.
    Unreadable {
        /// Of which title.
        title: TitleId,
        /// Why.
        why: String,
    },
}

/// Files without a row that are no violation, since their title is on its way: a task that was under way when the check came
/// by, or was killed, left them, and the next start or the title's end deals with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Of which title.
    pub title: TitleId,
    /// Its state; absent for a deleted title.
    pub state: Option<TitleState>,
    /// How many files.
    pub files: u64,
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => out.write_str("the source"),
            Self::Init(track) => write!(out, "the init segment of track {track}"),
            Self::Segment(track, number) => write!(out, "segment {number} of track {track}"),
            Self::Document(hash) => write!(out, "the document {hash} of its subtitles"),
            Self::Still(still) => write!(out, "the still {still}"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { title, part } => write!(out, "Title {title}: {part} is not in the store."),
            Self::WrongLength { title, part, recorded_bytes, found_bytes } => {
                write!(out, "Title {title}: {part} has {found_bytes} bytes in the store, but {recorded_bytes} are recorded.")
            }
            Self::WrongHash { title, part } => write!(out, "Title {title}: {part} is damaged; its hash is not the recorded one."),
            Self::Unnamed { title, key } => write!(out, "Title {title} is finished, but nothing names its object {key}."),
            Self::Ownerless { title, files } => {
                write!(out, "The store has {files} files of title {title}, which is neither known nor being deleted.")
            }
            Self::Stranger(path) => write!(out, "The store has the file {}, which belongs to nothing.", path.display()),
            Self::Contradiction(contradiction) => contradiction.fmt(out),
            Self::Unreadable { title, why } => write!(out, "Title {title}: its record cannot be read: {why}."),
        }
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (title, files) = (self.title, self.files);
        match self.state {
            Some(state) => write!(out, "Title {title} is {}: {files} of its stored files have no row.", state.as_str()),
            None => write!(out, "Title {title} is deleted: {files} of its stored files wait to be removed."),
        }
    }
}
