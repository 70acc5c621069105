//! Loads an HTTP/1.1 server, and prints what was seen as one line of JSON.
//!
//! ```text
//! load closed ADDRESS --connections N --seconds S PATH…     each connection asks again as soon as it has its answer
//! load open   ADDRESS --connections N --seconds S --rate R PATH…   R requests a second, whatever the answers do
//! load herd   ADDRESS --connections N PATH…                 each connection asks once, all at the same moment
//! load hold   ADDRESS --connections N PATH…                 asks on each connection, reads 1 KiB of the answer, and waits
//!                                                           for the end of its input
//!   --range BYTES   asks for so many bytes at a random place each time     --gzip   accepts gzip
//! ```
//!
//! Times to the first byte are counted from the moment when a request was due, so that a server that stalls is not let off. One
//! thread does it all; answers are read in pieces of 256 KiB and thrown away.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

const BUFFER_BYTES: usize = 256 << 10;
/// Of a client that only holds its connection.
const HELD_BUFFER_BYTES: usize = 1024;

struct Asked {
    mode: String,
    address: SocketAddr,
    connections: usize,
    seconds: f64,
    rate: f64,
    range_bytes: Option<u64>,
    gzip: bool,
    paths: Vec<String>,
}

fn arguments() -> Result<Asked, String> {
    // Cargo adds an argument of its own.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let mode = words.next().ok_or("a mode is missing")?;
    let address = words.next().ok_or("an address is missing")?.parse().map_err(|error| format!("the address: {error}"))?;
    let mut asked = Asked { mode, address, connections: 1, seconds: 1.0, rate: 0.0, range_bytes: None, gzip: false, paths: Vec::new() };
    while let Some(word) = words.next() {
        if !word.starts_with("--") {
            asked.paths.push(word);
            continue;
        }
        if word == "--gzip" {
            asked.gzip = true;
            continue;
        }
        let number: f64 = words.next().and_then(|text| text.parse().ok()).ok_or_else(|| format!("{word} needs a number"))?;
        match word.as_str() {
            "--connections" => asked.connections = number as usize,
            "--seconds" => asked.seconds = number,
            "--rate" => asked.rate = number,
            "--range" => asked.range_bytes = Some(number as u64),
            _ => return Err(format!("{word} is not known")),
        }
    }
    if asked.paths.is_empty() { Err("a path is missing".to_owned()) } else { Ok(asked) }
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    ttfb_us: Vec<u32>,
    whole_us: Vec<u32>,
    bytes: u64,
    failures: u64,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.ttfb_us.extend(other.ttfb_us);
        self.whole_us.extend(other.whole_us);
        self.bytes += other.bytes;
        self.failures += other.failures;
    }
}

/// A connection and what it asks for.
struct Client {
    asked: Rc<Asked>,
    /// Length of the body behind each path, for ranges.
    lengths: Rc<Vec<u64>>,
    stream: TcpStream,
    buffer: Vec<u8>,
    random: u64,
    seen: Seen,
}

impl Client {
    async fn connect(asked: &Rc<Asked>, lengths: &Rc<Vec<u64>>, number: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(asked.address).await?;
        stream.set_nodelay(true)?;
        let random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1);
        let (asked, lengths) = (Rc::clone(asked), Rc::clone(lengths));
        let buffer = vec![0; if asked.mode == "hold" { HELD_BUFFER_BYTES } else { BUFFER_BYTES }];
        Ok(Self { asked, lengths, stream, buffer, random, seen: Seen::default() })
    }

    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound.max(1)
    }

    async fn send(&mut self) -> io::Result<()> {
        let which = self.below(self.asked.paths.len() as u64) as usize;
        let range = match self.asked.range_bytes {
            Some(bytes) => {
                let first = self.below(self.lengths[which].saturating_sub(bytes) + 1);
                format!("Range: bytes={first}-{}\r\n", first + bytes - 1)
            }
            None => String::new(),
        };
        let coding = if self.asked.gzip { "Accept-Encoding: gzip\r\n" } else { "" };
        let path = &self.asked.paths[which];
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nUser-Agent: load\r\nAccept: */*\r\n{coding}{range}\r\n");
        self.stream.write_all(request.as_bytes()).await
    }

    /// Reads an answer's head; gives how many bytes of the body came with it, and how long that is.
    async fn head(&mut self) -> io::Result<(u64, u64)> {
        let mut filled = 0;
        loop {
            let count = self.stream.read(&mut self.buffer[filled..]).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += count;
            let Some(end) = self.buffer[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|text| text.trim().parse().ok());
            return match length {
                Some(length) if head.starts_with("http/1.1 20") => Ok(((filled - end - 4) as u64, length)),
                _ => Err(io::Error::other(head.lines().next().unwrap_or_default().to_owned())),
            };
        }
    }

    /// One request that was `due` then.
    async fn exchange(&mut self, due: Instant) -> io::Result<()> {
        self.send().await?;
        let (mut got, length) = self.head().await?;
        self.seen.ttfb_us.push(due.elapsed().as_micros() as u32);
        while got < length {
            match self.stream.read(&mut self.buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => got += count as u64,
            }
        }
        self.seen.whole_us.push(due.elapsed().as_micros() as u32);
        self.seen.bytes += length;
        Ok(())
    }

    async fn count_failure(mut self, result: io::Result<()>) -> Seen {
        self.seen.failures += u64::from(result.is_err());
        self.seen
    }

    async fn closed(mut self, until: Instant) -> Seen {
        let mut result = Ok(());
        while result.is_ok() && Instant::now() < until {
            result = self.exchange(Instant::now()).await;
        }
        self.count_failure(result).await
    }

    /// Its share of the rate: every so often, from a moment of its own on.
    async fn open(mut self, start: Instant, number: usize, until: Instant) -> Seen {
        let every = Duration::from_secs_f64(self.asked.connections as f64 / self.asked.rate);
        let mut due = start + every.mul_f64(number as f64 / self.asked.connections as f64);
        let mut result = Ok(());
        while result.is_ok() && due < until {
            sleep_until(due).await;
            result = self.exchange(due).await;
            due += every;
        }
        self.count_failure(result).await
    }

    async fn herd(mut self, barrier: Rc<Barrier>) -> Seen {
        barrier.wait().await;
        let result = self.exchange(Instant::now()).await;
        self.count_failure(result).await
    }

    /// Asks, reads a little, and keeps the connection.
    async fn hold(&mut self) -> io::Result<()> {
        self.send().await?;
        self.stream.read(&mut self.buffer).await.map(|_| ())
    }
}

async fn lengths(asked: &Rc<Asked>) -> io::Result<Rc<Vec<u64>>> {
    let mut lengths = Vec::new();
    for path in &asked.paths {
        let one = Asked { mode: String::new(), range_bytes: None, paths: vec![path.clone()], ..Asked::clone_of(asked) };
        let mut client = Client::connect(&Rc::new(one), &Rc::new(Vec::new()), 0).await?;
        client.send().await?;
        lengths.push(client.head().await?.1);
    }
    Ok(Rc::new(lengths))
}

impl Asked {
    fn clone_of(other: &Self) -> Self {
        Self { mode: String::new(), paths: Vec::new(), ..*other }
    }
}

async fn run(asked: Asked) -> io::Result<Seen> {
    let asked = Rc::new(asked);
    let lengths = lengths(&asked).await?;
    let mut clients = Vec::new();
    for number in 0..asked.connections {
        clients.push(Client::connect(&asked, &lengths, number).await?);
    }
    if asked.mode == "hold" {
        for client in &mut clients {
            client.hold().await?;
        }
        print(&format!("{{\"held\":{}}}", clients.len()));
        let _ = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await;
        return Ok(Seen::default());
    }
    let start = Instant::now();
    let until = start + Duration::from_secs_f64(asked.seconds);
    let barrier = Rc::new(Barrier::new(clients.len()));
    let mut running = JoinSet::new();
    for (number, client) in clients.into_iter().enumerate() {
        match asked.mode.as_str() {
            "closed" => running.spawn_local(client.closed(until)),
            "open" => running.spawn_local(client.open(start, number, until)),
            "herd" => running.spawn_local(client.herd(Rc::clone(&barrier))),
            mode => return Err(io::Error::other(format!("there is no mode '{mode}'"))),
        };
    }
    let mut seen = Seen::default();
    while let Some(one) = running.join_next().await {
        seen.add(one.map_err(io::Error::other)?);
    }
    Ok(seen)
}

fn quantile(sorted: &[u32], share: f64) -> u32 {
    sorted.get(((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}

/// A line for whoever runs this, at once.
fn print(line: &str) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn main() {
    let asked = match arguments() {
        Ok(asked) => asked,
        Err(error) => {
            eprintln!("load: {error}");
            std::process::exit(2);
        }
    };
    let (mode, began) = (asked.mode.clone(), std::time::Instant::now());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(tokio::task::LocalSet::new().run_until(run(asked))) {
        Ok(_) if mode == "hold" => {}
        Ok(mut seen) => {
            seen.ttfb_us.sort_unstable();
            seen.whole_us.sort_unstable();
            let ttfb = |share| quantile(&seen.ttfb_us, share);
            let line = format!(
                "{{\"requests\":{},\"bytes\":{},\"failures\":{},\"seconds\":{:.3},\"ttfb_us\":{{\"p50\":{},\"p99\":{},\"p999\":{},\"max\":{}}},\"slowest_us\":{}}}",
                seen.whole_us.len(),
                seen.bytes,
                seen.failures,
                began.elapsed().as_secs_f64(),
                ttfb(0.5),
                ttfb(0.99),
                ttfb(0.999),
                ttfb(1.0),
                quantile(&seen.whole_us, 1.0),
            );
            print(&line);
        }
        Err(error) => {
            eprintln!("load: {error}");
            std::process::exit(1);
        }
    }
}
