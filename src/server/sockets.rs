//! Listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;

use rustix::net::sockopt::{set_socket_reuseaddr, set_socket_reuseport, set_tcp_congestion, set_tcp_nodelay, socket_acceptconn};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind as bind_to, listen, socket_with};

/// Connections that wait to be accepted; the kernel may hold fewer (net.core.somaxconn).
const BACKLOG: i32 = 4096;

/// Every kernel has it, every process may choose it, and it does not pace.
const UNPACED: &str = "reno";

/// A socket that listens on `address`, alone, and does not block.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    open(address, false)
}

/// The first of several sockets on `address`; fails as [`bind`] does when somebody else listens there.
pub(super) fn bind_first(address: SocketAddr) -> io::Result<TcpListener> {
    if address.port() != 0 {
        // Sockets that share an address would share it with another process too, without a word.
        drop(bind(address)?);
    }
    share(address)
}

/// A further socket on `address`, which gets its share of the connections.
pub(super) fn share(address: SocketAddr) -> io::Result<TcpListener> {
    open(address, true)
}

/// Whether a socket from elsewhere listens; from now on it does not block.
pub(super) fn check(socket: &TcpListener) -> io::Result<()> {
    if !socket_acceptconn(socket)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket does not listen"));
    }
    socket.set_nonblocking(true)?;
    tune(socket, socket.local_addr()?)
}

/// Has connections that `socket` accepts from now on send by an algorithm of the kernel's (tcp(7), TCP_CONGESTION).
pub(super) fn control(socket: &TcpListener, algorithm: &str) -> io::Result<()> {
    Ok(set_tcp_congestion(socket, algorithm)?)
}

fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    set_socket_reuseaddr(&socket, true)?;
    set_socket_reuseport(&socket, shared)?;
    bind_to(&socket, &address)?;
    tune(&socket, address)?;
    listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// What connections inherit from the socket that accepts them.
fn tune(socket: &impl AsFd, address: SocketAddr) -> io::Result<()> {
    // Answers are written whole, so waiting to fill packets only delays the last one of each.
    set_tcp_nodelay(socket, true)?;
    // Within a machine there is no line to be shared. An algorithm that paces, such as bbr, spends five times as much on timers as
    // sending takes. It must be set before a connection is there: one that began to pace does so for good.
    if address.ip().is_loopback()
        && let Err(error) = set_tcp_congestion(socket, UNPACED)
    {
        tracing::debug!(%error, "the system's congestion control is used");
    }
    Ok(())
}
