//! A future that is polled when it was woken itself, and not whenever its task was.
//!
//! A connection waits for bytes, and beside these for signals that hardly ever come. Its task wakes for every request, and to look
//! at each signal then takes locks that all connections share.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use pin_project_lite::pin_project;

pin_project! {
    /// `F`, asleep until it is woken.
    pub(super) struct Drowsy<F> {
        #[pin]
        future: F,
        alarm: Arc<Alarm>,
        waker: Waker,
        // Whom the alarm wakes.
        task: Option<Waker>,
    }
}

struct Alarm {
    rung: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl<F> Drowsy<F> {
    pub(super) fn new(future: F) -> Self {
        let alarm = Arc::new(Alarm { rung: AtomicBool::new(true), task: AtomicWaker::new() });
        Self { future, waker: Waker::from(Arc::clone(&alarm)), alarm, task: None }
    }
}

impl<F: Future> Future for Drowsy<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        // Registered before the alarm is looked at, so that one that rings meanwhile wakes the right task.
        if !this.task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
            this.alarm.task.register(context.waker());
            *this.task = Some(context.waker().clone());
        }
        // Looked at first, for a swap takes the line even when there is nothing.
        if !this.alarm.rung.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        this.alarm.rung.store(false, Ordering::Release);
        this.future.poll(&mut Context::from_waker(this.waker))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_is_polled_when_it_was_woken_and_ends() {
        let polls = Arc::new(AtomicUsize::new(0));
        let (sender, mut receiver) = oneshot::channel();
        let counted = Arc::clone(&polls);
        let mut drowsy = Box::pin(Drowsy::new(std::future::poll_fn(move |context| {
            counted.fetch_add(1, Ordering::SeqCst);
            receiver.poll_unpin(context)
        })));
        for _ in 0..100 {
            assert!(drowsy.as_mut().now_or_never().is_none());
        }
        assert_eq!(polls.load(Ordering::SeqCst), 1);
        let waiting = tokio::spawn(drowsy);
        tokio::task::yield_now().await;
        sender.send(7).expect("somebody waits");
        assert_eq!(waiting.await.expect("no panic"), Ok(7));
        assert_eq!(polls.load(Ordering::SeqCst), 2);
    }
}
