//! `headwater transcode`: the same engine without a server. The result is a directory that any web server can serve.

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio_util::io::ReaderStream;

use super::data::DataDir;
use super::library::facts;
use super::{clock, fresh_id, schedule_settings};
use crate::catalogue::{Catalogue, TitleRecord};
use crate::cli::{TranscodeProgress, Transcoded};
use crate::config::Config;
use crate::ingest::Ingest;
use crate::ingest::receive::{ReceiveLimits, Receiver};
use crate::playlist::{self, names};
use crate::schedule::Scheduler;
use crate::store::{Key, Store};
use crate::text::Document;
use crate::title::{KeyFrameSpan, TitleId, TitleState};

/// Where the work is done inside the output directory; gone at the end.
const WORKING: &str = ".headwater-working";

/// Makes sure that what is made does not mix with what is there.
///
/// # Errors
/// When `out` is anything but an empty directory or nothing.
pub fn ensure_empty(out: &Path) -> anyhow::Result<()> {
    match std::fs::read_dir(out) {
        Ok(mut entries) => ensure!(entries.next().is_none(), "{} is not empty: choose a new directory", out.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot use {}", out.display())),
    }
    Ok(())
}

/// Transcodes `file` into the directory `out`, which must not exist or be empty.
///
/// # Errors
/// When the file cannot become a title (with the reason), or something cannot be written. [`clear`] the directory then, once
/// nobody writes into it any more.
pub async fn transcode(
    config: &Config,
    file: &Path,
    out: &Path,
    progress: &mut (dyn FnMut(TranscodeProgress) + Send),
) -> anyhow::Result<Transcoded> {
    let source = tokio::fs::File::open(file).await.with_context(|| format!("cannot read {}", file.display()))?;
    let made = run(config, source, out, &out.join(WORKING), progress).await?;
    std::fs::remove_dir_all(out.join(WORKING)).context("the working directory remains")?;
    Ok(made)
}

/// Takes away what an unfinished transcode wrote into `out`.
///
/// # Errors
/// When something of it remains.
pub fn clear(out: &Path) -> anyhow::Result<()> {
    // It was absent or empty before, so everything in it is ours.
    match std::fs::remove_dir_all(out) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).with_context(|| format!("{} remains", out.display())),
        _ => Ok(()),
    }
}

async fn run(
    config: &Config,
    source: tokio::fs::File,
    out: &Path,
    working: &Path,
    progress: &mut (dyn FnMut(TranscodeProgress) + Send),
) -> anyhow::Result<Transcoded> {
    let data = DataDir::open(working, Duration::ZERO).await?;
    let (catalogue, store, clock) = (data.catalogue().await?, data.store().await?, clock());
    let limits = ReceiveLimits { upload_bytes_max: u64::MAX / 2, reserve_bytes: config.data.free_min_bytes, uploads_max: 1 };
    let receiver = Receiver::open(&data.spool(), limits).await?;
    let scheduler =
        Scheduler::new(schedule_settings(config)?, catalogue.clone(), store.clone(), clock.clone(), crate::schedule::Metrics::default());
    let ingest = Ingest::new(
        catalogue.clone(),
        store.clone(),
        scheduler.clone(),
        receiver,
        clock.clone(),
        crate::ingest::Metrics::default(),
        Duration::MAX,
    );
    progress(TranscodeProgress::default());
    let id = fresh_id(&clock)?;
    let length = source.metadata().await?.len();
    ingest.receive(id, "transcode", Some(length), ReaderStream::with_capacity(source, 1 << 20)).await?;
    let title = {
        let running = scheduler.run();
        tokio::pin!(running);
        tokio::select! {
            () = &mut running => bail!("the scheduler stopped"),
            title = finished(&catalogue, &scheduler, id, progress) => {
                scheduler.stop();
                running.await;
                title?
            }
        }
    };
    if let Some(problem) = title.problem {
        match problem.detail {
            Some(detail) => bail!("{} ({detail})", problem.message),
            None => bail!("{}", problem.message),
        }
    }
    let playlist = write(&catalogue, &store, &title, out).await?;
    catalogue.close().await;
    Ok(Transcoded { playlist, remarks: title.remarks })
}

/// Waits until the title is ready or has failed, telling the progress at each change.
async fn finished(
    catalogue: &Catalogue,
    scheduler: &Scheduler,
    id: TitleId,
    progress: &mut (dyn FnMut(TranscodeProgress) + Send),
) -> anyhow::Result<TitleRecord> {
    let mut revisions = catalogue.watch();
    let mut obstacle = scheduler.obstacle();
    let mut duration_ms = None;
    loop {
        revisions.mark_unchanged();
        let title = catalogue.title(id).await?;
        if title.state.is_final() {
            return Ok(title);
        }
        if title.state == TitleState::Processing
            && let Some(made) = scheduler.progress(id)
        {
            if duration_ms.is_none() {
                duration_ms = Some(catalogue.plan(id, title.ledger).await?.plan.timeline.duration_ms());
            }
            progress(TranscodeProgress {
                segments_done: made.segments_done,
                segments_total: made.segments_total,
                duration_ms: duration_ms.unwrap_or(0),
            });
        }
        tokio::select! {
            changed = revisions.changed() => changed?,
            // A server waits until room is back; who runs a command would rather know.
            why = obstacle.wait_for(Option::is_some) => bail!("it cannot go on: {}", why?.as_deref().unwrap_or_default()),
        }
    }
}

/// Writes playlists and objects under the names that the playlists use.
async fn write(catalogue: &Catalogue, store: &Store, title: &TitleRecord, out: &Path) -> anyhow::Result<std::path::PathBuf> {
    let (id, generation) = (title.id, title.ledger);
    let record = catalogue.plan(id, title.generation).await?;
    for track in &record.tracks {
        let directory = out.join(names::track_directory(generation, track.track));
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join(names::INIT), store.get(Key::Object(id, track.init_hash)).await?)?;
        std::fs::write(directory.join(names::MEDIA), playlist::media(&record.plan, track.track)?)?;
    }
    let ledger = catalogue.ledger(id, generation).await?;
    for track in record.tracks.iter().filter(|track| track.rates.is_some_and(|rates| rates.key_frames.is_some())) {
        let rows = ledger.iter().filter(|row| row.track == track.track);
        let key_frames: Vec<KeyFrameSpan> = rows.filter_map(|row| row.key_frame).collect();
        let text = playlist::i_frames(&record.plan, track.track, &key_frames)?;
        std::fs::write(out.join(names::track_directory(generation, track.track)).join(names::I_FRAMES), text)?;
    }
    for still in catalogue.stills(id, generation).await? {
        let path = out.join(names::still(generation, still.still));
        std::fs::write(path, store.get(Key::Object(id, still.hash)).await?)?;
    }
    for row in ledger {
        let name = names::segment(row.number);
        let path = out.join(names::track_directory(generation, row.track)).join(name);
        std::fs::write(path, store.get(Key::Object(id, row.hash)).await?)?;
    }
    for track in &record.plan.text {
        let directory = out.join(names::track_directory(track.since, track.id()));
        std::fs::create_dir_all(&directory)?;
        let bytes = store.get(Key::Object(id, track.document)).await?;
        let document = Document::read(std::str::from_utf8(&bytes)?).context("a document of subtitles is damaged")?;
        for number in record.plan.timeline.segments() {
            let period_ms = record.plan.timeline.period_ms(number).unwrap_or_default();
            std::fs::write(directory.join(names::text_segment(number)), document.segment(period_ms))?;
        }
        std::fs::write(directory.join(names::MEDIA), playlist::text(&record.plan)?)?;
    }
    // Last, so that whoever sees it finds everything that it names.
    let path = out.join(names::MULTIVARIANT);
    std::fs::write(&path, playlist::multivariant(&record.plan, generation, &facts(&record))?)?;
    Ok(path)
}
