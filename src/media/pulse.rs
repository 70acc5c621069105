//! The worker's sign of life: [`Reply::Alive`] while a request is being worked on, so that silence means a hang.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use headwater::worker::protocol::{Reply, write_message};

/// Replies to the server, with signs of life in between. Cheap to clone; all clones write to the same place.
#[derive(Clone)]
pub struct Pulse(Rc<Inner>);

struct Inner {
    out: RefCell<Box<dyn Write>>,
    progress: Cell<u64>,
    last: Cell<Instant>,
}

const INTERVAL: Duration = Duration::from_millis(300);

impl Pulse {
    /// Replies go to `out`.
    pub fn new(out: Box<dyn Write>) -> Self {
        Self(Rc::new(Inner { out: RefCell::new(out), progress: Cell::new(0), last: Cell::new(Instant::now()) }))
    }

    /// Notes that `amount` more of the work is done (bytes read, frames made), and says so now and then. A server that is
    /// gone shows at the next reply, so a failure to write is not reported here.
    pub fn advance(&self, amount: u64) {
        let inner = &self.0;
        inner.progress.set(inner.progress.get().saturating_add(amount));
        if inner.last.get().elapsed() >= INTERVAL {
            inner.last.set(Instant::now());
            if write_message(&mut *inner.out.borrow_mut(), &Reply::Alive { progress: inner.progress.get() }).is_err() {
                std::process::exit(1);
            }
        }
    }

    /// Sends an answer.
    pub fn reply(&self, reply: &Reply) -> io::Result<()> {
        self.0.last.set(Instant::now());
        write_message(&mut *self.0.out.borrow_mut(), reply)
    }
}
