//! `headwater serve`: the origin.

use std::path::PathBuf;

use super::{Engine, Exit, Outcome, Terminal};
use crate::config::Flag;

const EXAMPLES: &str = "\
Examples:
  headwater serve
  headwater serve --listen 0.0.0.0:80 --data /srv/headwater
  headwater serve --config /etc/headwater.toml
  HEADWATER_ADMIN__TOKEN=secret headwater serve --admin 0.0.0.0:8081";

/// Serve: receive uploads, transcode them, and deliver them to players
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Configuration file; what it leaves out has the defaults of config/headwater.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the catalogue, the sources and the segments
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Address for players and CDNs; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Address of the control API; other than a loopback one it needs a token
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
}

impl Arguments {
    fn flags(&self) -> Vec<Flag> {
        let flag = |key, name, value: &Option<String>| value.clone().map(|value| Flag { key, name, value });
        [
            flag("data.dir", "--data", &self.data),
            flag("server.listen", "--listen", &self.listen),
            flag("admin.listen", "--admin", &self.admin),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

pub(super) fn run(arguments: Arguments, terminal: &mut Terminal<'_>, engine: &dyn Engine) -> Outcome {
    let loaded = terminal.configuration(arguments.config.as_deref(), &arguments.flags())?;
    engine.serve(loaded)?;
    Ok(Exit::Done)
}
