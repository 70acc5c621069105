//! Every question to the catalogue.

use sqlx::{Row, SqliteConnection};

use super::rows;
use super::{Catalogue, Change, Cursor, Error, Page, PlanRecord, Result, SegmentRecord, TitleRecord, TrackRecord};
use crate::title::{Generation, Plan, SegmentNumber, TitleId, TitleState, TrackId};

impl Catalogue {
    /// The revision of the latest change of any title; 0 before the first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`], as every read.
    pub async fn revision(&self) -> Result<i64> {
        Ok(sqlx::query("SELECT revision FROM counter").fetch_one(&self.readers).await?.try_get("revision")?)
    }

    /// A title.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for a deleted one.
    pub async fn title(&self, id: TitleId) -> Result<TitleRecord> {
        let row = sqlx::query("SELECT * FROM titles WHERE id = ?").bind(id.to_string()).fetch_optional(&self.readers).await?;
        rows::title(&row.ok_or(Error::NotFound("title"))?)
    }

    /// At most `limit` titles, newest first, after `cursor`, of one state if one is named.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`], as every read.
    pub async fn titles(&self, limit: u32, cursor: Option<Cursor>, state: Option<TitleState>) -> Result<Page> {
        // Identifiers begin with the time of creation. 'z' is their last letter, so "zz" is above every one of them.
        let below = cursor.map_or_else(|| "zz".to_owned(), |cursor| cursor.0.to_string());
        let query = match state {
            None => sqlx::query("SELECT * FROM titles WHERE id < ? ORDER BY id DESC LIMIT ?").bind(below),
            Some(state) => {
                sqlx::query("SELECT * FROM titles WHERE state = ? AND id < ? ORDER BY id DESC LIMIT ?").bind(state.as_str()).bind(below)
            }
        };
        // One more than asked tells whether there is a next page.
        let found = query.bind(i64::from(limit) + 1).fetch_all(&self.readers).await?;
        let more = found.len() > limit as usize;
        let titles: Vec<TitleRecord> = found.iter().take(limit as usize).map(rows::title).collect::<Result<_>>()?;
        let next = titles.last().filter(|_| more).map(|title| Cursor(title.id));
        Ok(Page { titles, next })
    }

    /// The titles changed or deleted after `revision`, at most `limit`, in the order of their latest changes.
    ///
    /// Only the last ten thousand deletions are remembered; whoever was away for longer reads the list anew.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`], as every read.
    pub async fn changed_since(&self, revision: i64, limit: u32) -> Result<Vec<Change>> {
        let mut snapshot = self.readers.begin().await?;
        let changed = sqlx::query("SELECT * FROM titles WHERE revision > ? ORDER BY revision LIMIT ?")
            .bind(revision)
            .bind(limit)
            .fetch_all(&mut *snapshot)
            .await?;
        let deleted = sqlx::query("SELECT title, revision FROM deletions WHERE revision > ? ORDER BY revision LIMIT ?")
            .bind(revision)
            .bind(limit)
            .fetch_all(&mut *snapshot)
            .await?;
        let mut changes: Vec<Change> = Vec::with_capacity(changed.len() + deleted.len());
        for row in &changed {
            changes.push(Change::Title(rows::title(row)?));
        }
        for row in &deleted {
            changes.push(Change::Deleted { id: rows::title_id(row.try_get("title")?)?, revision: row.try_get("revision")? });
        }
        changes.sort_by_key(Change::revision);
        changes.truncate(limit as usize);
        Ok(changes)
    }

    /// A generation of a title.
    ///
    /// # Errors
    /// [`Error::NotFound`] before it is planned, and once it is forgotten.
    pub async fn plan(&self, id: TitleId, generation: Generation) -> Result<PlanRecord> {
        let mut snapshot = self.readers.begin().await?;
        let texts = sqlx::query("SELECT ledger, made_at_ms, text FROM texts WHERE title = ? AND generation = ?")
            .bind(id.to_string())
            .bind(generation.0)
            .fetch_optional(&mut *snapshot)
            .await?;
        let ledger = match &texts {
            Some(row) => rows::generation(row.try_get("ledger")?)?,
            None => generation,
        };
        let row = sqlx::query("SELECT * FROM plans WHERE title = ? AND generation = ?")
            .bind(id.to_string())
            .bind(ledger.0)
            .fetch_optional(&mut *snapshot)
            .await?
            .ok_or(Error::NotFound("plan"))?;
        let mut plan: Plan = rows::from_json("a plan", row.try_get("plan")?)?;
        let mut planned_at_ms = row.try_get("planned_at_ms")?;
        if let Some(row) = texts {
            plan.text = rows::from_json("text tracks", row.try_get("text")?)?;
            planned_at_ms = row.try_get("made_at_ms")?;
        }
        Ok(PlanRecord {
            generation,
            ledger,
            planned_at_ms,
            facts: rows::from_json("facts", row.try_get("facts")?)?,
            tracks: tracks(&mut snapshot, id, ledger).await?,
            plan,
            finished_at_ms: row.try_get("finished_at_ms")?,
            loudness: row.try_get::<Option<&str>, _>("loudness")?.map(|text| rows::from_json("a loudness", text)).transpose()?,
        })
    }

    /// A row of the ledger.
    ///
    /// # Errors
    /// [`Error::NotFound`] while the segment is not made.
    pub async fn segment(&self, id: TitleId, generation: Generation, track: TrackId, number: SegmentNumber) -> Result<SegmentRecord> {
        let row = sqlx::query("SELECT * FROM segments WHERE title = ? AND generation = ? AND track = ? AND number = ?")
            .bind(id.to_string())
            .bind(generation.0)
            .bind(track.to_string())
            .bind(number.0)
            .fetch_optional(&self.readers)
            .await?;
        rows::segment(&row.ok_or(Error::NotFound("segment"))?)
    }

    /// The whole ledger of a generation, by track in the plan's order and number. Empty when nothing is known of it.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`], as every read.
    pub async fn ledger(&self, id: TitleId, generation: Generation) -> Result<Vec<SegmentRecord>> {
        let found = sqlx::query("SELECT * FROM segments WHERE title = ? AND generation = ?")
            .bind(id.to_string())
            .bind(generation.0)
            .fetch_all(&self.readers)
            .await?;
        let mut ledger: Vec<SegmentRecord> = found.iter().map(rows::segment).collect::<Result<_>>()?;
        ledger.sort_by_key(|segment| (segment.track, segment.number));
        Ok(ledger)
    }

    /// The ledger rows of one track from segment `from` on, at most `limit`, by number.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`], as every read.
    pub async fn ledger_from(
        &self,
        id: TitleId,
        generation: Generation,
        track: TrackId,
        from: SegmentNumber,
        limit: u32,
    ) -> Result<Vec<SegmentRecord>> {
        let found = sqlx::query(
            "SELECT * FROM segments
             WHERE title = ? AND generation = ? AND track = ? AND number >= ? ORDER BY number LIMIT ?",
        )
        .bind(id.to_string())
        .bind(generation.0)
        .bind(track.to_string())
        .bind(from.0)
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        found.iter().map(rows::segment).collect()
    }

    /// Which segments of a generation are in the ledger, by track in the plan's order and number.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`], as every read.
    pub async fn made(&self, id: TitleId, generation: Generation) -> Result<Vec<(TrackId, SegmentNumber)>> {
        let found = sqlx::query("SELECT track, number FROM segments WHERE title = ? AND generation = ?")
            .bind(id.to_string())
            .bind(generation.0)
            .fetch_all(&self.readers)
            .await?;
        let mut made: Vec<_> = found.iter().map(rows::segment_name).collect::<Result<_>>()?;
        made.sort_unstable();
        Ok(made)
    }

    /// The titles that are neither ready nor failed, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`], as every read.
    pub async fn unfinished(&self) -> Result<Vec<TitleId>> {
        let found = sqlx::query("SELECT id FROM titles WHERE state IN ('receiving', 'surveying', 'processing') ORDER BY id")
            .fetch_all(&self.readers)
            .await?;
        found.iter().map(|row| rows::title_id(row.try_get("id")?)).collect()
    }

    /// All titles, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`], as every read.
    pub async fn known_ids(&self) -> Result<Vec<TitleId>> {
        let found = sqlx::query("SELECT id FROM titles ORDER BY id").fetch_all(&self.readers).await?;
        found.iter().map(|row| rows::title_id(row.try_get("id")?)).collect()
    }

    /// The deleted titles whose objects may still be in the store, longest deleted first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`], as every read.
    pub async fn garbage(&self) -> Result<Vec<TitleId>> {
        let found = sqlx::query("SELECT title FROM garbage ORDER BY deleted_at_ms, title").fetch_all(&self.readers).await?;
        found.iter().map(|row| rows::title_id(row.try_get("title")?)).collect()
    }
}

async fn tracks(connection: &mut SqliteConnection, id: TitleId, generation: Generation) -> Result<Vec<TrackRecord>> {
    let found = sqlx::query("SELECT * FROM tracks WHERE title = ? AND generation = ?")
        .bind(id.to_string())
        .bind(generation.0)
        .fetch_all(connection)
        .await?;
    let mut tracks: Vec<TrackRecord> = found.iter().map(rows::track).collect::<Result<_>>()?;
    // As text, "a0" would come before "v0" and "a10" before "a2".
    tracks.sort_by_key(|track| track.track);
    Ok(tracks)
}
