//! Several ranges at once, read back as a client reads them.

use super::*;

/// First and last position, type, and bytes of each part of an answer.
fn parts(answer: &Answer) -> Vec<(usize, usize, String, Vec<u8>)> {
    let boundary = answer.field("content-type").and_then(|text| text.strip_prefix("multipart/byteranges; boundary=")).expect("a boundary");
    let delimiter = format!("--{boundary}");
    let mut rest = answer.body.strip_prefix(delimiter.as_bytes()).expect("a delimiter");
    let mut found = Vec::new();
    while rest != b"--\r\n" {
        rest = rest.strip_prefix(b"\r\n").expect("a line ends");
        let end = rest.windows(4).position(|window| window == b"\r\n\r\n").expect("a head ends");
        let head = std::str::from_utf8(&rest[..end]).expect("text");
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).expect("a field").to_owned();
        let (range, length) =
            field("Content-Range: bytes ").split_once('/').map(|(range, length)| (range.to_owned(), length.to_owned())).expect("a range");
        let (first, last) = range.split_once('-').expect("two positions");
        let (first, last): (usize, usize) = (first.parse().expect("a position"), last.parse().expect("a position"));
        assert_eq!(length, "100000");
        let (bytes, more) = rest[end + 4..].split_at(last - first + 1);
        found.push((first, last, field("Content-Type: "), bytes.to_vec()));
        rest = more.strip_prefix(format!("\r\n{delimiter}").as_bytes()).expect("a delimiter right after the bytes");
    }
    found
}

#[tokio::test]
async fn several_ranges() {
    let origin = Origin::usual().await;
    let path = origin.segment(SegmentNumber(0));
    let whole = origin.ask("GET", &path, &[]).await;
    for (range, expect) in [
        ("bytes=0-9,20-29", &[(0, 9), (20, 29)][..]),
        ("bytes=500-509, 0-0,-1", &[(500, 509), (0, 0), (99_999, 99_999)]),
        ("bytes=0-9,20-29,100000-", &[(0, 9), (20, 29)]),
        ("bytes=0-9,10-19,50-59,40-51", &[(0, 19), (40, 59)]),
    ] {
        for answer in [origin.ask("GET", &path, &[("range", range)]).await, origin.ask_h2("GET", &path, &[("range", range)]).await] {
            assert_eq!((answer.status, answer.field("content-range")), (StatusCode::PARTIAL_CONTENT, None), "{range}");
            assert_eq!(answer.field("content-length"), Some(answer.body.len().to_string().as_str()));
            for name in ["etag", "last-modified", "cache-control", "accept-ranges", "access-control-allow-origin"] {
                assert_eq!(answer.field(name), whole.field(name), "{name}");
            }
            let found = parts(&answer);
            assert_eq!(found.iter().map(|part| (part.0, part.1)).collect::<Vec<_>>(), expect, "{range}");
            for (first, last, content_type, bytes) in found {
                assert_eq!((content_type.as_str(), &bytes[..]), ("video/mp4", &whole.body[first..=last]));
            }
        }
    }
    assert_eq!(origin.metrics.requests(Class::Segment, Outcome::Part), 8);
    // One that is left is no multipart.
    let one = origin.ask("GET", &path, &[("range", "bytes=0-9,5-19,100000-")]).await;
    assert_eq!((one.field("content-range"), one.field("content-type")), (Some("bytes 0-19/100000"), Some("video/mp4")));
}

#[tokio::test]
async fn too_much_is_asked_for() {
    let origin = Origin::usual().await;
    let path = origin.segment(SegmentNumber(0));
    let many = |count: usize| format!("bytes={}", (0..count).map(|index| format!("{0}-{0}", index * 3)).collect::<Vec<_>>().join(","));
    assert_eq!(parts(&origin.ask("GET", &path, &[("range", &many(16))]).await).len(), 16);
    for range in [
        many(17),
        many(5000),
        "bytes=0-,0-".to_owned(),
        format!("bytes=0-,{}", vec!["5-99999"; 1000].join(",")),
        "bytes=0-9,abc".to_owned(),
    ] {
        let answer = origin.ask("GET", &path, &[("range", &range)]).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 100_000), "{}", &range[..20.min(range.len())]);
    }
    let same = origin.ask("GET", &path, &[("range", &format!("bytes={}", vec!["7-7"; 1300].join(",")))]).await;
    assert_eq!((same.status, same.field("content-range")), (StatusCode::PARTIAL_CONTENT, Some("bytes 7-7/100000")));
    let none = origin.ask("GET", &path, &[("range", "bytes=100000-,200000-")]).await;
    assert_eq!((none.status, none.field("content-range")), (StatusCode::RANGE_NOT_SATISFIABLE, Some("bytes */100000")));
    assert_eq!(none.field("cache-control"), Some("public, max-age=2"));
}
