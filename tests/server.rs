//! The real server for tests: started on free ports over a data directory, asked over HTTP, ended with its test.
//!
//! What belongs here: starting and ending processes, asking them, and media to feed them. No assertions about behaviour.

use std::ffi::OsString;
use std::fs::{self, File};
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// Longest that anything may take to become so, on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Body of a request.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Waits for the turn of a test that encodes a lot or measures time; it ends with the file. Tests may be processes of their own.
pub async fn turn() -> File {
    let lock = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("turn")).expect("a lock");
    let locked = tokio::task::spawn_blocking(move || {
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("locked");
        lock
    });
    locked.await.expect("no panic")
}

/// Waits until `look` finds what it looks for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A `headwater` command without this process's configuration.
pub fn headwater(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    let ours: Vec<OsString> =
        std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("HEADWATER_")).collect();
    for name in ours {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What a command prints and how it ends.
pub async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("the command runs")
}

/// Runs `headwater check` over a data directory: nothing may be wrong with it.
pub async fn assert_sound(data: &Path) {
    let checked = output(headwater(&["check", "--data", data.to_str().expect("UTF-8")])).await;
    assert!(checked.status.success(), "{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
}

/// Files in a directory and below, but for empty directories.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A running server.
pub struct Server {
    child: Option<Child>,
    /// Its data directory.
    pub data: PathBuf,
    /// Its public listener; port 0 when it has none.
    pub public: SocketAddr,
    /// Its public listener with TLS.
    pub tls: Option<SocketAddr>,
    /// Its admin listener.
    pub admin: SocketAddr,
    log: PathBuf,
    client: Client<HttpConnector, Body>,
}

impl Server {
    /// Starts a server over `data` and waits until it says where it listens. Its workers take the fastest preset unless
    /// `variables` say otherwise.
    pub async fn start(data: &Path, variables: &[(&str, &str)]) -> Self {
        Self::launch(data, variables).announced().await
    }

    /// Waits until a server that was launched says where it listens.
    pub async fn announced(self) -> Self {
        let mut server = self;
        let run = server.data.join("run.json");
        let pid = server.pid();
        let running: Value = eventually("run.json", || {
            let ended = server.child.as_mut().expect("running").try_wait().expect("its state");
            assert!(ended.is_none(), "the server ended: {ended:?}");
            let running = fs::read(&run).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            std::future::ready(running.filter(|running| running["pid"] == pid))
        })
        .await;
        let address = |name: &str| running[name].as_str().map(|address| address.parse().expect("an address"));
        server.public = address("listen").unwrap_or(server.public);
        server.tls = address("tls");
        server.admin = address("admin").expect("an admin listener");
        server
    }

    /// Starts a server and waits for nothing.
    pub fn launch(data: &Path, variables: &[(&str, &str)]) -> Self {
        Self::launch_by(headwater(&["serve"]), data, variables)
    }

    /// Starts a server by a command that begins with `headwater serve`, and waits for nothing.
    pub fn launch_by(mut command: Command, data: &Path, variables: &[(&str, &str)]) -> Self {
        let log = data.with_extension("log");
        let lines = File::options().create(true).append(true).open(&log).expect("a log");
        command.arg("--data").arg(data);
        command.env("HEADWATER_SERVER__LISTEN", "127.0.0.1:0").env("HEADWATER_ADMIN__LISTEN", "127.0.0.1:0");
        command.env("HEADWATER_VIDEO__PRESET", "ultrafast").env("HEADWATER_SERVER__DRAIN", "20s").envs(variables.iter().copied());
        let child = command.stdout(lines.try_clone().expect("a log")).stderr(lines).spawn().expect("the server starts");
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { child: Some(child), data: data.to_owned(), public: nowhere, tls: None, admin: nowhere, log, client }
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    /// Its workers' process numbers.
    pub fn workers(&self) -> Vec<u32> {
        let processes = fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        processes.filter(|pid| parent_of(*pid) == Some(self.pid())).collect()
    }

    /// Ends it with SIGKILL and waits until it is gone.
    pub fn kill(mut self) {
        let mut child = self.child.take().expect("running");
        child.kill().expect("killed");
        child.wait().expect("waited");
    }

    /// Tells it to stop.
    pub fn terminate(&self) {
        signal(self.pid(), rustix::process::Signal::TERM);
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stop(self) -> ExitStatus {
        self.terminate();
        self.ended().await
    }

    /// Waits until it has ended by itself.
    pub async fn ended(mut self) -> ExitStatus {
        eventually("the server's end", || std::future::ready(self.child.as_mut().and_then(|child| child.try_wait().expect("its state"))))
            .await
    }

    /// What it has logged, with what was logged before over the same data.
    pub fn logged(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// URL of a path at the admin listener.
    pub fn api(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    /// The response to a request, its body still to come.
    pub async fn open(&self, request: Request<Body>) -> http::Response<Incoming> {
        self.client.request(request).await.expect("a response")
    }

    /// The status of the response to a request, or why there is none; it does not need the server to be there.
    pub fn begin(&self, request: Request<Body>) -> impl Future<Output = anyhow::Result<StatusCode>> + use<> {
        let response = self.client.request(request);
        async move { Ok(response.await?.status()) }
    }

    /// The answer to a request.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.open(request).await.into_parts();
        let body = body.collect().await.expect("the whole body").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// The answer to a request without body.
    pub async fn ask(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(request(method, url, headers, none())).await
    }

    /// The answer to a GET.
    pub async fn get(&self, url: &str) -> Answer {
        self.ask(Method::GET, url, &[]).await
    }

    /// The answer to an upload.
    pub async fn post(&self, name: &str, body: impl Into<Bytes>) -> Answer {
        let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let url = self.api(&format!("/api/v1/titles?name={name}"));
        self.send(request(Method::POST, &url, &[], whole(body))).await
    }

    /// Uploads bytes; the title as it was answered.
    pub async fn upload(&self, name: &str, body: impl Into<Bytes>) -> Title {
        let answer = self.post(name, body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        Title(answer.json())
    }

    /// A title as it is now.
    pub async fn title(&self, id: &str) -> Title {
        let answer = self.get(&self.api(&format!("/api/v1/titles/{id}"))).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        Title(answer.json())
    }

    /// Events from a path of the control API.
    pub async fn events(&self, path: &str) -> Events {
        let response = self.open(request(Method::GET, &self.api(path), &[], none())).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Events { body: response.into_body(), text: String::new() }
    }

    /// Follows a title's events until it is as `wanted`; it must not end in another way.
    pub async fn until(&self, id: &str, wanted: impl Fn(&Title) -> bool) -> Title {
        let mut events = self.events(&format!("/api/v1/titles/{id}/events")).await;
        loop {
            let (name, title) = events.next().await;
            assert_eq!(name, "title", "{}", title.0);
            if wanted(&title) {
                return title;
            }
            assert!(!title.is_final(), "it ended otherwise: {:#}", title.0);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.logged();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- log of the server over {}\n{}", self.data.display(), lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// The process that started another one, while that one runs.
pub fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold anything; state and parent follow its closing bracket.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" { None } else { fields.next()?.parse().ok() }
}

/// Sends a signal; the process may have ended.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a process number")).expect("a process number");
    let _ = rustix::process::kill_process(pid, signal);
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// A header's text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The stable code of a problem document.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16(), "{problem}");
        problem["code"].as_str().expect("a code").to_owned()
    }
}

/// A request.
pub fn request(method: Method, url: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let start = Request::builder().method(method).uri(url);
    headers.iter().fold(start, |request, (name, value)| request.header(*name, *value)).body(body).expect("a request")
}

/// No body.
pub fn none() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of known length.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A title as the control API tells it.
#[derive(Clone, Debug)]
pub struct Title(pub Value);

impl Title {
    pub fn id(&self) -> &str {
        self.0["id"].as_str().expect("an id")
    }

    pub fn state(&self) -> &str {
        self.0["state"].as_str().expect("a state")
    }

    /// URL of its multivariant playlist.
    pub fn hls(&self) -> &str {
        self.0["playback"]["hls"].as_str().expect("a URL")
    }

    pub fn segments_done(&self) -> u64 {
        self.0["progress"]["segments_done"].as_u64().expect("a number")
    }

    pub fn is_final(&self) -> bool {
        matches!(self.state(), "ready" | "failed")
    }

    pub fn is_ready(&self) -> bool {
        self.state() == "ready"
    }

    pub fn has_failed(&self) -> bool {
        self.state() == "failed"
    }
}

/// A stream of events.
pub struct Events {
    body: Incoming,
    text: String,
}

impl Events {
    /// The next event's name and title.
    pub async fn next(&mut self) -> (String, Title) {
        tokio::time::timeout(PATIENCE, async {
            loop {
                while let Some((event, rest)) = self.text.split_once("\n\n") {
                    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned);
                    let (name, data) = (field("event"), field("data"));
                    self.text = rest.to_owned();
                    if let (Some(name), Some(data)) = (name, data) {
                        return (name, Title(serde_json::from_str(&data).expect("JSON")));
                    }
                }
                let frame = self.body.frame().await.expect("the stream goes on").expect("a frame");
                self.text.push_str(std::str::from_utf8(&frame.into_data().expect("data")).expect("UTF-8"));
            }
        })
        .await
        .expect("an event")
    }
}

/// A clip of moving test picture and a tone.
pub fn clip(size: &str, seconds: u32) -> PathBuf {
    let (picture, tone) =
        (format!("testsrc2=size={size}:rate=24:duration={seconds}"), format!("sine=frequency=440:sample_rate=48000:duration={seconds}"));
    let inputs = ["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &tone];
    let codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2"];
    super::clips::clip("mp4", &[inputs.as_slice(), codecs.as_slice()].concat())
}

/// A clip's bytes.
pub fn clip_bytes(size: &str, seconds: u32) -> Bytes {
    fs::read(clip(size, seconds)).expect("read").into()
}
