//! `headwater check`: proves the invariants of durable state.

use std::path::PathBuf;

use super::{Engine, Exit, Outcome, Terminal};
use crate::config::Flag;

const EXAMPLES: &str = "\
Examples:
  headwater check
  headwater check --data /srv/headwater";

/// Prove the invariants of durable state; the server may be running or not
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Directory of the catalogue, the sources and the segments
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments, terminal: &mut Terminal<'_>, engine: &dyn Engine) -> Outcome {
    let flags: Vec<Flag> = arguments.data.map(|value| Flag { key: "data.dir", name: "--data", value }).into_iter().collect();
    let loaded = terminal.configuration(arguments.config.as_deref(), &flags)?;
    let broken = engine.check(loaded.config)?;
    for sentence in &broken {
        terminal.print(sentence)?;
    }
    if broken.is_empty() {
        terminal.print("Every invariant holds.")?;
        return Ok(Exit::Done);
    }
    terminal.note(format_args!("{} found", if broken.len() == 1 { "1 fault".to_owned() } else { format!("{} faults", broken.len()) }));
    Ok(Exit::Failed)
}
