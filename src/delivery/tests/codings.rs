//! Texts in every coding, over HTTP/1.1 and HTTP/2: each a representation of its own.

use std::io::Read;

use super::*;

const CODINGS: [&str; 3] = ["br", "zstd", "gzip"];

fn decoded(coding: &str, coded: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    match coding {
        "br" => brotli::BrotliDecompress(&mut &coded[..], &mut text).expect("brotli"),
        "zstd" => text = zstd::stream::decode_all(coded).expect("zstd"),
        "gzip" => drop(flate2::read::GzDecoder::new(coded).read_to_end(&mut text).expect("gzip")),
        other => panic!("{other}"),
    }
    text
}

impl Origin {
    fn texts(&self) -> [String; 3] {
        ["v0/iframes.m3u8", "storyboard.vtt", "s0/1.vtt"].map(|file| format!("/t/{}/1/{file}", self.title))
    }

    /// Asks over both protocols; but for the date they answer the same.
    async fn ask_both(&self, method: &str, path: &str, headers: &[(&'static str, &str)]) -> Answer {
        let (mut h1, mut h2) = (self.ask(method, path, headers).await, self.ask_h2(method, path, headers).await);
        h1.headers.remove("date");
        h2.headers.remove("date");
        // Where there is no length in the answer, hyper writes one for HTTP/1.1 alone.
        if h1.status == StatusCode::PRECONDITION_FAILED {
            h1.headers.remove(CONTENT_LENGTH);
        }
        assert_eq!((h1.status, &h1.headers, &h1.body), (h2.status, &h2.headers, &h2.body), "{method} {path} {headers:?}");
        h1
    }
}

#[tokio::test]
async fn each_coding_is_a_representation_of_its_own() {
    let origin = Origin::usual().await;
    for path in origin.texts() {
        origin.ask("GET", &path, &[]).await;
        let plain = origin.ask_both("GET", &path, &[]).await;
        assert_eq!((plain.field("content-encoding"), plain.field("vary")), (None, Some("Accept-Encoding")));
        let mut tags = vec![plain.field("etag").expect("a tag").to_owned()];
        for coding in CODINGS {
            let accept = ("accept-encoding", coding);
            let coded = origin.ask_both("GET", &path, &[accept]).await;
            assert_eq!(
                (coded.status, coded.field("content-encoding"), coded.field("vary")),
                (StatusCode::OK, Some(coding), Some("Accept-Encoding"))
            );
            assert_eq!(decoded(coding, &coded.body), plain.body, "{coding} of {path}");
            assert_eq!(coded.field("content-length"), Some(coded.body.len().to_string().as_str()));
            for name in ["content-type", "cache-control", "last-modified", "accept-ranges"] {
                assert_eq!(coded.field(name), plain.field(name), "{name}");
            }
            let tag = coded.field("etag").expect("a tag").to_owned();
            assert!(tag.starts_with('"') && !tags.contains(&tag), "strong, and its own");

            let head = origin.ask_both("HEAD", &path, &[accept]).await;
            assert_eq!((&head.headers, head.body.len()), (&coded.headers, 0));
            // Its own tag is fresh, with all that guides a cache; another's is not.
            let fresh = origin.ask_both("GET", &path, &[accept, ("if-none-match", &tag)]).await;
            assert_eq!(fresh.status, StatusCode::NOT_MODIFIED);
            for name in ["etag", "cache-control", "vary"] {
                assert_eq!(fresh.field(name), coded.field(name), "{name}");
            }
            assert_eq!(origin.ask("GET", &path, &[accept, ("if-none-match", &tags[0])]).await.status, StatusCode::OK);
            let failed = origin.ask_both("GET", &path, &[accept, ("if-match", &tags[0])]).await;
            assert_eq!(
                (failed.status, failed.field("etag"), failed.field("vary")),
                (StatusCode::PRECONDITION_FAILED, Some(&*tag), Some("Accept-Encoding"))
            );

            // A range is of the coded bytes.
            let range = ("range", "bytes=3-9");
            let part = origin.ask_both("GET", &path, &[accept, range, ("if-range", &tag)]).await;
            assert_eq!((part.status, &part.body[..]), (StatusCode::PARTIAL_CONTENT, &coded.body[3..=9]));
            assert_eq!(part.field("content-range"), Some(format!("bytes 3-9/{}", coded.body.len()).as_str()));
            assert_eq!((part.field("etag"), part.field("content-encoding")), (Some(&*tag), Some(coding)));
            let other = origin.ask("GET", &path, &[accept, range, ("if-range", &tags[0])]).await;
            assert_eq!((other.status, other.body), (StatusCode::OK, coded.body.clone()), "the plain one's tag lets no range count");
            let beyond = origin.ask("GET", &path, &[accept, ("range", &format!("bytes={}-", coded.body.len()))]).await;
            assert_eq!((beyond.status, beyond.field("vary")), (StatusCode::RANGE_NOT_SATISFIABLE, Some("Accept-Encoding")));
            // Several ranges of it are ignored.
            let several = origin.ask("GET", &path, &[accept, ("range", "bytes=0-0,4-4")]).await;
            assert_eq!((several.status, several.body), (StatusCode::OK, coded.body.clone()));
            tags.push(tag);
        }
        let part = origin.ask_both("GET", &path, &[("range", "bytes=3-9")]).await;
        assert_eq!((part.status, &part.body[..]), (StatusCode::PARTIAL_CONTENT, &plain.body[3..=9]));
        assert_eq!(part.field("content-encoding"), None);
    }
}

#[tokio::test]
async fn weights_decide() {
    let origin = Origin::usual().await;
    let path = &origin.texts()[0];
    for (accept, expect) in [
        ("gzip;q=0.5, zstd;q=0.8", Some("zstd")),
        ("gzip, identity;q=0", Some("gzip")),
        ("br;q=0, zstd;q=0, *", Some("gzip")),
        ("gzip;q=0.1, identity", None),
        ("deflate", None),
        ("", None),
    ] {
        let answer = origin.ask("GET", path, &[("accept-encoding", accept)]).await;
        assert_eq!((answer.status, answer.field("content-encoding")), (StatusCode::OK, expect), "{accept}");
    }
}

#[tokio::test]
async fn nothing_acceptable_is_said_only_where_there_was_a_choice() {
    let origin = Origin::usual().await;
    for refusal in ["identity;q=0", "*;q=0", "deflate, identity;q=0"] {
        let refused = [("accept-encoding", refusal)];
        for path in origin.texts() {
            origin.ask("GET", &path, &refused).await;
            let answer = origin.ask_both("GET", &path, &refused).await;
            assert_eq!((answer.status, answer.field("vary")), (StatusCode::NOT_ACCEPTABLE, Some("Accept-Encoding")), "{refusal}");
            assert_eq!(answer.field("cache-control"), Some("public, max-age=2"));
            assert!(answer.body.starts_with(b"There are plain, br, zstd and gzip"));
        }
        // Media has one form, and no Vary that would keep a refusal from others.
        let media = origin.ask("GET", &origin.segment(SegmentNumber(0)), &refused).await;
        assert_eq!((media.status, media.field("vary"), media.body.len()), (StatusCode::OK, None, 100_000), "{refusal}");
    }
    assert_eq!(origin.metrics.requests(Class::Segment, Outcome::NotAcceptable), 9);
}

#[tokio::test]
async fn media_is_never_coded() {
    let origin = Origin::usual().await;
    for file in ["v0/0.m4s", "v0/init.mp4", "poster.jpg", "sprite-0.jpg"] {
        let path = format!("/t/{}/1/{file}", origin.title);
        let answer = origin.ask("GET", &path, &[("accept-encoding", "gzip, br, zstd")]).await;
        assert_eq!((answer.status, answer.field("content-encoding"), answer.field("vary")), (StatusCode::OK, None, None), "{file}");
    }
}

#[tokio::test]
async fn digests_are_told_to_whoever_wants_them() {
    let origin = Origin::usual().await;
    let want = ("want-repr-digest", "sha-512=10, sha-256=1");
    let text = &origin.texts()[0];
    for (path, accept) in [(&origin.segment(SegmentNumber(0)), "gzip"), (text, "identity"), (text, "br"), (text, "gzip")] {
        let accept = ("accept-encoding", accept);
        let whole = origin.ask("GET", path, &[accept, want]).await;
        let digest = crate::semantics::repr_digest(&ContentHash::of(&whole.body));
        assert_eq!(whole.field("repr-digest"), Some(&*digest));
        let head = origin.ask_both("HEAD", path, &[accept, want]).await;
        let part = origin.ask_both("GET", path, &[accept, want, ("range", "bytes=0-9")]).await;
        assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!((head.field("repr-digest"), part.field("repr-digest")), (Some(&*digest), Some(&*digest)), "of all of it");
        for other in [&[accept][..], &[accept, ("want-repr-digest", "sha-256=0")], &[accept, ("want-repr-digest", "sha-512=10")]] {
            assert_eq!(origin.ask("GET", path, other).await.field("repr-digest"), None);
        }
    }
}

#[tokio::test]
async fn long_texts_are_coded_too() {
    let origin = Origin::usual().await;
    let long: &'static str = String::leak((0..2000).map(|number| format!("#EXTINF:4,\n{number}.m4s\n")).collect());
    *origin.fake.multivariant.lock().expect("no panic") = long;
    let coded = origin.ask("GET", &origin.multivariant(), &[("accept-encoding", "gzip, br, zstd")]).await;
    let coding = coded.field("content-encoding").expect("coded").to_owned();
    assert_eq!(decoded(&coding, &coded.body), long.as_bytes());
    assert!(coded.body.len() * 4 < long.len(), "{} of {} bytes", coded.body.len(), long.len());
}
