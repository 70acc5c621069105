//! The composition root: the only place that names concrete adapters and wires them to flows and faces.

mod backend;
mod data;
mod follow;
mod library;
mod serve;
mod transcode;

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Config;
use crate::schedule::{self, Clock};
use crate::worker;

pub use serve::serve;
pub use transcode::{TranscodeProgress, transcode};

pub use data::check;

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
            stall: config.worker.stall,
            survey_deadline: config.worker.survey_deadline,
        },
        policy: config.plan.clone(),
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
