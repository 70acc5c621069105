//! A listener over real sockets: protocols, limits, drain.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

mod h1_abuse;
mod h2_abuse;

/// How long a body for `/large` is.
const LARGE_BYTES: usize = 4 << 20;

const CONFIG: Config = Config {
    connections_max: 100,
    header_timeout: Duration::from_secs(10),
    idle_timeout: Duration::from_secs(60),
    drain: Duration::from_secs(30),
    threads: Threads::Shared,
    tells_peer: true,
    limits: Limits::USUAL,
};
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

struct Running {
    address: SocketAddr,
    metrics: Metrics,
    stop: CancellationToken,
    /// Told when a request for `/slow` has come in; such a request is answered when `go` is told, and one for `/pausing` is then ended.
    came: Arc<Notify>,
    go: Arc<Notify>,
    ended: JoinHandle<Drained>,
}

async fn run(config: Config) -> Running {
    run_on(Listener::bind("test", "127.0.0.1:0".parse().expect("an address"), config.threads).expect("a port"), config)
}

fn run_on(listener: Listener, config: impl Into<LiveConfig>) -> Running {
    let config = config.into();
    let (address, metrics, stop) = (listener.address(), Metrics::default(), CancellationToken::new());
    assert_ne!(address.port(), 0);
    let (came, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let ended = tokio::spawn({
        let (metrics, stop, came, go) = (metrics.clone(), stop.clone(), Arc::clone(&came), Arc::clone(&go));
        async move {
            let large = Bytes::from(vec![b'x'; LARGE_BYTES]);
            let service = service_fn(move |request: Request<Incoming>| {
                let (came, go, large) = (Arc::clone(&came), Arc::clone(&go), large.clone());
                async move {
                    if request.uri().path() == "/large" {
                        return Ok(Response::new(Full::new(large).boxed_unsync()));
                    }
                    if request.uri().path() == "/pausing" {
                        let pause = async move { go.notified().await };
                        let begun = futures_util::stream::iter([Bytes::from_static(b"begun ")]);
                        let ended = futures_util::stream::once(pause.map(|()| Bytes::from_static(b"HTTP/1.1")));
                        let frames = begun.chain(ended).map(|bytes| Ok(hyper::body::Frame::data(bytes)));
                        return Ok(Response::new(StreamBody::new(frames).boxed_unsync()));
                    }
                    if request.uri().path() == "/slow" {
                        came.notify_one();
                        go.notified().await;
                    }
                    assert!(request.extensions().get::<Peer>().is_some_and(|peer| peer.address.ip().is_loopback() && !peer.tls));
                    let body = Full::new(Bytes::from(format!("{:?}", request.version())));
                    Ok::<_, Infallible>(Response::new(body.boxed_unsync()))
                }
            });
            listener.serve(service, config, None, &metrics, stop).await.expect("sockets and threads")
        }
    });
    Running { address, metrics, stop, came, go, ended }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// Whether somebody else is answered.
    async fn answers_others(&self) {
        let mut stream = self.connect().await;
        stream.write_all(GET).await.expect("sent");
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
    }

    fn ends(&self, end: ConnectionEnd) -> u64 {
        self.metrics.ends("test", end)
    }

    /// Sends `bytes` and reads until the server closes.
    async fn talk(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.expect("sent");
        rest(&mut stream).await
    }
}

/// Memory of this process that is in use, in bytes.
fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number");
    pages * 4096
}

/// What a flood may leave behind; each test is a process of its own.
const FLAT_BYTES: usize = 24 << 20;

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an end");
    String::from_utf8(answer).expect("text")
}

/// Reads one answer whose body is `HTTP/1.1`.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\nHTTP/1.1") {
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes).await.expect("an answer");
        assert_ne!(count, 0, "{text}");
        text.push_str(std::str::from_utf8(&bytes[..count]).expect("text"));
    }
    text
}

#[tokio::test]
async fn both_protocols_on_one_port() {
    let server = run(CONFIG).await;
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream.write_all(GET).await.expect("sent");
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
    }
    let io = hyper_util::rt::TokioIo::new(server.connect().await);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.expect("a handshake");
    tokio::spawn(connection);
    let request = Request::get("http://h/").body(Full::<Bytes>::default()).expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    let body = http_body_util::BodyExt::collect(response.into_body()).await.expect("a body").to_bytes();
    assert_eq!(body, "HTTP/2.0");
}

#[tokio::test]
async fn a_wrong_host_is_refused_and_the_connection_closed() {
    let server = run(CONFIG).await;
    for request in ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"] {
        let text = server.talk(request.as_bytes()).await;
        assert!(text.starts_with("HTTP/1.1 400"), "{text}");
    }
    assert!(server.talk(b"GET / HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.0 200"));
    assert!(server.talk(b"GET http://h/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_axum_router_fits() {
    let listener = Listener::bind("admin", "127.0.0.1:0".parse().expect("an address"), CONFIG.threads).expect("a port");
    let (address, stop) = (listener.address(), CancellationToken::new());
    let router: axum::Router = axum::Router::new().route("/", axum::routing::get(async || "axum"));
    let service = hyper_util::service::TowerToHyperService::new(router);
    let ended = tokio::spawn({
        let stop = stop.clone();
        async move { listener.serve(service, CONFIG, None, &Metrics::default(), stop).await }
    });
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.expect("sent");
    assert!(rest(&mut stream).await.ends_with("axum"));
    stop.cancel();
    assert_eq!(ended.await.expect("no panic").expect("sockets").cut, 0);
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let server = run(Config { connections_max: 1, ..CONFIG }).await;
    let mut first = server.connect().await;
    first.write_all(GET).await.expect("sent");
    answer(&mut first).await;
    let mut second = server.connect().await;
    assert!(rest(&mut second).await.starts_with("HTTP/1.1 503"));
    assert_eq!(server.metrics.ends("test", ConnectionEnd::Refused), 1);
    first.write_all(GET).await.expect("the first is untouched");
    answer(&mut first).await;
}

#[tokio::test]
async fn unfinished_heads_and_idle_connections_are_closed() {
    let short = Duration::from_millis(100);
    let server = run(Config { header_timeout: short, ..CONFIG }).await;
    assert_eq!(server.talk(b"GET / HTTP/1.1\r\nHo").await, "");
    assert_eq!(server.metrics.ends("test", ConnectionEnd::HeadTimeout), 1);

    let server = run(Config { idle_timeout: short, ..CONFIG }).await;
    assert_eq!(server.talk(b"").await, "");
    assert!(server.talk(GET).await.starts_with("HTTP/1.1 200"));
    assert_eq!(server.metrics.ends("test", ConnectionEnd::Idle), 2);
}

#[tokio::test]
async fn open_requests_are_answered_after_the_signal() {
    let server = run(CONFIG).await;
    let mut idle = server.connect().await;
    idle.write_all(GET).await.expect("sent");
    answer(&mut idle).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("sent");
    server.came.notified().await;
    server.stop.cancel();
    assert_eq!(rest(&mut idle).await, "", "an idle connection is closed at once");
    assert!(TcpStream::connect(server.address).await.is_err(), "no more connections are taken");
    server.go.notify_one();
    let text = rest(&mut slow).await;
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("HTTP/1.1"), "{text}");
    assert_eq!(server.ended.await.expect("no panic").cut, 0);
}

#[tokio::test]
async fn a_shared_socket_is_left_to_others_and_connections_have_a_last_word() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let adopt = |last_word_ms| {
        let socket = socket.try_clone().expect("a socket");
        Listener::adopt("test", socket, CONFIG.threads, Duration::from_millis(last_word_ms)).expect("a listener")
    };
    let server = run_on(adopt(10_000), CONFIG);
    let mut idle = server.connect().await;
    idle.write_all(GET).await.expect("sent");
    assert!(!answer(&mut idle).await.contains("connection: close"));
    server.stop.cancel();
    idle.write_all(GET).await.expect("sent");
    let last = rest(&mut idle).await;
    assert!(last.starts_with("HTTP/1.1 200") && last.contains("connection: close"), "{last}");
    assert_eq!(server.ended.await.expect("no panic"), Drained { open: 1, cut: 0 });

    let server = run_on(adopt(50), CONFIG);
    let mut idle = server.connect().await;
    idle.write_all(GET).await.expect("sent");
    answer(&mut idle).await;
    server.stop.cancel();
    assert_eq!(rest(&mut idle).await, "", "a silent connection is closed");
    server.ended.await.expect("no panic");
    let mut waiting = TcpStream::connect(server.address).await.expect("the queue takes it");
    let next = run_on(adopt(50), CONFIG);
    waiting.write_all(GET).await.expect("sent");
    assert!(answer(&mut waiting).await.starts_with("HTTP/1.1 200"), "another one takes it");
    next.stop.cancel();

    let unbound = std::net::TcpStream::connect(server.address).expect("a connection");
    let connected = std::net::TcpListener::from(std::os::fd::OwnedFd::from(unbound));
    assert!(Listener::adopt("test", connected, CONFIG.threads, Duration::ZERO).is_err(), "it does not listen");
}

#[tokio::test]
async fn connections_send_as_their_listener_was_told() {
    let told = |listener: Listener| {
        let client = std::net::TcpStream::connect(listener.address()).expect("a connection");
        listener.sockets[0].set_nonblocking(false).expect("an option");
        let (stream, _) = listener.sockets[0].accept().expect("a connection");
        assert!(stream.nodelay().expect("an option"));
        drop(client);
        rustix::net::sockopt::tcp_congestion(&stream).expect("an option")
    };
    let bind = |address: &str| Listener::bind("test", address.parse().expect("an address"), Threads::Shared).expect("a port");
    assert_eq!(told(bind("127.0.0.1:0")), "reno");
    let (elsewhere, default) = (bind("0.0.0.0:0"), std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").expect("a name"));
    assert_eq!(rustix::net::sockopt::tcp_congestion(&elsewhere.sockets[0]).expect("an option"), default.trim());
    assert_eq!(told(bind("127.0.0.1:0").controlled_by(default.trim()).expect("the default can be chosen")), default.trim());
    let unknown = bind("127.0.0.1:0").controlled_by("carrier_pigeon").expect_err("there is none");
    assert_eq!(unknown.kind(), io::ErrorKind::NotFound);
    assert_eq!(
        told(Listener::adopt("test", bind("127.0.0.1:0").sockets.remove(0), Threads::Shared, Duration::ZERO).expect("it listens")),
        "reno"
    );
}

#[tokio::test]
async fn connections_rest_while_nothing_is_under_way_and_go_on() {
    let header_timeout = Duration::from_millis(500);
    let server = run(Config { header_timeout, ..CONFIG }).await;
    let rested = |count| {
        let metrics = server.metrics.clone();
        async move {
            while metrics.resting("test") != count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let mut stream = server.connect().await;
    for _ in 0..2 {
        rested(1).await;
        stream.write_all(GET).await.expect("sent");
        answer(&mut stream).await;
        assert_eq!(server.metrics.resting("test"), 0);
    }
    rested(1).await;
    for byte in GET {
        stream.write_all(&[*byte]).await.expect("sent");
        tokio::task::yield_now().await;
        assert_eq!(server.metrics.resting("test"), 1, "a head that is not whole yet");
    }
    answer(&mut stream).await;

    // Half a head that came with the request before it is not forgotten: its time runs.
    stream.write_all(&[GET, &GET[..9]].concat()).await.expect("sent");
    answer(&mut stream).await;
    assert_eq!((rest(&mut stream).await.as_str(), server.ends(ConnectionEnd::HeadTimeout)), ("", 1));
    let mut stream = server.connect().await;
    stream.write_all(&GET[..9]).await.expect("sent");
    assert_eq!((rest(&mut stream).await.as_str(), server.ends(ConnectionEnd::HeadTimeout)), ("", 2));

    // What follows an answer may be the rest of a body, so this one does not rest.
    let mut stream = server.connect().await;
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n12").await.expect("sent");
    answer(&mut stream).await;
    let mut other = server.connect().await;
    other.write_all(GET).await.expect("sent");
    answer(&mut other).await;
    rested(1).await;
    drop(other);
    rested(0).await;
    stream.write_all(GET).await.expect("sent");
    answer(&mut stream).await;
    rested(1).await;

    // Whoever spoke HTTP/1 does not change over to HTTP/2.
    let mut changing = server.connect().await;
    changing.write_all(GET).await.expect("sent");
    answer(&mut changing).await;
    rested(2).await;
    changing.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("sent");
    let mut told = Vec::new();
    // It may be closed with the rest of this unread.
    let _ = changing.read_to_end(&mut told).await;
    assert!(told.is_empty() || told.starts_with(b"HTTP/1"), "no settings: {told:?}");

    // A body that pauses has not ended.
    let mut pausing = server.connect().await;
    pausing.write_all(b"GET /pausing HTTP/1.0\r\n\r\n").await.expect("sent");
    let mut begun = [0; 256];
    while !String::from_utf8_lossy(&begun).contains("begun ") {
        let read = begun.iter().position(|&byte| byte == 0).expect("it is short");
        assert_ne!(pausing.read(&mut begun[read..]).await.expect("a part"), 0);
    }
    stream.write_all(GET).await.expect("sent");
    answer(&mut stream).await;
    rested(1).await;
    server.go.notify_one();
    assert_eq!(rest(&mut pausing).await, "HTTP/1.1");

    server.stop.cancel();
    assert_eq!(server.ended.await.expect("no panic").cut, 0);
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn limits_can_change_while_it_serves() {
    let limits = LiveConfig::from(CONFIG);
    let listener = Listener::bind("test", "127.0.0.1:0".parse().expect("an address"), CONFIG.threads).expect("a port");
    let server = run_on(listener, limits.clone());
    let mut first = server.connect().await;
    first.write_all(GET).await.expect("sent");
    answer(&mut first).await;
    limits.set(Config { connections_max: 1, ..CONFIG });
    assert!(rest(&mut server.connect().await).await.starts_with("HTTP/1.1 503"));
    limits.set(Config { header_timeout: Duration::from_millis(50), ..CONFIG });
    assert_eq!(server.talk(b"GET").await, "");
    assert_eq!(server.metrics.ends("test", ConnectionEnd::HeadTimeout), 1);
    first.write_all(GET).await.expect("what was open stays");
    answer(&mut first).await;
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let server = run(Config { drain: Duration::from_millis(50), ..CONFIG }).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("sent");
    server.came.notified().await;
    server.stop.cancel();
    assert_eq!(server.ended.await.expect("no panic"), Drained { open: 1, cut: 1 });
    assert_eq!(rest(&mut slow).await, "");
    assert_eq!(server.metrics.ends("test", ConnectionEnd::Cut), 1);
}

#[tokio::test]
async fn threads_of_its_own_share_the_connections_and_drain() {
    let threads = Threads::Own { count: NonZeroUsize::new(3).expect("not zero"), pinned: true };
    let server = run(Config { threads, connections_max: 20, ..CONFIG }).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = server.connect().await;
        stream.write_all(GET).await.expect("sent");
        answer(&mut stream).await;
        streams.push(stream);
    }
    assert!(rest(&mut server.connect().await).await.starts_with("HTTP/1.1 503"), "the limit is that of all threads");
    let taken = Listener::bind("other", server.address, threads).expect_err("the address is taken");
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    streams[0].write_all(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("sent");
    server.came.notified().await;
    server.stop.cancel();
    server.go.notify_one();
    assert!(rest(&mut streams[0]).await.starts_with("HTTP/1.1 200"));
    assert_eq!(server.ended.await.expect("no panic").cut, 0);
}

#[tokio::test]
async fn connections_that_wait_when_the_signal_comes_are_answered() {
    let server = run(CONFIG).await;
    // The runtime of this test is the listener's: it accepts nothing before this yields.
    let mut streams: Vec<_> = (0..50).map(|_| std::net::TcpStream::connect(server.address).expect("a connection")).collect();
    for stream in &mut streams {
        std::io::Write::write_all(stream, GET).expect("sent");
    }
    server.stop.cancel();
    for stream in streams {
        stream.set_nonblocking(true).expect("a socket");
        assert!(rest(&mut TcpStream::from_std(stream).expect("a socket")).await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(server.ended.await.expect("no panic").cut, 0);
}

/// A body that is longer than what sockets hold, kept in an arena and beside it, to readers that begin late.
#[tokio::test]
async fn what_is_kept_in_the_arena_is_lent_and_arrives_whole() {
    const LENGTH: usize = 20 << 20;
    let arena = Arena::new(LENGTH as u64).expect("an arena");
    let plain: Vec<u8> = (0..LENGTH).map(|index| (index / 251) as u8).collect();
    let bodies = [arena.keep(&plain).expect("room"), Bytes::from(plain.clone())];
    let listener = Listener::bind("lend", "127.0.0.1:0".parse().expect("an address"), Threads::Shared).expect("a port");
    let (address, metrics, stop) = (listener.address(), Metrics::default(), CancellationToken::new());
    let service = service_fn(move |request: Request<Incoming>| {
        let mut words = request.uri().path().split('/').skip(1).map(|word| word.parse::<usize>().expect("a number"));
        let mut next = || words.next().expect("which body, from, to");
        let body = bodies[next()].slice(next()..next());
        async move { Ok::<_, Infallible>(Response::new(Full::new(body))) }
    });
    let ended = tokio::spawn({
        let (metrics, stop) = (metrics.clone(), stop.clone());
        async move { listener.serve(service, CONFIG, Some(arena), &metrics, stop).await }
    });
    for (which, from, to) in [(0, 0, LENGTH), (1, 0, LENGTH), (0, 1, LENGTH - 1), (0, 12_345_678, 12_345_679), (0, 5000, 70_000)] {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let request = format!("GET /{which}/{from}/{to} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an end");
        let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
        assert!(answer[head..] == plain[from..to], "{which} {from} {to}");
    }
    assert_eq!(metrics.lent_bytes("lend"), (LENGTH + LENGTH - 2 + 65_000) as u64);
    stop.cancel();
    assert_eq!(ended.await.expect("no panic").expect("sockets").cut, 0);
}

#[tokio::test]
async fn what_is_spoken_is_known_however_slowly_it_begins() {
    let server = run(CONFIG).await;
    for (begins, expect) in
        [(&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..], &b"\0\0"[..]), (b"PUT / HTTP/1.1\r\nHost: h\r\n\r\n", b"HT")]
    {
        let mut stream = server.connect().await;
        stream.set_nodelay(true).expect("a socket");
        for byte in begins {
            stream.write_all(&[*byte]).await.expect("sent");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(answer, expect, "settings, or an answer");
    }
    let server = run(Config { header_timeout: Duration::from_millis(50), ..CONFIG }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"PR").await.expect("sent");
    // What was not taken makes the close a reset.
    assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
    assert_eq!(server.metrics.ends("test", ConnectionEnd::HeadTimeout), 1);
}
