//! `headwater serve`: recover, listen, serve, drain.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::backend::Flows;
use super::data::{DataDir, RunFile};
use super::follow::Follower;
use super::library::Shelf;
use super::{clock, schedule_settings};
use crate::api;
use crate::cache::Cache;
use crate::config::Config;
use crate::delivery::Delivery;
use crate::ingest::Ingest;
use crate::ingest::receive::{ReceiveLimits, Receiver};
use crate::schedule::Scheduler;
use crate::server::{self, Listener};
use crate::telemetry::{AccessLog, Health, Metrics, Phase};

/// How often caches are tended.
const TENDING: Duration = Duration::from_secs(1);
/// How long the access log may take to end when the time to drain is over.
const LOG_END: Duration = Duration::from_secs(1);

/// Serves until `shutdown` ends, then drains.
///
/// # Errors
/// When the data directory, an address or the worker program cannot be used.
pub async fn serve(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    raise_open_files();
    let (metrics, health, clock) = (Arc::new(Metrics::default()), Arc::new(Health::default()), clock());
    let data = DataDir::open(&config.data.dir)?;
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

    let shelf = Arc::new(Shelf::new(catalogue.clone(), store, scheduler.clone()));
    let cache = Cache::new(&config.cache, metrics.cache.clone());
    let delivery = Delivery::new(&config.delivery, Arc::clone(&shelf), cache.clone(), metrics.delivery.clone());

    let access = AccessLog::start(&config.access_log, config.public.trusted_proxies.clone(), clock.clone(), &metrics.access);
    let access = access.context("cannot write to access_log.path")?;
    let public = Listener::bind("public", config.public.listen, config.public.server.threads);
    let public = public.with_context(|| format!("cannot listen on server.listen, {}", config.public.listen))?;
    let admin = Listener::bind("admin", config.admin.listen, config.admin.server.threads);
    let admin = admin.with_context(|| format!("cannot listen on admin.listen, {}", config.admin.listen))?;
    ingest.recover().await?;
    let mut follower = Follower::new(catalogue.clone(), Arc::clone(&shelf), delivery.clone());
    follower.catch_up().await?;

    let stop = CancellationToken::new();
    let api = api::Settings {
        public_url: config.public.public_url.clone(),
        public: public.address(),
        admin: admin.address(),
        host_names: Vec::new(),
        token: config.admin.token.as_ref().map(|token| api::Token::new(token.expose())),
        subtitles_bytes_max: config.subtitles.bytes_max,
        events: api::EventLimits::default(),
        stop: stop.clone(),
    };
    let flows = Flows {
        ingest,
        scheduler: scheduler.clone(),
        shelf,
        delivery: delivery.clone(),
        metrics: Arc::clone(&metrics),
        health: Arc::clone(&health),
        clock,
        subtitles_bytes_max: config.subtitles.bytes_max,
    };
    let router = api::router(api, catalogue.clone(), Arc::new(flows));

    let hangups = signal(SignalKind::hangup())?;
    data.announce(&RunFile { pid: std::process::id(), listen: public.address().to_string(), admin: admin.address().to_string() })?;
    tracing::info!(listen = %public.address(), admin = %admin.address(), data = %config.data.dir.display(), "serving");

    let making = tokio::spawn({
        let scheduler = scheduler.clone();
        async move { scheduler.run().await }
    });
    let following = tokio::spawn(follower.run(stop.clone()));
    let tending = tokio::spawn(tend(cache.clone(), stop.clone()));
    let serving = tokio::spawn({
        let (metrics, stop, arena) = (metrics.server.clone(), stop.clone(), cache.arena());
        let public_config = server::Config { tells_peer: access.is_on(), ..config.public.server };
        let (admin_config, answers) = (config.admin.server, access.over(delivery));
        async move {
            let public = public.serve(answers, public_config, arena, &metrics, stop.clone());
            let admin = admin.serve(TowerToHyperService::new(router), admin_config, None, &metrics, stop.clone());
            tokio::try_join!(public, admin)
        }
    });
    let reopening = tokio::spawn(reopen(hangups, access.reopener(), stop.clone()));
    health.enter(Phase::Serving);

    shutdown.await;
    let stopped = Instant::now();
    tracing::info!("stopping: no new connections; what is under way may finish");
    health.enter(Phase::Draining);
    scheduler.stop();
    stop.cancel();
    let (public, admin) = serving.await??;
    reopening.await?;
    let left = config.public.server.drain.saturating_sub(stopped.elapsed());
    if !access.close(left.max(LOG_END)).await {
        tracing::error!("the access log could not be written to its end");
    }
    making.await?;
    following.await?;
    tending.await?;
    catalogue.close().await;
    data.withdraw();
    tracing::info!(cut = public.cut + admin.cut, "stopped");
    Ok(())
}

/// Connections and files need descriptors; the usual soft limit of 1024 is for programs that wait with `select`.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, limit = limit.current, "the limit of open files could not be raised");
    }
}

/// Opens the access log anew at each SIGHUP.
async fn reopen(mut hangups: Signal, reopen: impl Fn(), stop: CancellationToken) {
    loop {
        tokio::select! {
            hangup = hangups.recv() => match hangup {
                Some(()) => reopen(),
                None => return,
            },
            () = stop.cancelled() => return,
        }
    }
}

async fn tend<K, E>(cache: Cache<K, E>, stop: CancellationToken)
where
    K: std::hash::Hash + Eq + Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    let mut turns = tokio::time::interval(TENDING);
    loop {
        tokio::select! {
            _ = turns.tick() => cache.maintain().await,
            () = stop.cancelled() => return,
        }
    }
}
