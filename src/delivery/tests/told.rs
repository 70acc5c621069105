//! What answers tell besides the body: how they came about, who may keep them and read them; and what changes none of it.

use super::*;

/// `Cache-Status`, and `Server-Timing` without its time.
fn told(answer: &Answer) -> (&str, &str) {
    let timing = answer.field("server-timing").unwrap_or_default();
    (answer.field("cache-status").unwrap_or_default(), timing.split(";dur=").next().unwrap_or_default())
}

#[tokio::test]
async fn how_an_answer_came_about() {
    let origin = origin(Duration::from_secs(1), 100).await;
    for (path, ttl) in [(origin.segment(SegmentNumber(0)), "ttl=31536000"), (origin.multivariant(), "ttl=5")] {
        let miss = origin.ask("GET", &path, &[]).await;
        assert_eq!(told(&miss), (format!("headwater; fwd=miss; stored; {ttl}").as_str(), "cache;desc=miss"));
        assert!(miss.field("server-timing").is_some_and(|timing| timing.contains(";dur=")));
        let hit = format!("headwater; hit; {ttl}");
        let etag = miss.field("etag").expect("a tag").to_owned();
        for headers in
            [&[][..], &[("range", "bytes=0-3")], &[("range", "bytes=0-0,3-3")], &[("if-none-match", &etag)], &[("if-match", "\"x\"")]]
        {
            let answer = origin.ask("GET", &path, headers).await;
            assert_eq!(told(&answer), (hit.as_str(), "cache;desc=hit"), "{headers:?}");
            assert_eq!(answer.field("server-timing"), Some("cache;desc=hit"));
        }
    }
    let beyond = origin.ask("GET", &origin.segment(SegmentNumber(0)), &[("range", "bytes=100000-")]).await;
    assert_eq!(told(&beyond), ("headwater; hit; detail=unsatisfiable", "cache;desc=hit"));
    let late = origin.ask("GET", &origin.segment(LATE), &[]).await;
    assert_eq!(told(&late), ("headwater; fwd=miss; detail=not-yet", "cache;desc=miss"));
    let unknown = origin.ask("GET", &origin.segment(SegmentNumber(9)), &[]).await;
    assert_eq!(told(&unknown), ("headwater; fwd=miss; detail=not-found", "cache;desc=miss"));
    // Nobody asked the cache.
    for (method, path) in [("GET", "/nothing".to_owned()), ("POST", origin.multivariant()), ("OPTIONS", origin.multivariant())] {
        assert_eq!(told(&origin.ask(method, &path, &[]).await), ("", ""), "{method}");
    }
}

#[tokio::test]
async fn whoever_joined_a_fill_is_told_so() {
    let origin = Origin::usual().await;
    let path = origin.segment(LATE);
    let fake = Arc::clone(&origin.fake);
    let first = origin.ask("GET", &path, &[]);
    let second = async {
        while fake.asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        origin.ask("GET", &path, &[("range", "bytes=0-0")]).await
    };
    let make = async {
        while origin.cache_metrics.collapsed.get() == 0 {
            tokio::task::yield_now().await;
        }
        fake.made.send_replace(true);
    };
    let (first, second, ()) = tokio::join!(first, second, make);
    assert_eq!(told(&first), ("headwater; fwd=miss; stored; ttl=31536000", "cache;desc=miss"));
    assert_eq!(told(&second), ("headwater; fwd=miss; stored; collapsed; ttl=31536000", "cache;desc=collapsed"));
    assert_eq!((second.status, second.field("content-range")), (StatusCode::PARTIAL_CONTENT, Some("bytes 0-0/100000")));
}

#[tokio::test]
async fn caches_of_cdns_are_told_apart_where_that_is_configured() {
    let usual = Origin::usual().await;
    for path in [usual.segment(SegmentNumber(0)), usual.multivariant()] {
        let answer = usual.ask("GET", &path, &[]).await;
        assert_eq!((answer.field("cdn-cache-control"), answer.field("alt-svc")), (None, None));
    }
    let origin = configured(Config {
        segment_wait: Duration::from_secs(8),
        waiters_max: 100,
        generation_grace: Duration::from_secs(60),
        surrogate_keys: SurrogateKeys::Off,
        multivariant_max_age: Duration::from_secs(5),
        cdn_multivariant_max_age: Some(Duration::from_secs(3600)),
        cdn_immutable_max_age: Some(Duration::from_secs(86_400)),
        alt_svc: Some(HeaderValue::from_static("h3=\":443\"; ma=86400")),
    })
    .await;
    for (path, own, cdn) in [
        (origin.segment(SegmentNumber(0)), "public, max-age=31536000, immutable", "max-age=86400"),
        (
            origin.multivariant(),
            "public, max-age=5, stale-while-revalidate=10, stale-if-error=86400",
            "max-age=3600, stale-while-revalidate=7200, stale-if-error=86400",
        ),
    ] {
        let whole = origin.ask("GET", &path, &[]).await;
        let etag = whole.field("etag").expect("a tag").to_owned();
        let fresh = origin.ask("GET", &path, &[("if-none-match", &etag)]).await;
        let part = origin.ask("GET", &path, &[("range", "bytes=0-0")]).await;
        for answer in [whole, fresh, part] {
            assert_eq!((answer.field("cache-control"), answer.field("cdn-cache-control")), (Some(own), Some(cdn)));
            assert_eq!(answer.field("alt-svc"), Some("h3=\":443\"; ma=86400"));
        }
    }
    // A failure is kept by nobody for longer than by others.
    let nothing = origin.ask("GET", "/nothing", &[]).await;
    assert_eq!((nothing.field("cdn-cache-control"), nothing.field("alt-svc")), (None, Some("h3=\":443\"; ma=86400")));
}

#[tokio::test]
async fn every_answer_may_be_read_from_any_page() {
    let origin = origin(Duration::from_millis(10), 100).await;
    let segment = origin.segment(SegmentNumber(0));
    let text = format!("/t/{}/1/s0/1.vtt", origin.title);
    let etag = origin.ask("GET", &segment, &[]).await.field("etag").expect("a tag").to_owned();
    let mut seen = Vec::new();
    for (method, path, headers) in [
        ("GET", segment.as_str(), &[][..]),
        ("OPTIONS", &segment, &[("access-control-request-method", "GET"), ("access-control-request-headers", "range,cmcd-session")]),
        ("GET", &segment, &[("range", "bytes=0-9")]),
        ("GET", &segment, &[("if-none-match", &etag)]),
        ("GET", "/nothing", &[]),
        ("POST", &segment, &[]),
        ("GET", &text, &[("accept-encoding", "identity;q=0")]),
        ("GET", &format!("/t/{}/2/v0/index.m3u8", origin.title), &[]),
        ("GET", &segment, &[("if-match", "\"x\"")]),
        ("GET", &segment, &[("range", "bytes=100000-")]),
        ("BREW", &segment, &[]),
        ("GET", &origin.segment(LATE), &[]),
    ] {
        let answer = origin.ask(method, path, &[headers, &[("origin", "https://player.example")]].concat()).await;
        for (name, expect) in [
            ("access-control-allow-origin", "*"),
            ("timing-allow-origin", "*"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("access-control-expose-headers", "ETag, Content-Range, Content-Length, Date, Age, Cache-Status, Server-Timing, Repr-Digest"),
        ] {
            assert_eq!(answer.field(name), Some(expect), "{name} of {method} {path} {headers:?}");
        }
        assert!(answer.field("date").is_some());
        seen.push(answer.status.as_u16());
    }
    assert_eq!(seen, [200, 204, 206, 304, 404, 405, 406, 410, 412, 416, 501, 503]);
}

#[tokio::test]
async fn queries_change_nothing() {
    let origin = Origin::usual().await;
    for path in [origin.segment(SegmentNumber(0)), origin.multivariant()] {
        origin.ask("GET", &path, &[]).await;
        let (asked, read) = (origin.fake.asked.load(Ordering::SeqCst), origin.fake.read.load(Ordering::SeqCst));
        let mut plain = origin.ask("GET", &path, &[]).await;
        plain.headers.remove("date");
        for query in ["?", "?CMCD=br%3D3200%2Csid%3D%22a%22", "?_HLS_skip=YES", "?token=%00%2f..%2f&&=;#", "?a?b=../../etc/passwd"] {
            let mut answer = origin.ask("GET", &format!("{path}{query}"), &[]).await;
            answer.headers.remove("date");
            assert_eq!((answer.status, &answer.headers, &answer.body), (plain.status, &plain.headers, &plain.body), "{query}");
        }
        assert_eq!((origin.fake.asked.load(Ordering::SeqCst), origin.fake.read.load(Ordering::SeqCst)), (asked, read));
    }
    assert_eq!(origin.ask("GET", "/nothing?/t/", &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn validators_are_the_same_on_every_node_and_after_every_restart() {
    let (one, other) = (Origin::usual().await, Origin::usual().await);
    for file in ["main.m3u8", "1/v0/0.m4s", "1/v0/index.m3u8", "1/v0/iframes.m3u8", "1/v0/init.mp4", "1/s0/1.vtt", "1/poster.jpg"] {
        for accept in ["identity", "br", "zstd", "gzip"] {
            let path = format!("/t/{}/{file}", one.title);
            let accept = [("accept-encoding", accept)];
            let (first, second) = tokio::join!(one.ask("GET", &path, &accept), other.ask("GET", &path, &accept));
            for name in ["etag", "last-modified", "content-length"] {
                assert_eq!(first.field(name), second.field(name), "{name} of {file}");
            }
            assert_eq!((first.field("last-modified"), first.status), (Some(DATE), StatusCode::OK), "{file}");
        }
    }
}
