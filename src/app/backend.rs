//! What the control API has done by the flows.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::fresh_id;
use super::library::Shelf;
use super::reload::Reload;
use crate::api::{
    self, Backend, DeleteError, NotReady, Progress, ReceiveError, ReloadError, Reloaded, SubtitleError, SubtitleFile, UploadBody,
};
use crate::catalogue::{self, TitleRecord};
use crate::delivery::{Delivery, Purger};
use crate::ingest::receive::Refused;
use crate::ingest::{self, Ingest, subtitles};
use crate::schedule::{Clock, Scheduler};
use crate::store;
use crate::telemetry::{Health, Metrics};
use crate::title::{LanguageTag, TextKind, TitleId, TitleState};

/// The control API's back end.
pub struct Flows {
    /// Takes uploads and deletions.
    pub ingest: Ingest,
    /// Knows live progress.
    pub scheduler: Scheduler,
    /// Knows how many titles there are.
    pub shelf: Arc<Shelf>,
    /// Answers viewers out of memory.
    pub delivery: Delivery<Shelf>,
    /// Tells caches what to drop.
    pub purger: Purger,
    /// Everything that is counted.
    pub metrics: Arc<Metrics>,
    /// Whether this server can serve.
    pub health: Arc<Health>,
    /// Tells the time.
    pub clock: Clock,
    /// Settings that can change.
    pub live: api::Live,
    /// Reads the configuration again.
    pub reload: Arc<Reload>,
}

impl Backend for Flows {
    fn receive(&self, name: String, declared_bytes: Option<u64>, body: UploadBody) -> BoxFuture<'_, Result<TitleRecord, ReceiveError>> {
        async move {
            let id = fresh_id(&self.clock).map_err(|_| ReceiveError::Unavailable)?;
            self.ingest.receive(id, &name, declared_bytes, body).await.map_err(|error| refusal(id, error))
        }
        .boxed()
    }

    fn delete(&self, id: TitleId) -> BoxFuture<'_, Result<(), DeleteError>> {
        async move {
            self.ingest.delete(id).await.map_err(|error| match error {
                ingest::Error::Catalogue(catalogue::Error::NotFound(_)) => DeleteError::Unknown,
                error => {
                    tracing::error!(title = %id, %error, "a title could not be deleted");
                    DeleteError::Unavailable
                }
            })?;
            // Viewers are told nothing of it any more from the moment on when the deletion is answered.
            self.shelf.remove(id);
            self.delivery.forget(id);
            Ok(())
        }
        .boxed()
    }

    fn put_subtitles(&self, id: TitleId, file: SubtitleFile) -> BoxFuture<'_, Result<(TitleRecord, bool), SubtitleError>> {
        async move {
            let SubtitleFile { language, kind, name, default, bytes } = file;
            let file = subtitles::SubtitleFile { language, kind, name, default, bytes };
            let changed = self.ingest.put_subtitles(id, file, self.live.get().subtitles_bytes_max).await;
            let (title, replaced) = changed.map_err(|error| subtitle_refusal(id, error))?;
            // Whoever asks once the change is answered gets the new playlist.
            self.delivery.invalidate(id);
            Ok((title, replaced))
        }
        .boxed()
    }

    fn remove_subtitles(&self, id: TitleId, language: LanguageTag, kind: TextKind) -> BoxFuture<'_, Result<TitleRecord, SubtitleError>> {
        async move {
            let changed = self.ingest.remove_subtitles(id, &language, kind).await;
            let title = changed.map_err(|error| subtitle_refusal(id, error))?;
            self.delivery.invalidate(id);
            Ok(title)
        }
        .boxed()
    }

    fn purge(&self, id: TitleId) -> BoxFuture<'_, ()> {
        async move {
            self.delivery.forget(id);
            self.purger.all(id);
        }
        .boxed()
    }

    fn progress(&self, id: TitleId) -> Option<Progress> {
        let progress = self.scheduler.progress(id)?;
        let fraction = progress.segments_done as f64 / progress.segments_total.max(1) as f64;
        Some(Progress { fraction, segments_done: progress.segments_done, segments_total: progress.segments_total, eta_ms: progress.eta_ms })
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), NotReady>> {
        async move {
            let report = self.health.report();
            if report.ready {
                return Ok(());
            }
            let faults: Vec<String> = report
                .conditions
                .iter()
                .filter_map(|condition| condition.fault.as_ref().map(|fault| format!("{}: {fault}", condition.name)))
                .collect();
            Err(NotReady(if faults.is_empty() { format!("the server is {:?}", report.phase).to_lowercase() } else { faults.join("; ") }))
        }
        .boxed()
    }

    fn metrics(&self) -> String {
        let counts = self.shelf.counts();
        for state in [TitleState::Receiving, TitleState::Surveying, TitleState::Processing, TitleState::Ready, TitleState::Failed] {
            self.metrics.titles.get_or_create(&[("state", state.as_str())]).set(counts.get(&state).copied().unwrap_or(0));
        }
        let (_, _, missing) = self.scheduler.load();
        self.metrics.schedule.segments_waiting.set(i64::try_from(missing).unwrap_or(i64::MAX));
        self.metrics.render()
    }

    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, ReloadError>> {
        self.reload.reload().boxed()
    }
}

fn refusal(id: TitleId, error: ingest::Error) -> ReceiveError {
    match error {
        ingest::Error::Refused(Refused::TooLarge { limit_bytes }) => ReceiveError::TooLarge { limit_bytes },
        ingest::Error::Refused(Refused::NoSpace { needed_bytes, free_bytes }) => ReceiveError::NoSpace { needed_bytes, free_bytes },
        ingest::Error::Refused(Refused::Busy) => ReceiveError::Busy,
        ingest::Error::Refused(Refused::Interrupted { .. }) | ingest::Error::Cut(_) => ReceiveError::Interrupted,
        ingest::Error::Stalled(_) => ReceiveError::Stalled,
        error => {
            tracing::error!(title = %id, %error, "an upload could not be stored");
            ReceiveError::Unavailable
        }
    }
}

fn subtitle_refusal(id: TitleId, error: subtitles::SubtitleError) -> SubtitleError {
    use subtitles::SubtitleError as Inner;
    match error {
        Inner::Fault(fault) => SubtitleError::Fault(fault),
        Inner::NoTracks(TitleState::Failed) => SubtitleError::Failed,
        Inner::NoTracks(state) => SubtitleError::NotPlanned(state),
        Inner::TooMany(error) => SubtitleError::TooMany(error),
        Inner::NoSuchTrack => SubtitleError::NoSuchTrack,
        Inner::Catalogue(catalogue::Error::NotFound(_)) => SubtitleError::Unknown,
        Inner::Store(store::Error::Full(_)) => SubtitleError::NoSpace,
        error @ (Inner::Store(_) | Inner::Catalogue(_) | Inner::Broken(_)) => {
            tracing::error!(title = %id, %error, "the subtitles of a title could not be changed");
            SubtitleError::Unavailable
        }
    }
}
