//! `headwater transcode`: the same engine without a server.

use std::path::PathBuf;

use super::meter::Meter;
use super::{Engine, Exit, Outcome, Terminal, TranscodeProgress, figures};
use crate::title::Severity;

const EXAMPLES: &str = "\
Examples:
  headwater transcode film.mp4 --out public/film
  HEADWATER_VIDEO__PRESET=medium headwater transcode film.mp4 --out public/film
  HEADWATER_LADDER__HDR=true headwater transcode hdr.mov --out public/hdr";

/// Make a directory of HLS that any web server can serve
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The media file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The directory to make; it must be empty or not there yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments, terminal: &mut Terminal<'_>, engine: &dyn Engine) -> Outcome {
    let config = terminal.configuration(arguments.config.as_deref(), &[])?.config;
    let label = arguments.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut meter = Meter::new(terminal, &label);
    let mut show = |progress: TranscodeProgress| {
        let TranscodeProgress { segments_done, segments_total, duration_ms } = progress;
        let fraction = segments_done as f64 / segments_total.max(1) as f64;
        meter.show(fraction, &figures::transcode(segments_done, segments_total, duration_ms, meter.elapsed()));
    };
    let made = engine.transcode(config, &arguments.file, &arguments.out, &mut show);
    drop(meter);
    let made = made?;
    for remark in &made.remarks {
        let severity = match remark.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
        };
        terminal.note(format_args!("{severity}: {}", remark.message));
    }
    terminal.print(made.playlist.display())?;
    Ok(Exit::Done)
}
