//! `headwater config`: the resolved configuration, and where each value came from.

use std::path::PathBuf;

use super::{Exit, Outcome, Terminal};

const EXAMPLES: &str = "\
Examples:
  headwater config
  headwater config --config /etc/headwater.toml
  HEADWATER_CACHE__BYTES=2GiB headwater config";

/// Print the resolved configuration with where each value came from
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments, terminal: &mut Terminal<'_>) -> Outcome {
    let loaded = terminal.configuration(arguments.config.as_deref(), &[])?;
    terminal.print(loaded.to_toml().trim_end())?;
    Ok(Exit::Done)
}
