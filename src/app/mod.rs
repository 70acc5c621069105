//! The composition root: the only place that names concrete adapters and wires them to flows and faces.

mod backend;
mod data;
mod follow;
mod library;
mod listeners;
mod listing;
mod manager;
mod reload;
mod serve;
mod sweep;
mod transcode;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use manager::Sockets;

use crate::cli::{Engine, TranscodeProgress, Transcoded};
use crate::config::{Config, Loaded};
use crate::schedule::{self, Clock};
use crate::{telemetry, worker};

/// The real engine behind the command line.
pub struct App;

impl Engine for App {
    fn serve(&self, loaded: Loaded) -> anyhow::Result<()> {
        let sockets = Sockets::take()?;
        let log = telemetry::start_log(&loaded.config.log)?;
        block_on(async {
            let signals = serve::Signals { stop: stop_signal()?, reload: signal(SignalKind::hangup())? };
            serve::serve(loaded, log, sockets, signals).await
        })
    }

    fn transcode(
        &self,
        config: Config,
        file: &Path,
        out: &Path,
        progress: &mut (dyn FnMut(TranscodeProgress) + Send),
    ) -> anyhow::Result<Transcoded> {
        transcode::ensure_empty(out)?;
        let runtime = runtime()?;
        let made = runtime.block_on(async {
            let asked_to_stop = stop_signal()?;
            tokio::select! {
                made = transcode::transcode(&config, file, out, progress) => made,
                () = asked_to_stop => anyhow::bail!("interrupted; nothing was kept"),
            }
        });
        // With the runtime ends whatever was still writing into the directory.
        drop(runtime);
        if made.is_err() {
            transcode::clear(out)?;
        }
        made
    }

    fn check(&self, config: Config) -> anyhow::Result<Vec<String>> {
        block_on(data::check(&config.data.dir))
    }
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    runtime()?.block_on(work)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Ends at the first SIGTERM or SIGINT; a second one ends the process at once.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut next = async move || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Ok(async move {
        next().await;
        tokio::spawn(async move {
            next().await;
            std::process::exit(130);
        });
    })
}

/// The worker program: as configured, else beside this one.
fn worker_program(configured: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    let program = match configured {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("headwater-worker"),
    };
    anyhow::ensure!(
        program.is_file(),
        "the worker program {} is missing: build it (`make build`), or set worker.path to where it is",
        program.display()
    );
    Ok(program)
}

fn schedule_settings(config: &Config) -> anyhow::Result<schedule::Settings> {
    Ok(schedule::Settings {
        slots: config.worker.count,
        attempts_max: config.worker.attempts,
        worker: worker::Settings {
            program: worker_program(config.worker.path.as_ref())?,
            memory_max_bytes: config.worker.memory_max_bytes,
            // x265 cannot do without a thread of its own. Workers for plans made before get it whatever is configured now.
            encoder_threads: config.plan.hdr,
            stall: config.worker.stall,
            survey_deadline: config.worker.survey_deadline,
        },
        policy: config.plan.clone(),
        free_min_bytes: config.data.free_min_bytes,
    })
}

/// The system's clock.
fn clock() -> Clock {
    Arc::new(|| jiff::Timestamp::now().as_millisecond())
}

/// A fresh title identifier.
fn fresh_id(clock: &Clock) -> anyhow::Result<crate::title::TitleId> {
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let now_ms = u64::try_from(clock()).unwrap_or(0);
    Ok(crate::title::TitleId::new(now_ms, u128::from_ne_bytes(random)))
}
