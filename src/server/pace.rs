//! How fast a connection gets on: when bytes last moved, since when a request's head is unfinished, how many requests are
//! being worked on. A watch on these decides when a connection is given up.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// What a client sends first that speaks HTTP/2 (RFC 9113 3.4); no method begins so.
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0";
/// No head is under way.
const NO_HEAD: u64 = u64::MAX;

/// Why a connection is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The head of a request was not finished in time.
    Head,
    /// No byte has moved for too long.
    Idle,
}

/// The pace of one connection. Times are in milliseconds since it began.
///
/// A head is under way from the first byte that is read while no request is being worked on, until a request comes of it.
/// HTTP/2 sends frames between requests too; there only idleness counts.
pub(super) struct Pace {
    began: Instant,
    header_timeout: Duration,
    idle_timeout: Duration,
    moved_ms: AtomicU64,
    head_ms: AtomicU64,
    handling: AtomicUsize,
    h2: AtomicBool,
    begun: AtomicBool,
    ending: AtomicBool,
}

impl Pace {
    pub(super) fn new(header_timeout: Duration, idle_timeout: Duration) -> Self {
        Self {
            began: Instant::now(),
            header_timeout,
            idle_timeout,
            moved_ms: AtomicU64::new(0),
            head_ms: AtomicU64::new(NO_HEAD),
            handling: AtomicUsize::new(0),
            h2: AtomicBool::new(false),
            begun: AtomicBool::new(false),
            ending: AtomicBool::new(false),
        }
    }

    /// HTTP/2 is spoken, as was agreed before the first byte.
    pub(super) fn speaks_h2(&self) {
        self.h2.store(true, Ordering::Relaxed);
    }

    /// The next answer on HTTP/1 is the last.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether [`Pace::end`] was called.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// A request's head is finished and the request is being worked on, until the guard is dropped.
    pub(super) fn handle(self: &Arc<Self>) -> Handling {
        self.head_ms.store(NO_HEAD, Ordering::Relaxed);
        self.handling.fetch_add(1, Ordering::Relaxed);
        Handling(Arc::clone(self))
    }

    /// Ends once the client has sent anything, or after `patience`. It must be polled whenever the connection was.
    pub(super) async fn begun(&self, patience: Duration) {
        let mut patience = std::pin::pin!(tokio::time::sleep(patience));
        poll_fn(|context| if self.begun.load(Ordering::Relaxed) { Poll::Ready(()) } else { patience.as_mut().poll(context) }).await;
    }

    /// Ends once no byte has moved and no request was worked on for `patience`, counted from now; on HTTP/2 at once. It must be
    /// polled whenever the connection was.
    pub(super) async fn quiet(&self, patience: Duration) {
        let since = Instant::now();
        let mut alarm = std::pin::pin!(sleep_until(since + patience));
        poll_fn(|context| {
            loop {
                let now = Instant::now();
                let moved = self.began + Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
                let deadline = if self.handling.load(Ordering::Relaxed) > 0 { now + patience } else { moved.max(since) + patience };
                if deadline <= now || self.h2.load(Ordering::Relaxed) {
                    return Poll::Ready(());
                }
                if alarm.is_elapsed() {
                    alarm.as_mut().reset(deadline);
                }
                ready!(alarm.as_mut().poll(context));
            }
        })
        .await
    }

    /// Ends when the connection is to be given up. It must be polled whenever the connection was.
    pub(super) fn overdue(&self) -> impl Future<Output = Overdue> {
        let mut alarm = Box::pin(sleep_until(self.began + self.idle_timeout));
        poll_fn(move |context| {
            loop {
                let (deadline, overdue) = self.deadline();
                if deadline <= Instant::now() {
                    return Poll::Ready(overdue);
                }
                // An alarm set too early only asks again, so it is moved when it has gone off or when it is too late.
                if alarm.is_elapsed() || deadline < alarm.deadline() {
                    alarm.as_mut().reset(deadline);
                }
                ready!(alarm.as_mut().poll(context));
            }
        })
    }

    fn deadline(&self) -> (Instant, Overdue) {
        if self.handling.load(Ordering::Relaxed) > 0 {
            return (Instant::now() + self.idle_timeout, Overdue::Idle);
        }
        let idle = self.began + Duration::from_millis(self.moved_ms.load(Ordering::Relaxed)) + self.idle_timeout;
        match self.head_ms.load(Ordering::Relaxed) {
            NO_HEAD => (idle, Overdue::Idle),
            head_ms => {
                let head = self.began + Duration::from_millis(head_ms) + self.header_timeout;
                if head < idle { (head, Overdue::Head) } else { (idle, Overdue::Idle) }
            }
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NO_HEAD - 1)
    }

    fn has_read(&self, bytes: &[u8]) {
        let now_ms = self.now_ms();
        self.moved_ms.store(now_ms, Ordering::Relaxed);
        self.begun.store(true, Ordering::Relaxed);
        if bytes.starts_with(H2_PREFACE) {
            self.h2.store(true, Ordering::Relaxed);
        }
        let between = self.handling.load(Ordering::Relaxed) == 0 && self.head_ms.load(Ordering::Relaxed) == NO_HEAD;
        if between && !self.h2.load(Ordering::Relaxed) {
            self.head_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    fn has_written(&self) {
        let now_ms = self.now_ms();
        self.moved_ms.store(now_ms, Ordering::Relaxed);
        // A head that came in while an answer was still going out is read only after that.
        if self.head_ms.load(Ordering::Relaxed) != NO_HEAD {
            self.head_ms.store(now_ms, Ordering::Relaxed);
        }
    }
}

/// A request that is being worked on.
pub(super) struct Handling(Arc<Pace>);

impl Handling {
    /// Whether this answer is the last, on HTTP/1.
    pub(super) fn is_ending(&self) -> bool {
        self.0.is_ending()
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        self.0.moved_ms.store(self.0.now_ms(), Ordering::Relaxed);
        self.0.handling.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream whose bytes are told to its [`Pace`].
pub(super) struct PacedStream<T> {
    stream: T,
    pace: Arc<Pace>,
}

impl<T> PacedStream<T> {
    pub(super) fn new(stream: T, pace: Arc<Pace>) -> Self {
        Self { stream, pace }
    }

    fn written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(1..)) = result {
            self.pace.has_written();
        }
        result
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for PacedStream<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        let read = &buffer.filled()[before..];
        if !read.is_empty() {
            self.pace.has_read(read);
        }
        Poll::Ready(result)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for PacedStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(result)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(result)
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

#[cfg(test)]
mod tests {
    use tokio::time::{advance, pause};

    use super::*;

    const HEADER: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(60);

    /// After how many seconds the connection is given up, counted from now.
    async fn given_up(pace: &Pace) -> (u64, Overdue) {
        let now = Instant::now();
        let overdue = pace.overdue().await;
        (now.elapsed().as_secs(), overdue)
    }

    #[tokio::test]
    async fn heads_and_idleness_are_told_apart() {
        pause();
        let pace = Arc::new(Pace::new(HEADER, IDLE));
        assert_eq!(given_up(&pace).await, (60, Overdue::Idle));
        pace.has_read(b"GET");
        advance(Duration::from_secs(4)).await;
        pace.has_read(b" /");
        assert_eq!(given_up(&pace).await, (6, Overdue::Head), "more bytes give no more time");
        let handling = pace.handle();
        advance(IDLE * 3).await;
        pace.has_read(b"body");
        drop(handling);
        assert_eq!(given_up(&pace).await, (60, Overdue::Idle), "counted from the end of the request");
        pace.has_read(b"G");
        advance(Duration::from_secs(9)).await;
        pace.has_written();
        assert_eq!(given_up(&pace).await, (10, Overdue::Head), "counted from the end of the answer before");
    }

    #[tokio::test]
    async fn frames_between_requests_are_no_heads() {
        pause();
        let pace = Arc::new(Pace::new(HEADER, IDLE));
        pace.has_read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        advance(Duration::from_secs(30)).await;
        pace.has_read(b"frame");
        assert_eq!(given_up(&pace).await, (60, Overdue::Idle));
    }

    #[tokio::test]
    async fn quiet_is_counted_from_the_last_byte_and_not_waited_for_on_h2() {
        pause();
        let pace = Arc::new(Pace::new(HEADER, IDLE));
        let second = Duration::from_secs(1);
        pace.has_read(b"GET / HTTP/1.1");
        let handling = pace.handle();
        let began = Instant::now();
        let mut quiet = std::pin::pin!(pace.quiet(second));
        tokio::select! {
            biased;
            () = &mut quiet => panic!("a request is being worked on"),
            () = tokio::time::sleep(second * 3) => drop(handling),
        }
        quiet.await;
        assert_eq!(began.elapsed().as_secs(), 4);
        pace.speaks_h2();
        pace.quiet(second).await;
        assert_eq!(began.elapsed().as_secs(), 4);
    }

    #[tokio::test]
    async fn an_alarm_comes_forward_for_a_head() {
        pause();
        let pace = Arc::new(Pace::new(HEADER, IDLE));
        let began = Instant::now();
        let mut overdue = std::pin::pin!(pace.overdue());
        tokio::select! {
            biased;
            _ = &mut overdue => panic!("too early"),
            () = tokio::time::sleep(Duration::from_secs(5)) => pace.has_read(b"G"),
        }
        assert_eq!(overdue.await, Overdue::Head);
        assert_eq!(began.elapsed().as_secs(), 15);
    }
}
