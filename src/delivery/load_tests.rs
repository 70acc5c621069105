//! Delivery under load: large segments, slow clients, herds, floods, and readers in a row.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::ETAG;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use tokio::task::JoinSet;

use super::tests::{LARGE, LATE, Origin as TestOrigin, ROW, origin};
use super::{Class, Origin, Outcome};
use crate::title::SegmentNumber;

#[tokio::test]
async fn a_large_segment_is_streamed_and_not_kept() {
    let origin = TestOrigin::usual().await;
    let (path, length) = (origin.segment(LARGE), origin.fake.large.len() as u64);
    let read = || origin.fake.part_bytes.load(Ordering::SeqCst);
    let head = origin.ask("HEAD", &path, &[]).await;
    assert_eq!((head.status, head.field("content-length"), read()), (StatusCode::OK, Some("6000000"), 0));
    let whole = origin.ask("GET", &path, &[]).await;
    assert!(whole.status == StatusCode::OK && whole.body == origin.fake.large);
    let described = |headers: &HeaderMap| {
        let mut headers = headers.clone();
        for name in ["date", "server-timing"] {
            headers.remove(name);
        }
        headers
    };
    assert_eq!(described(&whole.headers), described(&head.headers));
    assert_eq!(whole.field("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(read(), length);
    assert!(origin.ask("GET", &path, &[]).await.body == origin.fake.large);
    assert_eq!((read(), origin.metrics.origin_bytes(Origin::Stream)), (2 * length, 2 * length), "it is not kept");
    assert_eq!(origin.fake.read.load(Ordering::SeqCst), 0);
    assert_eq!(origin.fake.asked.load(Ordering::SeqCst), 1, "but what the ledger says of it is");

    for (range, first, last) in [("bytes=1000000-1000099", 1_000_000, 1_000_099), ("bytes=-10", 5_999_990, 5_999_999), ("bytes=0-0", 0, 0)]
    {
        let before = read();
        let part = origin.ask("GET", &path, &[("range", range)]).await;
        assert_eq!((part.status, &*part.body), (StatusCode::PARTIAL_CONTENT, &origin.fake.large[first..=last]), "{range}");
        assert_eq!(part.field("content-range"), Some(format!("bytes {first}-{last}/{length}").as_str()));
        assert_eq!(part.field("content-length"), Some((last - first + 1).to_string().as_str()));
        assert_eq!(read() - before, (last - first + 1) as u64, "no other bytes are read: {range}");
    }
    let (etag, before) = (whole.headers[ETAG].to_str().expect("text"), read());
    for (fields, status) in [
        ([("if-none-match", etag), ("range", "bytes=0-9")], StatusCode::NOT_MODIFIED),
        ([("if-match", "\"other\""), ("range", "bytes=0-9")], StatusCode::PRECONDITION_FAILED),
        ([("if-match", etag), ("range", "bytes=6000000-")], StatusCode::RANGE_NOT_SATISFIABLE),
    ] {
        assert_eq!(origin.ask("GET", &path, &fields).await.status, status);
    }
    assert_eq!(read(), before);
}

#[tokio::test]
async fn a_slow_client_of_a_stream_holds_two_pieces() {
    let origin = TestOrigin::usual().await;
    let read = || origin.fake.part_bytes.load(Ordering::SeqCst);
    let answer = origin.delivery.answer(&Method::GET, &origin.segment(LARGE), &HeaderMap::new()).await;
    let mut body = answer.into_body();
    assert_eq!(read(), 0, "nothing is read before it is asked for");
    let mut held: Vec<Bytes> = Vec::new();
    for _ in 0..2 {
        held.push(body.frame().await.expect("a frame").expect("a piece").into_data().expect("data"));
    }
    let taken = held.iter().map(|piece| piece.len() as u64).sum::<u64>();
    assert!(body.frame().now_or_never().is_none(), "it waits for the client");
    assert_eq!((read(), origin.cache_metrics.piece_bytes.get() as u64), (taken, taken));
    held.remove(0);
    let third = body.frame().await.expect("a frame").expect("a piece").into_data().expect("data");
    let offset = taken as usize;
    assert_eq!(third, origin.fake.large.slice(offset..offset + third.len()));
    drop((body, held, third));
    assert_eq!(origin.cache_metrics.piece_bytes.get(), 0);
}

#[tokio::test]
async fn streams_are_bounded_in_number_and_each_has_room() {
    let origin = TestOrigin::usual().await;
    let path = origin.segment(LARGE);
    let ask = async || origin.delivery.answer(&Method::GET, &path, &HeaderMap::new()).await;
    // Half of a sixteenth of 64 MiB, for two pieces of 32 KiB each.
    let mut streams = Vec::new();
    let mut pieces = Vec::new();
    for _ in 0..32 {
        let mut body = ask().await.into_body();
        // The first ones take large pieces while there is plenty; nobody is left without.
        pieces.push(body.frame().await.expect("a frame").expect("a piece").into_data().expect("data"));
        streams.push(body);
    }
    assert!(origin.cache_metrics.piece_bytes.get() <= 4 << 20);
    let busy = ask().await;
    assert_eq!((busy.status(), busy.headers().get("retry-after").is_some()), (StatusCode::SERVICE_UNAVAILABLE, true));
    assert_eq!(origin.metrics.requests(Class::Segment, Outcome::Busy), 1);
    drop((streams.pop(), pieces));
    assert_eq!(ask().await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_of_one_segment_are_one_read_and_the_first_may_leave() {
    let origin = origin(Duration::from_secs(60), 2000).await;
    let path = origin.segment(LATE);
    let first = tokio::spawn({
        let (address, path) = (origin.address, path.clone());
        async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: origin\r\n\r\n").as_bytes()).await.expect("sent");
            stream.read_u8().await
        }
    });
    while origin.fake.asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let mut clients = JoinSet::new();
    for _ in 0..1000 {
        let (address, path) = (origin.address, path.clone());
        clients.spawn(async move { TestOrigin::ask_at(address, "GET", &path, &[]).await });
    }
    while origin.cache_metrics.collapsed.get() < 1000 {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert!(first.await.expect_err("aborted").is_cancelled());
    origin.fake.made.send_replace(true);
    while let Some(answer) = clients.join_next().await {
        let answer = answer.expect("no panic");
        assert!(answer.status == StatusCode::OK && answer.body == origin.fake.segment);
    }
    assert_eq!((origin.fake.asked.load(Ordering::SeqCst), origin.fake.read.load(Ordering::SeqCst)), (1, 1));
    assert_eq!((origin.cache_metrics.misses.get(), origin.cache_metrics.collapsed.get(), origin.cache_metrics.fills.get()), (1, 1000, 1));
}

#[tokio::test]
async fn what_is_not_there_is_asked_for_once() {
    let origin = TestOrigin::usual().await;
    for (path, status) in
        [(origin.segment(SegmentNumber(9)), StatusCode::NOT_FOUND), (origin.segment(super::tests::LOST), StatusCode::SERVICE_UNAVAILABLE)]
    {
        let before = origin.fake.asked.load(Ordering::SeqCst);
        for _ in 0..100 {
            assert_eq!(origin.ask("GET", &path, &[]).await.status, status);
        }
        assert_eq!(origin.fake.asked.load(Ordering::SeqCst) - before, 1, "{path}");
    }
    assert_eq!(origin.fake.read.load(Ordering::SeqCst), 1, "a failed read is not tried again at once");
    // Until the title changes.
    origin.delivery.invalidate(origin.title);
    origin.ask("GET", &origin.segment(SegmentNumber(9)), &[]).await;
    assert_eq!(origin.fake.asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_reader_in_a_row_finds_the_next_segment_in_memory() {
    let origin = TestOrigin::usual().await;
    let ask = async |number| {
        let answer = origin.ask("GET", &origin.segment(SegmentNumber(number)), &[]).await;
        assert!(answer.body == origin.fake.segment);
    };
    ask(ROW.start).await;
    ask(ROW.start + 5).await;
    assert_eq!(origin.fake.looked_ahead.load(Ordering::SeqCst), 0, "nobody reads in a row yet");
    ask(ROW.start + 1).await;
    for step in 2..5 {
        while origin.cache_metrics.ahead.get() < u64::from(step) - 1 {
            tokio::task::yield_now().await;
        }
        ask(ROW.start + step).await;
    }
    assert_eq!((origin.cache_metrics.ahead.get(), origin.cache_metrics.ahead_used.get()), (3, 3), "the one after these is there already");
    assert_eq!(origin.fake.asked.load(Ordering::SeqCst), 3, "only what nobody read ahead is fetched");
    assert_eq!(origin.fake.read.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn nothing_is_made_for_reading_ahead() {
    let origin = TestOrigin::usual().await;
    for number in [ROW.end - 2, ROW.end - 1] {
        assert_eq!(origin.ask("GET", &origin.segment(SegmentNumber(number)), &[]).await.status, StatusCode::OK);
    }
    while origin.fake.looked_ahead.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(origin.fake.asked.load(Ordering::SeqCst), 2, "the next one is not made, and was not demanded");
    // That it is not there for now is no answer to whoever asks for it.
    let status = origin.ask("GET", &origin.segment(SegmentNumber(ROW.end)), &[]).await.status;
    assert_eq!((status, origin.fake.asked.load(Ordering::SeqCst)), (StatusCode::NOT_FOUND, 3));
    assert_eq!((origin.cache_metrics.ahead.get(), origin.fake.read.load(Ordering::SeqCst)), (0, 2));
}

/// As many as wait, so much is left, and for whom.
#[tokio::test]
async fn overload_takes_the_cheapest_loss_first() {
    let origin = origin(Duration::from_secs(60), 8).await;
    let title = origin.title;
    let poster = format!("/t/{title}/1/poster.jpg");
    let onward = [0, 20, 40].map(|further| origin.segment(SegmentNumber(ROW.start + further)));
    let start = ["main.m3u8", "1/v0/index.m3u8", "1/v0/init.mp4"].map(|file| format!("/t/{title}/{file}"));
    let mut waiting = JoinSet::new();
    for ((waiters, expect), (onward, start)) in [
        (4, [Some(Outcome::Shed), None, None]),
        (7, [Some(Outcome::Shed), Some(Outcome::Shed), None]),
        (8, [Some(Outcome::Shed), Some(Outcome::Shed), Some(Outcome::Busy)]),
    ]
    .into_iter()
    .zip(onward.iter().zip(&start))
    {
        while waiting.len() < waiters {
            let (address, path) = (origin.address, origin.segment(LATE));
            waiting.spawn(async move { TestOrigin::ask_at(address, "GET", &path, &[]).await.status });
        }
        while origin.fake.asked.load(Ordering::SeqCst) == 0 || origin.cache_metrics.collapsed.get() < waiters as u64 - 1 {
            tokio::task::yield_now().await;
        }
        for (path, expect) in [&poster, onward, start].into_iter().zip(expect) {
            let refused = |outcome| Class::ALL.into_iter().map(|class| origin.metrics.requests(class, outcome)).sum::<u64>();
            let before = [Outcome::Shed, Outcome::Busy].map(refused);
            let answer = origin.ask("GET", path, &[]).await;
            let seen = [Outcome::Shed, Outcome::Busy].map(refused);
            match expect {
                None => assert_eq!((answer.status, seen), (StatusCode::OK, before), "{waiters} {path}"),
                Some(outcome) => {
                    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{waiters} {path}");
                    assert_eq!(answer.field("cache-control"), Some("no-store"));
                    let after_s: u64 = answer.field("retry-after").and_then(|after| after.parse().ok()).expect("seconds");
                    assert!((1..=11).contains(&after_s), "{after_s}");
                    let index = usize::from(outcome == Outcome::Busy);
                    assert_eq!(seen[index], before[index] + 1, "{waiters} {path}");
                }
            }
        }
    }
    origin.fake.made.send_replace(true);
    while let Some(status) = waiting.join_next().await {
        assert_eq!(status.expect("no panic"), StatusCode::OK);
    }
}
