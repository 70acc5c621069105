//! Subtitles and captions, pure: from what people and sources have to WebVTT, and from that to segments.
//!
//! Whatever a text track is made of, its cues end in one [`Document`]: sorted, within the title, in the form of WebVTT. It is
//! stored once; a segment is cut out of it when it is asked for ([`Document::segment`]), and so is a pure function of document
//! and period. What of WebVTT is kept: cues with their settings, and the tags `i b u c v lang ruby rt`. What is dropped:
//! comments, style sheets and regions, which no player of HLS applies alike, and times within cues.

mod ass;
mod clock;
mod cue_text;
mod document;
mod encoding;
mod fault;
mod positions;
mod scan;
mod sidecar;
mod source;
mod tracks;

pub use document::{Cue, Document};
pub use fault::{Fault, FaultKind};
pub use sidecar::{Limits, read as read_sidecar};
pub use source::{SourceCue, SourceText, convert};
pub use tracks::{SideCar, TEXT_TRACKS_MAX, TooManyTracks, put, remove};

/// Text of one cue in bytes, at most; a screen takes a few hundred.
pub const CUE_TEXT_BYTES_MAX: usize = 8 << 10;
/// Cues of one document, at most; a film has about two thousand.
pub const CUES_MAX: usize = 50_000;
