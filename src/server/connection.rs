//! Drives one connection from accept to its end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::drowsy::Drowsy;
use super::gate::{Gate, Manner};
use super::metrics::ListenerMetrics;
use super::pace::{Overdue, Pace, PacedStream};
use super::tls::{Protocol, Tls};
use super::transport::{Lender, Transport};
use super::{BoxError, ConnectionEnd, LiveConfig, Peer};

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
    pub protocols: Protocols,
    pub config: LiveConfig,
    pub lender: Option<Lender>,
    pub tls: Option<Tls>,
    /// Whether others take connections from the same socket.
    pub shared: bool,
    /// How long a connection may be silent after the signal to stop.
    pub last_word: Duration,
    pub metrics: ListenerMetrics,
    /// Told it, connections end with the requests they have.
    pub stop: CancellationToken,
    /// Told it, they end at once.
    pub cut: CancellationToken,
}

impl Driver {
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
        let config = self.config.get();
        let address = if config.tells_peer { stream.peer_addr().ok() } else { None };
        let peer = address.map(|address| Peer { address, tls: self.tls.is_some() });
        let Some(tls) = &self.tls else {
            let pace = Arc::new(Pace::new(config.header_timeout, config.idle_timeout));
            return self
                .converse(
                    &self.protocols.either,
                    Transport::new(stream, self.lender.clone()),
                    service,
                    pace,
                    Manner { peer, strict_transport_security: None },
                )
                .await;
        };
        let begun = tokio::select! {
            biased;
            () = self.cut.cancelled() => return ConnectionEnd::Cut,
            begun = tls.begin(stream, config.header_timeout, &self.metrics) => begun,
        };
        let begun = match begun {
            Ok(begun) => begun,
            Err(end) => return end,
        };
        let pace = Arc::new(Pace::new(config.header_timeout, config.idle_timeout));
        let protocol = match begun.protocol {
            Protocol::Http1 => &self.protocols.http1,
            Protocol::Http2 => {
                pace.speaks_h2();
                &self.protocols.http2
            }
        };
        let manner = Manner { peer, strict_transport_security: begun.strict_transport_security };
        self.converse(protocol, begun.stream, service, pace, manner).await
    }

    /// Speaks HTTP until the end.
    async fn converse<T, S, B>(
        &self,
        protocol: &Builder<TokioExecutor>,
        stream: T,
        service: S,
        pace: Arc<Pace>,
        manner: Manner,
    ) -> ConnectionEnd
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let io = TokioIo::new(PacedStream::new(stream, Arc::clone(&pace)));
        let gate = Gate::new(service, Arc::clone(&pace), manner);
        let mut connection = pin!(protocol.serve_connection(io, gate));
        let mut overdue = pin!(pace.overdue());
        let mut stop = pin!(async {
            self.stop.cancelled().await;
            if self.last_word.is_zero() {
                // A connection that is told to end before it has begun ends at once, and a request on its way is lost.
                pace.begun(FIRST_BYTE_PATIENCE).await;
            } else {
                pace.end();
                pace.quiet(self.last_word.min(self.config.get().drain / 2)).await;
            }
        });
        // Until one of these is told, nothing but the connection itself matters.
        let mut told = pin!(Drowsy::new(async {
            tokio::select! {
                () = self.cut.cancelled() => {}
                () = self.stop.cancelled() => {}
            }
        }));
        let mut cut = pin!(self.cut.cancelled());
        let (mut is_told, mut stopping) = (false, false);
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
                () = told.as_mut(), if !is_told => is_told = true,
                () = cut.as_mut(), if is_told => return ConnectionEnd::Cut,
                () = stop.as_mut(), if is_told && !stopping => {
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

/// How HTTP is spoken, with its limits.
pub(super) struct Protocols {
    /// What the client begins with decides.
    either: Builder<TokioExecutor>,
    http1: Builder<TokioExecutor>,
    http2: Builder<TokioExecutor>,
}

impl Default for Protocols {
    fn default() -> Self {
        let mut either = Builder::new(TokioExecutor::new());
        // Hyper's own limit on heads also runs while a connection idles between requests; `Pace` tells the two apart.
        either.http1().timer(TokioTimer::new()).header_read_timeout(None).half_close(true).max_buf_size(BUFFER_BYTES_MAX);
        either.http2().timer(TokioTimer::new()).max_concurrent_streams(H2_STREAMS_MAX).max_header_list_size(H2_FIELDS_BYTES_MAX);
        Self { http1: either.clone().http1_only(), http2: either.clone().http2_only(), either }
    }
}
