//! Loads an HTTP/1.1 server, and prints what was seen as one line of JSON.
//!
//! ```text
//! load closed ADDRESS PATH…   each connection asks again as soon as it has its answer, for so many --seconds, or --requests in all
//! load open   ADDRESS PATH…   --rate requests a second for so many --seconds, whatever the answers do; --warm seconds before do not count
//! load herd   ADDRESS PATH…   each connection asks once, all at the same moment
//! load idle   ADDRESS PATH…   asks once on each connection, then holds them
//! load drip   ADDRESS PATH…   never ends the head of its request: one more byte every --every seconds
//! load sip    ADDRESS PATH…   asks once, and reads 1 KiB of the answer every --every seconds
//! ```
//!
//! The last three print a line once all connections are as they should be, hold them to the end of their input, and tell how many
//! the server had closed by then. `{}` in a path stands for a number below `--numbers`, another one each time; `{0}` for one of ten digits.
//!
//! ```text
//! --connections N   --from N       out of so many addresses of this machine (127.0.1.1 and on)
//! --range BYTES     asks for so many bytes at a random place of the file each time
//! --expect FOLDER   where the files are: answers are compared with them, of each connection the first and then each --verify-th
//! --status CODE     what is a good answer; 200, or 206 to a range
//! --tls FILE        speaks TLS 1.3 with TLS_AES_128_GCM_SHA256, and trusts the certificate for localhost in the file
//! --gzip            accepts gzip
//! ```
//!
//! Times are counted from the moment when a request was due, so that a server that stalls is not let off. One thread does it all;
//! answers are read in pieces of 256 KiB and thrown away.

mod arguments;
mod client;
mod hold;
mod paced;
mod seen;

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};

use arguments::{Asked, Mode};
use client::{Client, Target};
use seen::Seen;

/// So that the server has accepted all connections before a herd begins.
const SETTLING: Duration = Duration::from_millis(300);

/// Asks again and again, until then or until as many were sent as may be.
async fn closed(mut client: Client, until: Instant, left: Rc<Cell<u64>>) -> Seen {
    while client.is_well() && Instant::now() < until && left.get() > 0 {
        left.set(left.get() - 1);
        client.exchange(Instant::now()).await;
    }
    client.seen
}

async fn herd(mut client: Client, due: Instant) -> Seen {
    client.exchange(due).await;
    client.seen
}

async fn run(asked: Asked) -> io::Result<serde_json::Value> {
    let target = Rc::new(Target::new(asked)?);
    let asked = &target.asked;
    if matches!(asked.mode, Mode::Idle | Mode::Drip | Mode::Sip) {
        return hold::run(&target).await;
    }
    let mut clients = Vec::new();
    for number in 0..asked.connections {
        clients.push(Client::connect(&target, number).await?);
    }
    if asked.mode == Mode::Herd {
        sleep(SETTLING).await;
    }
    let start = Instant::now();
    let mut running = JoinSet::new();
    match asked.mode {
        Mode::Open => paced::spawn(clients, &target, &mut running),
        Mode::Herd => clients.into_iter().for_each(|client| drop(running.spawn_local(herd(client, start)))),
        _ => {
            let left = Rc::new(Cell::new(asked.requests));
            let until = start + Duration::from_secs_f64(asked.seconds);
            clients.into_iter().for_each(|client| drop(running.spawn_local(closed(client, until, Rc::clone(&left)))));
        }
    }
    let mut seen = Seen::default();
    while let Some(one) = running.join_next().await {
        seen.add(one.map_err(io::Error::other)?);
    }
    Ok(seen.told(start.elapsed()))
}

/// A line for whoever runs this, at once.
fn print(line: &serde_json::Value) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn fail(status: i32, error: &dyn std::fmt::Display) -> ! {
    eprintln!("load: {error}");
    std::process::exit(status);
}

fn main() {
    let asked = arguments::parse(std::env::args().skip(1)).unwrap_or_else(|error| fail(2, &error));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap_or_else(|error| fail(1, &error));
    match runtime.block_on(LocalSet::new().run_until(run(asked))) {
        Ok(told) => print(&told),
        Err(error) => fail(1, &error),
    }
    // What still waits for input is not waited for.
    runtime.shutdown_background();
}
