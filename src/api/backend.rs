//! What the control API needs from the flows: the composition root implements it over ingest, schedule and telemetry.

use axum::BoxError;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::catalogue::TitleRecord;
use crate::text;
use crate::title::{LanguageTag, TextKind, TitleId, TitleState};

/// The bytes of an upload as they arrive; an error ends them, and means that the client is gone or spoke no HTTP.
pub type UploadBody = BoxStream<'static, Result<Bytes, BoxError>>;

/// What the control API has done by others. What it only reads, and renaming, it does with the catalogue itself.
pub trait Backend: Send + Sync + 'static {
    /// Receives an upload. When it returns, the source is on stable storage and the title is recorded, at least surveying.
    ///
    /// The future is dropped at any await when the client goes away; what is left then is the implementor's to clear up.
    ///
    /// # Errors
    /// Any [`ReceiveError`]; nothing of the upload is kept.
    fn receive(&self, name: String, declared_bytes: Option<u64>, body: UploadBody) -> BoxFuture<'_, Result<TitleRecord, ReceiveError>>;

    /// Deletes a title in any state. When it returns, no read finds it any more. The future is run to its end, whether the
    /// client stays or not.
    ///
    /// # Errors
    /// Any [`DeleteError`].
    fn delete(&self, id: TitleId) -> BoxFuture<'_, Result<(), DeleteError>>;

    /// Adds a file of subtitles to a title, in place of every track of its language and kind; tells whether there was one. When
    /// it returns, viewers are told of it. The future is run to its end, whether the client stays or not.
    ///
    /// # Errors
    /// Any [`SubtitleError`].
    fn put_subtitles(&self, id: TitleId, file: SubtitleFile) -> BoxFuture<'_, Result<(TitleRecord, bool), SubtitleError>>;

    /// Takes every track of a language and kind away. When it returns, viewers are told of it. The future is run to its end.
    ///
    /// # Errors
    /// Any [`SubtitleError`].
    fn remove_subtitles(&self, id: TitleId, language: LanguageTag, kind: TextKind) -> BoxFuture<'_, Result<TitleRecord, SubtitleError>>;

    /// Drops what is in memory of a title, and has caches told to do the same. When it returns, memory is empty of it. The future
    /// is run to its end.
    fn purge(&self, id: TitleId) -> BoxFuture<'_, ()>;

    /// Live figures of a title that is being processed; absent for any other.
    fn progress(&self, id: TitleId) -> Option<Progress>;

    /// Whether uploads and viewers can be served now.
    ///
    /// # Errors
    /// [`NotReady`] with the reason.
    fn ready(&self) -> BoxFuture<'_, Result<(), NotReady>>;

    /// All metrics in the OpenMetrics text format.
    fn metrics(&self) -> String;

    /// Reads the configuration again and takes up what can be changed. The future is run to its end, whether the client stays
    /// or not.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed then.
    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, ReloadError>>;
}

/// What a new reading of the configuration has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Keys whose new values hold from now on.
    pub taken: Vec<&'static str>,
    /// Keys whose new values hold after a restart.
    pub at_restart: Vec<&'static str>,
}

/// Everything that is wrong with the configuration, a sentence each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration is wrong, and the former one stays: {}", .0.join("; "))]
pub struct ReloadError(pub Vec<String>);

/// A file of subtitles and what its track is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubtitleFile {
    /// Its language.
    pub language: LanguageTag,
    /// What it is for.
    pub kind: TextKind,
    /// What a menu is to show; absent: the name of the language.
    pub name: Option<String>,
    /// Whether it is shown when nobody chose; absent: as the track it replaces, else not.
    pub default: Option<bool>,
    /// The file.
    pub bytes: Bytes,
}

/// Why the subtitles of a title were not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubtitleError {
    /// There is no such title.
    #[error("there is no such title")]
    Unknown,
    /// The file cannot be read, or is beyond the limits.
    #[error(transparent)]
    Fault(text::Fault),
    /// The title is not planned yet.
    #[error("the title is still {}; subtitles can be added once it is processing", .0.as_str())]
    NotPlanned(TitleState),
    /// The title has failed.
    #[error("the title has failed and takes no subtitles")]
    Failed,
    /// There are as many tracks as there may be.
    #[error("{0}")]
    TooMany(text::TooManyTracks),
    /// There is no such track to take away.
    #[error("the title has no such subtitles")]
    NoSuchTrack,
    /// There is no space for it.
    #[error("there is no space for the file")]
    NoSpace,
    /// The store or the catalogue cannot be reached.
    #[error("subtitles cannot be stored now")]
    Unavailable,
}

/// How far a title is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// From 0 to 1.
    pub fraction: f64,
    /// Segments made.
    pub segments_done: u64,
    /// Segments planned, all tracks together.
    pub segments_total: u64,
    /// Time until it is ready in milliseconds, once it can be told.
    pub eta_ms: Option<u64>,
}

/// Why an upload was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// It is larger than uploads may be.
    #[error("uploads may have at most {limit_bytes} bytes")]
    TooLarge {
        /// The most allowed.
        limit_bytes: u64,
    },
    /// There is no space for it.
    #[error("the upload needs {needed_bytes} bytes and {free_bytes} are free for uploads")]
    NoSpace {
        /// Bytes asked for.
        needed_bytes: u64,
        /// Bytes that are free for uploads.
        free_bytes: u64,
    },
    /// As many uploads as are allowed are under way.
    #[error("as many uploads as are allowed are under way; try again in a while")]
    Busy,
    /// The bytes ended before the declared length, or with an error.
    #[error("the upload ended before all of it had arrived; nothing of it was kept")]
    Interrupted,
    /// No byte arrived for too long.
    #[error("no byte of the upload arrived for too long; nothing of it was kept")]
    Stalled,
    /// The spool, the store or the catalogue cannot be reached.
    #[error("uploads cannot be stored now")]
    Unavailable,
}

/// Why a title was not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    /// There is no such title.
    #[error("there is no such title")]
    Unknown,
    /// The catalogue cannot be reached.
    #[error("the title cannot be deleted now")]
    Unavailable,
}

/// Why the server is not ready; a phrase for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotReady(pub String);
