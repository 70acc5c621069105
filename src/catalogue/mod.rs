//! Titles, plans and the ledger of finished segments, in SQLite.
//!
//! Writers take their turn; readers go on beside them and see only whole transactions. A write that returned is on stable
//! storage. Every change of a title takes the next *revision* of the catalogue, so whoever remembers the last one he saw
//! can ask for what changed since ([`Catalogue::changed_since`]) and wait for more ([`Catalogue::watch`]).
//!
//! Nothing here reads a clock: times come in as Unix milliseconds.

mod contradiction;
mod error;
mod generations;
mod read;
mod record;
mod rows;
#[cfg(test)]
pub(crate) mod sample;
mod stills;
#[cfg(test)]
mod suite;
mod text;
#[cfg(test)]
mod text_suite;
mod write;

use std::path::Path;
use std::time::Duration;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::watch;

pub use contradiction::Contradiction;
pub use error::{Error, Result};
pub use generations::{Generations, Life};
pub use record::{
    Change, Cursor, InvalidCursor, Page, PlanRecord, SegmentRecord, SourceRecord, StillRecord, TitleRecord, TrackRates, TrackRecord,
};

/// Connections that read; each is a thread.
const READERS_MAX: u32 = 4;
/// How long a caller waits for a connection before [`Error::Unavailable`].
const TURN_WAIT: Duration = Duration::from_secs(10);
/// How long a statement waits for another process that writes.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// The catalogue. A clone is the same catalogue.
#[derive(Clone, Debug)]
pub struct Catalogue {
    writer: SqlitePool,
    readers: SqlitePool,
    revision: watch::Sender<i64>,
}

impl Catalogue {
    /// Opens the catalogue in the file `path`, creating it (not its directory) when absent, and brings its tables up to date.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the file cannot be opened or written, [`Error::Corrupt`] when it is no catalogue or was
    /// written by a newer version.
    pub async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_WAIT);
        // One connection that writes: writers queue for it in order instead of meeting as SQLITE_BUSY.
        let writer = pool(1).connect_with(options.clone()).await?;
        sqlx::migrate!("src/catalogue/migrations").run(&writer).await?;
        sync_directory_of(path).await?;
        let readers = pool(READERS_MAX).connect_with(options.pragma("query_only", "ON")).await?;
        let catalogue = Self { writer, readers, revision: watch::Sender::new(0) };
        let revision = catalogue.revision().await?;
        catalogue.revision.send_replace(revision);
        Ok(catalogue)
    }

    /// The latest revision, as it grows: a watcher that wakes up asks [`Catalogue::changed_since`].
    ///
    /// It tells what this process changed. A change whose caller went away while it was being committed may be told only
    /// with the next one.
    pub fn watch(&self) -> watch::Receiver<i64> {
        self.revision.subscribe()
    }

    /// Ends all connections once what is under way is done; every later call fails as unavailable.
    pub async fn close(&self) {
        self.readers.close().await;
        // The last connection to go writes the log back into the database, which only a writer can.
        self.writer.close().await;
    }
}

fn pool(connections_max: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(connections_max)
        .acquire_timeout(TURN_WAIT)
        .max_lifetime(None)
        .idle_timeout(None)
        .after_release(|connection, _| {
            Box::pin(async move {
                // What is under way to the connection's thread comes first, rollbacks among it.
                connection.ping().await?;
                // SQLite takes a transaction back by itself when the disk is full or fails (sqlite.org/lang_transaction.html). The rollback
                // that follows is then an error, and the connection is taken for one within a transaction, in which no other can begin.
                Ok(!connection.is_in_transaction())
            })
        })
}

/// SQLite makes the contents of its files durable, but not the entry of a database it has just created.
async fn sync_directory_of(path: &Path) -> Result<()> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => Path::new(".").to_owned(),
    };
    let file = tokio::fs::File::open(directory).await.map_err(sqlx::Error::Io)?;
    file.sync_all().await.map_err(|error| Error::Unavailable(sqlx::Error::Io(error)))
}
