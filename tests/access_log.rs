//! The access log of the real server: what its lines say, that it holds nobody up, that nothing is lost in silence.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::player::Presentation;
use super::server::{Server, clip_bytes, eventually, signal};

/// What hls.js puts into the query, keys in its order.
const HLS_JS: &str = "CMCD=bl%3D21300%2Cbr%3D1234%2Ccid%3D%22a%2Cb%22%2Cd%3D4000%2Cmtp%3D25400%2Cot%3Dv%2Csf%3Dh%2Csid%3D%22s-1%22%2Cst%3Dv%2Csu%2Ctb%3D2500";

fn log_in(folder: &Path) -> PathBuf {
    folder.join("access.log")
}

async fn start(folder: &Path, path: &Path, variables: &[(&str, &str)]) -> Server {
    let path = path.to_str().expect("UTF-8");
    let ours = [("HEADWATER_ACCESS_LOG__FORMAT", "json"), ("HEADWATER_ACCESS_LOG__PATH", path)];
    Server::start(&folder.join("data"), &[&ours, variables].concat()).await
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// The lines once there are so many.
async fn until(path: &Path, count: usize) -> Vec<Value> {
    eventually("lines", || std::future::ready(Some(lines(path)).filter(|lines| lines.len() >= count))).await
}

async fn metric(server: &Server, name: &str) -> Option<u64> {
    let text = String::from_utf8(server.get(&server.api("/metrics")).await.body.to_vec()).expect("text");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(value.parse().expect("a number"))
}

/// What a line must have; `null` stands for a member that is not there.
fn assert_line(line: &Value, expect: &Value) {
    for (key, value) in expect.as_object().expect("members") {
        assert_eq!(&line[key], value, "{key} in {line:#}");
    }
}

#[tokio::test]
async fn each_request_has_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = log_in(folder.path());
    let server = start(folder.path(), &path, &[("HEADWATER_SERVER__TRUSTED_PROXIES", "127.0.0.0/8, ::1")]).await;
    let title = server.upload("film.mp4", clip_bytes("640x360", 6)).await;
    let title = server.until(title.id(), |title| title.is_ready()).await;
    let id = title.id();
    let presentation = Presentation::of(&server, &title).await;
    let segment = presentation.tracks[0].segments().remove(0);
    let asked = until(&path, 1 + presentation.tracks.len()).await.len();

    let whole = server.ask(Method::GET, &format!("{segment}?x=1&{HLS_JS}&token=secret"), &[("x-request-id", "r-1")]).await;
    let length = whole.body.len() as u64;
    let etag = whole.header("etag").to_owned();
    let gone = format!("http://{}/t/{id}/1/v77/0.m4s", server.public);
    let stranger = format!("http://{}/no\"thing?a=b", server.public).replace('"', "%22");
    for (method, url, headers) in [
        (Method::GET, &segment, &[("range", "bytes=10-109"), ("x-forwarded-for", "6.6.6.6, 198.51.100.9")][..]),
        (Method::GET, &segment, &[("if-none-match", etag.as_str()), ("user-agent", "player \"1\" \u{1f3ac}")]),
        (Method::HEAD, &segment, &[("referer", "https://media.example.com/watch")]),
        (Method::GET, &gone, &[("cmcd-request", "bl=100,su"), ("cmcd-status", "bs"), ("cmcd-session", "sid=\"s-2\",zz=1,pr=fast")]),
        (Method::POST, &stranger, &[]),
        (Method::OPTIONS, &segment, &[]),
    ] {
        server.ask(method, url, headers).await;
    }
    let lines = until(&path, asked + 7).await.split_off(asked);
    let route = segment.split_once(&server.public.to_string()).expect("ours").1;
    let parts: Vec<&str> = route.split('/').collect();
    let (generation, track): (u64, &str) = (parts[3].parse().expect("a number"), parts[4]);
    let cmcd = json!({
        "bl": 21300, "br": 1234, "cid": "a,b", "d": 4000, "mtp": 25400, "ot": "v", "sf": "h", "sid": "s-1", "st": "v", "su": true, "tb": 2500
    });
    for (line, expect) in lines.iter().zip([
        json!({
            "client": "127.0.0.1", "proxy": null, "method": "GET", "path": route, "protocol": "HTTP/1.1", "tls": false, "status": 200,
            "bytes": length, "bytes_expected": length, "ended": "complete", "outcome": "whole", "class": "segment", "title": id,
            "generation": generation, "track": track, "segment": 0, "range": null, "request_id": "r-1", "cmcd": cmcd,
        }),
        json!({
            "client": "198.51.100.9", "port": null, "proxy": "127.0.0.1", "status": 206, "bytes": 100, "bytes_expected": 100, "cache": "hit",
            "outcome": "part", "range": "bytes=10-109", "ended": "complete", "cmcd": null,
        }),
        json!({ "status": 304, "bytes": 0, "outcome": "not-modified", "ended": "complete", "user_agent": "player \"1\" \u{1f3ac}" }),
        json!({
            "method": "HEAD", "status": 200, "bytes": 0, "bytes_expected": 0, "ended": "complete", "referer": "https://media.example.com/watch",
        }),
        json!({
            "status": 404, "outcome": "not-found", "ended": "complete", "track": "v77",
            "cmcd": { "bl": 100, "su": true, "bs": true, "sid": "s-2", "unknown": 1, "malformed": 1 },
        }),
        json!({ "method": "POST", "path": "/no%22thing", "status": 405, "class": "other", "title": null, "cache": null }),
        json!({ "method": "OPTIONS", "status": 204, "outcome": "options", "bytes": 0 }),
    ]) {
        assert_line(line, &expect);
        let (ttfb, duration) = (line["ttfb_ms"].as_f64().expect("a time"), line["duration_ms"].as_f64().expect("a time"));
        assert!(ttfb > 0.0 && ttfb <= duration && duration < 60_000.0, "{line}");
        let time = line["time"].as_str().expect("a time");
        assert!(time.len() == 24 && time.ends_with('Z') && time.as_bytes()[19] == b'.', "{time}");
    }
    assert!(!fs::read_to_string(&path).expect("a log").contains("secret"), "queries are not logged");
    assert_eq!(metric(&server, "headwater_player_starvations_total{class=\"segment\"}").await, Some(1));
    assert_eq!(metric(&server, "headwater_player_startups_total{class=\"segment\"}").await, Some(2));
    assert_eq!(metric(&server, "headwater_access_log_lost_total").await, Some(0));

    clients_that_leave(&server, &path, route, length).await;
    let before = until(&path, 0).await.len();
    server.get(&segment).await;
    assert!(server.stop().await.success());
    let last = until(&path, before + 1).await.pop().expect("a line");
    assert_line(&last, &json!({ "path": route, "status": 200 }));
}

/// Clients that leave in the middle of an answer.
async fn clients_that_leave(server: &Server, path: &Path, route: &str, length: u64) {
    let before = lines(path).len();
    // Enough answers in a row to fill what sockets take; nobody reads them.
    let mut stream = TcpStream::connect(server.public).await.expect("a connection");
    let request = format!("GET {route} HTTP/1.1\r\nHost: origin\r\nUser-Agent: leaves\r\n\r\n");
    let count = usize::try_from((32 << 20) / length + 10).expect("a number");
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), stream.write_all(request.repeat(count).as_bytes())).await;
    stream.read_exact(&mut [0; 1000]).await.expect("a beginning");
    drop(stream);
    let left = eventually("the one that was cut", || {
        let found = lines(path).split_off(before).into_iter().find(|line| line["ended"] == "client-gone");
        std::future::ready(found)
    })
    .await;
    assert_line(&left, &json!({ "status": 200, "bytes_expected": length, "user_agent": "leaves" }));
    assert!(left["bytes"].as_u64().is_some_and(|bytes| bytes < length), "{left}");

    let stream = TcpStream::connect(server.public).await.expect("a connection");
    let mut client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = client.initial_stream_window_size(16_384).handshake(TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    let mut request = Request::get(format!("http://origin{route}")).body(Empty::<Bytes>::new()).expect("a request");
    *request.version_mut() = Version::HTTP_2;
    let response = sender.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    body.frame().await.expect("a frame").expect("bytes");
    drop(body);
    let left = eventually("the one over HTTP/2", || {
        let found = lines(path).split_off(before).into_iter().find(|line| line["protocol"] == "HTTP/2");
        std::future::ready(found)
    })
    .await;
    assert_line(&left, &json!({ "status": 200, "bytes_expected": length, "ended": "client-gone", "client": "127.0.0.1" }));
    let bytes = left["bytes"].as_u64().expect("a number");
    assert!(bytes > 0 && bytes < length, "{left}");
}

/// Asks so often for what is not there.
async fn ask(server: &Server, count: usize) {
    for _ in 0..count {
        assert_eq!(server.get(&format!("http://{}/nothing", server.public)).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_log_that_takes_nothing_holds_nobody_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let server = start(folder.path(), &pipe, &[("HEADWATER_ACCESS_LOG__WAITING_MAX", "64")]).await;
    // Nobody reads the pipe, so the writer waits from the first line on. Every answer comes.
    ask(&server, 500).await;
    let lost = metric(&server, "headwater_access_log_lost_total").await.expect("a number");
    assert!((1..500).contains(&lost), "{lost}");
    let (send, mut told) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(fs::File::open(pipe).expect("a pipe")).lines() {
            let line: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
            if send.send(line).is_err() {
                return;
            }
        }
    });
    let (mut written, mut said) = (0, 0);
    while written + said < 500 {
        let line = tokio::time::timeout(super::server::PATIENCE, told.recv()).await.expect("in time").expect("a line");
        match line["lost"].as_u64() {
            Some(lost) => said += lost,
            None => written += 1,
        }
    }
    assert_eq!((written, said), (500 - lost, lost));
    ask(&server, 1).await;
    let line = tokio::time::timeout(super::server::PATIENCE, told.recv()).await.expect("in time").expect("a line");
    assert_eq!(line["status"], 404);
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn a_full_disk_holds_nobody_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let variables = [("HEADWATER_ACCESS_LOG__WAITING_MAX", "64"), ("HEADWATER_SERVER__DRAIN", "2s")];
    let server = start(folder.path(), Path::new("/dev/full"), &variables).await;
    ask(&server, 1500).await;
    let lost = metric(&server, "headwater_access_log_lost_total").await.expect("a number");
    assert!(lost > 0 && lost < 1500, "{lost}");
    assert!(metric(&server, "headwater_access_log_faults_total").await.is_some_and(|faults| faults > 0));
    assert_eq!(metric(&server, "headwater_access_log_lines_total").await, Some(0));
    assert_eq!(server.logged().matches("the access log cannot be written").count(), 1, "told once");
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn a_renamed_file_is_followed_by_a_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = log_in(folder.path());
    let server = start(folder.path(), &path, &[]).await;
    ask(&server, 3).await;
    until(&path, 3).await;
    let first = folder.path().join("access.log.1");
    fs::rename(&path, &first).expect("renamed");
    // Seen by itself, within a second or so.
    eventually("a new file", || std::future::ready(path.exists().then_some(()))).await;
    ask(&server, 2).await;
    until(&path, 2).await;
    let second = folder.path().join("access.log.2");
    fs::rename(&path, &second).expect("renamed");
    signal(server.pid(), rustix::process::Signal::HUP);
    eventually("a new file", || std::future::ready(path.exists().then_some(()))).await;
    ask(&server, 4).await;
    until(&path, 4).await;
    // What was asked just before the end is there too.
    ask(&server, 50).await;
    assert!(server.stop().await.success());
    assert_eq!([&first, &second, &path].map(|path| lines(path).len()), [3, 2, 54]);
}

#[tokio::test]
async fn the_combined_log_format_and_standard_output() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), Path::new("-"), &[("HEADWATER_ACCESS_LOG__FORMAT", "clf")]).await;
    let url = format!("http://{}/nothing?a=b&CMCD=bs%2Csid%3D%22x%22", server.public);
    server.ask(Method::GET, &url, &[("user-agent", "a \"player\""), ("x-forwarded-for", "6.6.6.6")]).await;
    let line = eventually("a line", || {
        let logged = server.logged();
        std::future::ready(logged.lines().find(|line| line.starts_with("127.0.0.1 - - [")).map(str::to_owned))
    })
    .await;
    let (date, rest) = line.split_once("] ").expect("a date");
    assert_eq!(rest, r#""GET /nothing?CMCD=bs%2Csid%3D%22x%22 HTTP/1.1" 404 23 "-" "a \"player\"""#);
    assert!(date.len() == "127.0.0.1 - - [06/Nov/1994:08:49:37 +0000".len() && date.ends_with(" +0000"), "{date}");
    assert!(server.stop().await.success());
}
