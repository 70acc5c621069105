//! Takes connections from a socket, as many as may be open, until it is time to stop; then waits for them to end.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::addresses::{Addresses, TooMany};
use super::connection::{Admitted, Driver};
use super::{BoxError, ConnectionEnd, Drained};

/// Pause after a failed accept, such as for want of descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\ncache-control: no-store\r\nretry-after: 1\r\n\
    access-control-allow-origin: *\r\nconnection: close\r\n\r\n";
const ADDRESS_REFUSAL: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\ncache-control: no-store\r\nretry-after: 5\r\n\
    access-control-allow-origin: *\r\nconnection: close\r\n\r\n";
/// An alert of TLS that ends the connection: internal_error (RFC 8446 6), in a record of its own.
const REFUSAL_TLS: &[u8] = &[21, 3, 3, 0, 2, 2, 80];

/// What all sockets of a listener share.
pub(super) struct Acceptor {
    pub places: Places,
    pub addresses: Arc<Addresses>,
    pub driver: Driver,
}

/// Counts the open connections of a listener.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Counts>);

#[derive(Default)]
struct Counts {
    open: AtomicUsize,
    /// With as many open, none should stay open that is not needed.
    crowd: AtomicUsize,
}

/// Kept as long as a connection is open.
pub(super) struct Place(Places);

impl Places {
    fn take(&self, most: usize) -> Option<Place> {
        let taken = self.0.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < most).then_some(open + 1));
        // A sixteenth; of few, none.
        self.0.crowd.store(most - most / 64 * 4, Ordering::Relaxed);
        taken.is_ok().then(|| Place(self.clone()))
    }
}

impl Place {
    /// Whether nearly as many connections are open as may be.
    pub(super) fn is_crowded(&self) -> bool {
        let counts = &self.0.0;
        counts.open.load(Ordering::Relaxed) > counts.crowd.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Acceptor {
    /// Drives what comes in on `listener` until it is time to stop, and for as long as draining may take.
    pub(super) async fn accept<S, B>(self: Arc<Self>, listener: TcpListener, service: S) -> Drained
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send + From<Bytes>,
        B::Error: Into<BoxError>,
    {
        let tracker = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.driver.stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(listener = self.driver.metrics.listener(), %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            self.take(stream, &service, &tracker);
        }
        // What has come in by now is answered; closing the socket would break it off, unless others take from it too.
        if !self.driver.shared
            && let Ok(listener) = listener.into_std()
        {
            while let Ok(stream) = listener.accept().and_then(|(stream, _)| from_std(stream)) {
                self.take(stream, &service, &tracker);
            }
        }
        tracker.close();
        let open = tracker.len();
        if tokio::time::timeout(self.driver.config.get().drain, tracker.wait()).await.is_ok() {
            return Drained { open, cut: 0 };
        }
        let left = tracker.len();
        self.driver.cut.cancel();
        tracker.wait().await;
        Drained { open, cut: left }
    }

    /// Drives a connection, if one more may be open.
    fn take<S, B>(self: &Arc<Self>, stream: TcpStream, service: &S, tracker: &TaskTracker)
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send + From<Bytes>,
        B::Error: Into<BoxError>,
    {
        let admitted = match self.admit(&stream) {
            Ok(admitted) => admitted,
            Err(end) => {
                self.driver.metrics.ended(end);
                let refusal = if end == ConnectionEnd::AddressRefused { ADDRESS_REFUSAL } else { REFUSAL };
                refuse(stream, if self.driver.tls.is_some() { REFUSAL_TLS } else { refusal });
                return;
            }
        };
        let (acceptor, service, open) = (Arc::clone(self), service.clone(), self.driver.metrics.open());
        tracker.spawn(async move {
            let end = acceptor.driver.drive(stream, service, admitted).await;
            acceptor.driver.metrics.ended(end);
            drop(open);
        });
    }

    /// What a connection takes as long as it is open; or how it ends if there is no room for it.
    fn admit(&self, stream: &TcpStream) -> Result<Admitted, ConnectionEnd> {
        let config = self.driver.config.get();
        let peer = stream.peer_addr().ok();
        let address = peer.map_or(Ok(None), |peer| self.addresses.admit(peer.ip(), &config.limits));
        let address = address.map_err(|TooMany| ConnectionEnd::AddressRefused)?;
        let place = self.places.take(config.connections_max).ok_or(ConnectionEnd::Refused)?;
        Ok(Admitted { place, address, peer })
    }
}

fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

/// Tells a client that there is no room for it, if its socket takes the answer at once.
fn refuse(stream: TcpStream, refusal: &[u8]) {
    if let Ok(mut stream) = stream.into_std() {
        // The socket is new and does not block: either it takes these bytes or the client finds it closed.
        let _ = stream.write(refusal);
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
}
