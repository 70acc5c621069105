//! Tracks: one elementary stream of the output, and the codec header its init segment is made of.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Subtitles and captions.
    Text,
}

/// Names a track within a generation: its kind and its index in the plan's list of that kind. Written `v0`, `a1`, `s2`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TrackId {
    /// Pictures, sound or text.
    pub kind: TrackKind,
    /// Index into `Plan::video`, `Plan::audio` or `Plan::text`.
    pub index: u8,
}

impl TrackId {
    /// The `index`-th video track of the plan.
    pub const fn video(index: u8) -> Self {
        Self { kind: TrackKind::Video, index }
    }

    /// The `index`-th audio track of the plan.
    pub const fn audio(index: u8) -> Self {
        Self { kind: TrackKind::Audio, index }
    }

    /// The `index`-th text track of the plan.
    pub const fn text(index: u8) -> Self {
        Self { kind: TrackKind::Text, index }
    }

    /// Reads `v0`, `a12`; one canonical spelling each.
    ///
    /// # Errors
    /// [`InvalidTrackId`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidTrackId> {
        let (kind, digits) = match text.split_at_checked(1) {
            Some(("v", digits)) => (TrackKind::Video, digits),
            Some(("a", digits)) => (TrackKind::Audio, digits),
            Some(("s", digits)) => (TrackKind::Text, digits),
            _ => return Err(InvalidTrackId),
        };
        let index: u8 = digits.parse().map_err(|_| InvalidTrackId)?;
        // Every track has one name: no sign, no zero before other digits.
        if digits.starts_with('+') || digits.starts_with('0') && digits != "0" {
            return Err(InvalidTrackId);
        }
        Ok(Self { kind, index })
    }
}

impl fmt::Display for TrackId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.kind {
            TrackKind::Video => 'v',
            TrackKind::Audio => 'a',
            TrackKind::Text => 's',
        };
        write!(out, "{letter}{}", self.index)
    }
}

impl fmt::Debug for TrackId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for TrackId {
    type Err = InvalidTrackId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// The text names no track: expected `v`, `a` or `s` and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a track: expected v, a or s and a number, as v0")]
pub struct InvalidTrackId;

/// What a decoder must be told before the first sample of a track, as the encoder wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CodecHeader {
    /// H.264 parameter sets, each a NAL unit without start code or length (ISO 14496-15 5.3.3.1).
    Avc {
        /// Sequence parameter sets; at least one.
        sps: Vec<Bytes>,
        /// Picture parameter sets; at least one.
        pps: Vec<Bytes>,
    },
    /// HEVC parameter sets, each a NAL unit without start code or length (ISO 14496-15 8.3.3.1).
    Hevc {
        /// Video parameter sets; at least one.
        vps: Vec<Bytes>,
        /// Sequence parameter sets; at least one.
        sps: Vec<Bytes>,
        /// Picture parameter sets; at least one.
        pps: Vec<Bytes>,
    },
    /// The AudioSpecificConfig of an AAC stream (ISO 14496-3 1.6.2.1).
    Aac {
        /// The configuration's bytes.
        config: Bytes,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_each() {
        for (text, expect) in [
            ("v0", Ok(TrackId::video(0))),
            ("a12", Ok(TrackId::audio(12))),
            ("s3", Ok(TrackId::text(3))),
            ("v00", Err(InvalidTrackId)),
            ("v+1", Err(InvalidTrackId)),
            ("v256", Err(InvalidTrackId)),
            ("x0", Err(InvalidTrackId)),
            ("v", Err(InvalidTrackId)),
            ("", Err(InvalidTrackId)),
            ("é0", Err(InvalidTrackId)),
        ] {
            assert_eq!(TrackId::parse(text), expect, "{text}");
        }
        assert_eq!(TrackId::audio(3).to_string(), "a3");
    }
}
