//! Requests at a rate that answers have no say in.
//!
//! Every request has its moment from the start. Whichever connection is free takes the one that is due; while none is free they
//! queue, and that time counts. The clock of the runtime is too coarse for this, so the one that deals them out never sleeps.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinSet, yield_now};
use tokio::time::Instant;

use crate::client::{Client, Target};
use crate::seen::Seen;

#[derive(Default)]
struct Queue {
    due: RefCell<VecDeque<Instant>>,
    ended: Cell<bool>,
    news: Notify,
}

/// Puts all of it to work.
pub fn spawn(clients: Vec<Client>, target: &Rc<Target>, running: &mut JoinSet<Seen>) {
    let queue = Rc::new(Queue::default());
    let counts_from = Instant::now() + Duration::from_secs_f64(target.asked.warm_s);
    for client in clients {
        running.spawn_local(work(client, Rc::clone(&queue), counts_from));
    }
    running.spawn_local(deal(queue, Rc::clone(target)));
}

async fn deal(queue: Rc<Queue>, target: Rc<Target>) -> Seen {
    let (asked, start) = (&target.asked, Instant::now());
    for number in 0..((asked.warm_s + asked.seconds) * asked.rate) as u64 {
        let due = start + Duration::from_secs_f64(number as f64 / asked.rate);
        while Instant::now() < due {
            yield_now().await;
        }
        queue.due.borrow_mut().push_back(due);
        queue.news.notify_one();
    }
    queue.ended.set(true);
    queue.news.notify_waiters();
    Seen::default()
}

async fn work(mut client: Client, queue: Rc<Queue>, counts_from: Instant) -> Seen {
    let mut counts = false;
    while client.is_well() {
        // Told of the end even if it comes before the wait.
        let news = queue.news.notified();
        let due = queue.due.borrow_mut().pop_front();
        let Some(due) = due else {
            if queue.ended.get() {
                break;
            }
            news.await;
            continue;
        };
        if !counts && due >= counts_from {
            counts = true;
            client.seen = Seen::default();
        }
        client.exchange(due).await;
    }
    client.seen
}
