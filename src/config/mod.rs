//! The configuration: layers, provenance, and every fault at once.
//!
//! The lowest layer is `config/headwater.toml`, built in: no default stands anywhere else. Above it come a file, variables
//! `HEADWATER_SECTION__KEY` and flags. Only this module reads the environment for it. The parts do not know it: each declares what
//! it needs, and what several parts need, or a part that is wired elsewhere, stands here as plain data.

mod layers;
mod print;
mod reader;
mod reload;
mod sections;
mod values;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::semantics::Network;
use crate::title::PlanPolicy;
use crate::{cache, delivery, server, telemetry};

use layers::Layers;
pub use layers::{Environment, Flag, ProcessEnvironment, Source};
use reader::Reader;
pub use reload::Changes;

const DEFAULTS: &str = include_str!("../../config/headwater.toml");
const DEFAULT_LADDER: &str = include_str!("../../config/ladders/default.toml");

/// The resolved configuration: every value typed and within its range.
#[derive(Clone, Debug)]
pub struct Config {
    /// The public listener.
    pub public: PublicSettings,
    /// The public listener with TLS; absent where there is no certificate.
    pub tls: Option<TlsSettings>,
    /// The admin listener.
    pub admin: AdminSettings,
    /// Where durable state lives.
    pub data: DataSettings,
    /// Objects in memory.
    pub cache: cache::Config,
    /// Answers to players and CDNs.
    pub delivery: delivery::Config,
    /// How caches are told what to drop; absent: not at all.
    pub purge: Option<delivery::PurgeConfig>,
    /// What uploads may take.
    pub upload: UploadSettings,
    /// What files of subtitles may take.
    pub subtitles: SubtitleSettings,
    /// Worker processes.
    pub worker: WorkerSettings,
    /// How titles are planned; the ladder file is read and checked.
    pub plan: PlanPolicy,
    /// Logging.
    pub log: telemetry::Config,
    /// The log of requests.
    pub access_log: telemetry::AccessConfig,
}

/// The public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicSettings {
    /// Address to bind; absent: none.
    pub listen: Option<SocketAddr>,
    /// How connections share the line, by the kernel's name for it; absent: as the listener does by itself.
    pub congestion_control: Option<String>,
    /// Base of absolute URLs without a slash at its end; absent: made from the `Host` asked.
    pub public_url: Option<String>,
    /// Proxies that are believed when they name the client they ask for.
    pub trusted_proxies: Vec<Network>,
    /// Limits of the listener.
    pub server: server::Config,
}

/// The public listener with TLS. It has the limits of the one without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Address to bind; absent: none, so that one can only be handed over.
    pub listen: Option<SocketAddr>,
    /// Its certificates. The files are not looked at here: only a server may be allowed to read the keys.
    pub tls: server::TlsConfig,
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// Address to bind; a loopback one unless there is a token.
    pub listen: SocketAddr,
    /// What the control API asks for as bearer token.
    pub token: Option<Secret>,
    /// Limits of the listener.
    pub server: server::Config,
}

/// Where durable state lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSettings {
    /// Directory of catalogue, sources and segments.
    pub dir: PathBuf,
    /// Space to leave free on its file system.
    pub free_min_bytes: u64,
}

/// What uploads may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadSettings {
    /// Largest upload.
    pub bytes_max: u64,
    /// Uploads received at once.
    pub concurrent_max: usize,
    /// Longest time without a byte.
    pub idle_timeout: Duration,
}

/// What files of subtitles may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubtitleSettings {
    /// Largest file.
    pub bytes_max: u64,
}

/// Worker processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerSettings {
    /// Processes; never 0, for `worker.count = 0` is resolved to one a core.
    pub count: usize,
    /// Memory of a process.
    pub memory_max_bytes: u64,
    /// Longest time without progress.
    pub stall: Duration,
    /// Longest survey.
    pub survey_deadline: Duration,
    /// How often the same task is tried.
    pub attempts: u32,
    /// The worker's program; absent: beside the server's.
    pub path: Option<PathBuf>,
}

/// A text that must not be shown: it prints as a mask.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    const MASK: &str = "***";

    fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for comparison with what a client sent.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(Self::MASK)
    }
}

/// One key with its value as it is printed, and where that came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Section and key, as `server.listen`.
    pub key: &'static str,
    /// The value; a mask for a secret.
    pub value: toml::Value,
    /// The layer that decided.
    pub source: Source,
}

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key at fault; empty where a whole layer is.
    pub key: String,
    /// The layer it stands in.
    pub source: Source,
    /// What is wrong.
    pub message: String,
}

impl Fault {
    fn new(key: &str, source: Source, message: impl Into<String>) -> Self {
        Self { key: key.to_owned(), source, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(out, "{} ", self.key)?;
        }
        write!(out, "({}): {}", self.source, self.message)
    }
}

/// Everything that is wrong with the configuration, one line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Faults(pub Vec<Fault>);

/// What [`load`] gives: the configuration, and each key's value and origin.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the program runs with.
    pub config: Config,
    /// Every key, in the order of `config/headwater.toml`.
    pub settings: Vec<Setting>,
    file: Option<PathBuf>,
    flags: Vec<Flag>,
}

impl Loaded {
    /// The settings as a TOML document with the origin of each value as comment; secrets are masked.
    pub fn to_toml(&self) -> String {
        print::document(&self.settings)
    }
}

/// Resolves the configuration out of the built-in defaults, a file, the environment and flags, the later ones winning.
///
/// # Errors
/// Every fault in any layer at once: unreadable file, wrong syntax, unknown key, wrong type, value out of range, and values
/// that do not go together.
pub fn load(file: Option<&Path>, environment: &dyn Environment, flags: &[Flag]) -> Result<Loaded, Faults> {
    let mut faults = Vec::new();
    let mut layers = Layers::default();
    layers.add_text(DEFAULTS, &Source::Default, &mut faults);
    if let Some(path) = file {
        layers.add_file(path, &mut faults);
    }
    layers.add_environment(environment, &mut faults);
    layers.add_flags(flags);
    let mut reader = Reader::new(layers, faults);
    let config = sections::read(&mut reader);
    let (settings, faults) = reader.finish();
    match config {
        Some(config) if faults.is_empty() => Ok(Loaded { config, settings, file: file.map(Path::to_owned), flags: flags.to_vec() }),
        _ => Err(Faults(faults)),
    }
}

#[cfg(test)]
mod tests;
