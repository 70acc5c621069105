//! How often a request takes memory from the allocator.
//!
//! What belongs here: counts of allocations on the path of an answer that is in memory, against hyper with nothing behind it.

use std::convert::Infallible;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use bytes::Bytes;
use headwater::schedule::Clock;
use headwater::server::{self, Listener, LiveConfig, Threads};
use headwater::telemetry::{AccessConfig, AccessLog, AccessMetrics};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::server::PATIENCE;
use super::wire::{Shop, limits, shop};

/// Enough that what is put off for later, such as the books of the cache, is in the figure.
const REQUESTS: u64 = 2000;

/// Sends the request over and over on one connection, and waits for each answer.
fn ask(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    // The first answer is filled into memory, and tells how long each is.
    let length = again(&mut stream, request, None);
    for _ in 0..50 {
        again(&mut stream, request, Some(length));
    }
    stream
}

fn again(stream: &mut TcpStream, request: &str, length: Option<usize>) -> usize {
    stream.write_all(request.as_bytes()).expect("sent");
    let (mut answer, mut taken) = (vec![0; 64 << 10], 0);
    loop {
        taken += stream.read(&mut answer[taken..]).expect("an answer");
        let text = String::from_utf8_lossy(&answer[..taken]);
        let body = text.split_once("\r\n\r\n").map(|(head, _)| {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|text| text.parse::<usize>().ok());
            head.len() + 4 + length.unwrap_or(0)
        });
        if body.is_some_and(|end| taken >= end) {
            // What is told of a hit is as long each time.
            assert!(length.is_none() || taken <= answer.len());
            return taken;
        }
    }
}

/// Allocations for each request that `serve` makes on its thread, as a client on another thread asks.
fn counted<F: Future<Output = ()> + 'static>(request: String, serve: impl FnOnce(oneshot::Sender<SocketAddr>) -> F) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let (tell_address, address) = oneshot::channel();
    let serving = local.spawn_local(serve(tell_address));
    let address = local.block_on(&runtime, address).expect("an address");
    let (warm, warmed) = oneshot::channel();
    let (go, gone) = std::sync::mpsc::channel();
    let (end, ended) = oneshot::channel();
    let client = std::thread::spawn(move || {
        let mut stream = ask(address, &request);
        warm.send(()).expect("somebody waits");
        gone.recv().expect("a word");
        for _ in 0..REQUESTS {
            again(&mut stream, &request, None);
        }
        end.send(()).expect("somebody waits");
    });
    local.block_on(&runtime, warmed).expect("an end");
    let counts = allocation_counter::measure(|| {
        go.send(()).expect("somebody waits");
        local.block_on(&runtime, ended).expect("an end");
    });
    client.join().expect("no panic");
    serving.abort();
    counts.count_total as f64 / REQUESTS as f64
}

/// Hyper alone, with as many fields and a body that is there.
fn bare(request: &str) -> f64 {
    counted(request.to_owned(), |tell_address| async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        tell_address.send(listener.local_addr().expect("an address")).expect("somebody waits");
        let mut fields = HeaderMap::with_capacity(16);
        for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"] {
            fields.insert(name, HeaderValue::from_static("some value of a field"));
        }
        let body = Bytes::from(vec![7; 200]);
        let (stream, _) = listener.accept().await.expect("a connection");
        let service = service_fn(move |_| {
            let mut response = Response::new(Full::new(body.clone()));
            *response.headers_mut() = fields.clone();
            async { Ok::<_, Infallible>(response) }
        });
        // The client ends it.
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    })
}

fn headwater(request: String) -> f64 {
    counted(request, |tell_address| async {
        let Shop { delivery, arena, .. } = shop();
        let listener = Listener::bind("test", "127.0.0.1:0".parse().expect("an address"), Threads::Shared).expect("a port");
        tell_address.send(listener.address()).expect("somebody waits");
        let config = AccessConfig { format: None, path: None, waiting_max: 1 };
        let clock: Clock = Arc::new(|| 0);
        let log = AccessLog::start(&config, Vec::new(), clock, &AccessMetrics::default()).expect("no log");
        let metrics = server::Metrics::default();
        let stop = CancellationToken::new();
        listener.serve(log.over(delivery), LiveConfig::from(limits()), arena, &metrics, stop).await.map(drop).expect("served");
    })
}

#[test]
fn an_answer_that_is_in_memory_takes_no_more_allocations_than_hyper_needs() {
    let title = shop().title;
    let ask = |path: &str, fields: &str| format!("GET /t/{title}/{path} HTTP/1.1\r\nHost: origin\r\n{fields}\r\n");
    let least = bare(&ask("", ""));
    println!("hyper alone: {least:.2} a request");
    for (name, path, fields, further) in [
        ("segment", "1/v0/0.m4s", "", 0.0),
        // Two values that are its own, and a place for one of them.
        ("range", "1/v0/0.m4s", "Range: bytes=100-199\r\n", 3.0),
        ("playlist", "1/v0/index.m3u8", "", 0.0),
        ("playlist, coded", "main.m3u8", "Accept-Encoding: gzip, br\r\n", 0.0),
    ] {
        let count = headwater(ask(path, fields));
        println!("{name}: {count:.2} a request");
        assert!(count <= least + further + 0.1, "{name}: {count:.2} allocations a request; hyper alone needs {least:.2}");
    }
}
