//! The listeners of `headwater serve`: which there are, and where.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::data::RunFile;
use super::manager::Sockets;
use crate::config::Config;
use crate::server::{Listener, Threads, Tls};

/// How long viewers' connections may be silent after the signal to stop, where the next server has the same sockets.
const LAST_WORD: Duration = Duration::from_secs(1);

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
    /// Takes what was handed over, and binds what else is configured.
    ///
    /// # Errors
    /// When an address cannot be bound, a socket that was handed over does not go with the configuration, or there is nothing
    /// that players could ask.
    pub fn open(config: &Config, handed: Sockets, tls: Option<&Tls>) -> anyhow::Result<Self> {
        let threads = config.public.server.threads;
        let controlled = |listener: Option<Listener>| controlled(listener, config.public.congestion_control.as_deref());
        let public = open("public", handed.public, config.public.listen, "server.listen", threads, LAST_WORD)?;
        let public = controlled(public)?;
        ensure!(handed.tls.is_none() || tls.is_some(), "a socket for TLS was handed over, and tls.certificate is empty");
        let address = config.tls.as_ref().and_then(|settings| settings.listen);
        let secure = open("tls", handed.tls, address, "tls.listen", threads, LAST_WORD)?;
        let secure = controlled(secure)?;
        // The next server waits until this one's control API has ended; nothing is to be waited for in vain.
        let threads = config.admin.server.threads;
        let admin = open("admin", handed.admin, Some(config.admin.listen), "admin.listen", threads, Duration::ZERO)?;
        let admin = admin.context("there is no admin listener")?;
        let address = admin.address();
        let guarded = address.ip().is_loopback() || config.admin.token.is_some();
        ensure!(guarded, "the socket for admin that was handed over listens on {address}, which needs admin.token to be set");
        ensure!(public.is_some() || secure.is_some(), "server.listen and tls.listen are both empty: nobody could be served");
        Ok(Self { public, tls: secure.zip(tls).map(|(listener, tls)| listener.secured(tls.clone())), admin })
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

/// The socket that was handed over, else one on the address, if either is there.
fn open(
    name: &'static str,
    handed: Option<TcpListener>,
    address: Option<SocketAddr>,
    key: &str,
    threads: Threads,
    last_word: Duration,
) -> anyhow::Result<Option<Listener>> {
    if let Some(socket) = handed {
        let listener = Listener::adopt(name, socket, threads, last_word);
        return listener.map(Some).with_context(|| format!("the socket for {name} that was handed over cannot be used"));
    }
    let bound = address.map(|address| Listener::bind(name, address, threads).with_context(|| format!("cannot listen on {key}, {address}")));
    bound.transpose()
}

fn controlled(listener: Option<Listener>, congestion_control: Option<&str>) -> anyhow::Result<Option<Listener>> {
    let Some(name) = congestion_control else { return Ok(listener) };
    let controlled = listener.map(|listener| listener.controlled_by(name)).transpose();
    controlled.with_context(|| {
        format!("server.congestion_control cannot be '{name}'; sysctl net.ipv4.tcp_allowed_congestion_control tells what can be chosen")
    })
}
