//! `headwater serve`: recover, listen, serve, drain.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::OptionFuture;
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::Signal;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::backend::Flows;
use super::data::DataDir;
use super::follow::Follower;
use super::library::Shelf;
use super::listeners::Listeners;
use super::manager::{Manager, Sockets};
use super::reload::{Reload, tunable};
use super::sweep::sweep;
use super::{clock, schedule_settings};
use crate::api;
use crate::cache::{Absence, Cache, CacheKey};
use crate::config::Loaded;
use crate::delivery::{Delivery, Purger};
use crate::ingest::Ingest;
use crate::ingest::receive::{ReceiveLimits, Receiver};
use crate::schedule::Scheduler;
use crate::server::{Drained, LiveConfig, Tls};
use crate::telemetry::{AccessLog, Health, LogFilter, Metrics, Phase};

/// How much longer than requests may take to end a process that takes sockets over waits for the data directory.
const LEAVING: Duration = Duration::from_secs(5);
/// How often caches are tended.
const TENDING: Duration = Duration::from_secs(1);
/// How long the access log may take to end when the time to drain is over.
const LOG_END: Duration = Duration::from_secs(1);

/// What the process is told from outside.
pub struct Signals<F> {
    /// Ends when it shall stop.
    pub stop: F,
    /// Comes when the configuration shall be read again.
    pub reload: Signal,
}

/// Serves until told to stop, then drains. With sockets that were handed over it takes the place of a process that is about
/// to end: what comes in until that has left the data directory waits in the queues of the sockets.
///
/// # Errors
/// When the data directory, an address or the worker program cannot be used.
pub async fn serve(loaded: Loaded, log: LogFilter, sockets: Sockets, signals: Signals<impl Future<Output = ()>>) -> anyhow::Result<()> {
    let (mut shutdown, mut reload_signal, config) = (pin!(signals.stop), signals.reload, loaded.config.clone());
    let manager = Manager::of_environment();
    raise_open_files();
    let (metrics, health, clock) = (Arc::new(Metrics::default()), Arc::new(Health::default()), clock());
    let tls = config.tls.as_ref().map(|settings| Tls::new(settings.tls.clone(), metrics.server.clone())).transpose()?;
    let patience = if sockets.any() { config.public.server.drain + LEAVING } else { Duration::ZERO };
    let data = tokio::select! {
        data = DataDir::open(&config.data.dir, patience) => data?,
        () = &mut shutdown => return Ok(()),
    };
    let (catalogue, store) = (data.catalogue().await?, data.store().await?);
    let limits = ReceiveLimits {
        upload_bytes_max: config.upload.bytes_max,
        reserve_bytes: config.data.free_min_bytes,
        uploads_max: u32::try_from(config.upload.concurrent_max).unwrap_or(u32::MAX),
    };
    let receiver = Receiver::open(&data.spool(), limits).await?;
    let settings = schedule_settings(&config)?;
    let scheduler = Scheduler::new(settings, catalogue.clone(), store.clone(), clock.clone(), metrics.schedule.clone());
    let ingest = Ingest::new(
        catalogue.clone(),
        store.clone(),
        scheduler.clone(),
        receiver,
        clock.clone(),
        metrics.ingest.clone(),
        config.upload.idle_timeout,
    );

    let (grace, documents_bytes) = (config.delivery.generation_grace, config.cache.documents_bytes());
    let shelf = Arc::new(Shelf::new(catalogue.clone(), store, scheduler.clone(), clock.clone(), grace, documents_bytes));
    let cache = Cache::new(&config.cache, metrics.cache.clone());
    let delivery = Delivery::new(&config.delivery, Arc::clone(&shelf), cache.clone(), metrics.delivery.clone());

    let access = AccessLog::start(&config.access_log, config.public.trusted_proxies.clone(), clock.clone(), &metrics.access);
    let access = access.context("cannot write to access_log.path")?;
    let listeners = Listeners::open(&config, sockets, tls.as_ref())?;
    ingest.recover().await?;
    let mut follower = Follower::new(catalogue.clone(), Arc::clone(&shelf), delivery.clone());
    follower.catch_up().await?;

    let stop = CancellationToken::new();
    let (public_scheme, public) = listeners.for_players();
    let live = api::Live::new(tunable(&config));
    let (purger, purging) = match config.purge.clone() {
        Some(purge) => {
            let (purger, sender) = Purger::new(purge, metrics.purge.clone());
            (purger, Some(tokio::spawn(sender.run(stop.clone()))))
        }
        None => (Purger::default(), None),
    };
    let sweeping = tokio::spawn(sweep(Arc::clone(&shelf), delivery.clone(), ingest.clone(), grace, stop.clone()));
    let api = api::Settings {
        live: live.clone(),
        public,
        public_scheme,
        admin: listeners.admin.address(),
        host_names: Vec::new(),
        events: api::EventLimits::default(),
        stop: stop.clone(),
    };
    let (public_limits, admin_limits) = (LiveConfig::from(config.public.server.clone()), LiveConfig::from(config.admin.server.clone()));
    let reload = Arc::new(Reload {
        running: Mutex::new(loaded),
        log,
        public: public_limits.clone(),
        admin: admin_limits.clone(),
        admin_is_loopback: listeners.admin.address().ip().is_loopback(),
        api: live.clone(),
        tls: tls.clone(),
        delivery: delivery.clone(),
        ingest: ingest.clone(),
        scheduler: scheduler.clone(),
        metrics: Arc::clone(&metrics),
        manager,
    });
    let flows = Flows {
        ingest,
        scheduler: scheduler.clone(),
        shelf,
        delivery: delivery.clone(),
        purger: purger.clone(),
        metrics: Arc::clone(&metrics),
        health: Arc::clone(&health),
        clock,
        live,
        reload: Arc::clone(&reload),
    };
    let router = api::router(api, catalogue.clone(), Arc::new(flows));

    let running = listeners.run_file();
    data.announce(&running)?;
    tracing::info!(listen = running.listen, tls = running.tls, admin = running.admin, data = %config.data.dir.display(), "serving");

    let making = tokio::spawn({
        let scheduler = scheduler.clone();
        async move { scheduler.run().await }
    });
    let following = tokio::spawn(follower.telling(purger).run(stop.clone()));
    let tending = tokio::spawn(tend(cache.clone(), stop.clone()));
    let watching = tls.map(|tls| tokio::spawn(tls.watch(stop.clone())));
    let Listeners { public, tls, admin } = listeners;
    let administering = tokio::spawn({
        let (metrics, stop) = (metrics.server.clone(), stop.clone());
        async move { admin.serve(TowerToHyperService::new(router), admin_limits, None, &metrics, stop).await }
    });
    let serving = tokio::spawn({
        let (metrics, stop, arena, limits) = (metrics.server.clone(), stop.clone(), cache.arena(), public_limits);
        let answers = access.over(delivery);
        async move {
            let public = public.map(|listener| listener.serve(answers.clone(), limits.clone(), arena, &metrics, stop.clone()));
            let tls = tls.map(|listener| listener.serve(answers, limits, None, &metrics, stop.clone()));
            let (public, tls) = (OptionFuture::from(public), OptionFuture::from(tls));
            let (public, tls) = tokio::join!(public, tls);
            Ok::<Drained, io::Error>([public.transpose()?, tls.transpose()?].into_iter().flatten().sum())
        }
    });
    let reopen = access.reopener();
    health.enter(Phase::Serving);
    reload.manager.ready();

    loop {
        tokio::select! {
            () = &mut shutdown => break,
            // What comes of it is in the log.
            Some(()) = reload_signal.recv() => {
                reopen();
                drop(reload.reload().await);
            }
        }
    }
    reload.manager.stopping();
    let stopped = Instant::now();
    tracing::info!("stopping: no new connections; what is under way may finish");
    health.enter(Phase::Draining);
    scheduler.stop();
    stop.cancel();
    // All that writes ends first. Then another process may have the directory, while viewers of this one still read.
    let administered = administering.await??;
    making.await?;
    following.await?;
    tending.await?;
    sweeping.await?;
    if let Some(purging) = purging {
        purging.await?;
    }
    if let Some(watching) = watching {
        watching.await?;
    }
    data.leave();
    let served = serving.await??;
    let left = config.public.server.drain.saturating_sub(stopped.elapsed());
    if !access.close(left.max(LOG_END)).await {
        tracing::error!("the access log could not be written to its end");
    }
    catalogue.close().await;
    tracing::info!(cut = administered.cut + served.cut, "stopped");
    Ok(())
}

/// Connections and files need descriptors; the usual soft limit of 1024 is for programs that wait with `select`.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, limit = limit.current, "the limit of open files could not be raised");
    }
}

async fn tend<K, E>(cache: Cache<K, E>, stop: CancellationToken)
where
    K: CacheKey,
    E: Absence,
{
    let mut turns = tokio::time::interval(TENDING);
    loop {
        tokio::select! {
            _ = turns.tick() => cache.maintain(),
            () = stop.cancelled() => return,
        }
    }
}
