//! The body of an answer, watched until the connection has taken its last byte or has let go of it.

use std::fmt;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};

use super::record::Hold;
use crate::delivery::{Body, BodyError};

/// A body of delivery's, whose bytes are counted when they are taken if the answer is logged.
pub struct LoggedBody {
    body: Body,
    hold: Option<Hold>,
}

impl LoggedBody {
    /// A body that nobody counts.
    pub(super) fn unlogged(body: Body) -> Self {
        Self { body, hold: None }
    }

    pub(super) fn logged(body: Body, hold: Hold) -> Self {
        Self { body, hold: Some(hold) }
    }
}

impl http_body::Body for LoggedBody {
    type Data = LoggedBytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<LoggedBytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let hold = if self.body.is_end_stream() { self.hold.take() } else { self.hold.clone() };
                Some(Ok(frame.map_data(|bytes| LoggedBytes { bytes, hold })))
            }
            Some(Err(error)) => {
                if let Some(hold) = &self.hold {
                    hold.fail();
                }
                Some(Err(error))
            }
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of a body, at the address where they were. Connections take them by [`Buf::advance`], which is what counts as sent.
pub struct LoggedBytes {
    bytes: Bytes,
    hold: Option<Hold>,
}

impl From<Bytes> for LoggedBytes {
    /// Bytes that nobody counts.
    fn from(bytes: Bytes) -> Self {
        Self { bytes, hold: None }
    }
}

impl fmt::Debug for LoggedBytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "LoggedBytes({})", self.bytes.len())
    }
}

impl Buf for LoggedBytes {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.bytes.chunks_vectored(slices)
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(hold) = &self.hold {
            hold.sent(count);
        }
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        let bytes = self.bytes.copy_to_bytes(count);
        if let Some(hold) = &self.hold {
            hold.sent(count);
        }
        bytes
    }
}
