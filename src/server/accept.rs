//! Takes connections from a socket, as many as may be open, until it is time to stop; then waits for them to end.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Driver;
use super::metrics::ListenerMetrics;
use super::{BoxError, ConnectionEnd, Drained};

/// Pause after a failed accept, such as for want of descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\ncache-control: no-store\r\nretry-after: 1\r\nconnection: close\r\n\r\n";

/// What all sockets of a listener share.
pub(super) struct Acceptor {
    pub connections: Arc<Semaphore>,
    pub driver: Driver,
    pub metrics: ListenerMetrics,
    pub drain: Duration,
    pub stop: CancellationToken,
    pub cut: CancellationToken,
}

impl Acceptor {
    /// Drives what comes in on `listener` until it is time to stop, and for as long as draining may take.
    pub(super) async fn accept<S, B>(self: Arc<Self>, listener: TcpListener, service: S) -> Drained
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let tracker = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(listener = self.metrics.listener(), %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            self.take(stream, &service, &tracker);
        }
        // What has come in by now is answered; closing the socket would break it off.
        if let Ok(listener) = listener.into_std() {
            while let Ok(stream) = listener.accept().and_then(|(stream, _)| from_std(stream)) {
                self.take(stream, &service, &tracker);
            }
        }
        tracker.close();
        let open = tracker.len();
        if tokio::time::timeout(self.drain, tracker.wait()).await.is_ok() {
            return Drained { open, cut: 0 };
        }
        let left = tracker.len();
        self.cut.cancel();
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
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
            self.metrics.ended(ConnectionEnd::Refused);
            refuse(stream);
            return;
        };
        let (acceptor, service, open) = (Arc::clone(self), service.clone(), self.metrics.open());
        tracker.spawn(async move {
            let end = acceptor.driver.drive(stream, service).await;
            open.end(end);
            drop(permit);
        });
    }
}

fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

/// Tells a client that there is no room for it, if its socket takes the answer at once.
fn refuse(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        // The socket is new and does not block: either it takes these bytes or the client finds it closed.
        let _ = stream.write(REFUSAL);
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
}
