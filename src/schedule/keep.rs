//! From a made segment to a ledger row, and from a full ledger to a finished title.

use std::sync::Arc;

use crate::catalogue::{self, Catalogue, SegmentRecord, TrackRates};
use crate::cmaf;
use crate::playlist;
use crate::store::{self, Key, Store};
use crate::title::{ContentHash, Generation, Plan, ProblemCode, Remark, RemarkCode, SourceFacts, TitleId, missing_pictures};
use crate::worker::protocol::MadeSegment;

/// Why made segments did not get into the ledger.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A segment is not what the plan promises.
    #[error("segment {number} of {track} breaks its plan: {fault}")]
    BrokenPromise {
        /// Of which track.
        track: crate::title::TrackId,
        /// Which segment.
        number: crate::title::SegmentNumber,
        /// What is wrong with it.
        fault: cmaf::Fault,
    },
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The catalogue did not take it.
    #[error(transparent)]
    Catalogue(#[from] catalogue::Error),
}

/// Makes sure that storing `needed_bytes` leaves `free_min_bytes` on the file system.
pub async fn ensure_room(store: &Store, needed_bytes: u64, free_min_bytes: u64) -> store::Result<()> {
    let free_bytes = store.free_bytes().await?;
    if free_bytes < free_min_bytes.saturating_add(needed_bytes) {
        let why = format!("{needed_bytes} bytes are to be stored, {free_bytes} are free, and {free_min_bytes} are to stay so");
        return Err(store::Error::Full(why.into()));
    }
    Ok(())
}

/// Verifies, stores and records segments, in that order: a row never names what is not there.
pub async fn keep(
    store: &Store,
    catalogue: &Catalogue,
    id: TitleId,
    generation: Generation,
    plan: &Arc<Plan>,
    made: Vec<MadeSegment>,
    now_ms: i64,
) -> Result<(), Error> {
    let mut rows = Vec::with_capacity(made.len());
    for segment in made {
        let MadeSegment { track, number, bytes, concealed, dropped } = segment;
        let facts = cmaf::verify(plan, track, number, &bytes).map_err(|fault| Error::BrokenPromise { track, number, fault })?;
        let hash = ContentHash::of(&bytes);
        let length = bytes.len() as u64;
        store.put(Key::Object(id, hash), bytes).await?;
        rows.push(SegmentRecord {
            track,
            number,
            hash,
            bytes: length,
            decode_time_ticks: facts.decode_time_ticks,
            duration_ticks: facts.duration_ticks,
            starts_with_key_frame: facts.starts_with_key_frame,
            concealed,
            dropped,
            key_frame: facts.key_frame,
        });
    }
    catalogue.commit_segments(id, generation, &rows, now_ms).await?;
    Ok(())
}

/// Ends a title whose ledger is full: its rates are measured and what was concealed is told.
pub async fn finish(catalogue: &Catalogue, id: TitleId, now_ms: i64) -> Result<(), catalogue::Error> {
    let title = catalogue.title(id).await?;
    // The title may be at a later generation by now, or get there meanwhile: that changes text alone.
    let planned = catalogue.plan(id, title.ledger).await?;
    let ledger = catalogue.ledger(id, title.ledger).await?;
    let rates: Vec<_> = planned
        .plan
        .tracks()
        .map(|track| {
            let rows = || ledger.iter().filter(|row| row.track == track);
            let measure = |sizes: &[u64]| playlist::measure(&planned.plan, track, sizes);
            let rates = measure(&rows().map(|row| row.bytes).collect::<Vec<u64>>());
            // Absent for sound, and as soon as one segment has no key frame.
            let key_frames: Option<Vec<u64>> = rows().map(|row| row.key_frame.map(|span| span.length_bytes)).collect();
            let key_frames = key_frames.map(|sizes| measure(&sizes));
            (track, TrackRates { peak_bps: rates.peak_bps, average_bps: rates.average_bps, key_frames })
        })
        .collect();
    catalogue.finish(id, title.ledger, &rates, &concealed(&planned.facts, &planned.plan, &ledger), now_ms).await?;
    Ok(())
}

/// What was filled in and left out, told once for the picture and once for the sound.
fn concealed(facts: &SourceFacts, plan: &Plan, ledger: &[SegmentRecord]) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let warn = |message: String| Remark::new(RemarkCode::Concealed, message);
    // All video tracks show the same pictures, so one tells for all: the one that knows most, for what is copied nobody decoded.
    let of_track = |index: usize| {
        let rows = ledger.iter().filter(move |row| row.track == crate::title::TrackId::video(index as u8));
        rows.fold((0, None), |(missing, first), row| {
            let at = if row.concealed > 0 { first.or(Some(row.decode_time_ticks)) } else { first };
            (missing + row.concealed, at)
        })
    };
    let (missing, first) = (0..plan.video.len()).map(of_track).max_by_key(|(missing, _)| *missing).unwrap_or_default();
    if let Some(first) = first {
        let near_s = first / u64::from(plan.timeline.frame_rate().timescale());
        remarks.push(missing_pictures(facts, plan, missing, near_s));
    }
    for (index, track) in plan.audio.iter().enumerate() {
        let rows = ledger.iter().filter(|row| row.track == crate::title::TrackId::audio(index as u8));
        let samples: u64 = rows.map(|row| row.concealed).sum();
        if samples > 0 {
            remarks.push(warn(format!("{samples} samples of sound are missing in '{}'. They are silent.", track.name)));
        }
    }
    remarks
}

/// Removes what the store has of a title that failed with `code`: everything, or everything but the source when the fault
/// may be ours.
///
/// # Errors
/// When the store cannot be reached; what remains is removed at the next start.
pub async fn clear_failed(store: &Store, id: TitleId, code: ProblemCode) -> store::Result<()> {
    if !code.may_be_ours() {
        return store.delete_title(id).await;
    }
    for (key, _) in store.list(id).await?.objects {
        if key != Key::Source(id) {
            store.delete(key).await?;
        }
    }
    Ok(())
}
