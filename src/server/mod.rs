//! Listeners, connections, limits and drain; knows nothing of video.
//!
//! One listener speaks HTTP/1.1 and HTTP/2: in clear text, to clients that begin with its preface; or within TLS, as agreed in the
//! handshake. Every connection is driven
//! by a task of its own and ends in one of the ways of [`ConnectionEnd`]. A listener that has threads of its own keeps each
//! connection on one of them from its first byte to its last.

mod accept;
mod addresses;
mod answer_body;
mod connection;
mod drowsy;
mod frames;
mod gate;
mod limits;
mod live;
mod metrics;
mod opening;
mod pace;
mod paced_stream;
mod refusal;
mod send_queue;
mod sockets;
mod thread;
mod tls;
mod transport;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use accept::{Acceptor, Places};
use addresses::Addresses;
use connection::{Driver, Protocols};
pub use limits::{FIELDS_MAX, HeadLimits, Limits};
pub use live::LiveConfig;
pub use metrics::{ConnectionEnd, Metrics};
pub use refusal::Refusal;
pub use tls::{CertificateFiles, ReadTls, Tls, TlsConfig, TlsFaults};
use transport::Lender;

use crate::arena::Arena;

/// Any error of a service or a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Limits of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Connections open at once.
    pub connections_max: usize,
    /// Longest time from the first byte of a request's head to its last.
    pub header_timeout: Duration,
    /// Longest time without a byte in either direction, unless a request is being worked on. A body that is streamed must
    /// send something more often than that. A client's speed is judged over as long.
    pub idle_timeout: Duration,
    /// How long open requests may go on after the signal to stop.
    pub drain: Duration,
    /// What drives its connections.
    pub threads: Threads,
    /// Whether requests carry their [`Peer`] as an extension, which costs a little for each.
    pub tells_peer: bool,
    /// What clients may do.
    pub limits: Limits,
}

/// What drives the connections of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// The runtime that [`Listener::serve`] is called on.
    Shared,
    /// Threads of the listener's own: each accepts connections on a socket of its own and drives them to their end, so that
    /// they share nothing with those of another core.
    Own {
        /// How many.
        count: NonZeroUsize,
        /// Whether each stays on one core.
        pinned: bool,
    },
}

/// The other end of a request's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// A bound address that is not served yet.
#[derive(Debug)]
pub struct Listener {
    name: &'static str,
    /// One, or one for each thread; the kernel shares connections out among them.
    sockets: Vec<std::net::TcpListener>,
    address: SocketAddr,
    /// Whether others may take connections from the same socket.
    shared: bool,
    last_word: Duration,
    tls: Option<Tls>,
}

/// How a listener ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were open when the signal came.
    pub open: usize,
    /// Those of them that were cut off because they had not ended in time.
    pub cut: usize,
}

impl Listener {
    /// Binds `address`, for as many threads; port 0 takes a free one. `name` is what metrics and logs call it.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(name: &'static str, address: SocketAddr, threads: Threads) -> io::Result<Self> {
        let count = threads.sockets();
        let first = if count > 1 { sockets::bind_first(address)? } else { sockets::bind(address)? };
        let address = first.local_addr()?;
        let further = (1..count).map(|_| sockets::share(address));
        let sockets = std::iter::once(Ok(first)).chain(further).collect::<io::Result<_>>()?;
        Ok(Self { name, sockets, address, shared: false, last_word: Duration::ZERO, tls: None })
    }

    /// Takes a socket that listens already, such as a service manager hands over, for as many threads. Others may have it too:
    /// when this listener stops, what waits in the queue of the socket is left to them.
    ///
    /// With a `last_word`, connections on HTTP/1 that are silent when it stops are closed only after that time; a client that asks
    /// meanwhile is answered, and told that this was the last answer there. So none finds its request lost.
    ///
    /// # Errors
    /// When the socket does not listen, or cannot be used.
    pub fn adopt(name: &'static str, socket: std::net::TcpListener, threads: Threads, last_word: Duration) -> io::Result<Self> {
        sockets::check(&socket)?;
        let address = socket.local_addr()?;
        let further = (1..threads.sockets()).map(|_| socket.try_clone()).collect::<io::Result<Vec<_>>>()?;
        let sockets = std::iter::once(socket).chain(further).collect();
        Ok(Self { name, sockets, address, shared: true, last_word, tls: None })
    }

    /// Has its connections send by an algorithm that the kernel has, such as `cubic`, rather than by the system's default; on an address
    /// of the machine itself that is `reno`.
    ///
    /// # Errors
    /// When the kernel does not have it, or does not let this process choose it.
    pub fn controlled_by(self, congestion_control: &str) -> io::Result<Self> {
        self.sockets.iter().try_for_each(|socket| sockets::control(socket, congestion_control))?;
        Ok(self)
    }

    /// Has it speak TLS.
    pub fn secured(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// The address that was bound, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then takes no more connections and lets the open ones end for as long as `config.drain`. Dropping
    /// the future cuts every connection off. Bodies that are kept in `arena` are sent from there by the kernel, unless they are
    /// encrypted.
    ///
    /// # Errors
    /// When the sockets or threads cannot be used.
    pub async fn serve<S, B>(
        self,
        service: S,
        config: impl Into<LiveConfig>,
        arena: Option<Arc<Arena>>,
        metrics: &Metrics,
        stop: CancellationToken,
    ) -> io::Result<Drained>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send + From<Bytes>,
        B::Error: Into<BoxError>,
    {
        let cut = CancellationToken::new();
        let _cut_when_dropped = cut.clone().drop_guard();
        let (config, metrics) = (config.into(), metrics.of(self.name));
        let threads = config.get().threads;
        let lender = arena.map(|arena| Lender { arena, lent_bytes: metrics.lent_bytes().clone() });
        let driver = Driver {
            protocols: Protocols::new(&config.get().limits),
            config,
            lender,
            tls: self.tls,
            shared: self.shared,
            last_word: self.last_word,
            metrics,
            stop,
            cut,
        };
        let acceptor = Arc::new(Acceptor { places: Places::default(), addresses: Arc::<Addresses>::default(), driver });
        let accept = |socket: std::net::TcpListener| {
            let (acceptor, service) = (Arc::clone(&acceptor), service.clone());
            async move { Ok(acceptor.accept(TcpListener::from_std(socket)?, service).await) }
        };
        let drained = match threads {
            Threads::Shared => join_all(self.sockets.into_iter().map(accept)).await,
            Threads::Own { pinned, .. } => {
                let running = self.sockets.into_iter().enumerate();
                let running = running.map(|(index, socket)| thread::run(self.name, index, pinned, accept(socket)));
                join_all(running.collect::<io::Result<Vec<_>>>()?).await
            }
        };
        drained.into_iter().sum()
    }
}

impl Threads {
    /// Each thread accepts from a socket of its own.
    fn sockets(self) -> usize {
        match self {
            Self::Shared => 1,
            Self::Own { count, .. } => count.get(),
        }
    }
}

impl std::iter::Sum for Drained {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self { open: sum.open + one.open, cut: sum.cut + one.cut })
    }
}

#[cfg(test)]
mod tests;
