//! Every change of the catalogue: each one transaction, each moving a title forward or refusing to.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Row, Sqlite, Transaction};

use super::rows::{self, signed, to_json};
use super::text::named;
use super::{Catalogue, Error, Result, SegmentRecord, SourceRecord, TitleRecord, TrackRates, TrackRecord};
use crate::title::{Generation, Loudness, Plan, Problem, Remark, SourceFacts, TitleId, TitleState, TrackId};

/// Deletions that [`Catalogue::changed_since`] can still tell.
const DELETIONS_REMEMBERED: i64 = 10_000;

impl Catalogue {
    /// Records a title whose bytes are about to arrive.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the identifier is taken, also by a deleted title.
    pub async fn create_title(&self, id: TitleId, name: &str, now_ms: i64) -> Result<TitleRecord> {
        let mut turn = self.turn(now_ms).await?;
        let garbage = sqlx::query("SELECT 1 FROM garbage WHERE title = ?").bind(id.to_string());
        if garbage.fetch_optional(&mut *turn.transaction).await?.is_some() {
            return Err(Error::conflict(format!("title {id} was deleted")));
        }
        if find(&mut turn.transaction, id).await?.is_some() {
            return Err(Error::conflict(format!("title {id} exists already")));
        }
        sqlx::query(
            "INSERT INTO titles (id, name, state, generation, ledger, created_at_ms, updated_at_ms, revision)
             VALUES (?, ?, 'receiving', ?, ?, ?, ?, ?)",
        )
        .bind(id.to_string())
        .bind(name)
        .bind(Generation::FIRST.0)
        .bind(Generation::FIRST.0)
        .bind(now_ms)
        .bind(now_ms)
        .bind(turn.revision)
        .execute(&mut *turn.transaction)
        .await?;
        turn.commit(id).await
    }

    /// Records that the source is whole and durable in the store: receiving becomes surveying.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] in any other state.
    pub async fn source_received(&self, id: TitleId, source: SourceRecord, now_ms: i64) -> Result<TitleRecord> {
        let mut turn = self.turn(now_ms).await?;
        turn.step(id, TitleState::Surveying).await?;
        sqlx::query("UPDATE titles SET source_bytes = ?, source_sha256 = ? WHERE id = ?")
            .bind(signed(source.bytes)?)
            .bind(source.sha256.to_string())
            .bind(id.to_string())
            .execute(&mut *turn.transaction)
            .await?;
        turn.commit(id).await
    }

    /// Records the plan of the first generation, whose init segments and documents are durable in the store: surveying becomes processing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] in any other state or when `tracks` are not the plan's, in its order.
    pub async fn planned(
        &self,
        id: TitleId,
        facts: &SourceFacts,
        plan: &Plan,
        tracks: &[TrackRecord],
        remarks: &[Remark],
        now_ms: i64,
    ) -> Result<TitleRecord> {
        if !plan.tracks().eq(tracks.iter().map(|track| track.track)) {
            return Err(Error::conflict("the tracks to be recorded are not those of the plan"));
        }
        let (facts, plan_json, remarks) = (to_json("facts", facts)?, to_json("a plan", plan)?, to_json("remarks", remarks)?);
        let mut turn = self.turn(now_ms).await?;
        let title = turn.step(id, TitleState::Processing).await?;
        sqlx::query("UPDATE titles SET remarks = ?, segments_done = 0, segments_total = ? WHERE id = ?")
            .bind(remarks)
            .bind(signed(plan.segments_total())?)
            .bind(id.to_string())
            .execute(&mut *turn.transaction)
            .await?;
        sqlx::query("INSERT INTO plans (title, generation, planned_at_ms, segments_per_track, facts, plan) VALUES (?, ?, ?, ?, ?, ?)")
            .bind(id.to_string())
            .bind(title.ledger.0)
            .bind(now_ms)
            .bind(plan.timeline.segment_count())
            .bind(facts)
            .bind(plan_json)
            .execute(&mut *turn.transaction)
            .await?;
        named(&mut turn.transaction, id, plan.text.iter().map(|text| text.document)).await?;
        for track in tracks {
            insert_track(&mut turn.transaction, id, title.ledger, track).await?;
        }
        turn.commit(id).await
    }

    /// Records segments that are verified and durable in the store, all or none. Segments already recorded with the same
    /// hash are passed over; when all are, nothing changes.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] when a segment is recorded with another hash or is not in the plan, when
    /// the ledger is that of another generation, or when the title is not processing and a segment would be new.
    pub async fn commit_segments(
        &self,
        id: TitleId,
        generation: Generation,
        segments: &[SegmentRecord],
        now_ms: i64,
    ) -> Result<TitleRecord> {
        let mut turn = self.turn(now_ms).await?;
        let title = turn.load(id).await?;
        if title.ledger != generation {
            return Err(Error::conflict(format!("the ledger of title {id} is that of generation {}, not {generation}", title.ledger)));
        }
        let mut added = 0_i64;
        for segment in segments {
            added += i64::from(insert_segment(&mut turn.transaction, &title, segment).await?);
        }
        if added == 0 {
            return Ok(title);
        }
        sqlx::query("UPDATE titles SET segments_done = segments_done + ? WHERE id = ?")
            .bind(added)
            .bind(id.to_string())
            .execute(&mut *turn.transaction)
            .await?;
        turn.touch(id).await?;
        turn.commit(id).await
    }

    /// Ends a generation whose segments are all recorded, with the measured rates of every track: processing becomes ready.
    /// `remarks` are added to those made at planning.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] in any other state or for another ledger, when a planned segment has no row, or when a
    /// track has no rates.
    pub async fn finish(
        &self,
        id: TitleId,
        generation: Generation,
        rates: &[(TrackId, TrackRates)],
        remarks: &[Remark],
        now_ms: i64,
    ) -> Result<TitleRecord> {
        let mut turn = self.turn(now_ms).await?;
        let title = turn.step(id, TitleState::Ready).await?;
        if title.ledger != generation {
            return Err(Error::conflict(format!("the ledger of title {id} is that of generation {}, not {generation}", title.ledger)));
        }
        let rows: i64 = sqlx::query("SELECT count(*) AS rows FROM segments WHERE title = ? AND generation = ?")
            .bind(id.to_string())
            .bind(generation.0)
            .fetch_one(&mut *turn.transaction)
            .await?
            .try_get("rows")?;
        if rows != signed(title.segments_total)? {
            return Err(Error::conflict(format!("title {id} has {rows} of its {} segments", title.segments_total)));
        }
        add_remarks(&mut turn.transaction, &title, remarks).await?;
        set_rates(&mut turn.transaction, id, generation, rates).await?;
        sqlx::query("UPDATE plans SET finished_at_ms = ? WHERE title = ? AND generation = ?")
            .bind(now_ms)
            .bind(id.to_string())
            .bind(generation.0)
            .execute(&mut *turn.transaction)
            .await?;
        turn.commit(id).await
    }

    /// Records how loud the audio streams of a generation are, by index, and adds `remarks`. What was recorded before is
    /// replaced; in no state does it change anything else.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] when the title's tracks are of another generation.
    pub async fn set_loudness(
        &self,
        id: TitleId,
        generation: Generation,
        loudness: &BTreeMap<u32, Loudness>,
        remarks: &[Remark],
        now_ms: i64,
    ) -> Result<TitleRecord> {
        let mut turn = self.turn(now_ms).await?;
        let title = turn.load(id).await?;
        if title.ledger != generation {
            return Err(Error::conflict(format!("title {id} is at generation {}, not {generation}", title.ledger)));
        }
        let changed = sqlx::query("UPDATE plans SET loudness = ? WHERE title = ? AND generation = ?")
            .bind(to_json("a loudness", loudness)?)
            .bind(id.to_string())
            .bind(generation.0)
            .execute(&mut *turn.transaction)
            .await?;
        if changed.rows_affected() == 0 {
            return Err(Error::NotFound("plan"));
        }
        sqlx::query("UPDATE titles SET has_loudness = 1 WHERE id = ?").bind(id.to_string()).execute(&mut *turn.transaction).await?;
        add_remarks(&mut turn.transaction, &title, remarks).await?;
        turn.touch(id).await?;
        turn.commit(id).await
    }

    /// Ends a title that will not become playable. Its plan and ledger go in the same transaction, so that its objects may
    /// be removed from the store afterwards.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] when the title is ready or has failed already.
    pub async fn fail(&self, id: TitleId, problem: &Problem, now_ms: i64) -> Result<TitleRecord> {
        let mut turn = self.turn(now_ms).await?;
        let title = turn.load(id).await?;
        require_step(&title, TitleState::Failed)?;
        sqlx::query("DELETE FROM plans WHERE title = ?").bind(id.to_string()).execute(&mut *turn.transaction).await?;
        sqlx::query(
            "UPDATE titles SET state = 'failed', problem = ?, segments_done = 0, segments_total = 0, has_loudness = 0, has_poster = 0, has_storyboard = 0
             WHERE id = ?",
        )
        .bind(to_json("a problem", problem)?)
        .bind(id.to_string())
        .execute(&mut *turn.transaction)
        .await?;
        turn.touch(id).await?;
        turn.commit(id).await
    }

    /// Gives a title another name, in any state.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn rename(&self, id: TitleId, name: &str, now_ms: i64) -> Result<TitleRecord> {
        let mut turn = self.turn(now_ms).await?;
        turn.load(id).await?;
        sqlx::query("UPDATE titles SET name = ? WHERE id = ?").bind(name).bind(id.to_string()).execute(&mut *turn.transaction).await?;
        turn.touch(id).await?;
        turn.commit(id).await
    }

    /// Deletes a title: it vanishes from every read with all its rows, and stays on the garbage list until its objects are
    /// removed from the store ([`Catalogue::drop_garbage`]). Returns the revision of the deletion.
    ///
    /// # Errors
    /// [`Error::NotFound`], also when it was deleted already.
    pub async fn mark_deleted(&self, id: TitleId, now_ms: i64) -> Result<i64> {
        let mut turn = self.turn(now_ms).await?;
        turn.load(id).await?;
        // Its plans, tracks and ledger rows go with it.
        sqlx::query("DELETE FROM titles WHERE id = ?").bind(id.to_string()).execute(&mut *turn.transaction).await?;
        sqlx::query("INSERT INTO garbage (title, deleted_at_ms) VALUES (?, ?)")
            .bind(id.to_string())
            .bind(now_ms)
            .execute(&mut *turn.transaction)
            .await?;
        sqlx::query("INSERT INTO deletions (revision, title) VALUES (?, ?)")
            .bind(turn.revision)
            .bind(id.to_string())
            .execute(&mut *turn.transaction)
            .await?;
        sqlx::query(
            "DELETE FROM deletions
             WHERE revision <= (SELECT revision FROM deletions ORDER BY revision DESC LIMIT 1 OFFSET ?)",
        )
        .bind(DELETIONS_REMEMBERED)
        .execute(&mut *turn.transaction)
        .await?;
        let Turn { transaction, revision, .. } = turn;
        self.commit(transaction, revision).await?;
        Ok(revision)
    }

    /// Takes a deleted title off the garbage list, after its objects are durably gone. One that is not on it is passed over.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn drop_garbage(&self, id: TitleId) -> Result<()> {
        sqlx::query("DELETE FROM garbage WHERE title = ?").bind(id.to_string()).execute(&self.writer).await?;
        Ok(())
    }

    pub(super) async fn turn(&self, now_ms: i64) -> Result<Turn<'_>> {
        // A deferred transaction that reads first could not become a writer beside another process.
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let revision = sqlx::query("UPDATE counter SET revision = revision + 1 RETURNING revision")
            .fetch_one(&mut *transaction)
            .await?
            .try_get("revision")?;
        Ok(Turn { catalogue: self, transaction, revision, now_ms })
    }

    async fn commit(&self, transaction: Transaction<'static, Sqlite>, revision: i64) -> Result<()> {
        transaction.commit().await?;
        self.revision.send_if_modified(|latest| {
            let newer = revision > *latest;
            *latest = revision.max(*latest);
            newer
        });
        Ok(())
    }
}

/// A transaction that writes, and the revision it makes. Dropping it changes nothing.
pub(super) struct Turn<'catalogue> {
    catalogue: &'catalogue Catalogue,
    pub(super) transaction: Transaction<'static, Sqlite>,
    revision: i64,
    now_ms: i64,
}

impl Turn<'_> {
    pub(super) async fn load(&mut self, id: TitleId) -> Result<TitleRecord> {
        find(&mut self.transaction, id).await?.ok_or(Error::NotFound("title"))
    }

    /// Moves the title to `next` and returns it as it was before.
    async fn step(&mut self, id: TitleId, next: TitleState) -> Result<TitleRecord> {
        let title = self.load(id).await?;
        require_step(&title, next)?;
        sqlx::query("UPDATE titles SET state = ? WHERE id = ?")
            .bind(next.as_str())
            .bind(id.to_string())
            .execute(&mut *self.transaction)
            .await?;
        self.touch(id).await?;
        Ok(title)
    }

    pub(super) async fn touch(&mut self, id: TitleId) -> Result<()> {
        sqlx::query("UPDATE titles SET revision = ?, updated_at_ms = ? WHERE id = ?")
            .bind(self.revision)
            .bind(self.now_ms)
            .bind(id.to_string())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    /// Commits and returns the title as it is now.
    pub(super) async fn commit(mut self, id: TitleId) -> Result<TitleRecord> {
        let title = self.load(id).await?;
        self.catalogue.commit(self.transaction, self.revision).await?;
        Ok(title)
    }
}

fn require_step(title: &TitleRecord, next: TitleState) -> Result<()> {
    if title.state.may_become(next) {
        return Ok(());
    }
    Err(Error::conflict(format!("title {} is {} and cannot become {}", title.id, title.state.as_str(), next.as_str())))
}

pub(super) async fn find(connection: &mut SqliteConnection, id: TitleId) -> Result<Option<TitleRecord>> {
    let row = sqlx::query("SELECT * FROM titles WHERE id = ?").bind(id.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(rows::title).transpose()
}

async fn insert_track(connection: &mut SqliteConnection, id: TitleId, generation: Generation, track: &TrackRecord) -> Result<()> {
    sqlx::query("INSERT INTO tracks (title, generation, track, codec, header, init_hash, init_bytes) VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(id.to_string())
        .bind(generation.0)
        .bind(track.track.to_string())
        .bind(&track.codec)
        .bind(to_json("a codec header", &track.header)?)
        .bind(track.init_hash.to_string())
        .bind(signed(track.init_bytes)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether the segment is new; recorded with the same hash already is success.
async fn insert_segment(connection: &mut SqliteConnection, title: &TitleRecord, segment: &SegmentRecord) -> Result<bool> {
    let recorded = sqlx::query("SELECT hash FROM segments WHERE title = ? AND generation = ? AND track = ? AND number = ?")
        .bind(title.id.to_string())
        .bind(title.ledger.0)
        .bind(segment.track.to_string())
        .bind(segment.number.0)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(row) = recorded {
        let hash: &str = row.try_get("hash")?;
        if hash == segment.hash.to_string() {
            return Ok(false);
        }
        let (track, number) = (segment.track, segment.number);
        return Err(Error::conflict(format!("segment {number} of track {track} of title {} is recorded with another hash", title.id)));
    }
    if title.state != TitleState::Processing {
        return Err(Error::conflict(format!("title {} is {} and takes no segments", title.id, title.state.as_str())));
    }
    let planned = sqlx::query(
        "INSERT INTO segments (title, generation, track, number, hash, bytes, decode_time_ticks, duration_ticks,
                               starts_with_key_frame, concealed, dropped, key_frame_offset, key_frame_bytes)
         SELECT title, generation, track, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
         FROM tracks JOIN plans USING (title, generation)
         WHERE title = ? AND generation = ? AND track = ? AND ? < segments_per_track",
    )
    .bind(segment.number.0)
    .bind(segment.hash.to_string())
    .bind(signed(segment.bytes)?)
    .bind(signed(segment.decode_time_ticks)?)
    .bind(signed(segment.duration_ticks)?)
    .bind(segment.starts_with_key_frame)
    .bind(signed(segment.concealed)?)
    .bind(signed(segment.dropped)?)
    .bind(segment.key_frame.map(|span| signed(span.offset_bytes)).transpose()?)
    .bind(segment.key_frame.map(|span| signed(span.length_bytes)).transpose()?)
    .bind(title.id.to_string())
    .bind(title.ledger.0)
    .bind(segment.track.to_string())
    .bind(segment.number.0)
    .execute(connection)
    .await?;
    if planned.rows_affected() == 0 {
        let (track, number) = (segment.track, segment.number);
        return Err(Error::conflict(format!("the plan of title {} has no segment {number} of track {track}", title.id)));
    }
    Ok(true)
}

/// Adds remarks to those that the title has.
pub(super) async fn add_remarks(connection: &mut SqliteConnection, title: &TitleRecord, remarks: &[Remark]) -> Result<()> {
    let all: Vec<&Remark> = title.remarks.iter().chain(remarks).collect();
    sqlx::query("UPDATE titles SET remarks = ? WHERE id = ?")
        .bind(to_json("remarks", &all)?)
        .bind(title.id.to_string())
        .execute(&mut *connection)
        .await?;
    Ok(())
}

async fn set_rates(connection: &mut SqliteConnection, id: TitleId, generation: Generation, rates: &[(TrackId, TrackRates)]) -> Result<()> {
    for (track, rates) in rates {
        sqlx::query(
            "UPDATE tracks SET peak_bps = ?, average_bps = ?, key_frames_peak_bps = ?, key_frames_average_bps = ?
             WHERE title = ? AND generation = ? AND track = ?",
        )
        .bind(signed(rates.peak_bps)?)
        .bind(signed(rates.average_bps)?)
        .bind(rates.key_frames.map(|rates| signed(rates.peak_bps)).transpose()?)
        .bind(rates.key_frames.map(|rates| signed(rates.average_bps)).transpose()?)
        .bind(id.to_string())
        .bind(generation.0)
        .bind(track.to_string())
        .execute(&mut *connection)
        .await?;
    }
    let without: i64 = sqlx::query("SELECT count(*) AS rows FROM tracks WHERE title = ? AND generation = ? AND peak_bps IS NULL")
        .bind(id.to_string())
        .bind(generation.0)
        .fetch_one(connection)
        .await?
        .try_get("rows")?;
    if without > 0 {
        return Err(Error::conflict(format!("{without} tracks of title {id} have no rates")));
    }
    Ok(())
}
