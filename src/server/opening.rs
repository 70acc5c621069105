//! What a client begins with in clear text: HTTP/1, or the preface of HTTP/2. It is looked at and left in the socket until a head
//! is whole, so that who is silent, or slow to say what it wants, takes up nothing but a socket.

use std::io;

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ConnectionEnd;
use super::limits::FIELDS_MAX;
use super::pace::Pace;
use super::tls::Protocol;

/// The preface of HTTP/2 (RFC 9113 3.4) begins so, and no request on HTTP/1 that is answered.
const H2_BEGINNING: &[u8; 3] = b"PRI";
/// A head that is longer is not waited for.
const LOOK_BYTES: usize = 2048;

/// Waits for a client to begin, as long as it may be silent, and then for its first head to be whole, as long as that may take.
///
/// # Errors
/// How the connection ended instead.
pub(super) async fn protocol(stream: &TcpStream, pace: &Pace) -> Result<Protocol, ConnectionEnd> {
    timeout(pace.silence_left(), look(stream, |_| Some(()))).await.map_err(|_| ConnectionEnd::Idle)??;
    pace.head_begins();
    timeout(pace.header_timeout(), look(stream, shown)).await.unwrap_or_else(|_| {
        // What is not read when a socket is closed makes a reset of its end.
        let _ = recv(stream, &mut [0; LOOK_BYTES], RecvFlags::DONTWAIT);
        Err(ConnectionEnd::HeadTimeout)
    })
}

/// Looks at the first bytes whenever more have come in, until they say something. When no more can come, it is HTTP/1.
async fn look<T: Default>(stream: &TcpStream, tell: impl Fn(&[u8]) -> Option<T>) -> Result<T, ConnectionEnd> {
    loop {
        let ready = stream.ready(Interest::READABLE).await.map_err(|_| ConnectionEnd::Failed)?;
        let told = stream.try_io(Interest::READABLE, || {
            let mut bytes = [0; LOOK_BYTES];
            let (_, count) = recv(stream, &mut bytes, RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
            match tell(&bytes[..count]) {
                _ if count == 0 => Ok(None),
                Some(told) => Ok(Some(told)),
                None if count == bytes.len() || ready.is_read_closed() => Ok(Some(T::default())),
                // The socket is awaited until more has come in.
                None => Err(io::ErrorKind::WouldBlock.into()),
            }
        });
        match told {
            Ok(Some(told)) => return Ok(told),
            Ok(None) => return Err(ConnectionEnd::Closed),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(ConnectionEnd::Failed),
        }
    }
}

/// What a beginning shows: nothing, as long as it may still become the preface of HTTP/2 or a head that is right.
fn shown(bytes: &[u8]) -> Option<Protocol> {
    let compared = bytes.len().min(H2_BEGINNING.len());
    if bytes[..compared] == H2_BEGINNING[..compared] {
        return (compared == H2_BEGINNING.len()).then_some(Protocol::Http2);
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let head = httparse::Request::new(&mut fields).parse(bytes);
    // What is wrong is for those to say who read it.
    (!matches!(head, Ok(httparse::Status::Partial))).then_some(Protocol::Http1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_show_what_is_spoken_once_they_are_whole_or_wrong() {
        for (bytes, expect) in [
            (&b"P"[..], None),
            (b"PRI", Some(Protocol::Http2)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Protocol::Http2)),
            (b"PU", None),
            (b"GET /a HTTP/1.1\r\nHost: a\r\n", None),
            (b"\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", Some(Protocol::Http1)),
            (b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET", Some(Protocol::Http1)),
            (b"GET /a HTTP/1.1\r\nHost : a\r\n", Some(Protocol::Http1)),
            (b"\x16\x03\x01", Some(Protocol::Http1)),
        ] {
            assert_eq!(shown(bytes), expect, "{}", bytes.escape_ascii());
        }
    }
}
