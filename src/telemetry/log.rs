//! Where log lines go and what they look like.

use std::io::IsTerminal;

use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::reload::Handle;
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
    Filter(#[from] ParseError),
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

/// Changes what is logged while it is.
pub struct LogFilter(Box<dyn Fn(EnvFilter) + Send + Sync>);

impl LogFilter {
    /// From now on `filter` decides.
    ///
    /// # Errors
    /// When it is not made of directives; the former one stays.
    pub fn set(&self, filter: &str) -> Result<(), ParseError> {
        (self.0)(EnvFilter::try_new(filter)?);
        Ok(())
    }

    fn of<S: 'static>(handle: Handle<EnvFilter, S>) -> Self {
        // It fails only once nobody logs any more.
        Self(Box::new(move |filter| drop(handle.reload(filter))))
    }
}

/// Starts logging to standard error for the whole process; once. The filter can be changed later.
///
/// # Errors
/// [`LogError`] for a wrong filter, or when logging was started before.
pub fn start(config: &Config) -> Result<LogFilter, LogError> {
    let lines = tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(&config.filter)?).with_writer(std::io::stderr);
    // Colours are for people at a terminal; in a file they are noise.
    let lines = lines.with_ansi(std::io::stderr().is_terminal());
    match config.format {
        LogFormat::Text => {
            let lines = lines.with_filter_reloading();
            let filter = LogFilter::of(lines.reload_handle());
            lines.finish().try_init()?;
            Ok(filter)
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let filter = LogFilter::of(lines.reload_handle());
            lines.finish().try_init()?;
            Ok(filter)
        }
    }
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
