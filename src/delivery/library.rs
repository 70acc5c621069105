//! What delivery needs of the rest: titles' documents and segments, found, made or refused.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::semantics::Route;
use crate::title::{ContentHash, Download, Generation, KeyFrameSpan, Plan, SegmentNumber, Still, TitleId, TrackId};

/// A playlist, an init segment, a segment of text or a still: small, and read or made whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its bytes; the same for the same content on every node.
    pub bytes: Bytes,
    /// When it got this content, in Unix milliseconds, never in the future.
    pub changed_at_ms: u64,
}

/// Names one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentAddress {
    /// Of which title.
    pub title: TitleId,
    /// Of which plan.
    pub generation: Generation,
    /// Of which track.
    pub track: TrackId,
    /// Which one.
    pub number: SegmentNumber,
}

impl SegmentAddress {
    /// The route that names it.
    pub fn route(self) -> Route {
        let Self { title, generation, track, number } = self;
        Route::Segment { title, generation, track, number }
    }
}

/// What the ledger says of a finished segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// The hash of its bytes.
    pub hash: ContentHash,
    /// How many those are.
    pub size_bytes: u64,
    /// When it was finished, in Unix milliseconds, never in the future.
    pub finished_at_ms: u64,
}

/// What a progressive file is made of.
#[derive(Clone, Debug)]
pub struct Ingredients {
    /// The plan that its tracks are of.
    pub plan: Arc<Plan>,
    /// Its tracks, pictures first, each with all its segments in order.
    pub tracks: Vec<(TrackId, Vec<SegmentPart>)>,
    /// When it got this content, in Unix milliseconds, never in the future.
    pub changed_at_ms: u64,
}

/// What the ledger says of a segment that a progressive file takes bytes of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPart {
    /// The hash of its bytes.
    pub hash: ContentHash,
    /// How many those are.
    pub size_bytes: u64,
    /// Where its key frame lies; absent for sound.
    pub key_frame: Option<KeyFrameSpan>,
}

/// Why there is no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Miss {
    /// No plan names it.
    #[error("no plan names it")]
    Unknown,
    /// It is planned, but was not made in time.
    #[error("it is not made yet")]
    NotYet {
        /// When to ask again.
        retry_after: Duration,
    },
    /// It was there and will not come back, as what belongs to a former generation.
    #[error("it is gone")]
    Gone,
    /// Something that should be there cannot be had for the moment.
    #[error("it cannot be had at the moment")]
    Unavailable {
        /// When to ask again.
        retry_after: Duration,
    },
}

/// What a title is to those who ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is in the catalogue.
    Here,
    /// It was deleted not long ago.
    Gone,
    /// Nothing is known of it.
    Unknown,
}

/// Where objects come from that are not in memory. None of this is asked for an object that is.
///
/// Futures may be dropped at any point when their time is over. A change must be visible here before
/// [`Delivery::invalidate`](super::Delivery::invalidate) or [`forget`](super::Delivery::forget) is called for it.
pub trait Library: Send + Sync + 'static {
    /// Whether there is such a title, from memory and at constant cost: strangers may ask it as often as they like.
    fn presence(&self, title: TitleId) -> Presence;

    /// The title's multivariant playlist as it is now.
    fn multivariant(&self, title: TitleId) -> impl Future<Output = Result<Document, Miss>> + Send;

    /// The media playlist of a track.
    fn media_playlist(&self, title: TitleId, generation: Generation, track: TrackId)
    -> impl Future<Output = Result<Document, Miss>> + Send;

    /// The I-frame playlist of a track of pictures. It is unknown until all its segments are made; nothing names it before.
    fn i_frame_playlist(
        &self,
        title: TitleId,
        generation: Generation,
        track: TrackId,
    ) -> impl Future<Output = Result<Document, Miss>> + Send;

    /// A still. It is unknown until it is made; nothing names it before.
    fn still(&self, title: TitleId, generation: Generation, still: Still) -> impl Future<Output = Result<Document, Miss>> + Send;

    /// The init segment of a track, waiting until `deadline` for it to be known.
    fn init(
        &self,
        title: TitleId,
        generation: Generation,
        track: TrackId,
        deadline: Instant,
    ) -> impl Future<Output = Result<Document, Miss>> + Send;

    /// A segment of a text track.
    fn text_segment(
        &self,
        title: TitleId,
        generation: Generation,
        track: TrackId,
        number: SegmentNumber,
    ) -> impl Future<Output = Result<Document, Miss>> + Send;

    /// The ledger's row of a segment of pictures or sound; one that is not made yet is asked for and waited for until `deadline`.
    fn find_segment(&self, segment: SegmentAddress, deadline: Instant) -> impl Future<Output = Result<SegmentFacts, Miss>> + Send;

    /// The bytes of a segment that was found: exactly those with the hash of `facts`.
    fn read_segment(&self, segment: SegmentAddress, facts: &SegmentFacts) -> impl Future<Output = Result<Bytes, Miss>> + Send;

    /// What a progressive file is made of. It is unknown until all its segments are made, and nothing is made for it; nothing
    /// names it before.
    fn download(&self, title: TitleId, generation: Generation, file: Download) -> impl Future<Output = Result<Ingredients, Miss>> + Send;

    /// Parts of an object of the ledger, each exactly as long as its range.
    fn read_parts(
        &self,
        title: TitleId,
        hash: ContentHash,
        ranges: Vec<Range<u64>>,
    ) -> impl Future<Output = Result<Vec<Bytes>, Miss>> + Send;

    /// What people call a title, as of some seconds ago.
    fn title_name(&self, title: TitleId) -> impl Future<Output = Option<Arc<str>>> + Send;

    /// The ledger's row of a segment that is made already; nothing is made for this question. Absent also when it cannot be told.
    fn made_segment(&self, segment: SegmentAddress) -> impl Future<Output = Option<SegmentFacts>> + Send;
}
