//! Listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};

use rustix::net::sockopt::{set_socket_reuseaddr, set_socket_reuseport, socket_acceptconn};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind as bind_to, listen, socket_with};

/// Connections that wait to be accepted; the kernel may hold fewer (net.core.somaxconn).
const BACKLOG: i32 = 4096;

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
    socket.set_nonblocking(true)
}

fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    set_socket_reuseaddr(&socket, true)?;
    set_socket_reuseport(&socket, shared)?;
    bind_to(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}
