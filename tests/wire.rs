//! What goes over the wire, byte by byte: requests that no client library would send, and answers that none has repaired.
//!
//! What belongs here: listener and delivery together over raw sockets, with a library that knows one title. No real server.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater::arena::Arena;
use headwater::cache::{self, Cache};
use headwater::delivery::{self, Delivery, Document, Ingredients, Library, Miss, Presence, SegmentAddress, SegmentFacts, SurrogateKeys};
use headwater::server::{self, Listener, LiveConfig, Threads};
use headwater::title::{ContentHash, Download, Generation, SegmentNumber, Still, TitleId, TrackId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One title of one generation, whose every segment is the same.
pub(super) struct OneTitle(TitleId);

const CHANGED_AT_MS: u64 = 784_111_777_000;

fn segment_bytes() -> Bytes {
    (0..5000_u32).map(|index| (index % 251) as u8).collect()
}

fn document(text: &'static str) -> Result<Document, Miss> {
    Ok(Document { bytes: Bytes::from_static(text.as_bytes()), changed_at_ms: CHANGED_AT_MS })
}

impl Library for OneTitle {
    fn presence(&self, title: TitleId) -> Presence {
        if title == self.0 { Presence::Here } else { Presence::Unknown }
    }

    async fn multivariant(&self, _: TitleId) -> Result<Document, Miss> {
        document("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n1/v0/index.m3u8\n")
    }

    async fn media_playlist(&self, _: TitleId, _: Generation, _: TrackId) -> Result<Document, Miss> {
        document("#EXTM3U\n")
    }

    async fn i_frame_playlist(&self, _: TitleId, _: Generation, _: TrackId) -> Result<Document, Miss> {
        Err(Miss::Unknown)
    }

    async fn still(&self, _: TitleId, _: Generation, _: Still) -> Result<Document, Miss> {
        Err(Miss::Unknown)
    }

    async fn init(&self, _: TitleId, _: Generation, _: TrackId, _: Instant) -> Result<Document, Miss> {
        document("ftypmoov")
    }

    async fn text_segment(&self, _: TitleId, _: Generation, _: TrackId, _: SegmentNumber) -> Result<Document, Miss> {
        Err(Miss::Unknown)
    }

    async fn find_segment(&self, segment: SegmentAddress, _: Instant) -> Result<SegmentFacts, Miss> {
        if segment.generation != Generation(1) {
            return Err(Miss::Unknown);
        }
        let bytes = segment_bytes();
        Ok(SegmentFacts { hash: ContentHash::of(&bytes), size_bytes: bytes.len() as u64, finished_at_ms: CHANGED_AT_MS })
    }

    async fn read_segment(&self, _: SegmentAddress, _: &SegmentFacts) -> Result<Bytes, Miss> {
        Ok(segment_bytes())
    }

    async fn made_segment(&self, _: SegmentAddress) -> Option<SegmentFacts> {
        None
    }

    async fn download(&self, _: TitleId, _: Generation, _: Download) -> Result<Ingredients, Miss> {
        Err(Miss::Unknown)
    }

    async fn read_parts(&self, _: TitleId, _: ContentHash, _: Vec<Range<u64>>) -> Result<Vec<Bytes>, Miss> {
        Err(Miss::Unknown)
    }

    async fn title_name(&self, _: TitleId) -> Option<Arc<str>> {
        None
    }
}

struct Origin {
    address: SocketAddr,
    title: TitleId,
    _stop: tokio_util::sync::DropGuard,
}

/// A service that knows one title, out of a cache of its own.
pub(super) struct Shop {
    pub(super) title: TitleId,
    pub(super) delivery: Delivery<OneTitle>,
    pub(super) arena: Option<Arc<Arena>>,
}

pub(super) fn shop() -> Shop {
    let title = TitleId::new(1_700_000_000_000, 7);
    let limits = cache::Config { bytes: 64 << 20, fills_max: 64, read_ahead: 0 };
    let config = delivery::Config {
        segment_wait: Duration::from_secs(8),
        waiters_max: 100,
        generation_grace: Duration::from_secs(60),
        surrogate_keys: SurrogateKeys::Off,
        multivariant_max_age: Duration::from_secs(5),
        cdn_multivariant_max_age: None,
        cdn_immutable_max_age: None,
        alt_svc: None,
    };
    let cache = Cache::new(&limits, cache::Metrics::default());
    let arena = cache.arena();
    Shop { title, delivery: Delivery::new(&config, Arc::new(OneTitle(title)), cache, delivery::Metrics::default()), arena }
}

pub(super) fn limits() -> server::Config {
    server::Config {
        connections_max: 100,
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        drain: Duration::from_secs(1),
        tells_peer: false,
        limits: server::Limits { takes_bodies: false, ..server::Limits::USUAL },
        threads: Threads::Shared,
    }
}

async fn origin() -> Origin {
    let Shop { title, delivery, arena } = shop();
    let listener = Listener::bind("test", "127.0.0.1:0".parse().expect("an address"), Threads::Shared).expect("a port");
    let (address, stop) = (listener.address(), CancellationToken::new());
    let stopping = stop.clone();
    tokio::spawn(async move { listener.serve(delivery, LiveConfig::from(limits()), arena, &server::Metrics::default(), stopping).await });
    Origin { address, title, _stop: stop.drop_guard() }
}

impl Origin {
    fn segment(&self) -> String {
        format!("/t/{}/1/v0/0.m4s", self.title)
    }

    /// Sends bytes and the end of them, and reads until the server closes.
    async fn talk(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        // A server that has seen enough may close before it has taken all.
        let _ = stream.write_all(bytes.as_ref()).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(super::server::PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end");
        // What was not taken makes the close a reset; the answer is here all the same, or is not.
        if let Err(error) = read {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends a request line and `Host`, and gives the status.
    async fn line(&self, line: impl AsRef<[u8]>) -> u16 {
        status(&self.talk([line.as_ref(), b"\r\nHost: h\r\nConnection: close\r\n\r\n"].concat()).await)
    }
}

/// The status of the first answer; 0 where there is none.
fn status(answer: &str) -> u16 {
    answer.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The fields of an answer, and its body.
fn fields(answer: &str) -> (Vec<String>, String) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let timeless = |line: &&str| !line.starts_with("date: ") && !line.starts_with("connection: ");
    (head.lines().skip(1).filter(timeless).map(str::to_owned).collect(), body.to_owned())
}

/// How many answers there are.
fn answers(text: &str) -> usize {
    text.matches("HTTP/1.1 ").count()
}

#[tokio::test]
async fn rule_1_hosts() {
    let origin = origin().await;
    let path = origin.segment();
    for hosts in [
        "",
        "Host:\r\n",
        "Host: \r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: h\r\nHost: h\r\n",
        "Host: u@h\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: h:x\r\n",
    ] {
        let answer = origin.talk(format!("GET {path} HTTP/1.1\r\n{hosts}\r\nGET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        assert_eq!((status(&answer), answers(&answer)), (400, 1), "{hosts:?}: {answer}");
    }
    for (request, expect) in [
        (format!("GET http://h{path} HTTP/1.1\r\nHost: h\r\n\r\n"), 200),
        (format!("GET http://h:80{path}?x HTTP/1.1\r\nHost: h\r\n\r\n"), 200),
        (format!("GET http://u:p@h{path} HTTP/1.1\r\nHost: h\r\n\r\n"), 400),
        (format!("GET {path} HTTP/1.0\r\n\r\n"), 200),
        (format!("GET {path} HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n"), 200),
    ] {
        assert_eq!(status(&origin.talk(&request).await), expect, "{request}");
    }
}

#[tokio::test]
async fn rule_2_request_lines() {
    let origin = origin().await;
    let path = origin.segment();
    for line in [
        "GET foo HTTP/1.1",
        "GET * HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET / x HTTP/1.1",
        "\u{1}GET / HTTP/1.1",
        "GET / HTTP/9.9",
        "GET / http/1.1",
        "GET /",
    ] {
        assert_eq!(origin.line(line).await, 400, "{line:?}");
    }
    for inside in ["\0", "\r", "\n", "\u{1}", "\u{7f}"] {
        let got = origin.line(format!("GET {path}{inside} HTTP/1.1")).await;
        assert_eq!(got, 400, "{inside:?}");
    }
    let got = origin.line(format!("{} {path} HTTP/1.1", "G".repeat(65_536))).await;
    assert!([400, 414, 501].contains(&got), "{got}");
    assert_eq!(origin.line(format!("GET {path}?{} HTTP/1.1", "a".repeat(8000))).await, 200);
    assert_eq!(origin.line(format!("GET /{} HTTP/1.1", "a".repeat(70_000))).await, 414);
    let many: String = (0..1000).map(|number| format!("X-{number}: y\r\n")).collect();
    for lines in [many, format!("X: {}\r\n", "a".repeat(1 << 20)), format!("{}: y\r\n", "a".repeat(1 << 20))] {
        let got = status(&origin.talk(format!("GET {path} HTTP/1.1\r\nHost: h\r\n{lines}\r\n")).await);
        // A head that goes on past its limit may find the connection reset before the answer is read.
        assert!(got == 431 || got == 0 && lines.len() > 1 << 20, "{got} {}", &lines[..9]);
    }
}

#[tokio::test]
async fn rule_3_methods() {
    let origin = origin().await;
    let path = origin.segment();
    for method in ["BREW", "get", "PROPFIND", "M-SEARCH"] {
        assert_eq!(origin.line(format!("{method} {path} HTTP/1.1")).await, 501, "{method}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
        let answer = origin.talk(format!("{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")).await;
        assert_eq!(status(&answer), 405, "{method}");
        assert!(answer.contains("\r\nallow: GET, HEAD, OPTIONS\r\n"), "{answer}");
    }
    assert_eq!(origin.line("CONNECT h:443 HTTP/1.1").await, 405);
    for target in [path.as_str(), "*"] {
        let answer = origin.talk(format!("OPTIONS {target} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        assert_eq!(status(&answer), 204, "{target}");
        assert!(answer.contains("\r\nallow: GET, HEAD, OPTIONS\r\n") && answer.contains("\r\naccess-control-allow-origin: *\r\n"));
    }
}

#[tokio::test]
async fn rule_4_framing() {
    let origin = origin().await;
    let path = origin.segment();
    let next = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    let post = |fields: &str, body: &str| format!("POST {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}{next}");
    for (request, expect) in [
        (post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"), 400),
        (post("Content-Length: -1\r\n", ""), 400),
        (post("Content-Length: +5\r\n", "hello"), 400),
        (post("Content-Length: 0x5\r\n", "hello"), 400),
        (post("Content-Length: 5, 6\r\n", "hello"), 400),
        (post("Content-Length: 99999999999999999999999999\r\n", ""), 400),
        (post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: identity\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), 400),
        (post("X: a\r\n b\r\n", ""), 400),
        // Hyper reads it by its chunks, hides the length from us, and closes: a body that hides a request hides it for good.
        (post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nX"), 405),
        (post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), 405),
        // Nobody reads the body of what is refused; the connection closes behind the answer.
        (post("Transfer-Encoding: chunked\r\n", "g\r\nhello\r\n0\r\n\r\n"), 405),
        (post("Transfer-Encoding: chunked\r\n", "-5\r\nhello\r\n0\r\n\r\n"), 405),
        (post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n"), 405),
        (post("Transfer-Encoding: chunked\r\n", "5\r\nhelloXX\r\n0\r\n\r\n"), 405),
    ] {
        let answer = origin.talk(&request).await;
        assert_eq!((status(&answer), answers(&answer)), (expect, 1), "{request}\n{answer}");
    }
    // Well framed, the next request on the connection is answered; behind chunks that nobody reads hyper may close instead.
    let answer = origin.talk(post("Content-Length: 5\r\n", "hello")).await;
    assert_eq!((status(&answer), answers(&answer)), (405, 2), "{answer}");
    let answer = origin.talk(post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n")).await;
    assert!(status(&answer) == 405 && answers(&answer) <= 2, "{answer}");
}

#[tokio::test]
async fn rule_5_paths() {
    let origin = origin().await;
    let (path, title) = (origin.segment(), origin.title.to_string());
    let folder = path.rsplit_once('/').expect("a folder").0;
    for target in [
        format!("{folder}/../v0/0.m4s"),
        format!("{folder}/./0.m4s"),
        format!("{folder}/%2e%2e/v0/0.m4s"),
        format!("{folder}/..%2fv0/0.m4s"),
        format!("{folder}%2f0.m4s"),
        format!("{folder}\\0.m4s"),
        format!("{folder}/0.m4s%00"),
        format!("{folder}/0.m4s%00.vtt"),
        format!("{folder}/%30.m4s"),
        format!("{folder}/%2530.m4s"),
        format!("{folder}//0.m4s"),
        format!("/{path}"),
        format!("{path}/"),
        format!("{path};x"),
        format!("{path}%20"),
        format!("{path}%0d%0aX-Injected:%201"),
        format!("{folder}/00.m4s"),
        format!("/t/{}/1/v0/0.m4s", title.to_uppercase()),
        "/../../../../etc/passwd".to_owned(),
        "/t/../../etc/passwd".to_owned(),
        "/".to_owned() + &"a/".repeat(2000),
    ] {
        let answer = origin.talk(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        assert!([400, 404].contains(&status(&answer)), "{target}: {answer}");
        assert!(!answer.contains("root:") && !answer.to_lowercase().contains("x-injected"));
    }
    assert_eq!(origin.line(format!("GET {path} HTTP/1.1")).await, 200);
}

#[tokio::test]
async fn rule_16_what_has_no_body_says_nothing_of_one() {
    let origin = origin().await;
    for path in [origin.segment(), format!("/t/{}/main.m3u8", origin.title)] {
        let get = |further: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{further}\r\n");
        let whole = origin.talk(get("")).await;
        let tag = whole.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag").to_owned();
        for (further, expect) in [(format!("If-None-Match: {tag}\r\n"), 304), ("If-Match: \"x\"\r\n".to_owned(), 412)] {
            let answer = origin.talk(get(&further)).await;
            assert_eq!(status(&answer), expect);
            let (told, body) = fields(&answer);
            assert_eq!(body, "");
            let of = |answer: &str, name: &str| answer.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            for name in ["etag: ", "cache-control: ", "vary: ", "access-control-allow-origin: "] {
                assert_eq!(of(&answer, name), of(&whole, name), "{name}");
            }
            assert!(of(&answer, "date: ").is_some());
            let forbidden = |line: &&String| {
                line.starts_with("content-type") || line.starts_with("content-encoding") || line.starts_with("content-range")
            };
            assert_eq!(told.iter().find(forbidden), None);
            // An empty body's own length is none of the representation's.
            let length = told.iter().find(|line| line.starts_with("content-length"));
            assert!(length.is_none() || expect == 412 && length.is_some_and(|line| line == "content-length: 0"), "{length:?}");
        }
    }
}

#[tokio::test]
async fn rule_23_head_is_get_less_the_body() {
    let origin = origin().await;
    let text = format!("/t/{}/main.m3u8", origin.title);
    for (path, further) in [
        (origin.segment(), ""),
        (origin.segment(), "Want-Repr-Digest: sha-256=1\r\n"),
        (text.clone(), ""),
        (text.clone(), "Accept-Encoding: gzip\r\n"),
        (text.clone(), "Accept-Encoding: br, identity;q=0\r\n"),
        (text, "Accept-Encoding: identity;q=0\r\n"),
        ("/nothing".to_owned(), ""),
    ] {
        let ask = |method: &str| origin.talk(format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{further}\r\n"));
        ask("GET").await;
        let (get, head) = (ask("GET").await, ask("HEAD").await);
        assert_eq!(status(&get), status(&head));
        let ((get, body), (head, nothing)) = (fields(&get), fields(&head));
        assert_eq!((get, nothing.as_str()), (head, ""), "{path} {further}");
        assert!(!body.is_empty());
    }
}

#[test]
fn the_rules_name_tests_that_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources: Vec<String> = ["src", "tests"]
        .iter()
        .flat_map(|folder| super::server::files(&root.join(folder)))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| std::fs::read_to_string(path).expect("a source"))
        .collect();
    let rows =
        include_str!("../docs/HTTP.md").lines().filter_map(|line| line.strip_prefix("| ")).map(|row| row.split(" | ").collect::<Vec<_>>());
    let tests: Vec<&str> =
        rows.filter(|row| row.len() == 3).flat_map(|row| row[2].split('`').skip(1).step_by(2).collect::<Vec<_>>()).collect();
    assert!(tests.len() > 40, "{}", tests.len());
    let absent: Vec<_> = tests.iter().filter(|test| !sources.iter().any(|source| source.contains(&format!("fn {test}(")))).collect();
    assert!(absent.is_empty(), "{absent:?}");
}

/// Memory of this process that is in use, in bytes.
fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number");
    pages * 4096
}

/// Fifty thousand paths that name nothing, of titles there are and are not, on one connection. The first ten thousand fill what is
/// remembered.
#[tokio::test]
async fn floods_of_unknown_paths_leave_memory_flat() {
    let origin = origin().await;
    let (mut reader, mut writer) = TcpStream::connect(origin.address).await.expect("a connection").into_split();
    let title = origin.title;
    let sending = tokio::spawn(async move {
        for index in 0..50_000_u32 {
            let path = match index % 4 {
                0 => format!("/t/{}/1/v0/{index}.m4s", TitleId::new(index.into(), 1)),
                1 => format!("/t/{title}/{}/v0/{index}.m4s", index + 2),
                2 => format!("/t/{title}/1/s{}/{index}.vtt", index % 100),
                _ => format!("/{index}/wp-login.php"),
            };
            writer.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).await.expect("sent");
        }
        writer
    });
    let (mut answers, mut line_bytes, mut piece, mut before) = (0, 0, vec![0; 65_536], None);
    let wanted = b"HTTP/1.1 404";
    while answers < 50_000 {
        let count = reader.read(&mut piece).await.expect("answers");
        assert_ne!(count, 0, "after {answers}");
        for byte in &piece[..count] {
            line_bytes = if *byte == wanted[line_bytes] { line_bytes + 1 } else { usize::from(*byte == wanted[0]) };
            if line_bytes == wanted.len() {
                (answers, line_bytes) = (answers + 1, 0);
            }
        }
        if answers >= 10_000 {
            before.get_or_insert_with(resident_bytes);
        }
    }
    sending.await.expect("no panic");
    let grown = resident_bytes().saturating_sub(before.expect("half-way"));
    assert!(grown < 8 << 20, "{grown} bytes more");
}

/// Hundreds of ranges are at most the body once, whatever they name.
#[tokio::test]
async fn ranges_cannot_be_multiplied() {
    let origin = origin().await;
    let path = origin.segment();
    let bombs = [
        (0..500).map(|_| "0-".to_owned()).collect::<Vec<_>>(),
        (0..500).map(|index| format!("{index}-")).collect(),
        (0..500).map(|index| format!("{}-{}", index * 2, index * 2)).collect(),
        (1..500).map(|index| format!("-{index}")).collect(),
        (0..500).map(|index| format!("{}-{}", 4999 - index, 5000 + index)).collect(),
    ];
    for ranges in bombs {
        let range = ranges.join(",");
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nRange: bytes={range}\r\nConnection: close\r\n\r\n");
        let mut stream = TcpStream::connect(origin.address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an end");
        let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
        let status = status(&String::from_utf8_lossy(&answer[..head]));
        assert!([200, 206, 416].contains(&status), "{status}");
        // The parts of a multipart have heads, of which there are sixteen at most.
        assert!(answer.len() - head < 5000 + 16 * 200, "{} bytes for {}", answer.len() - head, &range[..20]);
    }
}

/// What proxies in front might read otherwise: one request is one answer, whatever ends its lines and chunks.
#[tokio::test]
async fn lines_and_chunks_are_read_in_one_way() {
    let origin = origin().await;
    let path = origin.segment();
    let next = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    for (name, request, most) in [
        ("bare line feeds", format!("GET {path} HTTP/1.1\nHost: h\n\n"), 2),
        ("a line feed in a value", format!("GET {path} HTTP/1.1\r\nHost: h\r\nX: a\nGET {path} HTTP/1.1\r\n\r\n"), 1),
        ("a carriage return in a value", format!("GET {path} HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n"), 1),
        ("a folded length", format!("GET {path} HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n 5\r\n\r\nhello"), 1),
        ("a length with a space before", format!("GET {path} HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\nhello"), 1),
        (
            "chunks with extensions",
            format!(
                "GET {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0;{}\r\n\r\n",
                "x".repeat(100)
            ),
            2,
        ),
        (
            "chunks whose extension never ends",
            format!("GET {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;{}", "x".repeat(100_000)),
            1,
        ),
    ] {
        let answer = origin.talk(format!("{request}{next}")).await;
        assert!((1..=most).contains(&answers(&answer)), "{name}: {answer}");
        assert!([200, 400].contains(&status(&answer)), "{name}: {answer}");
    }
}
