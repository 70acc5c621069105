//! The service manager, if there is one: sockets that it hands over (sd_listen_fds(3)), and what it is told (sd_notify(3)).

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use anyhow::{Context, bail, ensure};
use listenfd::ListenFd;

/// Names of the sockets that go with them, in their order.
const NAMES: &str = "LISTEN_FDNAMES";
/// Where the manager listens.
const NOTIFY: &str = "NOTIFY_SOCKET";

/// What a socket that was handed over is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Public,
    Tls,
    Admin,
}

/// Sockets that listen already, to be used instead of binding.
#[derive(Debug, Default)]
pub struct Sockets {
    /// For players and CDNs, in clear text.
    pub public: Option<TcpListener>,
    /// For players and CDNs, with TLS.
    pub tls: Option<TcpListener>,
    /// For the control API.
    pub admin: Option<TcpListener>,
}

impl Sockets {
    /// Takes what was handed over to this process; none is no error. To be called once, before there are threads, for it takes
    /// the variables that say so out of the environment.
    ///
    /// # Errors
    /// When a socket has no name of a listener, or is no TCP socket.
    pub fn take() -> anyhow::Result<Self> {
        let names = std::env::var(NAMES).ok();
        let mut handed = ListenFd::from_env();
        let mut sockets = Self::default();
        for (index, role) in roles(names.as_deref(), handed.len())?.into_iter().enumerate() {
            let socket = handed.take_tcp_listener(index).with_context(|| format!("the socket for {role:?} that was handed over"))?;
            match role {
                Role::Public => sockets.public = socket,
                Role::Tls => sockets.tls = socket,
                Role::Admin => sockets.admin = socket,
            }
        }
        Ok(sockets)
    }

    /// Whether there is any.
    pub fn any(&self) -> bool {
        self.public.is_some() || self.tls.is_some() || self.admin.is_some()
    }
}

/// What each of `count` sockets is for. One without a name is the public one.
fn roles(names: Option<&str>, count: usize) -> anyhow::Result<Vec<Role>> {
    if count == 0 || (count == 1 && names.is_none()) {
        return Ok(vec![Role::Public; count]);
    }
    let names: Vec<&str> = names.map(|names| names.split(':').collect()).unwrap_or_default();
    ensure!(names.len() == count, "{count} sockets were handed over, and {NAMES} has {} names", names.len());
    let mut roles = Vec::new();
    for name in names {
        let role = match name {
            "public" => Role::Public,
            "tls" => Role::Tls,
            "admin" => Role::Admin,
            name => bail!("a socket with the name '{name}' was handed over: FileDescriptorName must be public, tls or admin"),
        };
        ensure!(!roles.contains(&role), "two sockets with the name '{name}' were handed over; a listener has one");
        roles.push(role);
    }
    Ok(roles)
}

/// Tells the manager how this process stands; without one it does nothing.
#[derive(Debug)]
pub struct Manager(Option<(UnixDatagram, SocketAddr)>);

impl Manager {
    /// The manager of this process.
    pub fn of_environment() -> Self {
        let Some(name) = std::env::var_os(NOTIFY).filter(|name| !name.is_empty()) else { return Self(None) };
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
            path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path)),
        };
        let opened = address.and_then(|address| Ok((UnixDatagram::unbound()?, address)));
        Self(opened.inspect_err(|error| tracing::warn!(%error, "the service manager cannot be told anything")).ok())
    }

    /// Requests are served.
    pub fn ready(&self) {
        self.tell("READY=1\n");
    }

    /// The configuration is being read again; [`Manager::ready`] says that this is over.
    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}\n", now.tv_sec * 1_000_000 + now.tv_nsec / 1000));
    }

    /// Open requests are being finished.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\n");
    }

    fn tell(&self, state: &str) {
        let Some((socket, address)) = &self.0 else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            tracing::warn!(%error, state, "the service manager could not be told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_sockets_are_for() {
        for (names, count, expect) in [
            (None, 0, Some(vec![])),
            (Some("public"), 0, Some(vec![])),
            (None, 1, Some(vec![Role::Public])),
            (Some("tls"), 1, Some(vec![Role::Tls])),
            (Some("admin:public:tls"), 3, Some(vec![Role::Admin, Role::Public, Role::Tls])),
            (None, 2, None),
            (Some("public"), 2, None),
            (Some("public:tls"), 1, None),
            (Some("public:public"), 2, None),
            (Some("headwater.socket"), 1, None),
        ] {
            assert_eq!(roles(names, count).ok(), expect, "{names:?} {count}");
        }
    }
}
