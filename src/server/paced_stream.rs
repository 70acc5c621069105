//! A stream that tells its pace: what is read, what is written, when it is blocked, and on HTTP/2 what its frames say.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Refusal;
use super::frames::Frames;
use super::metrics::RefusalCounters;
use super::pace::Pace;

/// What a client sends first that speaks HTTP/2 (RFC 9113 3.4); no method begins so.
const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose bytes are told to its [`Pace`].
pub(super) struct PacedStream<T> {
    stream: T,
    /// Read before, and not used.
    left: Bytes,
    pace: Arc<Pace>,
    head: HeadWatch,
    protocol: Protocol,
    is_blocked: bool,
    /// Of the head under way, more than its first line has come in.
    has_line: bool,
}

/// How long heads on HTTP/1 may be, and where those that are longer are counted.
pub(super) struct HeadWatch {
    /// With more read, and the head still not at its end, nothing more is.
    pub bytes_max: usize,
    pub refusals: Arc<RefusalCounters>,
}

/// What is spoken, as far as that is known.
enum Protocol {
    /// So much of the preface of HTTP/2 has come in.
    Beginning(usize),
    Http1,
    Http2(Box<Frames>),
}

impl<T> PacedStream<T> {
    /// A stream of which the bytes in `left` were read before, and are read again.
    pub(super) fn new(stream: T, left: Bytes, pace: Arc<Pace>, head: HeadWatch) -> Self {
        Self { stream, left, pace, head, protocol: Protocol::Beginning(0), is_blocked: false, has_line: false }
    }

    pub(super) fn into_inner(self) -> T {
        self.stream
    }

    /// Told of a write: how many bytes there were, and how many of them were taken.
    fn written(&mut self, result: &Poll<io::Result<usize>>, slices: &[IoSlice<'_>]) {
        match result {
            Poll::Ready(Ok(count)) => {
                self.pace.has_written(*count);
                if self.is_blocked && *count >= slices.iter().map(|slice| slice.len()).sum() {
                    self.set_blocked(false);
                }
                if let Protocol::Http2(frames) = &mut self.protocol {
                    let mut left = *count;
                    for slice in slices {
                        let taken = left.min(slice.len());
                        frames.sent(&slice[..taken]);
                        left -= taken;
                    }
                    let now_ms = if frames.is_head_under_way() { self.pace.now_ms() } else { 0 };
                    self.pace.has_frames(now_ms, frames.open_count(), frames.is_head_under_way());
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending if self.is_blocked => {}
            Poll::Pending => self.set_blocked(true),
        }
    }

    fn set_blocked(&mut self, blocked: bool) {
        self.is_blocked = blocked;
        self.pace.is_blocked(blocked);
    }
}

impl<T: AsyncWrite + Unpin> PacedStream<T> {
    /// Tells a client that its head is too long, if nothing else is on its way to it.
    fn refuse_head(&mut self, context: &mut Context<'_>) {
        let refusal = if self.has_line { Refusal::HeadTooLarge } else { Refusal::TargetTooLong };
        self.head.refusals[refusal as usize].inc();
        if !self.is_blocked {
            // Either the socket takes it at once, or the client finds the connection closed.
            let _ = Pin::new(&mut self.stream).poll_write(context, refusal.raw_answer().as_bytes());
        }
    }

    /// Told of what was read.
    fn read(&mut self, bytes: &[u8], context: &mut Context<'_>) -> io::Result<()> {
        let now_ms = self.pace.now_ms();
        self.has_line = self.has_line && self.pace.head_bytes() > 0 || bytes.contains(&b'\n');
        self.pace.has_read(now_ms, bytes.len());
        let mut frames_bytes = bytes;
        if let Protocol::Beginning(count) = self.protocol {
            let rest = &H2_PREFACE[count..];
            let compared = rest.len().min(bytes.len());
            self.protocol = if rest[..compared] != bytes[..compared] {
                Protocol::Http1
            } else if compared == rest.len() {
                self.pace.speaks_h2();
                Protocol::Http2(Box::new(Frames::new(now_ms)))
            } else {
                Protocol::Beginning(count + compared)
            };
            frames_bytes = &bytes[compared..];
        }
        let Protocol::Http2(frames) = &mut self.protocol else { return Ok(()) };
        let calm = frames.received(frames_bytes, now_ms);
        self.pace.has_frames(now_ms, frames.open_count(), frames.is_head_under_way());
        let Err(flood) = calm else { return Ok(()) };
        self.pace.has_flooded(flood);
        if let Some(farewell) = frames.farewell() {
            // Either the socket takes it at once, or the client learns no reason.
            let _ = Pin::new(&mut self.stream).poll_write(context, &farewell);
        }
        Err(io::Error::other("the client sends too much that asks for nothing"))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for PacedStream<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.pace.head_bytes() > self.head.bytes_max {
            // Whoever reads asks for the rest of a head that is too long already.
            self.refuse_head(context);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let result = if self.left.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))
        } else {
            let taken = self.left.len().min(buffer.remaining());
            buffer.put_slice(&self.left.split_to(taken));
            Ok(())
        };
        let read = &buffer.filled()[before..];
        if !read.is_empty() {
            self.read(read, context)?;
        }
        Poll::Ready(result)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for PacedStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(&result, &[IoSlice::new(bytes)]);
        result
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(&result, slices);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
