//! `headwater serve`: recover, listen, serve, drain.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use hyper_util::service::TowerToHyperService;
use tokio_util::sync::CancellationToken;

use super::backend::Flows;
use super::data::{DataDir, RunFile};
use super::follow::Follower;
use super::library::Shelf;
use super::sweep::sweep;
use super::{clock, schedule_settings};
use crate::api;
use crate::cache::{Absence, Cache, CacheKey};
use crate::config::Config;
use crate::delivery::{Delivery, Purger};
use crate::ingest::Ingest;
use crate::ingest::receive::{ReceiveLimits, Receiver};
use crate::schedule::Scheduler;
use crate::server::Listener;
use crate::telemetry::{Health, Metrics, Phase};

/// How often caches are tended.
const TENDING: Duration = Duration::from_secs(1);

/// Serves until `shutdown` ends, then drains.
///
/// # Errors
/// When the data directory, an address or the worker program cannot be used.
pub async fn serve(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
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

    let (grace, documents_bytes) = (config.delivery.generation_grace, config.cache.documents_bytes());
    let shelf = Arc::new(Shelf::new(catalogue.clone(), store, scheduler.clone(), clock.clone(), grace, documents_bytes));
    let cache = Cache::new(&config.cache, metrics.cache.clone());
    let delivery = Delivery::new(&config.delivery, Arc::clone(&shelf), cache.clone(), metrics.delivery.clone());

    let public = Listener::bind("public", config.public.listen).await;
    let public = public.with_context(|| format!("cannot listen on server.listen, {}", config.public.listen))?;
    let admin = Listener::bind("admin", config.admin.listen).await;
    let admin = admin.with_context(|| format!("cannot listen on admin.listen, {}", config.admin.listen))?;
    ingest.recover().await?;
    let mut follower = Follower::new(catalogue.clone(), Arc::clone(&shelf), delivery.clone());
    follower.catch_up().await?;

    let stop = CancellationToken::new();
    let (purger, purging) = match config.purge.clone() {
        Some(purge) => {
            let (purger, sender) = Purger::new(purge, metrics.purge.clone());
            (purger, Some(tokio::spawn(sender.run(stop.clone()))))
        }
        None => (Purger::default(), None),
    };
    let sweeping = tokio::spawn(sweep(Arc::clone(&shelf), delivery.clone(), ingest.clone(), grace, stop.clone()));
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
        purger: purger.clone(),
        metrics: Arc::clone(&metrics),
        health: Arc::clone(&health),
        clock,
        subtitles_bytes_max: config.subtitles.bytes_max,
    };
    let router = api::router(api, catalogue.clone(), Arc::new(flows));

    data.announce(&RunFile { pid: std::process::id(), listen: public.address().to_string(), admin: admin.address().to_string() })?;
    tracing::info!(listen = %public.address(), admin = %admin.address(), data = %config.data.dir.display(), "serving");

    let making = tokio::spawn({
        let scheduler = scheduler.clone();
        async move { scheduler.run().await }
    });
    let following = tokio::spawn(follower.telling(purger).run(stop.clone()));
    let tending = tokio::spawn(tend(cache, stop.clone()));
    let serving = tokio::spawn({
        let (metrics, stop) = (metrics.server.clone(), stop.clone());
        let (public_config, admin_config) = (config.public.server, config.admin.server);
        async move {
            let public = public.serve(delivery, public_config, &metrics, stop.clone());
            let admin = admin.serve(TowerToHyperService::new(router), admin_config, &metrics, stop.clone());
            tokio::join!(public, admin)
        }
    });
    health.enter(Phase::Serving);

    shutdown.await;
    tracing::info!("stopping: no new connections; what is under way may finish");
    health.enter(Phase::Draining);
    scheduler.stop();
    stop.cancel();
    let (public, admin) = serving.await?;
    making.await?;
    following.await?;
    tending.await?;
    sweeping.await?;
    if let Some(purging) = purging {
        purging.await?;
    }
    catalogue.close().await;
    data.withdraw();
    tracing::info!(cut = public.cut + admin.cut, "stopped");
    Ok(())
}

async fn tend<K, E>(cache: Cache<K, E>, stop: CancellationToken)
where
    K: CacheKey,
    E: Absence,
{
    let mut turns = tokio::time::interval(TENDING);
    loop {
        tokio::select! {
            _ = turns.tick() => cache.maintain().await,
            () = stop.cancelled() => return,
        }
    }
}
