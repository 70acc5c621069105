//! The body of an upload, which is read on for a while after a refusal.
//!
//! Most senders listen only once they have sent everything. If the connection were closed under them, with bytes on their way,
//! they would find it reset and never read why (RFC 9112 section 9.6).

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long a refused sender may go on before the connection is closed after all.
const LINGER: Duration = Duration::from_secs(10);

/// A body that, dropped before its end, is read on in the background.
pub(super) struct LingeringBody {
    /// Absent once it has ended.
    body: Option<BodyDataStream>,
    /// Whether the sender waits for a word before he sends anything; reading would be that word (RFC 9110 section 10.1.1).
    waits: bool,
}

impl LingeringBody {
    /// The body of a request that asks to be told whether to send it, or does not.
    pub(super) fn new(body: Body, expects_continue: bool) -> Self {
        Self { body: Some(body.into_data_stream()), waits: expects_continue }
    }
}

impl Stream for LingeringBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.waits = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let next = ready!(body.poll_next_unpin(context));
        if !matches!(next, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(next)
    }
}

impl Drop for LingeringBody {
    fn drop(&mut self) {
        let (Some(mut body), false) = (self.body.take(), self.waits) else { return };
        // Without a runtime there is no connection either.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(timeout(LINGER, async move { while let Some(Ok(_)) = body.next().await {} }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::stream;

    use super::*;

    /// A body of three pieces that counts those taken and says when it was dropped.
    fn counted() -> (Body, Arc<AtomicU32>, tokio::sync::oneshot::Receiver<()>) {
        let taken = Arc::new(AtomicU32::new(0));
        let (dropped, is_dropped) = tokio::sync::oneshot::channel();
        let count = Arc::clone(&taken);
        let pieces = stream::iter([1, 2, 3]).map(move |piece| {
            let _held = &dropped;
            count.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::convert::Infallible>(Bytes::from(vec![piece]))
        });
        (Body::from_stream(pieces), taken, is_dropped)
    }

    #[tokio::test]
    async fn what_is_refused_is_read_to_its_end() {
        for (expects_continue, read, expect) in [(false, 0, 3), (false, 1, 3), (true, 0, 0), (true, 1, 3), (false, 3, 3)] {
            let (body, taken, is_dropped) = counted();
            let mut body = LingeringBody::new(body, expects_continue);
            for _ in 0..read {
                body.next().await.expect("a piece").expect("no error");
            }
            drop(body);
            // It says nothing: its sender went with the body.
            let _ = is_dropped.await;
            assert_eq!(taken.load(Ordering::SeqCst), expect, "{read} read, waits: {expects_continue}");
        }
    }
}
