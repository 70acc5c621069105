//! The worker's sandbox seen from outside: uploads that name other files and addresses reach none of them, and no worker
//! outlives the process that started it.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use headwater::title::{ProblemCode, TrackId};
use headwater::worker::protocol::{Reply, Request, read_message, write_message};
use headwater::worker::{Failure, Worker};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tempfile::TempDir;

use crate::clips::{clip, ffmpeg, uploads};
use crate::harness::{Opened, quick_policy, worker_settings};
use crate::rendition::Rendition;

const WORKER: &str = env!("CARGO_BIN_EXE_headwater-worker");

#[test]
fn nothing_is_let_through() {
    // With threads for encoders these are all that there is more.
    for more in [&[][..], &["--encoder-threads"]] {
        let probe = Command::new(WORKER).arg("--probe-sandbox").args(more).output().expect("the worker");
        assert!(probe.status.success(), "{more:?}: {}", String::from_utf8_lossy(&probe.stderr));
    }
    assert!(!Path::new("/tmp/headwater-worker-escape").exists());
}

/// A folder of media that nobody may open, watched, and an address that nobody may call.
struct Canary {
    folder: TempDir,
    watch: OwnedFd,
    listener: TcpListener,
}

impl Canary {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let film = clip("ts", &["-f", "lavfi", "-i", "testsrc2=s=128x96:r=25:d=2", "-c:v", "libx264"]);
        // Where the kernel lets us, on the port that the attack files of the corpus name.
        let listener = TcpListener::bind("127.0.0.1:18999").or_else(|_| TcpListener::bind("127.0.0.1:0")).expect("a listener");
        listener.set_nonblocking(true).expect("set");
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK).expect("a watch");
        let canary = Self { folder, watch, listener };
        for name in ["canary.ts", "dvb_576i_flagged.ts", "start_3600s_audio_longer.ts", "bbb_720p_aac51.mp4"] {
            let path = canary.folder.path().join(name);
            fs::copy(&film, &path).expect("a canary");
            canary.watch(&path);
        }
        canary
    }

    fn address(&self) -> String {
        self.listener.local_addr().expect("an address").to_string()
    }

    fn watch(&self, path: &Path) {
        let seen = inotify::WatchFlags::OPEN | inotify::WatchFlags::ACCESS;
        inotify::add_watch(&self.watch, path, seen).expect("watched");
    }

    /// Surveys an attack that lies beside the canaries.
    async fn lure(&self, name: &str, attack: &[u8]) -> Result<headwater::worker::protocol::Survey, Failure> {
        let path = self.folder.path().join(name);
        fs::write(&path, attack).expect("written");
        let source = File::open(&path).expect("opened");
        let start = Instant::now();
        let outcome = Worker::spawn(&worker_settings(), source).expect("a worker").survey().await;
        assert!(start.elapsed() < Duration::from_secs(10), "{name} took {:?}", start.elapsed());
        self.assert_untouched(name);
        outcome
    }

    fn assert_untouched(&self, name: &str) {
        let mut events = [0_u8; 4096];
        assert_eq!(rustix::io::read(&self.watch, &mut events).err(), Some(rustix::io::Errno::AGAIN), "{name}: a canary was opened");
        assert_eq!(self.listener.accept().map(|_| ()).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock), "{name}: it called");
    }
}

#[test]
#[should_panic(expected = "a canary was opened")]
fn a_canary_that_is_opened_says_so() {
    let canary = Canary::new();
    File::open(canary.folder.path().join("canary.ts")).expect("opened");
    canary.assert_untouched("this very test");
}

#[tokio::test]
async fn uploads_that_name_others_reach_none() {
    let canary = Canary::new();
    let (folder, address) = (canary.folder.path().display().to_string(), canary.address());
    let playlist = |entry: &str| format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:2,\n{entry}\n#EXT-X-ENDLIST\n");
    let mpd = format!(
        "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\"><Period><AdaptationSet mimeType=\"video/mp2t\">\
         <Representation id=\"1\" bandwidth=\"1\"><BaseURL>http://{address}/canary.ts</BaseURL></Representation></AdaptationSet></Period></MPD>"
    );
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\"><image href=\"http://{address}/a.png\"/><image href=\"{folder}/canary.ts\"/></svg>"
    );
    let master = format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://{address}/low.m3u8\n");
    let sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 18998 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    for (name, attack, code) in [
        ("sibling.mp4", playlist("canary.ts"), ProblemCode::Playlist),
        ("absolute.ts", playlist(&format!("file://{folder}/canary.ts")), ProblemCode::Playlist),
        ("remote.mov", master, ProblemCode::Playlist),
        ("concat.mkv", "ffconcat version 1.0\nfile canary.ts\n".to_owned(), ProblemCode::Playlist),
        ("list.mp4", format!("file '{folder}/canary.ts'\n"), ProblemCode::Playlist),
        ("session.mp4", sdp.to_owned(), ProblemCode::Playlist),
        ("manifest.mp4", mpd, ProblemCode::Playlist),
        ("picture.mp4", svg, ProblemCode::StillImage),
        // Binary in front, so that it is taken for no text and the demuxers get to see it.
        ("masked.ts", format!("\0\u{1}{}", playlist("canary.ts")), ProblemCode::NotMedia),
        (
            "late.ts",
            format!("#EXTM3U\n\0\u{1}\n#EXT-X-TARGETDURATION:4\n#EXTINF:2,\ncanary.ts\nhttp://{address}/x.ts\n"),
            ProblemCode::NotMedia,
        ),
        ("masked.mkv", format!("ffconcat version 1.0\n\u{1}\nfile canary.ts\nfile http://{address}/x.ts\n"), ProblemCode::NotMedia),
    ] {
        match canary.lure(name, attack.as_bytes()).await {
            Err(Failure::Rejected(problem)) => assert_eq!(problem.code, code, "{name}: {problem:?}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn attacks_of_the_corpus_reach_nothing() {
    let Some(folder) = uploads() else { return };
    let canary = Canary::new();
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let attacks: Vec<_> =
        entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("attack_"))).collect();
    assert!(!attacks.is_empty(), "the folder has attack files");
    for path in attacks {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        match canary.lure(&name, &fs::read(&path).expect("read")).await {
            Err(Failure::Rejected(problem)) => assert_eq!(problem.code, ProblemCode::Playlist, "{name}: {problem:?}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// A QuickTime movie whose samples are said to lie in another file (ISO 14496-12 8.7.2): that file's sound is never heard.
#[tokio::test]
async fn a_movie_with_its_samples_elsewhere() {
    let canary = Canary::new();
    let outside = canary.folder.path().join("outside.mov");
    let made = ffmpeg(&["-f", "lavfi", "-i", "sine=f=440:r=48000:d=2", "-c:a", "pcm_s16be", "-y"]).arg(&outside).status().expect("ffmpeg");
    assert!(made.success());
    let film = fs::read(&outside).expect("read");
    canary.watch(&outside);
    for (kind, mut body) in [(*b"url ", format!("file://{}\0", outside.display()).into_bytes()), (*b"alis", alias(&outside))] {
        let mut entry = ((12 + body.len()) as u32).to_be_bytes().to_vec();
        entry.extend_from_slice(&kind);
        entry.extend_from_slice(&[0; 4]);
        entry.append(&mut body);
        let movie = with_reference(&film, &entry);
        let name = String::from_utf8_lossy(&kind).into_owned();
        match canary.lure("reference.mov", &movie).await {
            Err(Failure::Rejected(_)) => continue,
            Err(other) => panic!("{name}: {other:?}"),
            Ok(_) => {}
        }
        // It may be played all the same, but then what is heard is what was uploaded: silence.
        let upload = tempfile::NamedTempFile::new().expect("a file");
        upload.as_file().write_all(&movie).expect("written");
        let mut opened = Opened::new(upload.path(), &quick_policy()).await.expect("opened");
        let made = opened.make_all().await;
        let sound = Rendition::new(&opened, TrackId::audio(0), &made[&TrackId::audio(0)]).sound();
        assert!(sound.iter().all(|sample| sample.abs() < 0.01), "{name}: the other file is heard");
    }
}

/// QuickTime's alias record: fixed fields, then tagged paths; tag 18 is the POSIX path.
fn alias(path: &Path) -> Vec<u8> {
    let path = path.to_str().expect("a path").as_bytes();
    let mut record = vec![0; 150];
    record[4..6].copy_from_slice(&((150 + 4 + path.len() + 4) as u16).to_be_bytes());
    record[7] = 2;
    record.extend_from_slice(&18_u16.to_be_bytes());
    record.extend_from_slice(&(path.len() as u16).to_be_bytes());
    record.extend_from_slice(path);
    record.extend_from_slice(&[0xff, 0xff, 0, 0]);
    record
}

/// The movie with its samples blanked and `entry` in place of its data reference.
fn with_reference(film: &[u8], entry: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at + 8 <= film.len() {
        let size = u32::from_be_bytes([film[at], film[at + 1], film[at + 2], film[at + 3]]) as usize;
        let (name, body) = (&film[at + 4..at + 8], &film[at + 8..at + size]);
        let body = match name {
            b"moov" | b"trak" | b"mdia" | b"minf" | b"dinf" => with_reference(body, entry),
            b"dref" => [&[0, 0, 0, 0, 0, 0, 0, 1], entry].concat(),
            b"mdat" => vec![0; body.len()],
            _ => body.to_vec(),
        };
        out.extend_from_slice(&((body.len() + 8) as u32).to_be_bytes());
        out.extend_from_slice(name);
        out.extend_from_slice(&body);
        at += size;
    }
    out
}

#[test]
fn a_worker_dies_with_its_parent() {
    let film = clip("mp4", &["-f", "lavfi", "-i", "testsrc2=s=128x96:r=25:d=2", "-c:v", "libx264"]);
    // The shell is the parent; the pipes are ours and stay open, so nothing but the parent's death can end the worker.
    let script = "exec 3<\"$1\" 4<&0; \"$2\" --memory-max 4294967296 <&4 & echo $! >&2; wait";
    let mut parent = Command::new("/bin/sh")
        .args(["-c", script, "sh"])
        .args([&film, Path::new(WORKER)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut requests = parent.stdin.take().expect("a pipe");
    let mut replies = parent.stdout.take().expect("a pipe");
    write_message(&mut requests, &Request::Survey).expect("asked");
    while !matches!(read_message::<Reply>(&mut replies).expect("a reply").expect("a reply"), Reply::Surveyed(_)) {}
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(parent.stderr.take().expect("a pipe")), &mut line).expect("a line");
    let pid = Pid::from_raw(line.trim().parse().expect("a number")).expect("a process");
    let worker = pidfd_open(pid, PidfdFlags::empty()).expect("it runs");
    parent.kill().expect("killed");
    parent.wait().expect("dead");
    let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&worker, PollFlags::IN)], Some(&patience)).expect("watched");
    assert_eq!(ended, 1, "the worker outlived its parent");
    drop(requests);
}
