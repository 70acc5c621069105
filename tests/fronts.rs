//! Caches in front of the origin: nginx, Varnish, and curl as a client that keeps what it has.
//!
//! What belongs here: starting them, and titles taken through them. Each object of a title is fetched from the origin once.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::clips::clip;
use super::player::{Presentation, good};
use super::server::{Server, Title, eventually, none, output, request};

const FILM: [&str; 16] = [
    "-f",
    "lavfi",
    "-i",
    "testsrc2=s=320x240:r=24:d=13",
    "-f",
    "lavfi",
    "-i",
    "sine=d=13",
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-pix_fmt",
    "yuv420p",
    "-g",
    "48",
];

/// A cache in front of an origin; it ends with its test.
pub struct Front {
    child: Child,
    /// Where it listens.
    pub address: String,
}

impl Drop for Front {
    fn drop(&mut self) {
        // It ends its own children with it.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

impl Front {
    /// Varnish as it comes, with `vcl` besides; listens on `port`.
    pub async fn varnish(home: &Path, port: u16, origin: SocketAddr, vcl: &str) -> Self {
        let (file, address) = (home.join("origin.vcl"), format!("127.0.0.1:{port}"));
        let backend = format!("backend origin {{ .host = \"{}\"; .port = \"{}\"; }}", origin.ip(), origin.port());
        let hits = "sub vcl_deliver { set resp.http.x-hits = obj.hits; }";
        std::fs::write(&file, format!("vcl 4.1;\n{backend}\n{vcl}\n{hits}\n")).expect("written");
        let mut command = Command::new("varnishd");
        command.args(["-F", "-j", "none", "-s", "malloc,64m", "-a", &address, "-n"]).arg(home.join("varnish")).arg("-f").arg(file);
        Self::start(command, address).await
    }

    /// nginx with one cache, that asks once for what many ask for, and asks again with what it has.
    pub async fn nginx(home: &Path, port: u16, origin: SocketAddr) -> Self {
        let (home, address) = (home.join("nginx"), format!("127.0.0.1:{port}"));
        std::fs::create_dir(&home).expect("a folder");
        let folder = home.to_str().expect("UTF-8");
        let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
            .collect();
        let configuration = format!(
            "daemon off; pid {folder}/pid; error_log {folder}/errors; worker_processes 1; events {{ }}\n\
             http {{ access_log off; {folders}\
             proxy_cache_path {folder}/cache keys_zone=origin:1m; proxy_cache origin; proxy_cache_lock on; proxy_cache_revalidate on;\n\
             proxy_http_version 1.1; proxy_set_header Connection \"\"; add_header X-Front $upstream_cache_status always;\n\
             upstream origin {{ server {origin}; keepalive 8; }}\n\
             server {{ listen {address}; location / {{ proxy_pass http://origin; }} }} }}\n"
        );
        let file = home.join("nginx.conf");
        std::fs::write(&file, configuration).expect("written");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&home).arg("-c").arg(file);
        Self::start(command, address).await
    }

    async fn start(mut command: Command, address: String) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let front = Self { child, address };
        eventually("a listener", async || tokio::net::TcpStream::connect(&front.address).await.ok()).await;
        front
    }

    /// The URL behind this front of what `url` is at the origin.
    pub fn url(&self, server: &Server, url: &str) -> String {
        url.replace(&server.public.to_string(), &self.address)
    }
}

/// Whether a program is missing, which is then said.
pub fn is_missing(program: &str, package: &str) -> bool {
    let missing = Command::new(program).arg("-V").output().is_err();
    if missing {
        println!("skipped: there is no {program}; 'apt-get install {package}' brings it");
    }
    missing
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

/// Answers of the public listener so far, by outcome; those that there were.
pub async fn outcomes(server: &Server) -> BTreeMap<String, u64> {
    let text = server.get(&server.api("/metrics")).await.body;
    let text = String::from_utf8(text.to_vec()).expect("text");
    let mut outcomes = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("headwater_delivery_requests_total{")) {
        let (labels, count) = line.split_once("} ").expect("a row");
        let outcome = labels.split_once("outcome=\"").and_then(|(_, rest)| rest.split_once('"')).expect("an outcome").0;
        *outcomes.entry(outcome.to_owned()).or_insert(0) += count.parse::<u64>().expect("a count");
    }
    outcomes.retain(|_, count| *count > 0);
    outcomes
}

/// What was answered between two looks; nothing is told of what was not.
fn between(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let more = after.iter().map(|(outcome, count)| (outcome.clone(), count - before.get(outcome).unwrap_or(&0)));
    more.filter(|(_, count)| *count > 0).collect()
}

async fn film(server: &Server) -> Title {
    let title = server.upload("film", std::fs::read(clip("mp4", &FILM)).expect("read")).await;
    server.until(title.id(), Title::is_ready).await
}

/// Takes a title through a front, three times and in parts, and asks for what it has: the origin is asked once for each object.
async fn takes_a_title(server: &Server, front: &Front) {
    let title = film(server).await;
    let presentation = Presentation::of(server, &title).await;
    let own = presentation.fetch(server).await;
    let base = presentation.url.strip_suffix("main.m3u8").expect("the stable name");
    let before = outcomes(server).await;
    for _ in 0..3 {
        for (name, expect) in &own {
            let url = front.url(server, &format!("{base}{name}"));
            let answer = good(server, &url).await;
            assert_eq!(answer.body, expect.body, "{name}");
            assert_eq!(told(&answer.headers), told(&expect.headers), "{name}");
            let tag = answer.header("etag").to_owned();
            let known = server.ask(Method::GET, &url, &[("if-none-match", &tag)]).await;
            assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0), "{name}");
            // Texts may have been packed and unpacked on the way, and are then others in name.
            if !is_media(name) {
                continue;
            }
            assert_eq!(tag, expect.header("etag"), "{name}");
            let last = expect.body.len() - 1;
            for (range, part) in [("bytes=1-20", 1..21), ("bytes=-7", last - 6..last + 1), ("bytes=30-", 30..last + 1)] {
                let answer = server.ask(Method::GET, &url, &[("range", range), ("if-range", &tag)]).await;
                assert_eq!((answer.status, &answer.body), (StatusCode::PARTIAL_CONTENT, &expect.body.slice(part)), "{name} {range}");
            }
            let beyond = server.ask(Method::GET, &url, &[("range", &format!("bytes={}-", last + 1))]).await;
            assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE, "{name}");
        }
    }
    let asked = between(&before, &outcomes(server).await);
    assert_eq!(asked, BTreeMap::from([("whole".to_owned(), own.len() as u64)]), "each object once, and whole");
}

/// Whether a name is that of pictures or sound.
fn is_media(name: &str) -> bool {
    name.ends_with(".m4s") || name.ends_with(".mp4")
}

/// The fields that a front must hand on.
fn told(fields: &HeaderMap) -> Vec<(&'static str, Option<Bytes>)> {
    let names = ["content-type", "last-modified", "cache-control", "access-control-allow-origin", "vary"];
    names.map(|name| (name, fields.get(name).map(|value| Bytes::copy_from_slice(value.as_bytes())))).to_vec()
}

/// So long that no playlist is stale before a test is over.
const LONG: [(&str, &str); 1] = [("HEADWATER_DELIVERY__MULTIVARIANT_MAX_AGE", "1h")];

#[tokio::test]
async fn varnish_asks_once_for_each_object() {
    if is_missing("varnishd", "varnish") {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &LONG).await;
    let front = Front::varnish(home.path(), free_port(), server.public, "").await;
    takes_a_title(&server, &front).await;
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn nginx_asks_once_for_each_object() {
    if is_missing("nginx", "nginx") {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &LONG).await;
    let front = Front::nginx(home.path(), free_port(), server.public).await;
    takes_a_title(&server, &front).await;
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn what_is_stale_is_asked_for_again_and_not_sent_again() {
    if is_missing("nginx", "nginx") {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[("HEADWATER_DELIVERY__MULTIVARIANT_MAX_AGE", "1s")]).await;
    let front = Front::nginx(home.path(), free_port(), server.public).await;
    let title = film(&server).await;
    let main = front.url(&server, title.hls());
    let first = good(&server, &main).await;
    let before = outcomes(&server).await;
    // It is stale in a second, and then what nginx has is as good as new.
    eventually("a playlist that was asked for again", async || {
        let answer = good(&server, &main).await;
        assert_eq!(answer.body, first.body);
        (answer.header("x-front") == "REVALIDATED").then_some(())
    })
    .await;
    let asked = between(&before, &outcomes(&server).await);
    assert_eq!(asked.keys().collect::<Vec<_>>(), ["not-modified"]);
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn many_clients_of_a_front_are_one_of_the_origin() {
    if is_missing("varnishd", "varnish") {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &LONG).await;
    let front = Front::varnish(home.path(), free_port(), server.public, "").await;
    let title = film(&server).await;
    let presentation = Presentation::of(&server, &title).await;
    let segment = front.url(&server, &presentation.tracks[0].segments()[1]);
    let before = outcomes(&server).await;
    let ask = || server.begin(request(Method::GET, &segment, &[], none()));
    let answers = futures_util::future::join_all((0..50).map(|_| ask())).await;
    assert!(answers.into_iter().all(|answer| answer.is_ok_and(|status| status == StatusCode::OK)));
    assert_eq!(between(&before, &outcomes(&server).await), BTreeMap::from([("whole".to_owned(), 1)]));
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn curl_resumes_and_knows_what_it_has() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[]).await;
    let title = film(&server).await;
    let presentation = Presentation::of(&server, &title).await;
    let segment = presentation.tracks[0].segments()[0].clone();
    let whole = good(&server, &segment).await.body;
    let (file, tag) = (home.path().join("segment"), home.path().join("tag"));
    let (file_name, tag_name) = (file.to_str().expect("UTF-8").to_owned(), tag.to_str().expect("UTF-8").to_owned());
    let curl = async |options: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--fail", "-w", "%{http_code} %{size_download}", "-o", &file_name]).args(options).arg(&segment);
        let done = output(command).await;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("text")
    };
    assert_eq!(curl(&["--etag-save", &tag_name]).await, format!("200 {}", whole.len()));
    assert_eq!(std::fs::read(&file).expect("read"), whole);
    assert_eq!(curl(&["--etag-compare", &tag_name]).await, "304 0");
    std::fs::write(&file, &whole[..1000]).expect("written");
    assert_eq!(curl(&["-C", "-"]).await, format!("206 {}", whole.len() - 1000), "the rest of what broke off");
    assert_eq!(std::fs::read(&file).expect("read"), whole);
    let newer = ["-z", "Fri, 31 Dec 2100 00:00:00 GMT"];
    assert_eq!(curl(&newer).await, "304 0");
    assert!(server.stop().await.success());
}
