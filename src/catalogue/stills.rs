//! The stills of a title: recorded all together, once they are durable in the store.

use super::rows::{self, signed};
use super::write::add_remarks;
use super::{Catalogue, Error, Result, StillRecord, TitleRecord};
use crate::title::{Generation, Remark, Still, TitleId, TitleState};

impl Catalogue {
    /// Records the stills of a generation, all or none. `remarks` are added to those of the title. When it has stills
    /// already, nothing changes.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] when the generation is another one or the title is not processing.
    pub async fn keep_stills(
        &self,
        id: TitleId,
        generation: Generation,
        stills: &[StillRecord],
        remarks: &[Remark],
        now_ms: i64,
    ) -> Result<TitleRecord> {
        let mut turn = self.turn(now_ms).await?;
        let title = turn.load(id).await?;
        if title.ledger != generation || title.state != TitleState::Processing {
            let (at, state) = (title.ledger, title.state.as_str());
            return Err(Error::conflict(format!(
                "title {id} is {state} at generation {at} and takes no stills of generation {generation}"
            )));
        }
        if title.has_poster || title.has_storyboard {
            return Ok(title);
        }
        for still in stills {
            sqlx::query("INSERT INTO stills (title, generation, still, hash, bytes) VALUES (?, ?, ?, ?, ?)")
                .bind(id.to_string())
                .bind(generation.0)
                .bind(still.still.to_string())
                .bind(still.hash.to_string())
                .bind(signed(still.bytes)?)
                .execute(&mut *turn.transaction)
                .await?;
        }
        let has = |wanted: Still| stills.iter().any(|still| still.still == wanted);
        sqlx::query("UPDATE titles SET has_poster = ?, has_storyboard = ? WHERE id = ?")
            .bind(has(Still::Poster))
            .bind(has(Still::Storyboard))
            .bind(id.to_string())
            .execute(&mut *turn.transaction)
            .await?;
        add_remarks(&mut turn.transaction, &title, remarks).await?;
        turn.touch(id).await?;
        turn.commit(id).await
    }

    /// The stills of a generation, in the order of their names.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`], as every read.
    pub async fn stills(&self, id: TitleId, generation: Generation) -> Result<Vec<StillRecord>> {
        let found = sqlx::query("SELECT * FROM stills WHERE title = ? AND generation = ? ORDER BY still")
            .bind(id.to_string())
            .bind(generation.0)
            .fetch_all(&self.readers)
            .await?;
        found.iter().map(rows::still).collect()
    }

    /// A still of a generation.
    ///
    /// # Errors
    /// [`Error::NotFound`] while it is not made.
    pub async fn still(&self, id: TitleId, generation: Generation, still: Still) -> Result<StillRecord> {
        let row = sqlx::query("SELECT * FROM stills WHERE title = ? AND generation = ? AND still = ?")
            .bind(id.to_string())
            .bind(generation.0)
            .bind(still.to_string())
            .fetch_optional(&self.readers)
            .await?;
        rows::still(&row.ok_or(Error::NotFound("still"))?)
    }
}
