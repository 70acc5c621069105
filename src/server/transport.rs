//! A TCP connection that lets the kernel send what is kept in an [`Arena`], and copies the rest.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use prometheus_client::metrics::counter::Counter;
use rustix::fs::sendfile;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::arena::Arena;

/// Below this a copy is cheaper than the work of lending pages.
const LENT_BYTES_MIN: usize = 6 << 10;

/// The stream of one connection.
pub(super) struct Transport {
    stream: TcpStream,
    lender: Option<Lender>,
}

/// What bodies are lent from, and where that is counted.
#[derive(Clone)]
pub(super) struct Lender {
    pub arena: Arc<Arena>,
    pub lent_bytes: Counter,
}

impl Transport {
    pub(super) fn new(stream: TcpStream, lender: Option<Lender>) -> Self {
        Self { stream, lender }
    }

    /// The socket, to wait for what comes in.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Where a slice is in the arena's file, if the kernel shall take it from there.
    fn lent(&self, slice: &[u8]) -> Option<(&Lender, u64)> {
        let lender = self.lender.as_ref().filter(|_| slice.len() >= LENT_BYTES_MIN)?;
        lender.arena.find(slice).map(|offset| (lender, offset))
    }

    /// Writes the slices up to and including the first that is lent, as far as the socket takes them now.
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let copied = slices.iter().position(|slice| self.lent(slice).is_some()).unwrap_or(slices.len());
        let (copied, others) = slices.split_at(copied);
        let mut sent = 0;
        if !copied.is_empty() {
            // The kernel then waits for the body that follows at once, rather than to send a head of its own.
            let more = if others.is_empty() { SendFlags::empty() } else { SendFlags::MORE };
            sent = sendmsg(&self.stream, copied, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL | more)?;
            if sent < copied.iter().map(|slice| slice.len()).sum() {
                return Ok(sent);
            }
        }
        let Some((slice, (lender, mut offset))) = others.first().and_then(|slice| Some((slice, self.lent(slice)?))) else {
            return Ok(sent);
        };
        match sendfile(&self.stream, lender.arena.file(), Some(&mut offset), slice.len()) {
            Ok(lent) => {
                lender.lent_bytes.inc_by(lent as u64);
                Ok(sent + lent)
            }
            // What is wrong now is wrong at the next write too.
            Err(_) if sent > 0 => Ok(sent),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            match self.stream.try_io(Interest::WRITABLE, || self.write(slices)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
