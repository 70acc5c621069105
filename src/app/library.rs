//! Where delivery's objects come from: the catalogue, the store, and the scheduler for what is not made yet.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use moka::future::Cache;
use tokio::time::Instant;

use super::listing::{Listing, Standing};
use crate::catalogue::{self, Catalogue, Generations, Life, PlanRecord, SegmentRecord};
use crate::delivery::{Document, Ingredients, Library, Miss, Presence, SegmentAddress, SegmentFacts, SegmentPart};
use crate::playlist::{self, TrackFacts};
use crate::schedule::{self, Clock, Scheduler};
use crate::store::{self, Key, Store};
use crate::text;
use crate::title::{
    ContentHash, Download, Generation, KeyFrameSpan, Plan, SegmentNumber, Still, Storyboard, TitleId, TitleState, TrackId, TrackKind,
};

/// Plans kept in memory; one of a long film takes some tens of kilobytes.
const PLANS_MAX: u64 = 512;
/// What a cue takes in memory beside its text.
const CUE_BYTES: usize = 96;
/// Names of titles kept in memory, and for how long, so that a new one is soon told.
const NAMES_MAX: u64 = 4096;
const NAME_AGE_MAX: Duration = Duration::from_secs(5);
/// When to ask again for a segment that was not made in time.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// When to ask again while storage cannot be reached.
const RETRY_STORAGE_AFTER: Duration = Duration::from_secs(5);

/// The shelf that delivery takes from.
pub struct Shelf {
    catalogue: Catalogue,
    store: Store,
    scheduler: Scheduler,
    listing: Listing,
    clock: Clock,
    grace: Duration,
    plans: Cache<(TitleId, Generation), Arc<Planned>>,
    /// By title and its newest generation.
    generations: Cache<(TitleId, Generation), Arc<Generations>>,
    documents: Cache<(TitleId, ContentHash), Arc<text::Document>>,
    names: Cache<TitleId, Arc<str>>,
}

/// What never changes about a generation.
struct Planned {
    plan: Arc<Plan>,
    /// Where its tracks and segments are.
    ledger: Generation,
    planned_at_ms: u64,
    inits: HashMap<TrackId, ContentHash>,
}

impl Shelf {
    /// An empty shelf; [`Shelf::put`] what the catalogue has. What was replaced is answered for `grace` more. Documents of
    /// subtitles that segments are cut out of may take `documents_bytes`; one of a film takes some hundred kilobytes.
    pub fn new(catalogue: Catalogue, store: Store, scheduler: Scheduler, clock: Clock, grace: Duration, documents_bytes: u64) -> Self {
        let weigh = |_: &_, document: &Arc<text::Document>| {
            let cues = document.cues().iter().map(|cue| cue.text.len() + cue.settings.len() + CUE_BYTES);
            u32::try_from(cues.sum::<usize>()).unwrap_or(u32::MAX)
        };
        let documents = Cache::builder().max_capacity(documents_bytes).weigher(weigh).build();
        let names = Cache::builder().max_capacity(NAMES_MAX).time_to_live(NAME_AGE_MAX).build();
        let (plans, generations) = (Cache::new(PLANS_MAX), Cache::new(PLANS_MAX));
        Self { catalogue, store, scheduler, listing: Listing::default(), clock, grace, plans, generations, documents, names }
    }

    /// Notes where a title stands; gives where it stood before.
    pub fn put(&self, id: TitleId, standing: Standing) -> Option<Standing> {
        self.listing.put(id, standing)
    }

    /// Takes a title off. For the time of grace it is known to be gone.
    pub fn remove(&self, id: TitleId) {
        self.listing.remove(id, (self.clock)().saturating_add(self.grace_ms()));
    }

    /// The titles that have had more than one generation.
    pub fn changed(&self) -> Vec<TitleId> {
        self.listing.changed()
    }

    /// The text tracks of a title whose grace is over, by the generation in which they appeared.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn ended(&self, id: TitleId) -> Result<Vec<(Generation, TrackId)>, Miss> {
        let Some((_, newest)) = self.listing.standing(id) else { return Ok(Vec::new()) };
        let generations = self.generations(id, newest).await?;
        Ok(generations.ended().filter(|(_, _, at_ms)| self.is_over(*at_ms)).map(|(since, track, _)| (since, track)).collect())
    }

    /// What was replaced before this is over, in Unix milliseconds.
    pub fn over_before_ms(&self) -> i64 {
        (self.clock)().saturating_sub(self.grace_ms())
    }

    fn grace_ms(&self) -> i64 {
        i64::try_from(self.grace.as_millis()).unwrap_or(i64::MAX)
    }

    fn is_over(&self, ended_at_ms: i64) -> bool {
        ended_at_ms < self.over_before_ms()
    }

    async fn generations(&self, id: TitleId, newest: Generation) -> Result<Arc<Generations>, Miss> {
        let key = (id, newest);
        if let Some(generations) = self.generations.get(&key).await {
            return Ok(generations);
        }
        let generations = Arc::new(self.catalogue.generations(id).await.map_err(missing_row)?);
        self.generations.insert(key, Arc::clone(&generations)).await;
        Ok(generations)
    }

    /// Whether a text track is answered: as long as it is shown, and for the time of grace after that.
    async fn still_answered(&self, id: TitleId, since: Generation, track: TrackId) -> Result<(), Miss> {
        let (_, newest) = self.listing.standing(id).ok_or(Miss::Gone)?;
        match self.generations(id, newest).await?.life(since, track) {
            Some(Life::Ended { at_ms }) if self.is_over(at_ms) => Err(Miss::Gone),
            _ => Ok(()),
        }
    }

    /// Titles by state.
    pub fn counts(&self) -> HashMap<TitleState, i64> {
        self.listing.counts()
    }

    /// A generation of a title. What cannot exist is unknown from memory alone, so that no path asks the catalogue about it.
    async fn planned(&self, id: TitleId, generation: Generation) -> Result<Arc<Planned>, Miss> {
        if let Some(planned) = self.plans.get(&(id, generation)).await {
            return Ok(planned);
        }
        let (state, newest) = self.listing.standing(id).ok_or(Miss::Gone)?;
        if !matches!(state, TitleState::Processing | TitleState::Ready) || generation > newest {
            return Err(Miss::Unknown);
        }
        let record = self.catalogue.plan(id, generation).await.map_err(|error| match missing_row(error) {
            // Generations are counted without gaps, so this was one.
            Miss::Unknown => Miss::Gone,
            miss => miss,
        })?;
        let planned = Arc::new(Planned {
            planned_at_ms: time(record.planned_at_ms),
            ledger: record.ledger,
            inits: record.tracks.iter().map(|track| (track.track, track.init_hash)).collect(),
            plan: Arc::new(record.plan),
        });
        self.plans.insert((id, generation), Arc::clone(&planned)).await;
        Ok(planned)
    }

    /// A stored document of subtitles, read once for all its segments.
    async fn document(&self, title: TitleId, hash: ContentHash) -> Result<Arc<text::Document>, Miss> {
        let key = (title, hash);
        if let Some(document) = self.documents.get(&key).await {
            return Ok(document);
        }
        let bytes = self.store.get(Key::Object(title, hash)).await.map_err(missing_object)?;
        let whole = ContentHash::of(&bytes) == hash;
        let document = std::str::from_utf8(&bytes).ok().filter(|_| whole).and_then(text::Document::read).map(Arc::new);
        let Some(document) = document else {
            tracing::error!(%title, %hash, "a stored document of subtitles is damaged");
            return Err(Miss::Unavailable { retry_after: RETRY_STORAGE_AFTER });
        };
        self.documents.insert(key, Arc::clone(&document)).await;
        Ok(document)
    }

    async fn row(&self, segment: SegmentAddress) -> Result<Option<SegmentRecord>, Miss> {
        match self.catalogue.segment(segment.title, segment.generation, segment.track, segment.number).await {
            Ok(row) => Ok(Some(row)),
            Err(catalogue::Error::NotFound(_)) => Ok(None),
            Err(error) => Err(missing_row(error)),
        }
    }
}

impl Library for Shelf {
    fn presence(&self, title: TitleId) -> Presence {
        self.listing.presence(title, (self.clock)())
    }

    async fn multivariant(&self, id: TitleId) -> Result<Document, Miss> {
        let title = self.catalogue.title(id).await.map_err(missing_row)?;
        // Whoever reads this playlist asks for what it names at once.
        self.listing.seen(id, (title.state, title.generation));
        let record = self.catalogue.plan(id, title.generation).await.map_err(missing_row)?;
        let text = playlist::multivariant(&record.plan, record.ledger, &facts(&record)).map_err(unrenderable)?;
        // Finishing measures its rates; a later generation changes its text.
        let changed_at_ms = time(record.finished_at_ms.unwrap_or(record.planned_at_ms).max(record.planned_at_ms));
        Ok(Document { bytes: Bytes::from(text), changed_at_ms })
    }

    async fn media_playlist(&self, title: TitleId, generation: Generation, track: TrackId) -> Result<Document, Miss> {
        let planned = self.planned(title, generation).await?;
        if track.kind == TrackKind::Text {
            planned.plan.text_track(generation, track).ok_or(Miss::Unknown)?;
            self.still_answered(title, generation, track).await?;
            let text = playlist::text(&planned.plan).map_err(unrenderable)?;
            return Ok(Document { bytes: Bytes::from(text), changed_at_ms: planned.planned_at_ms });
        }
        // Everything has one URL: pictures and sound that of the generation for which they are made.
        if !planned.plan.has(track) || planned.ledger != generation {
            return Err(Miss::Unknown);
        }
        let text = playlist::media(&planned.plan, track).map_err(unrenderable)?;
        Ok(Document { bytes: Bytes::from(text), changed_at_ms: planned.planned_at_ms })
    }

    async fn i_frame_playlist(&self, title: TitleId, generation: Generation, track: TrackId) -> Result<Document, Miss> {
        let planned = self.planned(title, generation).await?;
        if planned.ledger != generation || !planned.plan.has(track) {
            return Err(Miss::Unknown);
        }
        let count = planned.plan.timeline.segment_count();
        let rows = self.catalogue.ledger_from(title, generation, track, SegmentNumber(0), count).await.map_err(missing_row)?;
        let key_frames: Vec<KeyFrameSpan> = rows.iter().filter_map(|row| row.key_frame).collect();
        match playlist::i_frames(&planned.plan, track, &key_frames) {
            Ok(text) => Ok(Document { bytes: Bytes::from(text), changed_at_ms: planned.planned_at_ms }),
            // Nothing names it before all segments are made.
            Err(playlist::Error::NoSuchTrack(_) | playlist::Error::KeyFrames(_)) => Err(Miss::Unknown),
            Err(error) => Err(unrenderable(error)),
        }
    }

    async fn still(&self, title: TitleId, generation: Generation, still: Still) -> Result<Document, Miss> {
        let planned = self.planned(title, generation).await?;
        let sheets = Storyboard::of(&planned.plan).map_or(0, |storyboard| storyboard.sheets());
        if planned.ledger != generation || matches!(still, Still::Sprite(sheet) if sheet >= sheets) {
            return Err(Miss::Unknown);
        }
        let row = self.catalogue.still(title, generation, still).await.map_err(missing_row)?;
        let bytes = self.store.get(Key::Object(title, row.hash)).await.map_err(missing_object)?;
        if ContentHash::of(&bytes) != row.hash {
            tracing::error!(%title, %still, "a stored still is damaged");
            return Err(Miss::Unavailable { retry_after: RETRY_STORAGE_AFTER });
        }
        Ok(Document { bytes, changed_at_ms: planned.planned_at_ms })
    }

    async fn init(&self, title: TitleId, generation: Generation, track: TrackId, _deadline: Instant) -> Result<Document, Miss> {
        let planned = self.planned(title, generation).await?;
        let hash = *planned.inits.get(&track).filter(|_| planned.ledger == generation).ok_or(Miss::Unknown)?;
        let bytes = self.store.get(Key::Object(title, hash)).await.map_err(missing_object)?;
        Ok(Document { bytes, changed_at_ms: planned.planned_at_ms })
    }

    async fn text_segment(&self, title: TitleId, generation: Generation, track: TrackId, number: SegmentNumber) -> Result<Document, Miss> {
        let planned = self.planned(title, generation).await?;
        let text = planned.plan.text_track(generation, track).ok_or(Miss::Unknown)?;
        let period_ms = planned.plan.timeline.period_ms(number).ok_or(Miss::Unknown)?;
        self.still_answered(title, generation, track).await?;
        let document = self.document(title, text.document).await?;
        Ok(Document { bytes: Bytes::from(document.segment(period_ms)), changed_at_ms: planned.planned_at_ms })
    }

    async fn find_segment(&self, segment: SegmentAddress, deadline: Instant) -> Result<SegmentFacts, Miss> {
        let planned = self.planned(segment.title, segment.generation).await?;
        if planned.ledger != segment.generation
            || !planned.plan.has(segment.track)
            || planned.plan.timeline.frames(segment.number).is_none()
        {
            return Err(Miss::Unknown);
        }
        let mut row = self.row(segment).await?;
        if row.is_none() {
            let SegmentAddress { title, generation, track, number } = segment;
            let patience = deadline.saturating_duration_since(Instant::now());
            match self.scheduler.demand(title, generation, track, number, patience).await {
                // Nobody makes it any more: it has just been made, or its title is gone.
                Ok(()) | Err(schedule::Miss::NoSuchSegment) => {}
                Err(schedule::Miss::NotYet) => return Err(Miss::NotYet { retry_after: RETRY_AFTER }),
                Err(schedule::Miss::Busy) => return Err(Miss::Unavailable { retry_after: RETRY_AFTER }),
            }
            row = self.row(segment).await?;
        }
        let row = row.ok_or(Miss::Gone)?;
        Ok(SegmentFacts { hash: row.hash, size_bytes: row.bytes, finished_at_ms: planned.planned_at_ms })
    }

    async fn read_segment(&self, segment: SegmentAddress, facts: &SegmentFacts) -> Result<Bytes, Miss> {
        let bytes = self.store.get(Key::Object(segment.title, facts.hash)).await.map_err(missing_object)?;
        if ContentHash::of(&bytes) != facts.hash {
            tracing::error!(title = %segment.title, hash = %facts.hash, "a stored segment is damaged");
            return Err(Miss::Unavailable { retry_after: RETRY_STORAGE_AFTER });
        }
        Ok(bytes)
    }

    async fn download(&self, title: TitleId, generation: Generation, file: Download) -> Result<Ingredients, Miss> {
        let planned = self.planned(title, generation).await?;
        let tracks = file.tracks(&planned.plan).filter(|_| planned.ledger == generation).ok_or(Miss::Unknown)?;
        let count = planned.plan.timeline.segment_count();
        let mut ingredients = Vec::with_capacity(tracks.len());
        for track in tracks {
            let rows = self.catalogue.ledger_from(title, generation, track, SegmentNumber(0), count).await.map_err(missing_row)?;
            if rows.len() != count as usize {
                return Err(Miss::Unknown);
            }
            let part = |row: &SegmentRecord| SegmentPart { hash: row.hash, size_bytes: row.bytes, key_frame: row.key_frame };
            ingredients.push((track, rows.iter().map(part).collect()));
        }
        Ok(Ingredients { plan: Arc::clone(&planned.plan), tracks: ingredients, changed_at_ms: planned.planned_at_ms })
    }

    async fn read_parts(&self, title: TitleId, hash: ContentHash, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, Miss> {
        let parts = self.store.get_ranges(Key::Object(title, hash), &ranges).await.map_err(missing_object)?;
        if !parts.iter().map(|part| part.len() as u64).eq(ranges.iter().map(|range| range.end - range.start)) {
            tracing::error!(%title, %hash, ?ranges, "a stored object is shorter than it should be");
            return Err(Miss::Unavailable { retry_after: RETRY_STORAGE_AFTER });
        }
        Ok(parts)
    }

    async fn title_name(&self, title: TitleId) -> Option<Arc<str>> {
        let read = async { self.catalogue.title(title).await.map(|record| Arc::from(record.name)) };
        self.names.try_get_with(title, read).await.inspect_err(|error| tracing::error!(%error, "a title's name cannot be read")).ok()
    }

    async fn made_segment(&self, segment: SegmentAddress) -> Option<SegmentFacts> {
        let planned = self.planned(segment.title, segment.generation).await.ok()?;
        planned.plan.timeline.frames(segment.number)?;
        let row = self.row(segment).await.ok()??;
        Some(SegmentFacts { hash: row.hash, size_bytes: row.bytes, finished_at_ms: planned.planned_at_ms })
    }
}

/// What the multivariant playlist says of each track, as far as it is known.
pub fn facts(record: &PlanRecord) -> BTreeMap<TrackId, TrackFacts> {
    let facts = record.tracks.iter().map(|track| {
        let facts = TrackFacts {
            codec: track.codec.clone(),
            peak_bps: track.rates.map(|rates| rates.peak_bps),
            average_bps: track.rates.map(|rates| rates.average_bps),
            key_frames: track.rates.and_then(|rates| rates.key_frames),
        };
        (track.track, facts)
    });
    facts.collect()
}

fn time(unix_ms: i64) -> u64 {
    u64::try_from(unix_ms).unwrap_or(0)
}

fn missing_row(error: catalogue::Error) -> Miss {
    match error {
        catalogue::Error::NotFound(_) => Miss::Unknown,
        error => {
            tracing::error!(%error, "the catalogue did not answer");
            Miss::Unavailable { retry_after: RETRY_STORAGE_AFTER }
        }
    }
}

fn missing_object(error: store::Error) -> Miss {
    tracing::error!(%error, "an object of the ledger cannot be read");
    Miss::Unavailable { retry_after: RETRY_STORAGE_AFTER }
}

fn unrenderable(error: playlist::Error) -> Miss {
    tracing::error!(%error, "a playlist cannot be written");
    Miss::Unavailable { retry_after: RETRY_STORAGE_AFTER }
}
