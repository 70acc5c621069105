//! How much the server takes, and how it behaves at its limits: memory under a large upload, drain, a full disk.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::player::{Presentation, good};
use super::server::{Server, Title, assert_sound, clip, clip_bytes, eventually, files, none, request, turn};

/// What a large upload may take beyond an idle server.
const GROWTH_MIB_MAX: u64 = 60;

/// What the reader of a download takes before it has read anything.
const WINDOW_BYTES: u32 = 64 << 10;

/// Highest resident memory of a process so far, in KiB.
fn memory_peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test]
async fn a_large_upload_takes_little_memory() {
    let _turn = turn().await;
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let gib = if std::env::var_os("HEADWATER_TEST_LARGE").is_some() { 10 } else { 2 };
    let server = Server::start(&home.path().join("data"), &[]).await;
    good(&server, &server.api("/api/v1/titles")).await;
    let idle_kib = memory_peak_kib(server.pid());
    // Text, so that no worker has anything to do with it but say so.
    let chunk = Bytes::from(b"This is no film. ".repeat(1 << 16)).slice(..1 << 20);
    let body = StreamBody::new(stream::iter(std::iter::repeat_n(chunk, gib << 10)).map(|chunk| Ok(Frame::data(chunk)))).boxed_unsync();
    let began = Instant::now();
    let length = (gib << 30).to_string();
    let answer = server.send(request(Method::POST, &server.api("/api/v1/titles?name=large"), &[("content-length", &length)], body)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let title = Title(answer.json());
    assert_eq!(title.0["source"]["bytes"], gib << 30);
    let grown_mib = (memory_peak_kib(server.pid()) - idle_kib) >> 10;
    let rate = (gib << 10) as f64 / began.elapsed().as_secs_f64();
    println!("{gib} GiB at {rate:.0} MiB/s: {} MiB idle, {grown_mib} MiB more at the peak", idle_kib >> 10);
    assert!(grown_mib <= GROWTH_MIB_MAX, "{grown_mib} MiB");
    assert_eq!(server.until(title.id(), Title::has_failed).await.0["problem"]["code"], "not-media");
    eventually("the space back", async || files(&server.data.join("store")).is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_server_told_to_stop_finishes_what_it_has_begun() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[]).await;
    let title = server.upload("film", clip_bytes("1280x720", 4)).await;
    let title = server.until(title.id(), Title::is_ready).await;
    let presentation = Presentation::of(&server, &title).await;
    let url = presentation.tracks[0].segments()[0].clone();
    let expect = good(&server, &url).await.body;
    assert!(expect.len() > 4 * WINDOW_BYTES as usize, "most of it does not fit the window: {}", expect.len());

    // A download that stands still, since its reader takes no more than a window of it, and an upload of which half is sent.
    let stream = TokioIo::new(TcpStream::connect(server.public).await.expect("connected"));
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.initial_stream_window_size(WINDOW_BYTES).handshake(stream).await.expect("HTTP/2");
    let driving = tokio::spawn(connection);
    let download = sender.send_request(request(Method::GET, &url, &[], none())).await.expect("answering");
    assert_eq!(download.status(), StatusCode::OK);
    let mut upload = TcpStream::connect(server.admin).await.expect("connected");
    let head = format!("POST /api/v1/titles?name=late HTTP/1.1\r\nhost: {}\r\ncontent-length: 4\r\n\r\nno", server.admin);
    upload.write_all(head.as_bytes()).await.expect("sent");
    eventually("the upload", async || {
        let listed = good(&server, &server.api("/api/v1/titles?state=receiving")).await.json();
        listed["titles"].as_array().is_some_and(|titles| titles.len() == 1).then_some(())
    })
    .await;

    server.terminate();
    let began = Instant::now();
    let (public, data) = (server.public, server.data.clone());
    eventually("closed doors", async || TcpStream::connect(public).await.is_err().then_some(())).await;
    upload.write_all(b"pe").await.expect("sent");
    let mut answer = String::new();
    upload.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(download.into_body().collect().await.expect("the rest").to_bytes(), expect);
    driving.await.expect("no panic").expect("a good end");
    let status = server.ended().await;
    assert!(status.success() && began.elapsed() < Duration::from_secs(20), "{status} after {:?}", began.elapsed());
    assert!(!data.join("run.json").exists());
    assert_sound(&data).await;
}

/// A file system of some MiB, mounted for as long as it lives.
struct TinyDisk(tempfile::TempDir);

impl TinyDisk {
    /// Mounts one; absent where that is not allowed, which it says aloud.
    fn mount(mib: u32) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(directory.path()).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(directory));
        }
        println!("skipped: mounting a tmpfs is not allowed here");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        // Lazily: a worker whose server has just been killed may hold its source for a moment longer.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

/// Takes space on the disk until only so many bytes are free.
fn fill(disk: &TinyDisk, leave_bytes: u64) -> std::path::PathBuf {
    let filler = disk.path().join("filler");
    let state = rustix::fs::statvfs(disk.path()).expect("its state");
    let free_bytes = state.f_bavail * state.f_frsize;
    std::fs::write(&filler, vec![1; usize::try_from(free_bytes.saturating_sub(leave_bytes)).expect("a length")]).expect("filled");
    filler
}

/// A title is half made when the disk fills up to `leave_bytes`, and goes on when there is room again.
async fn fill_and_free(free_min: &str, leave_bytes: u64) {
    let _turn = turn().await;
    let Some(disk) = TinyDisk::mount(128) else { return };
    let data = disk.path().join("data");
    let slowly = [("HEADWATER_DATA__FREE_MIN", free_min), ("HEADWATER_WORKER__COUNT", "1"), ("HEADWATER_VIDEO__PRESET", "veryfast")];
    let server = Server::start(&data, &slowly).await;
    let title = server.upload("film", clip_bytes("640x360", 80)).await;
    server.until(title.id(), |title| title.segments_done() > 0).await;
    let filler = fill(&disk, leave_bytes);
    eventually("work that waits", async || server.logged().contains("work waits").then_some(())).await;
    let stuck = server.title(title.id()).await;
    assert_eq!(stuck.state(), "processing");
    let refused = server.post("another", std::fs::read(clip("640x360", 80)).expect("read")).await;
    assert_eq!((refused.status, refused.problem().as_str()), (StatusCode::INSUFFICIENT_STORAGE, "insufficient-storage"));
    // What is there plays on meanwhile.
    assert_eq!(good(&server, stuck.hls()).await.status, StatusCode::OK);

    std::fs::remove_file(filler).expect("freed");
    let ready = server.until(title.id(), Title::is_ready).await;
    Presentation::of(&server, &ready).await.fetch(&server).await;
    assert!(server.stop().await.success());
    assert_sound(&data).await;
}

#[tokio::test]
async fn work_leaves_the_space_that_is_to_stay_free() {
    fill_and_free("8MiB", 7 << 20).await;
}

#[tokio::test]
async fn a_disk_full_to_the_last_byte_is_outlived() {
    fill_and_free("0B", 0).await;
}
