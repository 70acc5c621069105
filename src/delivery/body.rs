//! Bodies of answers: pieces that are in memory, or pieces that come one by one. Their length is known before the first.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Frame, SizeHint};

/// Why a body breaks off, and the connection with it: a client must not take a part for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// What the answer promised can no longer be read.
    #[error("the rest of the body cannot be read")]
    Unreadable,
    /// The pieces were fewer or more than the answer promised.
    #[error("the body is not as long as was promised")]
    WrongLength,
}

/// Pieces that come one by one.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// The body of an answer; empty by default.
#[derive(Default)]
pub struct Body {
    source: Source,
    left_bytes: u64,
}

#[derive(Default)]
enum Source {
    #[default]
    Empty,
    One(Bytes),
    Chain(VecDeque<Body>),
    Stream(Pieces),
}

impl Body {
    /// All of it at once.
    pub fn whole(bytes: Bytes) -> Self {
        let left_bytes = bytes.len() as u64;
        Self { source: if bytes.is_empty() { Source::Empty } else { Source::One(bytes) }, left_bytes }
    }

    /// One after the other.
    pub fn joined(bodies: impl IntoIterator<Item = Self>) -> Self {
        let bodies: VecDeque<_> = bodies.into_iter().filter(|body| body.left_bytes > 0).collect();
        let left_bytes = bodies.iter().map(|body| body.left_bytes).sum();
        Self { source: if bodies.is_empty() { Source::Empty } else { Source::Chain(bodies) }, left_bytes }
    }

    /// Pieces that come one by one, `length_bytes` in all. A stream that gives fewer or more breaks the answer off.
    pub fn streamed(pieces: Pieces, length_bytes: u64) -> Self {
        Self { source: Source::Stream(pieces), left_bytes: length_bytes }
    }

    /// Bytes that are still to come.
    pub fn left_bytes(&self) -> u64 {
        self.left_bytes
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = match &mut self.source {
            Source::Empty => None,
            Source::One(bytes) => Some(Ok(std::mem::take(bytes))),
            Source::Chain(bodies) => match poll_chain(bodies, context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(piece) => piece,
            },
            Source::Stream(pieces) => match pieces.as_mut().poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(piece) => piece,
            },
        };
        let left = match &piece {
            None if self.left_bytes > 0 => Err(BodyError::WrongLength),
            None => return Poll::Ready(None),
            Some(Err(error)) => Err(*error),
            Some(Ok(bytes)) => self.left_bytes.checked_sub(bytes.len() as u64).ok_or(BodyError::WrongLength),
        };
        self.left_bytes = left.unwrap_or(0);
        if self.left_bytes == 0 && !matches!(self.source, Source::Stream(_)) || left.is_err() {
            self.source = Source::Empty;
        }
        Poll::Ready(match (left, piece) {
            (Err(error), _) => Some(Err(error)),
            (Ok(_), piece) => piece.map(|piece| piece.map(Frame::data)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left_bytes == 0 && !matches!(self.source, Source::Stream(_))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}

/// The next piece of the first that has one.
fn poll_chain(bodies: &mut VecDeque<Body>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
    while let Some(body) = bodies.front_mut() {
        match http_body::Body::poll_frame(Pin::new(body), context) {
            Poll::Pending => return Poll::Pending,
            // There are no other frames than those of data.
            Poll::Ready(Some(frame)) => return Poll::Ready(Some(frame.map(|frame| frame.into_data().unwrap_or_default()))),
            Poll::Ready(None) => bodies.pop_front(),
        };
    }
    Poll::Ready(None)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::*;

    fn streamed(pieces: Vec<Result<&'static [u8], BodyError>>, length_bytes: u64) -> Body {
        Body::streamed(Box::pin(stream::iter(pieces.into_iter().map(|piece| piece.map(Bytes::from_static)))), length_bytes)
    }

    #[tokio::test]
    async fn pieces_come_in_order_and_their_length_is_known() {
        let whole = |bytes| Body::whole(Bytes::from_static(bytes));
        let joined = Body::joined([whole(b"a"), Body::default(), streamed(vec![Ok(b"b")], 1), Body::joined([whole(b"c")])]);
        for body in [whole(b"abc"), joined, streamed(vec![Ok(b"a"), Ok(b"bc")], 3)] {
            assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(3), false));
            assert_eq!(body.collect().await.expect("a body").to_bytes(), "abc");
        }
        for body in [Body::default(), Body::whole(Bytes::new()), Body::joined([])] {
            assert!(body.is_end_stream() && body.size_hint().exact() == Some(0));
            assert_eq!(body.collect().await.expect("a body").to_bytes(), "");
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_its_promise_is_broken_off() {
        for (body, error) in [
            (streamed(vec![Ok(b"ab")], 3), BodyError::WrongLength),
            (streamed(vec![Ok(b"ab"), Ok(b"cd")], 3), BodyError::WrongLength),
            (streamed(vec![Ok(b"ab"), Err(BodyError::Unreadable)], 3), BodyError::Unreadable),
            (Body::joined([streamed(vec![Ok(b"ab")], 3), Body::whole(Bytes::from_static(b"c"))]), BodyError::WrongLength),
        ] {
            assert_eq!(body.collect().await.expect_err("an error"), error);
        }
    }
}
