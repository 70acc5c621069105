//! What the catalogue keeps of a title, as it is handed out.

use std::collections::BTreeMap;
use std::fmt;

use crate::playlist::Rates;
use crate::title::{
    CodecHeader, ContentHash, Generation, KeyFrameSpan, Loudness, Plan, Problem, Remark, SegmentNumber, SourceFacts, Still, TitleId,
    TitleState, TrackId,
};

/// The source as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceRecord {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its hash.
    pub sha256: ContentHash,
}

/// A title, without its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TitleRecord {
    /// Which title.
    pub id: TitleId,
    /// What people call it.
    pub name: String,
    /// Where it stands.
    pub state: TitleState,
    /// The generation that viewers are given; it has a plan from [`TitleState::Processing`] on.
    pub generation: Generation,
    /// The generation whose tracks and segments that one uses: itself, or an earlier one when only text has changed since.
    pub ledger: Generation,
    /// When it was created, in Unix milliseconds.
    pub created_at_ms: i64,
    /// When it changed last, in Unix milliseconds.
    pub updated_at_ms: i64,
    /// The catalogue's revision that its last change made.
    pub revision: i64,
    /// The source, once it was received whole. A failed title keeps the record, though not the bytes.
    pub source: Option<SourceRecord>,
    /// Why it failed.
    pub problem: Option<Problem>,
    /// What was found and done.
    pub remarks: Vec<Remark>,
    /// Segments in the ledger.
    pub segments_done: u64,
    /// Segments of the plan, all tracks together; 0 before it is planned.
    pub segments_total: u64,
    /// Whether the loudness of its generation was measured.
    pub has_loudness: bool,
    /// Whether it has a poster.
    pub has_poster: bool,
    /// Whether it has a storyboard.
    pub has_storyboard: bool,
}

/// One track of a planned title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackRecord {
    /// Which track.
    pub track: TrackId,
    /// What its init segment is made of.
    pub header: CodecHeader,
    /// The codec as playlists name it (RFC 6381).
    pub codec: String,
    /// The object that is its init segment.
    pub init_hash: ContentHash,
    /// Length of the init segment in bytes.
    pub init_bytes: u64,
    /// Measured rates, once all its segments are made.
    pub rates: Option<TrackRates>,
}

/// Measured bit rates of a track, as RFC 8216bis defines BANDWIDTH and AVERAGE-BANDWIDTH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackRates {
    /// Highest rate of any segment in bits a second.
    pub peak_bps: u64,
    /// Rate over the whole track in bits a second.
    pub average_bps: u64,
    /// Those of its key frames alone; absent for sound, and where a segment's key frame is not known.
    pub key_frames: Option<Rates>,
}

/// A generation of a title: what was found, what was planned, and the tracks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRecord {
    /// Which generation.
    pub generation: Generation,
    /// The generation that `tracks` and the segments belong to: itself, or an earlier one when only text has changed since.
    pub ledger: Generation,
    /// When it was planned or got its text, in Unix milliseconds.
    pub planned_at_ms: i64,
    /// What the survey found.
    pub facts: SourceFacts,
    /// What was planned from it.
    pub plan: Plan,
    /// The tracks in the order of [`Plan::tracks`].
    pub tracks: Vec<TrackRecord>,
    /// When its last segment was made, in Unix milliseconds.
    pub finished_at_ms: Option<i64>,
    /// How loud the audio streams of the source are, by index; absent before they were measured.
    pub loudness: Option<BTreeMap<u32, Loudness>>,
}

/// A row of the ledger: a segment that is durable in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRecord {
    /// Of which track.
    pub track: TrackId,
    /// Which segment.
    pub number: SegmentNumber,
    /// The object that holds it.
    pub hash: ContentHash,
    /// Its length in bytes.
    pub bytes: u64,
    /// Decoding time of its first sample in ticks of the track's timescale.
    pub decode_time_ticks: u64,
    /// Its length in ticks of the track's timescale.
    pub duration_ticks: u64,
    /// Whether decoding can begin with its first sample.
    pub starts_with_key_frame: bool,
    /// Frames or samples that were filled in.
    pub concealed: u64,
    /// Frames or samples of the source that were left out.
    pub dropped: u64,
    /// Where its key frame lies; absent for sound, and in rows that an earlier version wrote.
    pub key_frame: Option<KeyFrameSpan>,
}

/// A still that is durable in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillRecord {
    /// Which one.
    pub still: Still,
    /// The object that holds it.
    pub hash: ContentHash,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What happened to a title after some revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The title was created or changed; this is how it is now.
    Title(TitleRecord),
    /// The title was deleted.
    Deleted {
        /// Which title it was.
        id: TitleId,
        /// The catalogue's revision that its deletion made.
        revision: i64,
    },
}

impl Change {
    /// The catalogue's revision that the change made.
    pub fn revision(&self) -> i64 {
        match self {
            Self::Title(title) => title.revision,
            Self::Deleted { revision, .. } => *revision,
        }
    }
}

/// Some titles of a list, newest first, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The titles.
    pub titles: Vec<TitleRecord>,
    /// Where the next page starts; absent on the last one.
    pub next: Option<Cursor>,
}

/// A place in the list of titles. It stays good whatever is created or deleted meanwhile. Its written form is opaque.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub(super) TitleId);

impl Cursor {
    /// Reads the written form back.
    ///
    /// # Errors
    /// [`InvalidCursor`] for anything that was not written by a cursor.
    pub fn parse(text: &str) -> Result<Self, InvalidCursor> {
        let id = text.strip_prefix("t-").ok_or(InvalidCursor)?;
        TitleId::parse(id).map(Self).map_err(|_| InvalidCursor)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "t-{}", self.0)
    }
}

/// The text is no cursor that this catalogue gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor: use the value of 'next' of the page before")]
pub struct InvalidCursor;
