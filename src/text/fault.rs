//! What is wrong with a file of subtitles: what kind of fault, in which line, and what was expected there.

use std::fmt;

/// What kind of fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The bytes are no text.
    NotText,
    /// It is text of another format.
    OtherFormat,
    /// There is no cue in it.
    NoCues,
    /// A time cannot be read.
    BadTime,
    /// A cue ends before it starts.
    EndsBeforeStart,
    /// No cue lies within the title.
    BeyondTheEnd,
    /// More bytes than are taken.
    TooLarge,
    /// More lines than are taken.
    TooManyLines,
    /// More cues than are taken.
    TooManyCues,
    /// A cue has more text than is taken.
    CueTooLong,
}

impl FaultKind {
    /// The stable name, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotText => "not-text",
            Self::OtherFormat => "other-format",
            Self::NoCues => "no-cues",
            Self::BadTime => "bad-time",
            Self::EndsBeforeStart => "ends-before-start",
            Self::BeyondTheEnd => "beyond-the-end",
            Self::TooLarge => "too-large",
            Self::TooManyLines => "too-many-lines",
            Self::TooManyCues => "too-many-cues",
            Self::CueTooLong => "cue-too-long",
        }
    }

    /// Whether the file would be good if it were smaller.
    pub fn is_limit(self) -> bool {
        matches!(self, Self::TooLarge | Self::TooManyLines | Self::TooManyCues | Self::CueTooLong)
    }
}

/// Why a file of subtitles cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// What kind of fault it is.
    pub kind: FaultKind,
    /// In which line, counted from 1; absent when it is the whole.
    pub line: Option<u32>,
    /// What was found and what was expected; a phrase.
    pub message: String,
}

impl Fault {
    pub(super) fn whole(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, line: None, message: message.into() }
    }

    /// A fault in the line with that index from 0.
    pub(super) fn at(kind: FaultKind, index: usize, message: impl Into<String>) -> Self {
        Self { kind, line: Some(u32::try_from(index + 1).unwrap_or(u32::MAX)), message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, "line {line}: {}", self.message),
            None => out.write_str(&self.message),
        }
    }
}
