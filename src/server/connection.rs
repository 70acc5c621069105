//! Drives one connection from accept to its end.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::accept::Place;
use super::addresses::AddressPlace;
use super::drowsy::Drowsy;
use super::gate::{Gate, Manner};
use super::limits::{FIELDS_MAX, Limits};
use super::metrics::ListenerMetrics;
use super::pace::{Overdue, Pace, Patience};
use super::paced_stream::PacedStream;
use super::send_queue::SendQueue;
use super::tls::{Protocol, Tls};
use super::transport::{Lender, Transport};
use super::{BoxError, Config, ConnectionEnd, LiveConfig, Peer, opening};

/// Hyper may hold so much more than the longest head: what came with the head's last bytes, and answers that are gathered.
const BUFFER_SLACK_BYTES: usize = 64 << 10;
/// Requests on HTTP/2 that were taken back before they were looked at; with one more the connection ends.
const H2_UNSEEN_RESETS_MAX: usize = 20;
/// Requests on HTTP/2 that were reset for an error of the client; with one more the connection ends.
const H2_ERRORS_MAX: usize = 100;
/// What a client may send of bodies before somebody reads them, a stream and a connection; where none are taken, it is the least
/// that does not hinder a head.
const H2_BODY_BYTES: (u32, u32) = (1 << 20, 1 << 20);
const H2_NO_BODY_BYTES: (u32, u32) = (16 << 10, 64 << 10);
/// What a client may have the decoder of heads remember (RFC 7541 4.2).
const H2_TABLE_BYTES: u32 = 4096;

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

/// What a connection takes as long as it is open, and who its other end is.
pub(super) struct Admitted {
    pub place: Place,
    /// Absent where no limit holds for the address.
    pub address: Option<AddressPlace>,
    pub peer: Option<SocketAddr>,
}

impl Driver {
    pub(super) async fn drive<S, B>(&self, stream: TcpStream, service: S, admitted: Admitted) -> ConnectionEnd
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send + From<Bytes>,
        B::Error: Into<BoxError>,
    {
        let config = self.config.get();
        let address = admitted.peer.filter(|_| config.tells_peer);
        let peer = address.map(|address| Peer { address, tls: self.tls.is_some() });
        let queue = SendQueue::of(&stream);
        let mut manner = Manner::new(admitted, &config.limits, peer, Arc::clone(self.metrics.refusals()));
        let Some(tls) = &self.tls else {
            let pace = Arc::new(pace(&config, queue));
            let gate = Arc::new(Gate::new(service, Arc::clone(&pace), manner));
            return self.converse_in_clear(Transport::new(stream, self.lender.clone()), gate, &pace).await;
        };
        // In a box of its own: a handshake takes a lot of room for a short time.
        let beginning = Box::pin(tls.begin(stream, config.header_timeout, &self.metrics));
        let begun = tokio::select! {
            biased;
            () = self.cut.cancelled() => return ConnectionEnd::Cut,
            begun = beginning => begun,
        };
        let begun = match begun {
            Ok(begun) => begun,
            Err(end) => return end,
        };
        let pace = Arc::new(pace(&config, queue));
        manner.strict_transport_security = begun.strict_transport_security;
        let gate = Arc::new(Gate::new(service, Arc::clone(&pace), manner));
        let io = TokioIo::new(PacedStream::new(begun.stream, Bytes::new(), Arc::clone(&pace), gate.head_watch()));
        match begun.protocol {
            Protocol::Http1 => self.attend(&mut Box::pin(self.protocols.http1.serve_connection(io, gate)), &pace, false).await,
            Protocol::Http2 => {
                pace.speaks_h2();
                self.attend(&mut Box::pin(self.protocols.http2.serve_connection(io, gate)), &pace, false).await
            }
        }
        .unwrap_or(ConnectionEnd::Idle)
    }

    /// Speaks HTTP until the end, whichever version a client begins with. On HTTP/1, hyper has the connection while something is under
    /// way: its buffers are the most of what a connection takes.
    async fn converse_in_clear<S, B>(&self, mut stream: Transport, gate: Arc<Gate<S>>, pace: &Arc<Pace>) -> ConnectionEnd
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send + From<Bytes>,
        B::Error: Into<BoxError>,
    {
        let mut left = Bytes::new();
        loop {
            let protocol = if left.is_empty() { Box::pin(self.opened(&stream, pace)).await } else { Ok(Protocol::Http1) };
            let io = |stream| TokioIo::new(PacedStream::new(stream, left, Arc::clone(pace), gate.head_watch()));
            match protocol {
                // Once HTTP/1 was spoken, a preface of HTTP/2 is a wrong request.
                Ok(protocol) if protocol == Protocol::Http1 || pace.has_begun() => {
                    let mut connection = Box::pin(self.protocols.http1.serve_connection(io(stream), Arc::clone(&gate)));
                    if let Some(end) = self.attend(&mut connection, pace, true).await {
                        return end;
                    }
                    let parts = Pin::into_inner(connection).into_parts();
                    (stream, left) = (parts.io.into_inner().into_inner(), parts.read_buf);
                }
                Ok(_) => {
                    pace.speaks_h2();
                    let mut connection = Box::pin(self.protocols.http2.serve_connection(io(stream), gate));
                    return self.attend(&mut connection, pace, false).await.unwrap_or(ConnectionEnd::Idle);
                }
                Err(end) => return end,
            }
        }
    }

    /// Waits for a client to begin, or to go on after a rest.
    async fn opened(&self, stream: &Transport, pace: &Pace) -> Result<Protocol, ConnectionEnd> {
        let _resting = self.metrics.resting();
        tokio::select! {
            biased;
            () = self.cut.cancelled() => Err(ConnectionEnd::Cut),
            protocol = opening::protocol(stream.socket(), pace) => protocol,
            () = self.silence(pace) => Err(ConnectionEnd::Closed),
        }
    }

    /// Ends some time after the signal to stop, for clients that are silent then.
    async fn silence(&self, pace: &Pace) {
        self.stop.cancelled().await;
        let patience = if !self.last_word.is_zero() {
            self.last_word.min(self.config.get().drain / 2)
        } else if pace.has_begun() {
            Duration::ZERO
        } else {
            FIRST_BYTE_PATIENCE
        };
        tokio::time::sleep(patience).await;
    }

    /// Waits, after the signal to stop, until a connection may be told to end.
    async fn last_chance(&self, pace: &Pace) {
        if self.last_word.is_zero() {
            // A connection that is told to end before it has begun ends at once, and a request on its way is lost.
            pace.begun(FIRST_BYTE_PATIENCE).await;
        } else {
            pace.end();
            pace.quiet(self.last_word.min(self.config.get().drain / 2)).await;
        }
    }

    /// Drives a connection until it ends, or is to be ended; none when it may rest instead.
    async fn attend<C>(&self, connection: &mut Pin<Box<C>>, pace: &Pace, rests: bool) -> Option<ConnectionEnd>
    where
        C: GracefulConnection + Send,
        C::Error: std::fmt::Display + Send,
    {
        let mut overdue = pin!(pace.overdue(rests));
        let mut stop = pin!(async {
            self.stop.cancelled().await;
            // In a box of its own: it is rarely needed, and for a short time.
            Box::pin(self.last_chance(pace)).await;
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
                result = connection.as_mut() => return Some(match result {
                    Ok(()) => ConnectionEnd::Closed,
                    Err(_) if pace.is_flooded() => ConnectionEnd::Flood,
                    Err(error) => {
                        tracing::debug!(%error, "a connection failed");
                        ConnectionEnd::Failed
                    }
                }),
                () = told.as_mut(), if !is_told => is_told = true,
                () = cut.as_mut(), if is_told => return Some(ConnectionEnd::Cut),
                () = stop.as_mut(), if is_told && !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                overdue = overdue.as_mut() => return match overdue {
                    Overdue::Head => Some(ConnectionEnd::HeadTimeout),
                    Overdue::Idle => Some(ConnectionEnd::Idle),
                    Overdue::Slow => Some(ConnectionEnd::SlowReader),
                    Overdue::Rest => None,
                },
            }
        }
    }
}

fn pace(config: &Config, queue: SendQueue) -> Pace {
    let patience =
        Patience { header_timeout: config.header_timeout, idle_timeout: config.idle_timeout, send_rate_min: config.limits.send_rate_min };
    Pace::new(patience, Some(queue))
}

/// How HTTP is spoken, with its limits.
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Protocols {
    pub(super) fn new(limits: &Limits) -> Self {
        let head_bytes_max = limits.head.bytes_max;
        // Hyper's own limit on heads also runs while a connection idles between requests; `Pace` tells the two apart. Its limit of
        // fields is left at `FIELDS_MAX`, up to which it needs no memory for them.
        const { assert!(FIELDS_MAX == 100) };
        let mut http1 = http1::Builder::new();
        http1.timer(TokioTimer::new()).header_read_timeout(None).half_close(true).max_buf_size(head_bytes_max + BUFFER_SLACK_BYTES);
        let (stream_bytes, connection_bytes) = if limits.takes_bodies { H2_BODY_BYTES } else { H2_NO_BODY_BYTES };
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams_max)
            .max_header_list_size(u32::try_from(head_bytes_max).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(H2_UNSEEN_RESETS_MAX)
            .max_local_error_reset_streams(H2_ERRORS_MAX)
            .header_table_size(H2_TABLE_BYTES)
            .initial_stream_window_size(stream_bytes)
            .initial_connection_window_size(connection_bytes);
        Self { http1, http2 }
    }
}
