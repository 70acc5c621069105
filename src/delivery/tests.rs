//! Delivery over real sockets, in front of a library that does as the test says.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, ETAG, HeaderName};
use http::{StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::*;

mod codings;
mod parts;
mod told;

use crate::cache;
use crate::title::{ContentHash, Download, Generation, SegmentNumber, Still, TrackId};

mod download;
use download::Film;

const CHANGED_AT_MS: u64 = 784_111_777_000;
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// Knows one title of one plan with two made segments, one that is made when the test says, one that is lost, a large one, and
/// some in a row.
pub(super) struct Fake {
    titles: Mutex<HashSet<TitleId>>,
    multivariant: Mutex<&'static str>,
    pub(super) segment: Bytes,
    /// Larger than what is cached.
    pub(super) large: Bytes,
    pub(super) made: watch::Sender<bool>,
    pub(super) asked: AtomicUsize,
    pub(super) read: AtomicUsize,
    /// Bytes of the large segment that were read.
    pub(super) part_bytes: AtomicU64,
    /// Questions for what might be read ahead.
    pub(super) looked_ahead: AtomicUsize,
    film: Film,
}

pub(super) const LARGE: SegmentNumber = SegmentNumber(100);
/// These are made, and those after them are not.
pub(super) const ROW: Range<u32> = 200..290;
pub(super) const LATE: SegmentNumber = SegmentNumber(2);
pub(super) const LOST: SegmentNumber = SegmentNumber(3);
const HANGS: Generation = Generation(7);

impl Library for Fake {
    fn presence(&self, title: TitleId) -> Presence {
        if self.titles.lock().expect("no panic").contains(&title) { Presence::Here } else { Presence::Unknown }
    }

    async fn multivariant(&self, _: TitleId) -> Result<Document, Miss> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let text = *self.multivariant.lock().expect("no panic");
        Ok(Document { bytes: Bytes::from_static(text.as_bytes()), changed_at_ms: CHANGED_AT_MS })
    }

    async fn media_playlist(&self, _: TitleId, generation: Generation, track: TrackId) -> Result<Document, Miss> {
        match (generation, track.index) {
            (Generation(1), 0) => Ok(Document { bytes: Bytes::from_static(b"#EXTM3U\n"), changed_at_ms: CHANGED_AT_MS }),
            (Generation(1), _) => Err(Miss::Unknown),
            _ => Err(Miss::Gone),
        }
    }

    async fn i_frame_playlist(&self, _: TitleId, _: Generation, track: TrackId) -> Result<Document, Miss> {
        match track.index {
            0 => Ok(Document { bytes: Bytes::from("#EXT-X-I-FRAMES-ONLY\n".repeat(50)), changed_at_ms: CHANGED_AT_MS }),
            _ => Err(Miss::Unknown),
        }
    }

    async fn still(&self, _: TitleId, _: Generation, still: Still) -> Result<Document, Miss> {
        match still {
            Still::Sprite(1..) => Err(Miss::Unknown),
            still => Ok(Document { bytes: Bytes::from(still.to_string().repeat(50)), changed_at_ms: CHANGED_AT_MS }),
        }
    }

    async fn init(&self, _: TitleId, generation: Generation, track: TrackId, _: Instant) -> Result<Document, Miss> {
        if generation == Film::GENERATION {
            return Ok(Document { bytes: self.film.init(track), changed_at_ms: CHANGED_AT_MS });
        }
        if generation == HANGS {
            std::future::pending::<()>().await;
        }
        Ok(Document { bytes: Bytes::from_static(b"ftypmoov"), changed_at_ms: CHANGED_AT_MS })
    }

    async fn text_segment(&self, _: TitleId, _: Generation, track: TrackId, number: SegmentNumber) -> Result<Document, Miss> {
        if track.index > 0 {
            return Err(Miss::Unknown);
        }
        let cues = format!("\n00:00:0{number}.000 --> 00:00:0{number}.500\nsomething is said\n").repeat(9);
        Ok(Document { bytes: Bytes::from(format!("WEBVTT\n{cues}")), changed_at_ms: CHANGED_AT_MS })
    }

    async fn find_segment(&self, segment: SegmentAddress, deadline: Instant) -> Result<SegmentFacts, Miss> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if segment.generation == Film::GENERATION {
            return self.film.facts(segment);
        }
        if segment.number == LARGE {
            let hash = ContentHash::of(&self.large);
            return Ok(SegmentFacts { hash, size_bytes: self.large.len() as u64, finished_at_ms: CHANGED_AT_MS });
        }
        if segment.number > LOST && !ROW.contains(&segment.number.0) {
            return Err(Miss::Unknown);
        }
        if segment.number == LATE {
            let mut made = self.made.subscribe();
            let wait = tokio::time::timeout_at(deadline, made.wait_for(|made| *made)).await;
            let retry_after = Duration::from_millis(2500);
            wait.map_err(|_| Miss::NotYet { retry_after })?.map_err(|_| Miss::NotYet { retry_after })?;
        }
        let size_bytes = self.segment.len() as u64;
        Ok(SegmentFacts { hash: ContentHash::of(&self.segment), size_bytes, finished_at_ms: CHANGED_AT_MS })
    }

    async fn read_segment(&self, segment: SegmentAddress, facts: &SegmentFacts) -> Result<Bytes, Miss> {
        self.read.fetch_add(1, Ordering::SeqCst);
        if segment.generation == Film::GENERATION {
            return self.film.object(facts.hash);
        }
        Ok(if segment.number == LOST { self.segment.slice(1..) } else { self.segment.clone() })
    }

    async fn download(&self, _: TitleId, generation: Generation, file: Download) -> Result<Ingredients, Miss> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if generation == Film::GENERATION { self.film.ingredients(file) } else { Err(Miss::Unknown) }
    }

    async fn read_parts(&self, _: TitleId, hash: ContentHash, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, Miss> {
        if hash != ContentHash::of(&self.large) {
            return self.film.parts(hash, ranges);
        }
        self.part_bytes.fetch_add(ranges.iter().map(|range| range.end - range.start).sum(), Ordering::SeqCst);
        Ok(ranges.into_iter().map(|range| self.large.slice(range.start as usize..range.end as usize)).collect())
    }

    async fn title_name(&self, _: TitleId) -> Option<Arc<str>> {
        Some(self.film.name())
    }

    async fn made_segment(&self, segment: SegmentAddress) -> Option<SegmentFacts> {
        self.looked_ahead.fetch_add(1, Ordering::SeqCst);
        let size_bytes = self.segment.len() as u64;
        let facts = SegmentFacts { hash: ContentHash::of(&self.segment), size_bytes, finished_at_ms: CHANGED_AT_MS };
        ROW.contains(&segment.number.0).then_some(facts)
    }
}

pub(super) struct Origin {
    pub(super) fake: Arc<Fake>,
    pub(super) delivery: Delivery<Fake>,
    pub(super) metrics: Metrics,
    pub(super) cache_metrics: cache::Metrics,
    pub(super) address: std::net::SocketAddr,
    pub(super) title: TitleId,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

pub(super) async fn origin(segment_wait: Duration, waiters_max: usize) -> Origin {
    let (multivariant_max_age, generation_grace) = (Duration::from_secs(5), Duration::from_secs(60));
    let (cdn_multivariant_max_age, cdn_immutable_max_age, alt_svc) = (None, None, None);
    configured(Config {
        segment_wait,
        waiters_max,
        generation_grace,
        surrogate_keys: SurrogateKeys::Both,
        multivariant_max_age,
        cdn_multivariant_max_age,
        cdn_immutable_max_age,
        alt_svc,
    })
    .await
}

async fn configured(config: Config) -> Origin {
    let title = TitleId::new(1_700_000_000_000, 7);
    let fake = Arc::new(Fake {
        titles: Mutex::new(HashSet::from([title])),
        multivariant: Mutex::new("#EXTM3U\nfirst\n"),
        segment: (0..100_000_u32).map(|index| (index % 251) as u8).collect(),
        large: (0..6_000_000_u32).map(|index| (index % 241) as u8).collect(),
        made: watch::Sender::new(false),
        asked: AtomicUsize::new(0),
        read: AtomicUsize::new(0),
        film: Film::default(),
        part_bytes: AtomicU64::new(0),
        looked_ahead: AtomicUsize::new(0),
    });
    let limits = cache::Config { bytes: 64 << 20, fills_max: 64, read_ahead: 1 };
    let metrics = Metrics::default();
    let cache_metrics = cache::Metrics::default();
    let delivery = Delivery::new(&config, Arc::clone(&fake), Cache::new(&limits, cache_metrics.clone()), metrics.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let service = delivery.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Origin { fake, delivery, metrics, cache_metrics, address, title }
}

impl Origin {
    pub(super) async fn usual() -> Self {
        origin(Duration::from_secs(8), 100).await
    }

    pub(super) fn segment(&self, number: SegmentNumber) -> String {
        format!("/t/{}/1/v0/{number}.m4s", self.title)
    }

    fn multivariant(&self) -> String {
        format!("/t/{}/main.m3u8", self.title)
    }

    pub(super) fn request(method: &str, target: &str, headers: &[(&'static str, &str)]) -> Request<Empty<Bytes>> {
        let mut request = Request::builder().method(method).uri(target).header("host", "origin").body(Empty::new()).expect("a request");
        for (name, value) in headers {
            request.headers_mut().append(HeaderName::from_static(name), value.parse().expect("a value"));
        }
        request
    }

    pub(super) async fn ask(&self, method: &str, path: &str, headers: &[(&'static str, &str)]) -> Answer {
        Self::ask_at(self.address, method, path, headers).await
    }

    pub(super) async fn ask_at(address: std::net::SocketAddr, method: &str, path: &str, headers: &[(&'static str, &str)]) -> Answer {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        tokio::spawn(connection);
        collect(sender.send_request(Self::request(method, path, headers)).await.expect("an answer")).await
    }

    async fn ask_h2(&self, method: &str, path: &str, headers: &[(&'static str, &str)]) -> Answer {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.expect("a handshake");
        tokio::spawn(connection);
        let mut request = Self::request(method, &format!("http://origin{path}"), headers);
        *request.version_mut() = Version::HTTP_2;
        collect(sender.send_request(request).await.expect("an answer")).await
    }
}

async fn collect(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    Answer { status: parts.status, headers: parts.headers, body: body.collect().await.expect("a body").to_bytes() }
}

#[tokio::test]
async fn a_segment_is_whole_and_described() {
    let origin = Origin::usual().await;
    let answer = origin.ask("GET", &origin.segment(SegmentNumber(0)), &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body, origin.fake.segment);
    let etag = format!("\"{}\"", &ContentHash::of(&origin.fake.segment).to_string()[..32]);
    for (name, expect) in [
        ("content-type", "video/mp4"),
        ("content-length", "100000"),
        ("etag", &etag),
        ("last-modified", DATE),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("accept-ranges", "bytes"),
        ("access-control-allow-origin", "*"),
    ] {
        assert_eq!(answer.field(name), Some(expect), "{name}");
    }
    assert!(answer.field("access-control-expose-headers").is_some_and(|exposed| exposed.contains("Content-Range")));
    assert!(answer.field("date").is_some());
    let audio = origin.ask("GET", &format!("/t/{}/1/a0/init.mp4?_HLS_x=1&CMCD=br%3D1", origin.title), &[]).await;
    assert_eq!((audio.field("content-type"), &*audio.body), (Some("audio/mp4"), b"ftypmoov".as_slice()));
}

#[tokio::test]
async fn head_equals_get_less_the_body() {
    let origin = Origin::usual().await;
    for path in [origin.segment(SegmentNumber(0)), origin.multivariant(), "/nothing".to_owned(), origin.segment(SegmentNumber(9))] {
        // The first one is a miss, and says so.
        origin.ask("GET", &path, &[]).await;
        let mut get = origin.ask("GET", &path, &[]).await;
        let mut head = origin.ask("HEAD", &path, &[]).await;
        let mut head_h2 = origin.ask_h2("HEAD", &path, &[]).await;
        for answer in [&mut get, &mut head, &mut head_h2] {
            answer.headers.remove("date");
            // Of a failure it tells the time that this one took.
            answer.headers.remove("server-timing");
        }
        assert_eq!(get.headers[CONTENT_LENGTH], get.body.len().to_string().as_str());
        for head in [head, head_h2] {
            assert_eq!((head.status, &head.headers), (get.status, &get.headers), "{path}");
            assert!(head.body.is_empty());
        }
    }
    // Ranges count for GET only.
    let head = origin.ask("HEAD", &origin.segment(SegmentNumber(0)), &[("range", "bytes=0-9")]).await;
    assert_eq!((head.status, head.field("content-length")), (StatusCode::OK, Some("100000")));
}

#[tokio::test]
async fn ranges() {
    let origin = Origin::usual().await;
    let path = origin.segment(SegmentNumber(0));
    for (range, first, last) in
        [("bytes=0-9", 0, 9), ("bytes=-1", 99_999, 99_999), ("bytes=99990-1000000", 99_990, 99_999), ("bytes=-200000", 0, 99_999)]
    {
        let answer = origin.ask("GET", &path, &[("range", range)]).await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(answer.body, origin.fake.segment[first..=last], "{range}");
        assert_eq!(answer.field("content-range"), Some(format!("bytes {first}-{last}/100000").as_str()));
        assert_eq!(answer.field("content-length"), Some((last - first + 1).to_string().as_str()));
        assert!(answer.field("etag").is_some() && answer.field("last-modified").is_some());
        assert_eq!(answer.field("cache-control"), Some("public, max-age=31536000, immutable"));
    }
    let beyond = origin.ask("GET", &path, &[("range", "bytes=100000-")]).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.field("content-range"), Some("bytes */100000"));
    assert_eq!(beyond.field("cache-control"), Some("public, max-age=2"));
    assert_eq!(origin.fake.read.load(Ordering::SeqCst), 1, "the rest came out of memory");
    assert_eq!(origin.metrics.requests(Class::Segment, Outcome::Part), 4);
}

#[tokio::test]
async fn conditions() {
    let origin = Origin::usual().await;
    for path in [origin.segment(SegmentNumber(0)), origin.multivariant()] {
        let whole = origin.ask("GET", &path, &[]).await;
        let etag = whole.headers[ETAG].to_str().expect("text").to_owned();
        let fresh = origin.ask("GET", &path, &[("if-none-match", &etag), ("range", "bytes=0-9")]).await;
        assert_eq!((fresh.status, fresh.body.len()), (StatusCode::NOT_MODIFIED, 0));
        for name in ["etag", "cache-control", "access-control-allow-origin"] {
            assert_eq!(fresh.field(name), whole.field(name), "{name}");
        }
        assert!(fresh.field("content-length").is_none() && fresh.field("content-type").is_none());
        let failed = origin.ask("GET", &path, &[("if-match", "\"other\"")]).await;
        assert_eq!((failed.status, failed.body.len()), (StatusCode::PRECONDITION_FAILED, 0));
        let part = origin.ask("GET", &path, &[("if-range", &etag), ("range", "bytes=0-1")]).await;
        assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
        let whole = origin.ask("GET", &path, &[("if-range", "\"other\""), ("range", "bytes=0-1")]).await;
        assert_eq!(whole.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn text_is_coded_and_immutable() {
    let origin = Origin::usual().await;
    let path = format!("/t/{}/3/s0/1.vtt", origin.title);
    let plain = origin.ask("GET", &path, &[]).await;
    assert_eq!((plain.status, plain.field("content-type")), (StatusCode::OK, Some("text/vtt")));
    assert_eq!(plain.field("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!((plain.field("vary"), plain.field("content-encoding")), (Some("Accept-Encoding"), None));
    let coded = origin.ask("GET", &path, &[("accept-encoding", "gzip")]).await;
    assert_eq!((coded.field("content-encoding"), coded.field("vary")), (Some("gzip"), Some("Accept-Encoding")));
    assert!(coded.body.len() < plain.body.len() && coded.field("etag") != plain.field("etag"));
    assert_eq!(origin.ask("GET", &format!("/t/{}/3/s1/1.vtt", origin.title), &[]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(origin.fake.asked.load(Ordering::SeqCst), 0, "no ledger is asked for text");
}

#[tokio::test]
async fn methods() {
    let origin = Origin::usual().await;
    for path in [origin.multivariant(), "/nothing".to_owned()] {
        let preflight =
            origin.ask("OPTIONS", &path, &[("origin", "https://player.example"), ("access-control-request-method", "GET")]).await;
        assert_eq!((preflight.status, preflight.body.len()), (StatusCode::NO_CONTENT, 0));
        assert_eq!(preflight.field("allow"), Some("GET, HEAD, OPTIONS"));
        assert_eq!(preflight.field("access-control-allow-origin"), Some("*"));
        assert_eq!(preflight.field("access-control-max-age"), Some("86400"));
        assert!(preflight.field("access-control-allow-headers").is_some_and(|fields| fields.contains("Range")));
        let post = origin.ask("POST", &path, &[]).await;
        assert_eq!((post.status, post.field("allow")), (StatusCode::METHOD_NOT_ALLOWED, Some("GET, HEAD, OPTIONS")));
        assert_eq!(origin.ask("BREW", &path, &[]).await.status, StatusCode::NOT_IMPLEMENTED);
    }
}

#[tokio::test]
async fn what_is_not_there() {
    let origin = Origin::usual().await;
    let stranger = TitleId::new(1, 1);
    for (path, status, cache_control) in [
        ("/".to_owned(), 404, "public, max-age=2"),
        (format!("/t/{stranger}/main.m3u8"), 404, "public, max-age=2"),
        (format!("/t/{stranger}/1/v0/0.m4s"), 404, "public, max-age=2"),
        (format!("/t/{}/%6dain.m3u8", origin.title), 404, "public, max-age=2"),
        (format!("/t/{}/1/v1/index.m3u8", origin.title), 404, "public, max-age=2"),
        (origin.segment(SegmentNumber(9)), 404, "public, max-age=2"),
        (format!("/t/{}/2/v0/index.m3u8", origin.title), 410, "public, max-age=30"),
        (origin.segment(LOST), 503, "no-store"),
    ] {
        let answer = origin.ask("GET", &path, &[("range", "bytes=0-1")]).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.field("cache-control"), Some(cache_control), "{path}");
        assert_eq!(answer.field("access-control-allow-origin"), Some("*"), "{path}");
        assert_eq!(answer.field("retry-after").is_some(), status == 503, "{path}");
    }
    // Strangers' titles were refused without a question to anything but memory.
    assert_eq!(origin.fake.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_segment_is_waited_for_and_then_kept() {
    let origin = Origin::usual().await;
    let path = origin.segment(LATE);
    let fake = Arc::clone(&origin.fake);
    let make = async {
        while fake.asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        fake.made.send_replace(true);
    };
    let (first, second, ()) = tokio::join!(origin.ask("GET", &path, &[]), origin.ask("GET", &path, &[]), make);
    assert_eq!((first.status, second.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(origin.ask("GET", &path, &[]).await.body, origin.fake.segment);
    assert_eq!(origin.fake.read.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_wait_ends_with_503() {
    let origin = origin(Duration::from_millis(50), 100).await;
    let answer = origin.ask("GET", &origin.segment(LATE), &[]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((answer.field("retry-after"), answer.field("cache-control")), (Some("3"), Some("no-store")));
    assert_eq!(origin.metrics.requests(Class::Segment, Outcome::NotYet), 1);
    // It is not kept: made, it is there.
    origin.fake.made.send_replace(true);
    assert_eq!(origin.ask("GET", &origin.segment(LATE), &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn waiters_are_bounded_and_hits_do_not_count() {
    let origin = origin(Duration::from_secs(60), 1).await;
    assert_eq!(origin.ask("GET", &origin.segment(SegmentNumber(0)), &[]).await.status, StatusCode::OK);
    let (late, fake) = (origin.segment(LATE), Arc::clone(&origin.fake));
    let rest = async {
        while fake.asked.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        let busy = origin.ask("GET", &origin.segment(SegmentNumber(1)), &[]).await;
        assert_eq!((busy.status, busy.field("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
        assert_eq!(origin.metrics.requests(Class::Segment, Outcome::Busy), 1);
        assert_eq!(origin.ask("GET", &origin.segment(SegmentNumber(0)), &[]).await.status, StatusCode::OK);
        fake.made.send_replace(true);
    };
    let (waited, ()) = tokio::join!(origin.ask("GET", &late, &[]), rest);
    assert_eq!(waited.status, StatusCode::OK);
}

#[tokio::test]
async fn stills_and_i_frames_are_immutable_and_of_their_types() {
    let origin = Origin::usual().await;
    for (file, content_type, varies) in [
        ("poster.jpg", "image/jpeg", false),
        ("sprite-0.jpg", "image/jpeg", false),
        ("storyboard.vtt", "text/vtt", true),
        ("v0/iframes.m3u8", "application/vnd.apple.mpegurl", true),
    ] {
        let answer = origin.ask("GET", &format!("/t/{}/1/{file}", origin.title), &[("accept-encoding", "gzip")]).await;
        assert_eq!((answer.status, answer.field("content-type")), (StatusCode::OK, Some(content_type)), "{file}");
        assert_eq!(answer.field("cache-control"), Some("public, max-age=31536000, immutable"), "{file}");
        assert_eq!(answer.field("vary").is_some(), varies, "{file}");
    }
    for file in ["sprite-1.jpg", "v1/iframes.m3u8"] {
        let answer = origin.ask("GET", &format!("/t/{}/1/{file}", origin.title), &[]).await;
        let found = (answer.status, answer.field("cache-control"));
        assert_eq!(found, (StatusCode::NOT_FOUND, Some("public, max-age=2")), "not made yet, and soon asked for again: {file}");
    }
}

#[tokio::test]
async fn a_changed_title_is_seen_at_once() {
    let origin = Origin::usual().await;
    let path = origin.multivariant();
    let before = origin.ask("GET", &path, &[]).await;
    assert_eq!(before.field("cache-control"), Some("public, max-age=5, stale-while-revalidate=10, stale-if-error=86400"));
    assert_eq!(before.field("content-type"), Some("application/vnd.apple.mpegurl"));
    *origin.fake.multivariant.lock().expect("no panic") = "#EXTM3U\nsecond\n";
    assert_eq!(origin.ask("GET", &path, &[]).await.body, before.body);
    origin.delivery.invalidate(origin.title);
    let after = origin.ask("GET", &path, &[("if-none-match", before.field("etag").expect("a tag"))]).await;
    assert_eq!((after.status, &*after.body), (StatusCode::OK, b"#EXTM3U\nsecond\n".as_slice()));
    // The date of what may change within its second is no strong validator.
    let part = origin.ask("GET", &path, &[("if-range", DATE), ("range", "bytes=0-1")]).await;
    assert_eq!(part.status, StatusCode::OK);

    assert_eq!(origin.ask("GET", &origin.segment(SegmentNumber(0)), &[]).await.status, StatusCode::OK);
    origin.fake.titles.lock().expect("no panic").clear();
    origin.delivery.forget(origin.title);
    for path in [path, origin.segment(SegmentNumber(0))] {
        assert_eq!(origin.ask("GET", &path, &[]).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_joins_a_wait_late_has_its_own_time() {
    let origin = Origin::usual().await;
    let ask = || {
        let (delivery, path) = (origin.delivery.clone(), origin.segment(LATE));
        tokio::spawn(async move { delivery.answer(&Method::GET, &path, &HeaderMap::new()).await.status() })
    };
    let first = ask();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let second = ask();
    assert_eq!(first.await.expect("no panic"), StatusCode::SERVICE_UNAVAILABLE);
    tokio::time::sleep(Duration::from_secs(2)).await;
    origin.fake.made.send_replace(true);
    assert_eq!(second.await.expect("no panic"), StatusCode::OK);
    assert_eq!(origin.fake.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_library_that_never_answers_does_not_hold_a_request() {
    let origin = Origin::usual().await;
    let began = Instant::now();
    let path = format!("/t/{}/7/v0/init.mp4", origin.title);
    let answer = origin.delivery.answer(&Method::GET, &path, &HeaderMap::new()).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(began.elapsed() <= Duration::from_secs(20));
}
