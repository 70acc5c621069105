//! The access log of the public listener: a line for each request, written beside the answers, never before them.
//!
//! An answer's body is watched until the connection has taken its last byte ([`LoggedBody`]); then its record goes into a
//! bounded queue, and a thread of its own makes a line of it. When that thread cannot keep up, as on a full or slow disk,
//! records are lost: they are counted, and the log itself says how many. Without a log nothing of this costs anything.

mod body;
mod destination;
mod line;
mod metrics;
mod queue;
mod record;
mod service;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::delivery::Delivery;
use crate::schedule::Clock;
use crate::semantics::Network;

pub use body::{LoggedBody, LoggedBytes};
use destination::Destination;
pub use metrics::Metrics as AccessMetrics;
use queue::Queue;
pub use service::Logged;
use service::Settings;
use writer::Writer;

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessFormat {
    /// A JSON object.
    Json,
    /// The Combined Log Format.
    Clf,
}

/// How requests are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessConfig {
    /// The form of a line; absent: there is no log.
    pub format: Option<AccessFormat>,
    /// Where lines go; absent: to standard output.
    pub path: Option<PathBuf>,
    /// Requests that may wait to be written, each about 3 KiB; one more is lost.
    pub waiting_max: usize,
}

/// The log, or none.
pub struct AccessLog {
    settings: Option<Arc<Settings>>,
    ended: Option<oneshot::Receiver<()>>,
}

impl AccessLog {
    /// Opens the log and begins to write. Addresses that proxies in `trusted` name are taken for the client's.
    ///
    /// # Errors
    /// When its file cannot be opened, or there is no thread to be had.
    pub fn start(config: &AccessConfig, trusted: Vec<Network>, clock: Clock, metrics: &AccessMetrics) -> io::Result<Self> {
        let Some(format) = config.format else { return Ok(Self { settings: None, ended: None }) };
        let destination = match &config.path {
            Some(path) => Destination::path(path)?,
            None => Destination::standard_output()?,
        };
        let (queue, receiver) = Queue::new(config.waiting_max, metrics.clone());
        let (tell_end, ended) = oneshot::channel();
        let writer = Writer { format, destination, queue: Arc::clone(&queue), receiver, clock: clock.clone(), metrics: metrics.clone() };
        let thread = thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            writer.run();
            // Nobody may wait for it any more.
            let _ = tell_end.send(());
        })?;
        queue.written_by(thread.thread().clone());
        Ok(Self { settings: Some(Arc::new(Settings { queue, clock, trusted })), ended: Some(ended) })
    }

    /// Whether there is a log.
    pub fn is_on(&self) -> bool {
        self.settings.is_some()
    }

    /// The service that answers as `delivery` does and has each request logged.
    pub fn over<L>(&self, delivery: Delivery<L>) -> Logged<L> {
        Logged::new(delivery, self.settings.clone())
    }

    /// Has the file opened anew, as after it was renamed, each time it is called.
    pub fn reopener(&self) -> impl Fn() + Send + Sync + 'static {
        let settings = self.settings.clone();
        move || {
            if let Some(settings) = &settings {
                settings.queue.reopen();
            }
        }
    }

    /// Writes what waits and ends, in so long at most; gives whether all was written in time. Requests that end later are not
    /// logged.
    pub async fn close(self, within: Duration) -> bool {
        let (Some(settings), Some(ended)) = (self.settings, self.ended) else { return true };
        settings.queue.stop();
        tokio::time::timeout(within, ended).await.is_ok()
    }
}

#[cfg(test)]
mod tests;
