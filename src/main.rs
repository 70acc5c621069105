//! temp
fn main() -> anyhow::Result<()> {
    let flags = vec![
        headwater::config::Flag { key: "data.dir", name: "--data", value: "/tmp/hw".into() },
    ];
    let loaded = headwater::config::load(None, &headwater::config::ProcessEnvironment, &flags).map_err(|e| anyhow::anyhow!("{e}"))?;
    headwater::telemetry::start_log(&loaded.config.log)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        headwater::app::serve(loaded.config, async { tokio::signal::ctrl_c().await.ok(); }).await
    })
}
