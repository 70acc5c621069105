//! Sockets that outlive a server: one takes over from another under load, and no request is refused or broken.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use command_fds::{CommandFdExt, FdMapping};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::player::Presentation;
use super::server::{Server, Title, assert_sound, clip_bytes, eventually, output};

/// Clients of each kind.
const CLIENTS: usize = 4;
/// Requests that must be answered before the change and after it.
const REQUESTS: u64 = 400;

/// The sockets, as a service manager holds them.
struct Holder {
    public: TcpListener,
    admin: TcpListener,
    notified: UnixDatagram,
    home: tempfile::TempDir,
}

impl Holder {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let bound = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let notified = UnixDatagram::bind(home.path().join("notify")).expect("a socket");
        notified.set_read_timeout(Some(super::server::PATIENCE)).expect("a socket");
        Self { public: bound(), admin: bound(), notified, home }
    }

    /// Starts a server with them, the admin one first. The shell knows the process number that the server will have.
    fn launch(&self, data: &Path) -> Server {
        let mut command = Command::new("bash");
        command.args(["-c", "LISTEN_PID=$$ exec \"$@\"", "bash", env!("CARGO_BIN_EXE_headwater"), "serve"]);
        let passed =
            |socket: &TcpListener, child_fd| FdMapping { parent_fd: OwnedFd::from(socket.try_clone().expect("a socket")), child_fd };
        command.fd_mappings(vec![passed(&self.admin, 3), passed(&self.public, 4)]).expect("no clash");
        let notify = self.home.path().join("notify");
        let variables = [("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "admin:public"), ("NOTIFY_SOCKET", notify.to_str().expect("UTF-8"))];
        Server::launch_by(command, data, &variables)
    }

    /// What a server has said last.
    fn told(&self) -> String {
        let mut text = [0; 256];
        let length = self.notified.recv(&mut text).expect("a message");
        String::from_utf8_lossy(&text[..length]).into_owned()
    }
}

/// What clients have seen.
#[derive(Default)]
struct Seen {
    answered: AtomicU64,
    broken: std::sync::Mutex<Vec<String>>,
    slowest_ms: AtomicU64,
    stop: AtomicBool,
}

impl Seen {
    fn note(&self, began: Instant, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.answered.fetch_add(1, Ordering::SeqCst),
            Err(fault) => {
                self.broken.lock().expect("a lock").push(fault);
                0
            }
        };
        self.slowest_ms.fetch_max(began.elapsed().as_millis() as u64, Ordering::SeqCst);
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// Waits for so many more answers.
    async fn more(&self, count: u64) {
        let until = self.answered.load(Ordering::SeqCst) + count;
        eventually("answers", async || (self.answered.load(Ordering::SeqCst) >= until).then_some(())).await;
    }
}

/// What is asked for, and what must come.
#[derive(Clone)]
struct Asked {
    address: SocketAddr,
    url: String,
    expect: Bytes,
}

impl Asked {
    fn request(&self, last: bool) -> Request<Empty<Bytes>> {
        let request = Request::get(&self.url).header(header::HOST, self.address.to_string());
        let request = if last { request.header(header::CONNECTION, "close") } else { request };
        request.body(Empty::new()).expect("a request")
    }

    async fn stream(&self) -> Result<TokioIo<TcpStream>, String> {
        TcpStream::connect(self.address).await.map(TokioIo::new).map_err(|error| format!("refused: {error}"))
    }

    async fn check(&self, answer: http::Response<hyper::body::Incoming>) -> Result<(), String> {
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| format!("cut: {error}"))?.to_bytes();
        if status == StatusCode::OK && body == self.expect { Ok(()) } else { Err(format!("{status}, {} bytes", body.len())) }
    }

    /// One request on a connection of its own.
    async fn once(&self) -> Result<(), String> {
        let (mut sender, connection) = http1::handshake(self.stream().await?).await.map_err(|error| error.to_string())?;
        let driving = tokio::spawn(connection);
        let answer = sender.send_request(self.request(true)).await.map_err(|error| format!("broken: {error}"))?;
        self.check(answer).await?;
        driving.await.expect("no panic").map_err(|error| format!("ended badly: {error}"))
    }
}

async fn short_connections(asked: Asked, seen: Arc<Seen>) {
    while seen.goes_on() {
        let began = Instant::now();
        seen.note(began, asked.once().await);
    }
}

/// Requests one after another on the same connection, for as long as the server keeps it. One that was never sent, because the
/// server has said goodbye before, is no failure: it is asked on a new connection.
async fn kept_alive(asked: Asked, seen: Arc<Seen>, pause: Duration) {
    while seen.goes_on() {
        let (mut sender, connection) = http1::handshake(asked.stream().await.expect("connected")).await.expect("a handshake");
        let driving = tokio::spawn(connection);
        while seen.goes_on() {
            let began = Instant::now();
            match sender.try_send_request(asked.request(false)).await {
                Ok(answer) => seen.note(began, asked.check(answer).await),
                Err(mut error) => {
                    if error.take_message().is_none() {
                        seen.note(began, Err(format!("broken: {}", error.into_error())));
                    }
                    break;
                }
            }
            tokio::time::sleep(pause).await;
            if sender.ready().await.is_err() {
                break;
            }
        }
        drop(sender);
        driving.await.expect("no panic").ok();
    }
}

async fn h2(asked: Asked, seen: Arc<Seen>) {
    while seen.goes_on() {
        let handshake = http2::handshake(TokioExecutor::new(), asked.stream().await.expect("connected")).await;
        let (mut sender, connection) = handshake.expect("a handshake");
        let driving = tokio::spawn(connection);
        while seen.goes_on() && sender.ready().await.is_ok() {
            let began = Instant::now();
            match sender.try_send_request(asked.request(false)).await {
                Ok(answer) => seen.note(began, asked.check(answer).await),
                Err(mut error) => {
                    if error.take_message().is_none() {
                        seen.note(began, Err(format!("broken: {}", error.into_error())));
                    }
                    break;
                }
            }
        }
        drop(sender);
        driving.await.expect("no panic").ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_takes_over_under_load_and_no_request_is_lost() {
    let home = tempfile::tempdir().expect("a directory");
    let (data, holder) = (home.path().join("data"), Holder::new());
    let first = holder.launch(&data).announced().await;
    assert_eq!(holder.told(), "READY=1\n");
    assert_eq!(first.public, holder.public.local_addr().expect("an address"), "nothing else is bound");
    assert_eq!(first.admin, holder.admin.local_addr().expect("an address"));
    let title = first.upload("film", clip_bytes("640x360", 4)).await;
    let title = first.until(title.id(), Title::is_ready).await;
    let url = Presentation::of(&first, &title).await.tracks[0].segments()[0].clone();
    let expect = super::player::good(&first, &url).await.body;

    let (asked, seen) = (Asked { address: first.public, url, expect }, Arc::new(Seen::default()));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(short_connections(asked.clone(), Arc::clone(&seen)));
        clients.spawn(kept_alive(asked.clone(), Arc::clone(&seen), Duration::from_millis(client as u64 * 20)));
    }
    clients.spawn(h2(asked.clone(), Arc::clone(&seen)));
    seen.more(REQUESTS).await;

    // The next one is there before the first one goes.
    let second = holder.launch(&data);
    eventually("the next server", async || second.logged().contains("waiting for it to leave").then_some(())).await;
    seen.more(10).await;
    first.terminate();
    assert!(first.ended().await.success());
    let second = second.announced().await;
    seen.more(REQUESTS).await;
    assert_eq!([holder.told(), holder.told()], ["STOPPING=1\n", "READY=1\n"]);
    let slowest_beside_ms = seen.slowest_ms.swap(0, Ordering::SeqCst);

    // The next one comes once the one before has ended.
    assert!(second.stop().await.success());
    let third = holder.launch(&data).announced().await;
    seen.more(REQUESTS).await;
    let slowest_after_ms = seen.slowest_ms.load(Ordering::SeqCst);

    seen.stop.store(true, Ordering::SeqCst);
    clients.join_all().await;
    let broken = seen.broken.lock().expect("a lock").clone();
    let answered = seen.answered.load(Ordering::SeqCst);
    assert!(broken.is_empty(), "{} of {answered}: {:?}", broken.len(), &broken[..broken.len().min(10)]);
    println!("{answered} requests; the slowest took {slowest_beside_ms} ms beside the former server and {slowest_after_ms} ms after it");
    assert!(third.stop().await.success());
    assert_sound(&data).await;
}

#[tokio::test]
async fn sockets_that_do_not_fit_are_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let elsewhere = TcpListener::bind("0.0.0.0:0").expect("a port");
    for (name, part) in
        [("films", "FileDescriptorName must be public, tls or admin"), ("tls", "tls.certificate is empty"), ("admin", "needs admin.token")]
    {
        let mut command = Command::new("bash");
        command.args(["-c", "LISTEN_PID=$$ exec \"$@\"", "bash", env!("CARGO_BIN_EXE_headwater"), "serve", "--listen", "127.0.0.1:0"]);
        command.args(["--admin", "127.0.0.1:0", "--data"]).arg(home.path().join("data"));
        command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", name);
        let parent_fd = OwnedFd::from(elsewhere.try_clone().expect("a socket"));
        command.fd_mappings(vec![FdMapping { parent_fd, child_fd: 3 }]).expect("no clash");
        let ended = output(command).await;
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.code() == Some(1) && told.contains(part), "{name}: {told}");
    }
}

/// The units that are documented, as systemd reads them; the programs are those that were built.
#[tokio::test]
async fn the_unit_files_are_sound() {
    if !Command::new("systemd-analyze").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("skipped: systemd-analyze is not here");
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/systemd");
    let mut command = Command::new("systemd-analyze");
    command.arg("verify");
    for name in ["headwater.socket", "headwater-tls.socket", "headwater.service"] {
        let text = std::fs::read_to_string(folder.join(name)).expect("a unit");
        std::fs::write(home.path().join(name), text.replace("/usr/local/bin/headwater", env!("CARGO_BIN_EXE_headwater"))).expect("written");
        command.arg(home.path().join(name));
    }
    let verified = output(command).await;
    let told = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && told.is_empty(), "{told}");
}
