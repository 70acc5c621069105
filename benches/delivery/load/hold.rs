//! Connections on which little or nothing happens.

use std::io::{self, Read};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::arguments::Mode;
use crate::client::Target;

/// What is read at a time.
const SIP_BYTES: usize = 1024;
/// What the kernel may keep of an answer that is sipped, on this side; it doubles that.
const RECEIVE_BYTES: u32 = 4096;
/// Connections that are turned to without a pause.
const BATCH: usize = 10;

/// Opens them, tells that they are open, and holds them until the end of the input.
pub async fn run(target: &Rc<Target>) -> io::Result<serde_json::Value> {
    let asked = &target.asked;
    let mut held = Vec::new();
    for number in 0..asked.connections {
        let mut stream = target.connect(number, (asked.mode == Mode::Sip).then_some(RECEIVE_BYTES)).await?;
        let path = &asked.paths[number % asked.paths.len()];
        let end = if asked.mode == Mode::Drip { "X-Slow: " } else { "\r\n" };
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{end}").as_bytes()).await?;
        if asked.mode == Mode::Idle {
            read_whole(&mut stream).await?;
        }
        held.push(stream);
    }
    if asked.mode == Mode::Sip {
        // Of each the first bytes must have come.
        for stream in &mut held {
            good(&read_some(stream).await?)?;
        }
    }
    crate::print(&json!({ "held": held.len() }));
    let mut end = pin!(tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())));
    let mut turn = 0;
    let pause = Duration::from_secs_f64(asked.every_s * BATCH as f64 / held.len().max(BATCH) as f64);
    let mut moved_bytes = 0;
    loop {
        tokio::select! {
            biased;
            _ = end.as_mut() => break,
            () = sleep(pause) => {}
        }
        for _ in 0..BATCH.min(held.len()) {
            moved_bytes += nudge(&held[turn % held.len()], asked.mode);
            turn += 1;
        }
    }
    let closed = held.iter().filter(|stream| is_closed(stream, asked.mode)).count();
    Ok(json!({ "held": held.len(), "closed": closed, "moved_bytes": moved_bytes }))
}

/// Moves a little on a slow connection; how many bytes.
fn nudge(stream: &TcpStream, mode: Mode) -> usize {
    let moved = match mode {
        Mode::Drip => stream.try_write(b"x"),
        Mode::Sip => stream.try_read(&mut [0; SIP_BYTES]),
        _ => Ok(0),
    };
    moved.unwrap_or(0)
}

/// Whether the server has given it up, as far as it shows: what was sent before comes first.
fn is_closed(stream: &TcpStream, mode: Mode) -> bool {
    match stream.try_read(&mut [0; SIP_BYTES]) {
        // To a head that never ended nothing was to be answered.
        Ok(count) => count == 0 || mode != Mode::Sip,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

async fn read_some(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; SIP_BYTES];
    let count = stream.read(&mut buffer).await?;
    buffer.truncate(count);
    Ok(buffer)
}

fn good(answer: &[u8]) -> io::Result<()> {
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(io::Error::other(String::from_utf8_lossy(answer).into_owned())) }
}

/// An answer that ends where its length says.
async fn read_whole(stream: &mut TcpStream) -> io::Result<()> {
    let mut answer = read_some(stream).await?;
    good(&answer)?;
    loop {
        if let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
            let length: Option<usize> = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
            if answer.len() - end - 4 >= length.ok_or_else(|| io::Error::other("no length"))? {
                return Ok(());
            }
        }
        let more = read_some(stream).await?;
        if more.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend(more);
    }
}
