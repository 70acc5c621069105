//! What a client begins with in clear text: HTTP/1, or the preface of HTTP/2. It is looked at and left in the socket: hyper's
//! buffer would grow to twice its size for the few bytes that were taken before.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ConnectionEnd;
use super::tls::Protocol;

/// The preface of HTTP/2 (RFC 9113 3.4) begins so, and no request on HTTP/1 that is answered.
const H2_BEGINNING: &[u8; 3] = b"PRI";
/// Between two looks at a beginning that says nothing yet.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits for a client to begin, as long as it may be silent, and then for it to show what it speaks.
///
/// # Errors
/// How the connection ended instead.
pub(super) async fn protocol(stream: &TcpStream, idle_timeout: Duration, header_timeout: Duration) -> Result<Protocol, ConnectionEnd> {
    let first = timeout(idle_timeout, beginning(stream)).await.map_err(|_| ConnectionEnd::Idle)??;
    if let Some(protocol) = first {
        return Ok(protocol);
    }
    let further = async {
        loop {
            tokio::time::sleep(PAUSE).await;
            if let Some(protocol) = beginning(stream).await? {
                return Ok(protocol);
            }
        }
    };
    timeout(header_timeout, further).await.map_err(|_| ConnectionEnd::HeadTimeout)?
}

/// What the first bytes show, once there are any.
async fn beginning(stream: &TcpStream) -> Result<Option<Protocol>, ConnectionEnd> {
    let mut bytes = [0; H2_BEGINNING.len()];
    match stream.peek(&mut bytes).await {
        Ok(0) => Err(ConnectionEnd::Closed),
        Ok(count) if bytes[..count] != H2_BEGINNING[..count] => Ok(Some(Protocol::Http1)),
        Ok(count) => Ok((count == bytes.len()).then_some(Protocol::Http2)),
        Err(_) => Err(ConnectionEnd::Failed),
    }
}
