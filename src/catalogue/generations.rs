//! The generations of a title side by side: since when each text track has been shown, and since when it no longer is.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::rows;
use super::text::{documents, loosen};
use super::{Catalogue, Result};
use crate::title::{Generation, Plan, TextTrack, TitleId, TrackId};

/// The generations of a title that are still answered, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generations(Vec<Shown>);

/// The text tracks of one generation, each by the generation in which it appeared, and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    generation: Generation,
    made_at_ms: i64,
    text: Vec<(Generation, TrackId)>,
}

/// Whether a track is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// The newest generation has it.
    Shown,
    /// It was replaced or taken away.
    Ended {
        /// When, in Unix milliseconds.
        at_ms: i64,
    },
}

impl Generations {
    /// The life of the text track that appeared in `since` under that name; absent when there never was one.
    pub fn life(&self, since: Generation, track: TrackId) -> Option<Life> {
        let last = self.0.iter().rposition(|shown| shown.text.contains(&(since, track)))?;
        Some(self.0.get(last + 1).map_or(Life::Shown, |next| Life::Ended { at_ms: next.made_at_ms }))
    }

    /// The text tracks that are no longer shown, and since when, in Unix milliseconds.
    pub fn ended(&self) -> impl Iterator<Item = (Generation, TrackId, i64)> {
        let tracks = self.0.iter().flat_map(|shown| shown.text.iter().filter(|(since, _)| *since == shown.generation));
        tracks.filter_map(|&(since, track)| match self.life(since, track)? {
            Life::Ended { at_ms } => Some((since, track, at_ms)),
            Life::Shown => None,
        })
    }

    /// Those that nobody needs any more: made before `before_ms`, without a track that is shown or was until then.
    fn over(&self, before_ms: i64) -> impl Iterator<Item = Generation> {
        let over = self.0.iter().rev().skip(1).filter(move |shown| {
            let lives = shown.text.iter().filter(|(since, _)| *since == shown.generation);
            let over = |&(since, track): &(Generation, TrackId)| matches!(self.life(since, track), Some(Life::Ended { at_ms }) if at_ms < before_ms);
            shown.made_at_ms < before_ms && lives.into_iter().all(over)
        });
        over.map(|shown| shown.generation)
    }
}

impl Catalogue {
    /// The generations of a title that are still answered. Empty for one that is not planned.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`], [`super::Error::Corrupt`], as every read.
    pub async fn generations(&self, id: TitleId) -> Result<Generations> {
        let mut snapshot = self.readers.begin().await?;
        generations(&mut snapshot, id).await
    }

    /// Forgets the generations of text of which nothing has been shown since `before_ms`. What they shared with others stays;
    /// documents that none names any more become loose. Tells whether there was one.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`], [`super::Error::Corrupt`].
    pub async fn forget_ended(&self, id: TitleId, before_ms: i64) -> Result<bool> {
        if generations(&mut *self.readers.acquire().await?, id).await?.over(before_ms).next().is_none() {
            return Ok(false);
        }
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let before = documents(&mut transaction, id).await?;
        let mut forgotten = 0;
        for generation in generations(&mut transaction, id).await?.over(before_ms) {
            let deleted = sqlx::query("DELETE FROM texts WHERE title = ? AND generation = ?").bind(id.to_string()).bind(generation.0);
            forgotten += deleted.execute(&mut *transaction).await?.rows_affected();
        }
        let now = documents(&mut transaction, id).await?;
        for (hash, _) in before.difference(&now) {
            loosen(&mut transaction, id, *hash).await?;
        }
        transaction.commit().await?;
        Ok(forgotten > 0)
    }
}

async fn generations(connection: &mut SqliteConnection, id: TitleId) -> Result<Generations> {
    let mut found = Vec::new();
    let mut note = |generation, made_at_ms, text: &[TextTrack]| {
        found.push(Shown { generation, made_at_ms, text: text.iter().map(|track| (track.since, track.id())).collect() });
    };
    let plans = sqlx::query("SELECT generation, planned_at_ms, plan FROM plans WHERE title = ?").bind(id.to_string());
    for row in plans.fetch_all(&mut *connection).await? {
        let plan: Plan = rows::from_json("a plan", row.try_get("plan")?)?;
        note(rows::generation(row.try_get("generation")?)?, row.try_get("planned_at_ms")?, &plan.text);
    }
    let texts = sqlx::query("SELECT generation, made_at_ms, text FROM texts WHERE title = ?").bind(id.to_string());
    for row in texts.fetch_all(&mut *connection).await? {
        let text: Vec<TextTrack> = rows::from_json("text tracks", row.try_get("text")?)?;
        note(rows::generation(row.try_get("generation")?)?, row.try_get("made_at_ms")?, &text);
    }
    found.sort_unstable_by_key(|shown| shown.generation);
    Ok(Generations(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(generation: u32, made_at_ms: i64, text: &[(u32, u8)]) -> Shown {
        let text = text.iter().map(|&(since, index)| (Generation(since), TrackId::text(index))).collect();
        Shown { generation: Generation(generation), made_at_ms, text }
    }

    #[test]
    fn a_track_ends_when_the_next_generation_lacks_it() {
        // The source's own, then one added, the source's replaced, the added one taken away.
        let all = [shown(1, 10, &[(1, 0)]), shown(2, 20, &[(1, 0), (2, 1)]), shown(3, 30, &[(3, 0), (2, 1)]), shown(4, 40, &[(3, 0)])];
        let generations = Generations(all.to_vec());
        let life = |since, index| generations.life(Generation(since), TrackId::text(index));
        assert_eq!(life(1, 0), Some(Life::Ended { at_ms: 30 }));
        assert_eq!(life(2, 1), Some(Life::Ended { at_ms: 40 }));
        assert_eq!((life(3, 0), life(3, 1), life(4, 0), life(9, 0)), (Some(Life::Shown), None, None, None));
        assert_eq!(generations.ended().map(|(since, _, at_ms)| (since.0, at_ms)).collect::<Vec<_>>(), [(1, 30), (2, 40)]);
        let over = |before_ms| generations.over(before_ms).map(|generation| generation.0).collect::<Vec<_>>();
        assert_eq!(over(30), [0_u32; 0], "what ended just then still counts");
        assert_eq!(over(31), [1]);
        assert_eq!(over(41), [2, 1], "one whose track is shown stays, and so does the newest");
    }
}
