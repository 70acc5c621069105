//! Generations that change nothing but text, and the documents that they name.
//!
//! A document is announced before it is put into the store ([`Catalogue::document_coming`]) and stays on the list of loose
//! documents until a generation names it; it comes back there when none does any more. So whatever a crash leaves in the
//! store is either named or on that list.

use std::collections::BTreeSet;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Row, SqlitePool};

use super::rows::{self, to_json};
use super::write::find;
use super::{Catalogue, Error, Result, TitleRecord};
use crate::title::{ContentHash, Generation, Plan, TextTrack, TitleId, TitleState};

/// Generations of a title that are kept beside those which the newest one's tracks came with, however young; the oldest are
/// forgotten first.
const GENERATIONS_KEPT: usize = 64;

impl Catalogue {
    /// Notes that a document of a title may be in the store from now on, before it is put there.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such title.
    pub async fn document_coming(&self, id: TitleId, hash: ContentHash) -> Result<()> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        find(&mut transaction, id).await?.ok_or(Error::NotFound("title"))?;
        loosen(&mut transaction, id, hash).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Records a generation that differs from `from` in nothing but its text tracks, whose documents are durable in the store.
    /// The title is at that generation from now on, in whatever state it is; its segments stay where they are. The oldest
    /// generations are forgotten, and documents that none names any more become loose.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] when the title is not at `from`, is not planned, or has failed.
    pub async fn retext(&self, id: TitleId, from: Generation, text: &[TextTrack], now_ms: i64) -> Result<TitleRecord> {
        let mut turn = self.turn(now_ms).await?;
        let title = turn.load(id).await?;
        if !matches!(title.state, TitleState::Processing | TitleState::Ready) {
            return Err(Error::conflict(format!("title {id} is {} and has no tracks", title.state.as_str())));
        }
        if title.generation != from {
            return Err(Error::conflict(format!("title {id} is at generation {}, not {from}", title.generation)));
        }
        let next = Generation(from.0.checked_add(1).ok_or_else(|| Error::conflict("there is no further generation"))?);
        let connection = &mut *turn.transaction;
        let before = documents(connection, id).await?;
        sqlx::query("INSERT INTO texts (title, generation, ledger, made_at_ms, text) VALUES (?, ?, ?, ?, ?)")
            .bind(id.to_string())
            .bind(next.0)
            .bind(title.ledger.0)
            .bind(now_ms)
            .bind(to_json("text tracks", text)?)
            .execute(&mut *connection)
            .await?;
        sqlx::query("UPDATE titles SET generation = ? WHERE id = ?").bind(next.0).bind(id.to_string()).execute(&mut *connection).await?;
        forget_oldest(connection, id, next, text).await?;
        let now = documents(connection, id).await?;
        named(connection, id, now.iter().map(|(hash, _)| *hash)).await?;
        for (hash, _) in before.difference(&now) {
            loosen(connection, id, *hash).await?;
        }
        turn.touch(id).await?;
        turn.commit(id).await
    }

    /// The documents that generations of a title name, each with its length in bytes.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`], as every read.
    pub async fn documents(&self, id: TitleId) -> Result<Vec<(ContentHash, u64)>> {
        let mut snapshot = self.readers.begin().await?;
        Ok(documents(&mut snapshot, id).await?.into_iter().collect())
    }

    /// Documents that may be in the store though nothing names them, by title.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`], as every read.
    pub async fn loose_documents(&self) -> Result<Vec<(TitleId, ContentHash)>> {
        loose(&self.readers, None).await
    }

    /// Those of one title.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`], as every read.
    pub async fn loose_documents_of(&self, id: TitleId) -> Result<Vec<ContentHash>> {
        Ok(loose(&self.readers, Some(id)).await?.into_iter().map(|(_, hash)| hash).collect())
    }

    /// Takes a document off the list of loose ones, after it is durably gone from the store.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn document_gone(&self, id: TitleId, hash: ContentHash) -> Result<()> {
        sqlx::query("DELETE FROM loose_documents WHERE title = ? AND hash = ?")
            .bind(id.to_string())
            .bind(hash.to_string())
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

/// Takes documents that a generation names off the list of loose ones.
pub(super) async fn named(connection: &mut SqliteConnection, id: TitleId, hashes: impl Iterator<Item = ContentHash>) -> Result<()> {
    for hash in hashes {
        sqlx::query("DELETE FROM loose_documents WHERE title = ? AND hash = ?")
            .bind(id.to_string())
            .bind(hash.to_string())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn loosen(connection: &mut SqliteConnection, id: TitleId, hash: ContentHash) -> Result<()> {
    sqlx::query("INSERT INTO loose_documents (title, hash) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(id.to_string())
        .bind(hash.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

async fn loose(pool: &SqlitePool, id: Option<TitleId>) -> Result<Vec<(TitleId, ContentHash)>> {
    let query = match id {
        Some(id) => sqlx::query("SELECT title, hash FROM loose_documents WHERE title = ? ORDER BY hash").bind(id.to_string()),
        None => sqlx::query("SELECT title, hash FROM loose_documents ORDER BY title, hash"),
    };
    let found = query.fetch_all(pool).await?;
    found.iter().map(|row| Ok((rows::title_id(row.try_get("title")?)?, rows::content_hash(row.try_get("hash")?)?))).collect()
}

/// The documents of every generation of a title.
pub(super) async fn documents(connection: &mut SqliteConnection, id: TitleId) -> Result<BTreeSet<(ContentHash, u64)>> {
    let mut named = BTreeSet::new();
    let mut name = |text: &[TextTrack]| named.extend(text.iter().map(|track| (track.document, track.document_bytes)));
    for row in sqlx::query("SELECT plan FROM plans WHERE title = ?").bind(id.to_string()).fetch_all(&mut *connection).await? {
        let plan: Plan = rows::from_json("a plan", row.try_get("plan")?)?;
        name(&plan.text);
    }
    for row in sqlx::query("SELECT text FROM texts WHERE title = ?").bind(id.to_string()).fetch_all(&mut *connection).await? {
        name(&rows::from_json::<Vec<TextTrack>>("text tracks", row.try_get("text")?)?);
    }
    Ok(named)
}

/// Forgets the oldest generations of text. One in which a track of the newest appeared stays, since that track's URLs are there.
async fn forget_oldest(connection: &mut SqliteConnection, id: TitleId, newest: Generation, text: &[TextTrack]) -> Result<()> {
    let found = sqlx::query("SELECT generation FROM texts WHERE title = ? ORDER BY generation DESC")
        .bind(id.to_string())
        .fetch_all(&mut *connection)
        .await?;
    for row in found.iter().skip(GENERATIONS_KEPT) {
        let generation = rows::generation(row.try_get("generation")?)?;
        if generation != newest && text.iter().all(|track| track.since != generation) {
            sqlx::query("DELETE FROM texts WHERE title = ? AND generation = ?")
                .bind(id.to_string())
                .bind(generation.0)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}
