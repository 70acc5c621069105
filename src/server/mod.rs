//! Listeners, connections, limits and drain; knows nothing of video.
//!
//! One listener speaks HTTP/1.1 and, to clients that begin with its preface, HTTP/2 in clear text. Every connection is driven
//! by a task of its own and ends in one of the ways of [`ConnectionEnd`].

mod connection;
mod gate;
mod metrics;
mod pace;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use connection::Driver;
pub use metrics::{ConnectionEnd, Metrics};

/// Any error of a service or a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Pause after a failed accept, such as for want of descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\ncache-control: no-store\r\nretry-after: 1\r\nconnection: close\r\n\r\n";

/// Limits of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Connections open at once.
    pub connections_max: usize,
    /// Longest time from the first byte of a request's head to its last, on HTTP/1.
    pub header_timeout: Duration,
    /// Longest time without a byte in either direction, unless a request is being worked on. A body that is streamed must
    /// send something more often than that.
    pub idle_timeout: Duration,
    /// How long open requests may go on after the signal to stop.
    pub drain: Duration,
    /// Whether requests carry their [`Peer`] as an extension, which costs a little for each.
    pub tells_peer: bool,
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
    listener: TcpListener,
    address: SocketAddr,
}

/// How a listener ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were open when the signal came.
    pub open: usize,
    /// Those of them that were cut off because they had not ended in time.
    pub cut: usize,
}

impl Listener {
    /// Binds `address`; port 0 takes a free one. `name` is what metrics and logs call it.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(name: &'static str, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { name, listener, address })
    }

    /// The address that was bound, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then takes no more connections and lets the open ones end for as long as `config.drain`. Dropping
    /// the future cuts every connection off.
    pub async fn serve<S, B>(self, service: S, config: Config, metrics: &Metrics, stop: CancellationToken) -> Drained
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let connections = Arc::new(Semaphore::new(config.connections_max.min(Semaphore::MAX_PERMITS)));
        let tracker = TaskTracker::new();
        let cut = CancellationToken::new();
        let _cut_when_dropped = cut.clone().drop_guard();
        let metrics = metrics.of(self.name);
        let driver = Arc::new(Driver::new(config, stop.clone(), cut.clone()));
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(listener = self.name, %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
                metrics.ended(ConnectionEnd::Refused);
                refuse(stream);
                continue;
            };
            let (driver, service, open) = (Arc::clone(&driver), service.clone(), metrics.open());
            tracker.spawn(async move {
                let end = driver.drive(stream, service).await;
                open.end(end);
                drop(permit);
            });
        }
        drop(self.listener);
        tracker.close();
        let open = tracker.len();
        if tokio::time::timeout(config.drain, tracker.wait()).await.is_ok() {
            return Drained { open, cut: 0 };
        }
        let left = tracker.len();
        cut.cancel();
        tracker.wait().await;
        Drained { open, cut: left }
    }
}

/// Tells a client that there is no room for it, if its socket takes the answer at once.
fn refuse(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        // The socket is new and does not block: either it takes these bytes or the client finds it closed.
        let _ = stream.write(REFUSAL);
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
}

#[cfg(test)]
mod tests;
