//! How a connection to a listener with TLS begins: with a handshake, or with a client that speaks plain HTTP and is told so.

use std::io;
use std::time::Duration;

use http::HeaderValue;
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::{H2, SecureStream, Tls};
use crate::server::ConnectionEnd;
use crate::server::metrics::ListenerMetrics;

/// Plain text that is encrypted before it goes to the socket in one piece, and so the most that a connection whose client does
/// not read holds of it.
const WRITE_BYTES: usize = 128 << 10;
/// What every record of a handshake begins with (RFC 8446 5.1).
const HANDSHAKE_RECORD: u8 = 22;

const PLAIN_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 78\r\n\
    cache-control: no-store\r\n\
    connection: close\r\n\
    \r\n\
    This port takes TLS only. Ask for the same address with https instead of http\n";
/// How long such a client may take to read that, and how much of what it still sends is read meanwhile: to close before would
/// make its kernel throw the answer away.
const PLAIN_PATIENCE: Duration = Duration::from_secs(1);
const PLAIN_BYTES_MAX: usize = 64 << 10;

/// The protocol that was agreed on in the handshake (ALPN, RFC 7301). Clients that name none speak HTTP/1.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::server) enum Protocol {
    #[default]
    Http1,
    Http2,
}

/// A connection whose handshake is done.
pub(in crate::server) struct Begun {
    pub stream: SecureStream,
    pub protocol: Protocol,
    /// The field to be sent with every answer.
    pub strict_transport_security: Option<HeaderValue>,
}

impl Tls {
    /// Does the handshake, within `patience`.
    pub(in crate::server) async fn begin(
        &self,
        stream: TcpStream,
        patience: Duration,
        metrics: &ListenerMetrics,
    ) -> Result<Begun, ConnectionEnd> {
        timeout(patience, self.shake_hands(stream, metrics)).await.unwrap_or(Err(ConnectionEnd::HandshakeTimeout))
    }

    async fn shake_hands(&self, mut stream: TcpStream, metrics: &ListenerMetrics) -> Result<Begun, ConnectionEnd> {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(0) => return Err(ConnectionEnd::Closed),
            Ok(_) => {}
            Err(_) => return Err(ConnectionEnd::Failed),
        }
        if first[0].is_ascii_alphabetic() {
            // A client that cannot be told is gone.
            let _ = answer_plainly(&mut stream).await;
            return Err(ConnectionEnd::PlainText);
        }
        if first[0] != HANDSHAKE_RECORD {
            return Err(ConnectionEnd::HandshakeFailed);
        }
        let secured = self.current();
        let accept = TlsAcceptor::from(secured.rustls).accept_with(stream, |session| session.set_buffer_limit(Some(WRITE_BYTES)));
        let stream = accept.await.map_err(|error| {
            tracing::debug!(%error, "a handshake failed");
            ConnectionEnd::HandshakeFailed
        })?;
        let (_, session) = stream.get_ref();
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "1.3",
        };
        let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        metrics.handshake(version, resumed);
        let protocol = if session.alpn_protocol() == Some(H2) { Protocol::Http2 } else { Protocol::Http1 };
        let strict_transport_security = secured.config.strict_transport_security;
        Ok(Begun { stream: SecureStream::new(stream), protocol, strict_transport_security })
    }
}

async fn answer_plainly(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN_ANSWER).await?;
    stream.shutdown().await?;
    let mut buffer = [0; 2048];
    let reading = async {
        let mut left = PLAIN_BYTES_MAX;
        while left > 0 {
            match stream.read(&mut buffer).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok(())
    };
    timeout(PLAIN_PATIENCE, reading).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_answer_is_as_long_as_it_says() {
        let text = std::str::from_utf8(PLAIN_ANSWER).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
