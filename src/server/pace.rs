//! How fast a connection gets on: when bytes last moved, since when a request's head is unfinished, how many requests are
//! being worked on, and what the client has still to take. A watch on these decides when a connection is given up.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::frames::Flood;
use super::send_queue::SendQueue;

/// A connection on which so long nothing was under way needs no more than its socket.
const REST_AFTER: Duration = Duration::from_secs(1);

/// No head is under way.
const NO_HEAD: u64 = u64::MAX;

/// What the watch on a connection tells: that it is given up, and why, or that it may rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The head of a request was not finished in time.
    Head,
    /// No byte has moved for too long.
    Idle,
    /// The client takes what waits for it too slowly.
    Slow,
    /// Nothing has been under way for a while. The connection stays open.
    Rest,
}

/// How long a connection may take for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the first byte of a head to its last.
    pub header_timeout: Duration,
    /// Without a byte.
    pub idle_timeout: Duration,
    /// Bytes a second that a client takes at least, on average over `idle_timeout`; 0: any number.
    pub send_rate_min: u64,
}

/// The pace of one connection. Times are in milliseconds since it began.
///
/// A head is under way from the first byte that is read while no request is being worked on, until a request comes of it.
/// HTTP/2 sends frames between requests too; there its frames tell.
///
/// A client owes it to take what it asked for: on HTTP/1 while the socket takes no more, on HTTP/2 while it has streams whose
/// requests are no longer being worked on. Whether it does is asked of the kernel, for a long queue hides it: a client on a
/// slow line takes bytes all the time, while a socket asks for more only when a third of its queue is empty.
pub(super) struct Pace {
    began: Instant,
    patience: Patience,
    queue: Option<SendQueue>,
    moved_ms: AtomicU64,
    head_ms: AtomicU64,
    head_bytes: AtomicUsize,
    handling: AtomicUsize,
    answering: AtomicUsize,
    has_body: AtomicBool,
    sent_bytes: AtomicU64,
    blocked: AtomicBool,
    open_streams: AtomicUsize,
    flooded: AtomicBool,
    h2: AtomicBool,
    begun: AtomicBool,
    ending: AtomicBool,
}

impl Pace {
    /// Of a connection whose bytes go through `queue`.
    pub(super) fn new(patience: Patience, queue: Option<SendQueue>) -> Self {
        Self {
            began: Instant::now(),
            patience,
            queue,
            moved_ms: AtomicU64::new(0),
            head_ms: AtomicU64::new(NO_HEAD),
            head_bytes: AtomicUsize::new(0),
            handling: AtomicUsize::new(0),
            answering: AtomicUsize::new(0),
            has_body: AtomicBool::new(false),
            sent_bytes: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            open_streams: AtomicUsize::new(0),
            flooded: AtomicBool::new(false),
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
        if !self.h2.load(Ordering::Relaxed) {
            self.head_ms.store(NO_HEAD, Ordering::Relaxed);
            self.head_bytes.store(0, Ordering::Relaxed);
        }
        self.handling.fetch_add(1, Ordering::Relaxed);
        Handling(Arc::clone(self))
    }

    /// Whether the latest request on HTTP/1 has a body. What comes in after its answer may be the rest of that, and is no head then;
    /// if it is one all the same, hyper's buffer is its bound.
    pub(super) fn has_body(&self, has_body: bool) {
        self.has_body.store(has_body, Ordering::Relaxed);
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
                let moved = self.moved();
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

    /// Ends when the connection is to be given up, or may rest, if it `rests` at all. It must be polled whenever the connection was.
    pub(super) fn overdue(&self, rests: bool) -> impl Future<Output = Overdue> {
        let mut alarm = Box::pin(sleep_until(self.began + self.patience.idle_timeout));
        let mut owing = None;
        poll_fn(move |context| {
            loop {
                let now = Instant::now();
                let (deadline, overdue) = self.deadline(now, &mut owing, rests);
                if deadline <= now {
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

    fn deadline(&self, now: Instant, owing: &mut Option<Owing>, rests: bool) -> (Instant, Overdue) {
        let idle_timeout = self.patience.idle_timeout;
        let head = self.since(&self.head_ms).map(|since| since + self.patience.header_timeout);
        let handling = self.handling.load(Ordering::Relaxed);
        let rest = if self.patience.send_rate_min > 0 && self.owes(handling) {
            (self.owed_until(now, owing), Overdue::Slow)
        } else {
            *owing = None;
            let moved = self.moved();
            if rests && idle_timeout > REST_AFTER && head.is_none() && self.is_at_rest(handling) {
                (moved + REST_AFTER, Overdue::Rest)
            } else {
                (if handling > 0 { now } else { moved } + idle_timeout, Overdue::Idle)
            }
        };
        match head {
            Some(head) if head < rest.0 => (head, Overdue::Head),
            _ => rest,
        }
    }

    /// Whether nothing is under way on HTTP/1, once something was. What comes in after a request with a body may belong to that.
    fn is_at_rest(&self, handling: usize) -> bool {
        let working = handling > 0 || self.answering.load(Ordering::Relaxed) > 0;
        let under_way = working || self.owes(handling) || self.has_body.load(Ordering::Relaxed) || self.h2.load(Ordering::Relaxed);
        self.begun.load(Ordering::Relaxed) && !under_way
    }

    fn moved(&self) -> Instant {
        self.began + Duration::from_millis(self.moved_ms.load(Ordering::Relaxed))
    }

    /// How long nothing may come in any more.
    pub(super) fn silence_left(&self) -> Duration {
        (self.moved() + self.patience.idle_timeout).saturating_duration_since(Instant::now())
    }

    /// How long a head may take, from its first byte.
    pub(super) fn header_timeout(&self) -> Duration {
        self.patience.header_timeout
    }

    /// The first bytes of a head on HTTP/1 have come in, and were not read.
    pub(super) fn head_begins(&self) {
        self.head_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Whether the client has sent anything.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether something waits for the client to take it.
    fn owes(&self, handling: usize) -> bool {
        self.blocked.load(Ordering::Relaxed) || self.open_streams.load(Ordering::Relaxed) > handling
    }

    /// When the client is given up that owes now: at once if it took too little since it began to, else after a further time.
    fn owed_until(&self, now: Instant, owing: &mut Option<Owing>) -> Instant {
        let idle_timeout = self.patience.idle_timeout;
        let taken = || self.sent_bytes.load(Ordering::Relaxed).saturating_sub(self.queue.map_or(0, SendQueue::bytes));
        let owed = owing.get_or_insert_with(|| Owing { since: now, taken_bytes: taken() });
        if now < owed.since + idle_timeout {
            return owed.since + idle_timeout;
        }
        let taken_bytes = taken();
        let least_bytes = u128::from(self.patience.send_rate_min) * now.duration_since(owed.since).as_millis() / 1000;
        if u128::from(taken_bytes.saturating_sub(owed.taken_bytes)) < least_bytes {
            return now;
        }
        *owed = Owing { since: now, taken_bytes };
        now + idle_timeout
    }

    fn since(&self, at_ms: &AtomicU64) -> Option<Instant> {
        match at_ms.load(Ordering::Relaxed) {
            NO_HEAD => None,
            at_ms => Some(self.began + Duration::from_millis(at_ms)),
        }
    }

    /// Milliseconds since the connection began.
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NO_HEAD - 1)
    }

    /// Bytes were read.
    pub(super) fn has_read(&self, now_ms: u64, count: usize) {
        self.moved_ms.store(now_ms, Ordering::Relaxed);
        self.begun.store(true, Ordering::Relaxed);
        if self.handling.load(Ordering::Relaxed) > 0 || self.h2.load(Ordering::Relaxed) {
            return;
        }
        if self.head_ms.load(Ordering::Relaxed) == NO_HEAD {
            self.head_ms.store(now_ms, Ordering::Relaxed);
        }
        if !self.has_body.load(Ordering::Relaxed) {
            self.head_bytes.store(self.head_bytes.load(Ordering::Relaxed) + count, Ordering::Relaxed);
        }
    }

    /// Bytes that were read of a head on HTTP/1, requests before it included that came with it.
    pub(super) fn head_bytes(&self) -> usize {
        self.head_bytes.load(Ordering::Relaxed)
    }

    /// What the frames of HTTP/2 tell: streams whose answers have not ended, and whether a head is under way.
    pub(super) fn has_frames(&self, now_ms: u64, open_streams: usize, head_under_way: bool) {
        self.open_streams.store(open_streams, Ordering::Relaxed);
        if !head_under_way {
            self.head_ms.store(NO_HEAD, Ordering::Relaxed);
        } else if self.head_ms.load(Ordering::Relaxed) == NO_HEAD {
            self.head_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// Bytes were written.
    pub(super) fn has_written(&self, count: usize) {
        let now_ms = self.now_ms();
        self.moved_ms.store(now_ms, Ordering::Relaxed);
        // The connection's task alone writes.
        self.sent_bytes.store(self.sent_bytes.load(Ordering::Relaxed) + count as u64, Ordering::Relaxed);
        // A head that came in while an answer was still going out is read only after that.
        if self.head_ms.load(Ordering::Relaxed) != NO_HEAD && !self.h2.load(Ordering::Relaxed) {
            self.head_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// Whether the socket takes no more now.
    pub(super) fn is_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
    }

    /// The client has sent too much that asks for nothing.
    pub(super) fn has_flooded(&self, flood: Flood) {
        tracing::debug!(?flood, "a client sent too much that asks for nothing");
        self.flooded.store(true, Ordering::Relaxed);
    }

    /// Whether [`Pace::has_flooded`] was called.
    pub(super) fn is_flooded(&self) -> bool {
        self.flooded.load(Ordering::Relaxed)
    }
}

/// Since when a client owes, and what it had taken by then.
struct Owing {
    since: Instant,
    taken_bytes: u64,
}

/// A request that is being worked on.
pub(super) struct Handling(Arc<Pace>);

impl Handling {
    /// Whether this answer is the last, on HTTP/1.
    pub(super) fn is_ending(&self) -> bool {
        self.0.is_ending()
    }

    /// The request is no longer being worked on, but its answer is under way until the guard is dropped.
    pub(super) fn answer(self) -> Answering {
        self.0.answering.fetch_add(1, Ordering::Relaxed);
        Answering(Arc::clone(&self.0))
    }
}

/// An answer whose body has not ended.
pub(super) struct Answering(Arc<Pace>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        self.0.moved_ms.store(self.0.now_ms(), Ordering::Relaxed);
        self.0.handling.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, pause};

    use super::*;

    const HEADER: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(60);

    fn pace() -> Arc<Pace> {
        Arc::new(Pace::new(Patience { header_timeout: HEADER, idle_timeout: IDLE, send_rate_min: 1000 }, None))
    }

    /// After how many seconds the connection is given up, counted from now.
    async fn given_up(pace: &Pace) -> (u64, Overdue) {
        let now = Instant::now();
        let overdue = pace.overdue(false).await;
        (now.elapsed().as_secs(), overdue)
    }

    #[tokio::test]
    async fn heads_and_idleness_are_told_apart() {
        pause();
        let pace = pace();
        assert_eq!(given_up(&pace).await, (60, Overdue::Idle));
        pace.has_read(pace.now_ms(), 1);
        advance(Duration::from_secs(4)).await;
        pace.has_read(pace.now_ms(), 1);
        assert_eq!(given_up(&pace).await, (6, Overdue::Head), "more bytes give no more time");
        let handling = pace.handle();
        advance(IDLE * 3).await;
        pace.has_read(pace.now_ms(), 1);
        drop(handling);
        assert_eq!(given_up(&pace).await, (60, Overdue::Idle), "counted from the end of the request");
        pace.has_read(pace.now_ms(), 1);
        advance(Duration::from_secs(9)).await;
        pace.has_written(100);
        assert_eq!(given_up(&pace).await, (10, Overdue::Head), "counted from the end of the answer before");
    }

    #[tokio::test]
    async fn what_has_nothing_under_way_may_rest() {
        pause();
        let pace = pace();
        let began = Instant::now();
        assert_eq!((pace.overdue(true).await, began.elapsed().as_secs()), (Overdue::Idle, 60), "before anything was");
        pace.has_read(pace.now_ms(), 1);
        let answering = pace.handle().answer();
        let began = Instant::now();
        assert_eq!((pace.overdue(true).await, began.elapsed().as_secs()), (Overdue::Idle, 60), "the body of an answer pauses");
        drop(answering);
        pace.has_written(1);
        let began = Instant::now();
        assert_eq!((pace.overdue(true).await, began.elapsed().as_secs()), (Overdue::Rest, 1));
        assert_eq!(pace.silence_left().as_secs_f64().round() as u64, 59);
        pace.has_body(true);
        let began = Instant::now();
        assert_eq!((pace.overdue(true).await, began.elapsed().as_secs()), (Overdue::Idle, 59), "what comes may be the rest of a body");
        pace.has_body(false);
        pace.is_blocked(true);
        pace.has_written(1);
        assert_eq!(pace.overdue(true).await, Overdue::Slow);
    }

    #[tokio::test]
    async fn frames_between_requests_are_no_heads() {
        pause();
        let pace = pace();
        pace.speaks_h2();
        pace.has_read(pace.now_ms(), 1);
        advance(Duration::from_secs(30)).await;
        pace.has_read(pace.now_ms(), 1);
        assert_eq!(given_up(&pace).await, (60, Overdue::Idle));
    }

    #[tokio::test]
    async fn quiet_is_counted_from_the_last_byte_and_not_waited_for_on_h2() {
        pause();
        let pace = pace();
        let second = Duration::from_secs(1);
        pace.has_read(pace.now_ms(), 1);
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
        let pace = pace();
        let began = Instant::now();
        let mut overdue = std::pin::pin!(pace.overdue(false));
        tokio::select! {
            biased;
            _ = &mut overdue => panic!("too early"),
            () = tokio::time::sleep(Duration::from_secs(5)) => pace.has_read(pace.now_ms(), 1),
        }
        assert_eq!(overdue.await, Overdue::Head);
        assert_eq!(began.elapsed().as_secs(), 15);
    }

    #[tokio::test]
    async fn heads_of_h2_are_told_by_its_frames() {
        pause();
        let pace = pace();
        pace.speaks_h2();
        pace.has_frames(pace.now_ms(), 0, true);
        advance(Duration::from_secs(4)).await;
        pace.has_read(pace.now_ms(), 1);
        pace.has_frames(pace.now_ms(), 0, true);
        let other = pace.handle();
        assert_eq!(given_up(&pace).await, (6, Overdue::Head), "whatever else is being worked on");
        drop(other);
        pace.has_frames(pace.now_ms(), 0, false);
        assert_eq!(given_up(&pace).await, (60, Overdue::Idle));
    }

    #[tokio::test]
    async fn who_takes_too_little_is_given_up() {
        pause();
        for (bytes_a_second, expect) in [(0, 60), (999, 60), (1100, 600)] {
            let pace = pace();
            pace.is_blocked(true);
            let began = Instant::now();
            let mut overdue = std::pin::pin!(pace.overdue(false));
            let seen = loop {
                tokio::select! {
                    biased;
                    overdue = &mut overdue => break Some(overdue),
                    () = tokio::time::sleep(Duration::from_secs(1)) => pace.has_written(bytes_a_second),
                }
                if began.elapsed() >= IDLE * 10 {
                    break None;
                }
            };
            assert_eq!((began.elapsed().as_secs(), seen), (expect, (expect < 600).then_some(Overdue::Slow)), "{bytes_a_second}");
        }
    }

    #[tokio::test]
    async fn who_is_given_nothing_owes_nothing() {
        pause();
        let pace = pace();
        pace.speaks_h2();
        let request = pace.handle();
        pace.has_frames(pace.now_ms(), 1, false);
        let began = Instant::now();
        let mut overdue = std::pin::pin!(pace.overdue(false));
        tokio::select! {
            biased;
            _ = &mut overdue => panic!("a request is being worked on"),
            () = tokio::time::sleep(IDLE * 3) => drop(request),
        }
        assert_eq!((overdue.await, began.elapsed().as_secs()), (Overdue::Slow, 240), "from the answer on it owes");
    }
}
