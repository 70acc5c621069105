//! What is not taken, and what is said about it: files that are no film, wrong requests, wrong configuration. Nothing is left of
//! any of it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::clips;
use super::player::good;
use super::server::{Body, Server, assert_sound, clip_bytes, eventually, files, headwater, none, output, request, turn, whole};

/// Bytes that come in pieces, without a length before them.
fn chunked(bytes: Bytes) -> Body {
    let pieces: Vec<Bytes> = bytes.chunks(64 << 10).map(Bytes::copy_from_slice).collect();
    StreamBody::new(stream::iter(pieces).map(|piece| Ok(Frame::data(piece)))).boxed_unsync()
}

/// An MP4 with its index in front, cut off right behind that.
fn header_only() -> Bytes {
    let inputs = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=24:duration=4"];
    let whole = clips::clip("mp4", &[inputs.as_slice(), &["-c:v", "libx264", "-movflags", "+faststart"]].concat());
    let bytes = Bytes::from(std::fs::read(whole).expect("read"));
    let mut at = 0;
    while &bytes[at + 4..at + 8] != b"mdat" {
        at += u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    }
    bytes.slice(..at + 8)
}

#[tokio::test]
async fn what_is_no_film_fails_with_its_own_code() {
    let _turn = turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[]).await;
    let film = clip_bytes("320x240", 10);
    let png = clips::clip("png", &["-f", "lavfi", "-i", "testsrc2=size=64x64:rate=1:duration=1", "-frames:v", "1"]);
    let png = std::fs::read(png).expect("read");
    let zip = b"PK\x03\x04\x0a\0\0\0\0\0\0\0!\0\x85\x11J\x0d\x0b\0\0\0\x0b\0\0\0\x08\0\0\0film.mp4hello world";
    let cases: [(&str, Bytes, &str); 15] = [
        ("empty.mp4", Bytes::new(), "empty-file"),
        ("notes.mp4", "Dear all, here is the film you asked for.\n".into(), "not-media"),
        ("noise.mp4", (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 23) as u8).collect::<Vec<u8>>().into(), "not-media"),
        ("film.zip", Bytes::from_static(zip), "archive"),
        ("film.mp4", Bytes::from_static(zip), "archive"),
        ("still.png", png.into(), "still-image"),
        (
            "logo.svg",
            r#"<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>"#.into(),
            "still-image",
        ),
        ("film.srt", "1\n00:00:01,000 --> 00:00:02,000\nGood evening.\n".into(), "subtitle-file"),
        ("film.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttp://127.0.0.1:9/canary.ts\n#EXT-X-ENDLIST\n".into(), "playlist"),
        ("hidden.mp4", "#EXTM3U\n#EXTINF:4,\nfile:///etc/passwd\n".into(), "playlist"),
        ("list.mp4", "ffconcat version 1.0\nfile '/etc/passwd'\nduration 4\n".into(), "playlist"),
        ("list.txt", "file 'one.mp4'\nfile 'two.mp4'\n".into(), "playlist"),
        ("film.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n".into(), "playlist"),
        ("cut.mp4", film.slice(..film.len() / 2), "index-missing"),
        ("header.mp4", header_only(), "no-samples"),
    ];
    for (name, bytes, code) in cases {
        let began = Instant::now();
        let created = server.upload(name, bytes).await;
        let failed = server.until(created.id(), super::server::Title::has_failed).await;
        assert!(began.elapsed() < Duration::from_secs(10), "{name}: {:?}", began.elapsed());
        let problem = &failed.0["problem"];
        assert_eq!(problem["code"], code, "{name}: {problem}");
        let message = problem["message"].as_str().expect("a sentence");
        assert!(message.ends_with('.') && message.split_whitespace().count() > 3, "{name}: {message}");
        assert_eq!((failed.0["playable"].as_bool(), failed.0["playback"]["hls"].as_str()), (Some(false), None), "{name}");
        let directory = server.data.join("store").join("titles").join(created.id());
        eventually("nothing in the store", async || files(&directory).is_empty().then_some(())).await;
        let hls = format!("http://{}/t/{}/main.m3u8", server.public, created.id());
        assert_eq!(server.get(&hls).await.status, StatusCode::NOT_FOUND, "{name}");
    }
    assert_eq!(files(&server.data.join("spool")), Vec::<std::path::PathBuf>::new());
    assert_sound(&server.data).await;
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[]).await;
    let unknown = "/api/v1/titles/01hf7yat00abcdefghjkmnpqrs";
    let json = [("content-type", "application/json")];
    let plain: [(&str, &str); 0] = [];
    for (method, path, headers, body, status, code) in [
        ("GET", unknown, plain.as_slice(), "", 404, "title-not-found"),
        ("DELETE", unknown, &plain, "", 404, "title-not-found"),
        ("PATCH", unknown, &json, r#"{"name":"x"}"#, 404, "title-not-found"),
        ("GET", "/api/v1/titles/01hf7yat00abcdefghjkmnpqrs/events", &plain, "", 404, "title-not-found"),
        ("GET", "/api/v1/titles/nonsense", &plain, "", 404, "title-not-found"),
        ("GET", "/api/v1/nothing", &plain, "", 404, "not-found"),
        ("GET", "/api/v1/titles?limit=none", &plain, "", 400, "invalid-query"),
        ("GET", "/api/v1/titles?limit=0", &plain, "", 400, "invalid-query"),
        ("GET", "/api/v1/titles?state=lost", &plain, "", 400, "invalid-query"),
        ("GET", "/api/v1/titles?cursor=%20", &plain, "", 400, "invalid-query"),
        ("GET", "/api/v1/titles?page=2", &plain, "", 400, "invalid-query"),
        ("PATCH", unknown, &json, "{\"name\":", 400, "invalid-body"),
        ("PATCH", unknown, &json, r#"{"title":"x"}"#, 400, "invalid-body"),
        ("PATCH", unknown, &json, r#"{"name":""}"#, 400, "invalid-name"),
        ("PATCH", unknown, &[("content-type", "text/plain")], r#"{"name":"x"}"#, 415, "unsupported-media-type"),
        ("POST", "/api/v1/titles", &plain, "abc", 400, "invalid-name"),
        ("POST", "/api/v1/titles?name=", &plain, "abc", 400, "invalid-name"),
        ("POST", "/api/v1/titles?name=a%0Ab", &plain, "abc", 400, "invalid-name"),
        ("POST", "/api/v1/titles?name=a&nam=b", &plain, "abc", 400, "invalid-query"),
        ("POST", "/api/v1/titles?name=a", &[("content-type", "multipart/form-data; boundary=x")], "--x--", 415, "unsupported-media-type"),
        ("PUT", "/api/v1/titles", &plain, "", 405, "method-not-allowed"),
    ] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let answer = server.send(request(method, &server.api(path), headers, whole(body))).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (status, code), "{path} {body}: {answer:?}");
        assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.ends_with('.')), "{answer:?}");
        if status == 405 {
            let allowed = answer.header("allow");
            assert!(allowed.contains("GET") && allowed.contains("POST") && !allowed.contains("PUT"), "{allowed}");
        }
    }
    let foreign = server.ask(Method::GET, &server.api("/api/v1/titles"), &[("host", "evil.example.com")]).await;
    assert_eq!(foreign.problem(), "unknown-host");
    let cross = server.ask(Method::DELETE, &server.api(unknown), &[("origin", "http://evil.example.com")]).await;
    assert_eq!(cross.problem(), "cross-site-request");
    for (method, path, status) in [
        (Method::GET, "/", 404),
        (Method::GET, "/api/v1/titles", 404),
        (Method::GET, "/t/01hf7yat00abcdefghjkmnpqrs/main.m3u8", 404),
        (Method::GET, "/t/01hf7yat00abcdefghjkmnpqrs/../../etc/passwd", 404),
        (Method::POST, "/t/01hf7yat00abcdefghjkmnpqrs/main.m3u8", 405),
        (Method::DELETE, "/", 405),
    ] {
        let answer = server.ask(method.clone(), &format!("http://{}{path}", server.public), &[]).await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (status, "*"), "{method} {path}");
        assert_eq!(answer.header("allow"), if status == 405 { "GET, HEAD, OPTIONS" } else { "" });
    }
    assert_eq!(good(&server, &server.api("/api/v1/titles")).await.json()["titles"].as_array().map(Vec::len), Some(0));
}

/// Nothing of any upload is left, and soon.
async fn assert_nothing_left(server: &Server) {
    eventually("nothing left of it", async || {
        let listed = good(server, &server.api("/api/v1/titles")).await.json();
        let left = [files(&server.data.join("spool")), files(&server.data.join("store"))].concat();
        (listed["titles"].as_array().is_some_and(Vec::is_empty) && left.is_empty()).then_some(())
    })
    .await;
    assert_sound(&server.data).await;
}

#[tokio::test]
async fn too_large_an_upload_is_refused_whether_it_says_so_or_not() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[("HEADWATER_UPLOAD__BYTES_MAX", "1MiB")]).await;
    let url = server.api("/api/v1/titles?name=large");
    let bytes = Bytes::from(vec![0; (1 << 20) + 1]);
    for body in [whole(bytes.clone()), chunked(bytes.clone())] {
        let answer = server.send(request(Method::POST, &url, &[], body)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "upload-too-large"));
        assert_nothing_left(&server).await;
    }
    // Who sends all of it before he listens hears the reason too, not a broken connection.
    for (name, code) in [("large", "upload-too-large"), ("", "invalid-name")] {
        let url = server.api(&format!("/api/v1/titles?name={name}"));
        let answer = server.send(request(Method::POST, &url, &[], chunked(vec![0; 100 << 20].into()))).await;
        assert_eq!(answer.problem(), code);
        assert_nothing_left(&server).await;
    }
    // A length beyond the limit is refused before a byte of it was sent.
    let mut connection = TcpStream::connect(server.admin).await.expect("connected");
    let head = format!(
        "POST /api/v1/titles?name=huge HTTP/1.1\r\nhost: {}\r\ncontent-length: 999999999999\r\nexpect: 100-continue\r\n\r\n",
        server.admin
    );
    connection.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).await.expect("answered");
    assert_eq!(&answer, b"HTTP/1.1 413");
    for exact in [whole(bytes.slice(1..)), chunked(bytes.slice(1..))] {
        let answer = server.send(request(Method::POST, &url, &[], exact)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "the limit itself is allowed");
    }
}

#[tokio::test]
async fn an_upload_that_is_cut_off_leaves_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[("HEADWATER_UPLOAD__IDLE_TIMEOUT", "1s")]).await;
    let framings = ["content-length: 8388608\r\n\r\n", "transfer-encoding: chunked\r\n\r\n200000\r\n"];
    for (framing, cut) in framings.into_iter().flat_map(|framing| ["closed", "half closed", "silent"].map(|cut| (framing, cut))) {
        let mut connection = TcpStream::connect(server.admin).await.expect("connected");
        let head = format!("POST /api/v1/titles?name=cut HTTP/1.1\r\nhost: {}\r\n{framing}", server.admin);
        connection.write_all(head.as_bytes()).await.expect("sent");
        connection.write_all(&vec![1; 1 << 20]).await.expect("sent");
        eventually("the title", async || {
            let listed = good(&server, &server.api("/api/v1/titles?state=receiving")).await.json();
            listed["titles"].as_array().is_some_and(|titles| titles.len() == 1).then_some(())
        })
        .await;
        let mut answer = String::new();
        match cut {
            "closed" => drop(connection),
            "half closed" => {
                connection.shutdown().await.expect("shut");
                connection.read_to_string(&mut answer).await.expect("read");
                assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("upload-interrupted"), "{framing}: {answer}");
            }
            _ => {
                // Nothing comes any more, and nobody closes: the server gives it up by itself.
                let mut start = [0; 12];
                connection.read_exact(&mut start).await.expect("read");
                assert_eq!(&start, b"HTTP/1.1 408", "{framing}");
            }
        }
        assert_nothing_left(&server).await;
    }
    // The one that is complete is not confused with them.
    let title = server.upload("whole", clip_bytes("320x240", 10)).await;
    server.until(title.id(), super::server::Title::is_ready).await;
}

#[tokio::test]
async fn a_wrong_start_is_refused_with_its_reason() {
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    let path = data.to_str().expect("UTF-8");
    let refused_over = async |data: &str, arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = headwater(&[&["serve", "--data", data, "--listen", "127.0.0.1:0"], arguments].concat());
        command.envs(variables.iter().copied());
        let output = output(command).await;
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let refused = async |arguments: &[&str], variables: &[(&str, &str)]| refused_over(path, arguments, variables).await;
    let (code, said) = refused(&["--admin", "0.0.0.0:0"], &[]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("admin.token") && said.contains("admin.listen"), "{said}");
    let (code, said) =
        refused(&["--admin", "127.0.0.1:0"], &[("HEADWATER_CACHE__BYTE", "1GiB"), ("HEADWATER_VIDEO__PRESET", "warp")]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cache.byte (environment HEADWATER_CACHE__BYTE): no such key") && said.contains("video.preset"), "{said}");
    assert!(!data.exists(), "nothing was begun");

    let server = Server::start(&data, &[]).await;
    let (code, said) = refused(&["--admin", "127.0.0.1:0"], &[]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("in use by another Headwater") && said.contains(path), "{said}");
    let taken = server.admin.to_string();
    let elsewhere = home.path().join("elsewhere");
    let (code, said) = refused_over(elsewhere.to_str().expect("UTF-8"), &["--admin", &taken], &[]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&taken) && said.contains("admin"), "{said}");
    // It is none the worse for it.
    assert_eq!(server.ask(Method::GET, &server.api("/readyz"), &[]).await.status, StatusCode::OK);
    assert_eq!(server.send(request(Method::GET, &server.api("/healthz"), &[], none())).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_is_asked_for() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[("HEADWATER_ADMIN__TOKEN", "open-sesame")]).await;
    let url = server.api("/api/v1/titles");
    assert_eq!(server.get(&url).await.problem(), "unauthorized");
    assert_eq!(server.ask(Method::GET, &url, &[("authorization", "Bearer other")]).await.problem(), "unauthorized");
    assert_eq!(server.ask(Method::GET, &url, &[("authorization", "Bearer open-sesame")]).await.status, StatusCode::OK);
    assert!(!server.logged().contains("sesame"));
}
