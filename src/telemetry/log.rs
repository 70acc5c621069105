//! Where log lines go and what they look like.

use std::io::IsTerminal;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// How to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The form of a line.
    pub format: LogFormat,
    /// Directives by module and level; [`check_filter`] accepts them.
    pub filter: String,
}

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not made of directives.
    #[error("the log filter is wrong: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The process logs already.
    #[error("logging was started before")]
    Started(#[from] TryInitError),
}

/// Whether `filter` is made of directives such as `info` or `headwater::delivery=debug`, separated by commas.
///
/// # Errors
/// What is wrong with it, as text.
pub fn check_filter(filter: &str) -> Result<(), String> {
    EnvFilter::try_new(filter).map(|_| ()).map_err(|error| error.to_string())
}

/// Starts logging to standard error for the whole process; once.
///
/// # Errors
/// [`LogError`] for a wrong filter, or when logging was started before.
pub fn start(config: &Config) -> Result<(), LogError> {
    let lines = tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(&config.filter)?).with_writer(std::io::stderr);
    // Colours are for people at a terminal; in a file they are noise.
    let lines = lines.with_ansi(std::io::stderr().is_terminal());
    match config.format {
        LogFormat::Text => lines.finish().try_init()?,
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        for (filter, good) in [("info", true), ("warn,headwater::cache=trace", true), ("headwater=loud", false), ("a=b=c", false)] {
            assert_eq!(check_filter(filter).is_ok(), good, "{filter}");
        }
    }
}
