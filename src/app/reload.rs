//! Reading the configuration again while the server runs: all of it is right, or nothing changes.

use tokio::sync::Mutex;

use super::library::Shelf;
use super::manager::Manager;
use super::schedule_settings;
use crate::api::{self, ReloadError, Reloaded};
use crate::config::{Changes, Config, Loaded, ProcessEnvironment};
use crate::delivery::Delivery;
use crate::ingest::Ingest;
use crate::schedule::Scheduler;
use crate::server::{LiveConfig, Tls};
use crate::telemetry::{LogFilter, Metrics};

/// What can be changed of a server that runs, and where.
pub struct Reload {
    /// What it runs with.
    pub running: Mutex<Loaded>,
    /// What is logged.
    pub log: LogFilter,
    /// Limits of the public listeners.
    pub public: LiveConfig,
    /// Limits of the admin listener.
    pub admin: LiveConfig,
    /// Whether the admin listener needs no token.
    pub admin_is_loopback: bool,
    /// The control API.
    pub api: api::Live,
    /// Certificates, if there is a listener for TLS.
    pub tls: Option<Tls>,
    /// Answers to viewers.
    pub delivery: Delivery<Shelf>,
    /// Uploads.
    pub ingest: Ingest,
    /// How titles are planned and made.
    pub scheduler: Scheduler,
    /// Counts it.
    pub metrics: std::sync::Arc<Metrics>,
    /// Is told that it happens.
    pub manager: Manager,
}

impl Reload {
    /// Reads the configuration and the certificates again, and takes up what can be.
    ///
    /// # Errors
    /// [`ReloadError`] with every fault; nothing has changed then.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let mut running = self.running.lock().await;
        self.manager.reloading();
        let outcome = self.take(&running).await;
        self.manager.ready();
        let counted = |outcome| self.metrics.config_reloads.get_or_create(&[("outcome", outcome)]).inc();
        match outcome {
            Ok(next) => {
                let Changes { taken, at_restart } = running.changes(&next);
                *running = running.with(next);
                counted("taken");
                self.metrics.config_restart_keys.set(i64::try_from(at_restart.len()).unwrap_or(i64::MAX));
                tracing::info!(?taken, ?at_restart, "the configuration was read again");
                Ok(Reloaded { taken, at_restart })
            }
            Err(faults) => {
                counted("refused");
                for fault in &faults {
                    tracing::warn!(fault, "the configuration is wrong, and the former one stays");
                }
                Err(ReloadError(faults))
            }
        }
    }

    /// Everything that can fail comes before anything that changes.
    async fn take(&self, running: &Loaded) -> Result<Loaded, Vec<String>> {
        let again = running.again(&ProcessEnvironment);
        let next = again.map_err(|faults| faults.0.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let config = &next.config;
        let mut faults = Vec::new();
        let scheduling = schedule_settings(config).map_err(|error| faults.push(format!("{error:#}"))).ok();
        if config.admin.token.is_none() && !self.admin_is_loopback {
            faults.push("admin.token: the admin listener is on no loopback address, which needs a token".to_owned());
        }
        let certificates = match self.tls.clone().zip(config.tls.as_ref()) {
            None => None,
            Some((tls, settings)) => {
                let settings = settings.tls.clone();
                let reading = tokio::task::spawn_blocking(move || tls.read(settings)).await;
                match reading.map_err(|error| vec![error.to_string()]).and_then(|read| read.map_err(|faults| faults.0)) {
                    Ok(certificates) => Some(certificates),
                    Err(wrong) => {
                        faults.extend(wrong);
                        None
                    }
                }
            }
        };
        let Some(scheduling) = scheduling.filter(|_| faults.is_empty()) else { return Err(faults) };
        if let Err(error) = self.log.set(&config.log.filter) {
            return Err(vec![format!("log.filter: {error}")]);
        }
        if let Some((tls, certificates)) = self.tls.as_ref().zip(certificates) {
            tls.take(certificates);
        }
        self.public.set(config.public.server.clone());
        self.admin.set(config.admin.server.clone());
        self.api.set(tunable(config));
        self.ingest.reconfigure(config.upload.bytes_max, config.upload.idle_timeout);
        self.scheduler.reconfigure(scheduling);
        self.delivery.reconfigure(&config.delivery);
        Ok(next)
    }
}

/// What of the configuration the control API can be told later.
pub fn tunable(config: &Config) -> api::Tunable {
    api::Tunable {
        public_url: config.public.public_url.clone(),
        token: config.admin.token.as_ref().map(|token| api::Token::new(token.expose())),
        subtitles_bytes_max: config.subtitles.bytes_max,
    }
}
