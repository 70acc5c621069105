//! The command line, one file a command.
//!
//! A command parses its arguments and shows its outcome. What needs the parts of the server is done by an [`Engine`], which
//! the composition root hands in; what needs a running server is asked of its control API over HTTP.

mod check;
mod client;
mod config;
mod figures;
mod follow;
mod meter;
mod remote;
mod serve;
mod subtitles;
#[cfg(test)]
mod tests;
mod titles;
mod transcode;
mod upload;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Termination};

use clap::{Parser, Subcommand};

use crate::config::{Config, Environment, Faults, Flag, Loaded, ProcessEnvironment, load};
use crate::title::Remark;

/// What commands have done by the parts of the server, each call to its end.
pub trait Engine {
    /// Serves until the process is told to stop.
    ///
    /// # Errors
    /// Why it could not start, or what ended it.
    fn serve(&self, loaded: Loaded) -> anyhow::Result<()>;

    /// Makes a directory that any web server can serve out of a media file, telling how far it is.
    ///
    /// # Errors
    /// Why not; for a source that cannot become a title, the sentence of its problem.
    fn transcode(
        &self,
        config: Config,
        file: &Path,
        out: &Path,
        progress: &mut (dyn FnMut(TranscodeProgress) + Send),
    ) -> anyhow::Result<Transcoded>;

    /// What is wrong with the durable state, a sentence each; empty is as it should be.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn check(&self, config: Config) -> anyhow::Result<Vec<String>>;
}

/// How far a transcode is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TranscodeProgress {
    /// Segments made.
    pub segments_done: u64,
    /// Segments planned; 0 before it is planned.
    pub segments_total: u64,
    /// Length of the media in milliseconds; 0 before it is planned.
    pub duration_ms: u64,
}

/// What a transcode made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcoded {
    /// The multivariant playlist.
    pub playlist: PathBuf,
    /// What was found in the source, and what was done about it.
    pub remarks: Vec<Remark>,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked: 0.
    Done,
    /// It did not: 1.
    Failed,
    /// It was not asked properly: 2.
    Usage,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
        })
    }
}

/// Does what the arguments ask, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>, engine: &dyn Engine) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for, and written where output goes; nobody is left to tell if that fails.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    let bars = io::stderr().is_terminal();
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let mut terminal = Terminal { out: &mut out, err: &mut err, environment: &ProcessEnvironment, bars };
    cli.run(&mut terminal, engine)
}

/// A video streaming origin: uploads become HLS, served from memory.
#[derive(Debug, Parser)]
#[command(name = "headwater", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  headwater serve
  headwater upload film.mp4 --wait
  headwater titles list
  headwater subtitles add 01hf7yat00abcdefghjkmnpqrs film.de.srt --lang de

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Arguments),
    Upload(upload::Arguments),
    Titles(titles::Arguments),
    Subtitles(subtitles::Arguments),
    Transcode(transcode::Arguments),
    Check(check::Arguments),
    Config(config::Arguments),
}

impl Cli {
    fn run(self, terminal: &mut Terminal<'_>, engine: &dyn Engine) -> Exit {
        let outcome = match self.command {
            Command::Serve(arguments) => serve::run(arguments, terminal, engine),
            Command::Upload(arguments) => upload::run(arguments, terminal),
            Command::Titles(arguments) => titles::run(arguments, terminal),
            Command::Subtitles(arguments) => subtitles::run(arguments, terminal),
            Command::Transcode(arguments) => transcode::run(arguments, terminal, engine),
            Command::Check(arguments) => check::run(arguments, terminal, engine),
            Command::Config(arguments) => config::run(arguments, terminal),
        };
        match outcome {
            Ok(exit) => exit,
            // Whoever read the output has seen enough, as `head` does.
            Err(Failure::ReaderGone) => Exit::Done,
            Err(Failure::Usage(message)) => {
                terminal.note(format_args!("error: {message}"));
                Exit::Usage
            }
            Err(Failure::Failed(error)) => {
                terminal.note(format_args!("error: {error:#}"));
                Exit::Failed
            }
        }
    }
}

/// How a command ends.
type Outcome<T = Exit> = Result<T, Failure>;

/// Why a command ends early.
#[derive(Debug)]
enum Failure {
    /// It was not asked properly.
    Usage(String),
    /// It could not do it.
    Failed(anyhow::Error),
    /// Nobody reads its output any more.
    ReaderGone,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        let lines: String = faults.0.iter().map(|fault| format!("\n  {fault}")).collect();
        Self::Usage(format!("the configuration is wrong{lines}"))
    }
}

/// What a command speaks to.
struct Terminal<'a> {
    out: &'a mut dyn Write,
    err: &'a mut (dyn Write + Send),
    environment: &'a dyn Environment,
    /// Whether `err` is shown by something that can draw bars.
    bars: bool,
}

impl Terminal<'_> {
    /// Writes output, with a line's end.
    fn print(&mut self, text: impl fmt::Display) -> Outcome<()> {
        writeln!(self.out, "{text}").and_then(|()| self.out.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::Failed(anyhow::Error::new(error).context("the output cannot be written")),
        })
    }

    /// Writes to people, beside the output.
    fn note(&mut self, text: impl fmt::Display) {
        // There is nowhere else to say it.
        let _ = writeln!(self.err, "{text}").and_then(|()| self.err.flush());
    }

    /// Resolves the configuration.
    fn configuration(&self, file: Option<&Path>, flags: &[Flag]) -> Outcome<Loaded> {
        Ok(load(file, self.environment, flags)?)
    }
}
