//! Subtitles that are added to a title, replaced, or taken away. Each change makes a new generation of the title in which nothing
//! but text is different.
//!
//! The document is announced, put, and only then named by the generation; what no generation names any more goes. Changes take
//! turns, also with the removal of whole titles, so that nothing is put where everything is being removed.

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::Ingest;
use crate::catalogue::{self, PlanRecord, TitleRecord};
use crate::store::{self, Key};
use crate::text::{self, SideCar};
use crate::title::{ContentHash, Generation, LanguageTag, TextKind, TextTrack, TitleId, TitleState};

/// A file of subtitles as it was sent, and what its track is to be.
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
#[derive(Debug, thiserror::Error)]
pub enum SubtitleError {
    /// The file cannot be read.
    #[error(transparent)]
    Fault(#[from] text::Fault),
    /// The title has no tracks, for it is not planned yet or has failed.
    #[error("the title is {}", .0.as_str())]
    NoTracks(TitleState),
    /// There are as many tracks as there may be.
    #[error(transparent)]
    TooMany(#[from] text::TooManyTracks),
    /// There is no such track to take away.
    #[error("there are no such subtitles")]
    NoSuchTrack,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] catalogue::Error),
    /// Reading the file did not end.
    #[error("the file could not be read through: {0}")]
    Broken(#[from] tokio::task::JoinError),
}

impl SubtitleError {
    /// A fixed name for metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Fault(fault) => fault.kind.as_str(),
            Self::NoTracks(_) => "no-tracks",
            Self::TooMany(_) => "too-many",
            Self::NoSuchTrack => "no-such-track",
            Self::Store(_) | Self::Catalogue(_) | Self::Broken(_) => "unavailable",
        }
    }
}

impl Ingest {
    /// Adds a file of at most `bytes_max` bytes to a title, in place of every track of its language and kind. When this returns,
    /// the document is durable and the title is at its new generation; a file that changes nothing makes none. Tells also
    /// whether there was such a track before. To be run to its end.
    ///
    /// # Errors
    /// [`SubtitleError`]; the title is then as it was.
    pub async fn put_subtitles(&self, id: TitleId, file: SubtitleFile, bytes_max: u64) -> Result<(TitleRecord, bool), SubtitleError> {
        self.counted(self.put(id, file, bytes_max).await, "put")
    }

    /// Takes every track of a language and kind away, wherever it came from. To be run to its end.
    ///
    /// # Errors
    /// [`SubtitleError`]; the title is then as it was.
    pub async fn remove_subtitles(&self, id: TitleId, language: &LanguageTag, kind: TextKind) -> Result<TitleRecord, SubtitleError> {
        self.counted(self.remove(id, language, kind).await, "removed")
    }

    /// Forgets what of a title's subtitles has not been shown since `before_ms` (Unix milliseconds), with its documents; never what
    /// a generation still shares. To be run to its end.
    ///
    /// # Errors
    /// [`super::Error`]; the rest waits for the next time.
    pub async fn forget_ended(&self, id: TitleId, before_ms: i64) -> Result<(), super::Error> {
        let _turn = self.text_turn.lock().await;
        if self.catalogue.forget_ended(id, before_ms).await? {
            self.collect_loose(id).await;
        }
        Ok(())
    }

    fn counted<T>(&self, changed: Result<T, SubtitleError>, done: &'static str) -> Result<T, SubtitleError> {
        let outcome = changed.as_ref().map_or_else(SubtitleError::as_str, |_| done);
        self.metrics.subtitle_changes.get_or_create(&[("outcome", outcome)]).inc();
        changed
    }

    async fn put(&self, id: TitleId, file: SubtitleFile, bytes_max: u64) -> Result<(TitleRecord, bool), SubtitleError> {
        let (_, planned) = self.planned(id).await?;
        let SubtitleFile { language, kind, name, default, bytes } = file;
        let (duration_ms, primary) = (planned.plan.timeline.duration_ms(), language.primary().to_owned());
        let limits = text::Limits::of_bytes(usize::try_from(bytes_max).unwrap_or(usize::MAX));
        // Megabytes of text take milliseconds that other requests should not wait for.
        let document = spawn_blocking(move || text::read_sidecar(&bytes, Some(&primary), duration_ms, &limits)).await??;
        let document = Bytes::from(document.write());
        let (hash, document_bytes) = (ContentHash::of(&document), document.len() as u64);
        let new = SideCar { language, kind, name, default, document: hash, document_bytes };

        let _turn = self.text_turn.lock().await;
        let (title, planned) = self.planned(id).await?;
        let (tracks, replaced) = text::put(&planned.plan.text, new, next(&title))?;
        if same(&tracks, &planned.plan.text) {
            return Ok((title, replaced));
        }
        self.catalogue.document_coming(id, hash).await?;
        let changed = async {
            self.store.put(Key::Object(id, hash), document).await?;
            Ok(self.catalogue.retext(id, title.generation, &tracks, (self.clock)()).await?)
        };
        let changed = changed.await;
        self.collect_loose(id).await;
        Ok((changed.map_err(|error| not_then(error, title.state))?, replaced))
    }

    async fn remove(&self, id: TitleId, language: &LanguageTag, kind: TextKind) -> Result<TitleRecord, SubtitleError> {
        let _turn = self.text_turn.lock().await;
        let (title, planned) = self.planned(id).await?;
        let tracks = text::remove(&planned.plan.text, language, kind, next(&title)).ok_or(SubtitleError::NoSuchTrack)?;
        let changed = self.catalogue.retext(id, title.generation, &tracks, (self.clock)()).await;
        self.collect_loose(id).await;
        changed.map_err(|error| not_then(error.into(), title.state))
    }

    async fn planned(&self, id: TitleId) -> Result<(TitleRecord, PlanRecord), SubtitleError> {
        let title = self.catalogue.title(id).await?;
        if !matches!(title.state, TitleState::Processing | TitleState::Ready) {
            return Err(SubtitleError::NoTracks(title.state));
        }
        let planned = self.catalogue.plan(id, title.generation).await?;
        Ok((title, planned))
    }

    /// Removes documents of a title that nothing names; its turn is ours. What remains is removed at the next start.
    async fn collect_loose(&self, id: TitleId) {
        let collected = async {
            for hash in self.catalogue.loose_documents_of(id).await? {
                self.drop_document(id, hash).await?;
            }
            Ok::<_, super::Error>(())
        };
        if let Err(error) = collected.await {
            tracing::warn!(title = %id, %error, "documents that nothing names remain until the next start");
        }
    }

    /// Removes one document from the store and from the list of loose ones, unless a generation names it after all.
    pub(super) async fn drop_document(&self, id: TitleId, hash: ContentHash) -> Result<(), super::Error> {
        if self.catalogue.documents(id).await?.iter().all(|(named, _)| *named != hash) {
            self.store.delete(Key::Object(id, hash)).await?;
        }
        Ok(self.catalogue.document_gone(id, hash).await?)
    }
}

fn next(title: &TitleRecord) -> Generation {
    Generation(title.generation.0.saturating_add(1))
}

/// Whether players would be told the same of both.
fn same(tracks: &[TextTrack], before: &[TextTrack]) -> bool {
    let told = |track: &TextTrack| (track.name.clone(), track.language.clone(), track.kind, track.default, track.origin, track.document);
    tracks.iter().map(told).eq(before.iter().map(told))
}

/// A title that failed in the meantime conflicts, and has no tracks.
fn not_then(error: SubtitleError, before: TitleState) -> SubtitleError {
    match error {
        SubtitleError::Catalogue(catalogue::Error::Conflict(_)) if before == TitleState::Processing => {
            SubtitleError::NoTracks(TitleState::Failed)
        }
        error => error,
    }
}
