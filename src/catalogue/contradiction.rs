//! Rows that contradict each other: what `headwater check` asks of the catalogue alone.

use std::fmt;

use sqlx::Row;

use super::{Catalogue, Result, rows};
use crate::title::{TitleId, TrackId};

/// Two things that the catalogue says of a title and that cannot both be true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contradiction {
    /// A ready title lacks ledger rows of a track.
    Incomplete {
        /// Which title.
        title: TitleId,
        /// Which track.
        track: TrackId,
        /// Rows in the ledger.
        rows: u64,
        /// Segments in the plan.
        planned: u64,
    },
    /// A ledger row names a segment that the plan does not have.
    Unplanned {
        /// Which title.
        title: TitleId,
        /// Which track.
        track: TrackId,
        /// The segment's number.
        number: u64,
    },
    /// The count of finished segments is not the number of rows.
    Miscounted {
        /// Which title.
        title: TitleId,
        /// Segments counted as done.
        counted: u64,
        /// Rows in the ledger.
        rows: u64,
    },
    /// The number of planned segments is not what the plan's tracks add up to.
    MisplannedTotal {
        /// Which title.
        title: TitleId,
        /// Planned segments as recorded with the title.
        recorded: u64,
        /// What the tracks add up to.
        planned: u64,
    },
    /// A title that is processing or ready has no plan, or one before that has one.
    PlanAgainstState {
        /// Which title.
        title: TitleId,
        /// Its state.
        state: String,
        /// Whether it has a plan.
        planned: bool,
    },
    /// A title is at a generation that is neither its ledger's nor a change of text over it.
    GenerationUnknown {
        /// Which title.
        title: TitleId,
    },
    /// A title past receiving has no record of its source.
    SourceUnknown {
        /// Which title.
        title: TitleId,
    },
    /// A title is visible and on the garbage list.
    VisibleGarbage {
        /// Which title.
        title: TitleId,
    },
    /// SQLite itself finds the database damaged.
    Damage(String),
}

impl fmt::Display for Contradiction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete { title, track, rows, planned } => {
                write!(out, "Title {title} is ready, but the ledger has {rows} of the {planned} segments of track {track}.")
            }
            Self::Unplanned { title, track, number } => {
                write!(out, "The ledger of title {title} has segment {number} of track {track}, which is not in its plan.")
            }
            Self::Miscounted { title, counted, rows } => {
                write!(out, "Title {title} counts {counted} finished segments, but its ledger has {rows}.")
            }
            Self::MisplannedTotal { title, recorded, planned } => {
                write!(out, "Title {title} records {recorded} planned segments, but its plan has {planned}.")
            }
            Self::PlanAgainstState { title, state, planned: true } => write!(out, "Title {title} is {state}, yet it has a plan."),
            Self::PlanAgainstState { title, state, planned: false } => write!(out, "Title {title} is {state}, but it has no plan."),
            Self::GenerationUnknown { title } => write!(out, "Title {title} is at a generation that nothing is known of."),
            Self::SourceUnknown { title } => write!(out, "Title {title} was received, but its source is not recorded."),
            Self::VisibleGarbage { title } => write!(out, "Title {title} is visible and on the garbage list."),
            Self::Damage(text) => write!(out, "The catalogue's database is damaged: {text}."),
        }
    }
}

impl Catalogue {
    /// What the catalogue says against itself, at most `limit` of each kind; empty is as it should be.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`], [`super::Error::Corrupt`].
    pub async fn contradictions(&self, limit: u32) -> Result<Vec<Contradiction>> {
        let mut snapshot = self.readers.begin().await?;
        let mut found = Vec::new();
        for row in sqlx::query("PRAGMA integrity_check(10)").fetch_all(&mut *snapshot).await? {
            let text: String = row.try_get(0)?;
            if text != "ok" {
                found.push(Contradiction::Damage(text));
            }
        }
        for row in sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut *snapshot).await?.iter().take(limit as usize) {
            let (table, parent): (&str, &str) = (row.try_get("table")?, row.try_get("parent")?);
            found.push(Contradiction::Damage(format!("a row of {table} has no row in {parent}")));
        }
        let incomplete = sqlx::query(
            "SELECT tracks.title, tracks.track, plans.segments_per_track AS planned, count(segments.number) AS rows
             FROM titles
             JOIN plans ON plans.title = titles.id AND plans.generation = titles.ledger
             JOIN tracks USING (title, generation)
             LEFT JOIN segments USING (title, generation, track)
             WHERE titles.state = 'ready'
             GROUP BY tracks.title, tracks.track HAVING rows <> planned LIMIT ?",
        );
        for row in incomplete.bind(limit).fetch_all(&mut *snapshot).await? {
            let (rows, planned) = (rows::number(&row, "rows")?, rows::number(&row, "planned")?);
            found.push(Contradiction::Incomplete {
                title: rows::title_id(row.try_get("title")?)?,
                track: rows::track_id(row.try_get("track")?)?,
                rows,
                planned,
            });
        }
        let unplanned = sqlx::query(
            "SELECT title, track, number FROM segments JOIN plans USING (title, generation)
             WHERE number >= segments_per_track OR number < 0 LIMIT ?",
        );
        for row in unplanned.bind(limit).fetch_all(&mut *snapshot).await? {
            let number = rows::number(&row, "number")?;
            let (title, track) = (rows::title_id(row.try_get("title")?)?, rows::track_id(row.try_get("track")?)?);
            found.push(Contradiction::Unplanned { title, track, number });
        }
        let miscounted = sqlx::query(
            "SELECT id, segments_done AS counted, (SELECT count(*) FROM segments WHERE title = id AND generation = titles.ledger) AS rows
             FROM titles WHERE counted <> rows LIMIT ?",
        );
        for row in miscounted.bind(limit).fetch_all(&mut *snapshot).await? {
            let (counted, rows) = (rows::number(&row, "counted")?, rows::number(&row, "rows")?);
            found.push(Contradiction::Miscounted { title: rows::title_id(row.try_get("id")?)?, counted, rows });
        }
        let totals = sqlx::query(
            "SELECT id, segments_total AS recorded,
                    (SELECT count(*) * segments_per_track FROM plans JOIN tracks USING (title, generation)
                     WHERE title = id AND generation = titles.ledger) AS planned
             FROM titles WHERE state IN ('processing', 'ready') AND planned IS NOT NULL AND recorded <> planned LIMIT ?",
        );
        for row in totals.bind(limit).fetch_all(&mut *snapshot).await? {
            let (recorded, planned) = (rows::number(&row, "recorded")?, rows::number(&row, "planned")?);
            found.push(Contradiction::MisplannedTotal { title: rows::title_id(row.try_get("id")?)?, recorded, planned });
        }
        let against_state = sqlx::query(
            "SELECT id, state, EXISTS (SELECT 1 FROM plans WHERE title = id AND generation = titles.ledger) AS planned
             FROM titles WHERE planned <> (state IN ('processing', 'ready')) LIMIT ?",
        );
        for row in against_state.bind(limit).fetch_all(&mut *snapshot).await? {
            let (state, planned) = (row.try_get("state")?, row.try_get("planned")?);
            found.push(Contradiction::PlanAgainstState { title: rows::title_id(row.try_get("id")?)?, state, planned });
        }
        let generations = sqlx::query(
            "SELECT id FROM titles WHERE state <> 'failed' AND generation <> ledger AND NOT EXISTS
             (SELECT 1 FROM texts WHERE title = id AND texts.generation = titles.generation AND texts.ledger = titles.ledger) LIMIT ?",
        );
        for row in generations.bind(limit).fetch_all(&mut *snapshot).await? {
            found.push(Contradiction::GenerationUnknown { title: rows::title_id(row.try_get("id")?)? });
        }
        let unknown =
            sqlx::query("SELECT id FROM titles WHERE state IN ('surveying', 'processing', 'ready') AND source_bytes IS NULL LIMIT ?");
        for row in unknown.bind(limit).fetch_all(&mut *snapshot).await? {
            found.push(Contradiction::SourceUnknown { title: rows::title_id(row.try_get("id")?)? });
        }
        let visible = sqlx::query("SELECT id FROM titles JOIN garbage ON garbage.title = titles.id LIMIT ?");
        for row in visible.bind(limit).fetch_all(&mut *snapshot).await? {
            found.push(Contradiction::VisibleGarbage { title: rows::title_id(row.try_get("id")?)? });
        }
        Ok(found)
    }
}
