//! The listeners of `headwater serve`: which there are, and where.

use std::net::SocketAddr;

use anyhow::{Context, ensure};

use super::data::RunFile;
use crate::config::Config;
use crate::server::{Listener, Tls};

/// Bound, and not served yet. At least one of the public ones is there.
pub struct Listeners {
    /// For players and CDNs, in clear text.
    pub public: Option<Listener>,
    /// For players and CDNs, with TLS.
    pub tls: Option<Listener>,
    /// For the control API.
    pub admin: Listener,
}

impl Listeners {
    /// Binds what is configured.
    ///
    /// # Errors
    /// When an address cannot be bound, or there is nothing that players could ask.
    pub fn open(config: &Config, tls: Option<&Tls>) -> anyhow::Result<Self> {
        let threads = config.public.server.threads;
        let public = config.public.listen.map(|address| {
            let listener = Listener::bind("public", address, threads);
            listener.with_context(|| format!("cannot listen on server.listen, {address}"))
        });
        let address = config.tls.as_ref().and_then(|settings| settings.listen);
        let tls = address.zip(tls).map(|(address, tls)| {
            let listener = Listener::bind("tls", address, threads).with_context(|| format!("cannot listen on tls.listen, {address}"));
            listener.map(|listener| listener.secured(tls.clone()))
        });
        let admin = Listener::bind("admin", config.admin.listen, config.admin.server.threads);
        let admin = admin.with_context(|| format!("cannot listen on admin.listen, {}", config.admin.listen))?;
        let listeners = Self { public: public.transpose()?, tls: tls.transpose()?, admin };
        ensure!(
            listeners.public.is_some() || listeners.tls.is_some(),
            "server.listen and tls.listen are both empty: nobody could be served"
        );
        Ok(listeners)
    }

    /// What players are sent to: where TLS is spoken, if it is.
    pub fn for_players(&self) -> (&'static str, SocketAddr) {
        match (&self.tls, &self.public) {
            (Some(tls), _) => ("https", tls.address()),
            (None, Some(public)) => ("http", public.address()),
            (None, None) => ("http", self.admin.address()),
        }
    }

    /// What is told of them to the outside.
    pub fn run_file(&self) -> RunFile {
        let told = |listener: &Option<Listener>| listener.as_ref().map(|listener| listener.address().to_string());
        RunFile { pid: std::process::id(), listen: told(&self.public), tls: told(&self.tls), admin: self.admin.address().to_string() }
    }
}
