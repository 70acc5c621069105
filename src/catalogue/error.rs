//! Why the catalogue did not do what it was asked.

/// An error whose kind the caller can act on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such row.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The title's state, or what is recorded already, does not allow it. Nothing was changed.
    #[error("{0}")]
    Conflict(String),
    /// The database cannot be reached now: busy beyond the waiting time, disk full, input or output failed.
    #[error("the catalogue is unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// What the database holds cannot be understood, by damage or because a newer version wrote it.
    #[error("the catalogue is corrupt: {0}")]
    Corrupt(String),
}

/// Result of every operation on the catalogue.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::Conflict(message.into())
    }

    pub(super) fn corrupt(what: &str, error: impl std::fmt::Display) -> Self {
        Self::Corrupt(format!("{what}: {error}"))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) if database.is_foreign_key_violation() || database.is_unique_violation() => {
                Self::Conflict(database.message().to_owned())
            }
            sqlx::Error::Database(database) if is_damage(database.code().as_deref()) => Self::Corrupt(database.message().to_owned()),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) | sqlx::Error::Decode(_) => Self::Corrupt(error.to_string()),
            _ => Self::Unavailable(error),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => error.into(),
            other => Self::Corrupt(other.to_string()),
        }
    }
}

/// SQLITE_CORRUPT or SQLITE_NOTADB; the low byte of an extended result code is the primary one.
fn is_damage(code: Option<&str>) -> bool {
    let primary = code.and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff);
    matches!(primary, Some(11 | 26))
}
