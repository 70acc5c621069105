//! Drives one connection from accept to its end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::gate::Gate;
use super::pace::{Overdue, Pace, PacedStream};
use super::transport::{Lender, Transport};
use super::{BoxError, Config, ConnectionEnd, Peer};

/// Bytes of a request's head that are read before it is refused with 431, and of answers that are gathered before writing.
const BUFFER_BYTES_MAX: usize = 128 << 10;
/// Bytes of an HTTP/2 request's fields.
const H2_FIELDS_BYTES_MAX: u32 = 16 << 10;
/// Requests at once on an HTTP/2 connection.
const H2_STREAMS_MAX: u32 = 128;

/// After the signal to stop, how long a new connection may take to send something.
const FIRST_BYTE_PATIENCE: Duration = Duration::from_secs(1);

/// What all connections of a listener share.
pub(super) struct Driver {
    builder: Builder<TokioExecutor>,
    config: Config,
    lender: Option<Lender>,
    stop: CancellationToken,
    cut: CancellationToken,
}

impl Driver {
    /// After `stop` connections end with the requests they have; after `cut` they end at once.
    pub(super) fn new(config: Config, lender: Option<Lender>, stop: CancellationToken, cut: CancellationToken) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        // Hyper's own limit on heads also runs while a connection idles between requests; `Pace` tells the two apart.
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None).half_close(true).max_buf_size(BUFFER_BYTES_MAX);
        builder.http2().timer(TokioTimer::new()).max_concurrent_streams(H2_STREAMS_MAX).max_header_list_size(H2_FIELDS_BYTES_MAX);
        Self { builder, config, lender, stop, cut }
    }

    pub(super) async fn drive<S, B>(&self, stream: TcpStream, service: S) -> ConnectionEnd
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        // Answers are written whole, so waiting to fill packets only delays the last one of each.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let peer = if self.config.tells_peer { stream.peer_addr().ok().map(|address| Peer { address, tls: false }) } else { None };
        let pace = Arc::new(Pace::new(self.config.header_timeout, self.config.idle_timeout));
        let transport = Transport::new(stream, self.lender.clone());
        let io = TokioIo::new(PacedStream::new(transport, Arc::clone(&pace)));
        let mut connection = pin!(self.builder.serve_connection(io, Gate::new(service, Arc::clone(&pace), peer)));
        let mut overdue = pin!(pace.overdue());
        // A connection that is told to end before it has begun ends at once, and a request on its way is lost.
        let mut stop = pin!(async {
            self.stop.cancelled().await;
            pace.begun(FIRST_BYTE_PATIENCE).await;
        });
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                result = connection.as_mut() => return match result {
                    Ok(()) => ConnectionEnd::Closed,
                    Err(error) => {
                        tracing::debug!(%error, "a connection failed");
                        ConnectionEnd::Failed
                    }
                },
                () = self.cut.cancelled() => return ConnectionEnd::Cut,
                () = stop.as_mut(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                overdue = overdue.as_mut() => return match overdue {
                    Overdue::Head => ConnectionEnd::HeadTimeout,
                    Overdue::Idle => ConnectionEnd::Idle,
                },
            }
        }
    }
}
