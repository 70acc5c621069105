//! What ends without warning: servers and workers killed at any moment lose nothing that was acknowledged, and no one has to
//! help afterwards.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use headwater::catalogue::{self, Catalogue};
use headwater::title::{ContentHash, Generation, SegmentNumber, TitleId, TrackId};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use rustix::process::Signal;

use super::clips::clip;
use super::player::{Presentation, good};
use super::server::{Server, Title, assert_sound, clip_bytes, eventually, files, none, parent_of, request, signal, turn};

type Ledger = BTreeMap<(TrackId, SegmentNumber), ContentHash>;

/// Dice that fall the same way in every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// Segments of the ledger, read while no server runs.
async fn ledger(data: &Path, id: &str) -> Ledger {
    let catalogue = Catalogue::open(&data.join("catalogue.db")).await.expect("the catalogue");
    let rows = match catalogue.ledger(TitleId::parse(id).expect("an id"), Generation::FIRST).await {
        Err(catalogue::Error::NotFound(_)) => Vec::new(),
        rows => rows.expect("read"),
    };
    catalogue.close().await;
    rows.into_iter().map(|row| ((row.track, row.number), row.hash)).collect()
}

/// Lets some time pass that depends on dice: so many requests, none of which changes anything.
async fn dawdle(server: &Server, requests: u64) {
    for _ in 0..requests {
        good(server, &server.api("/healthz")).await;
    }
}

/// Waits until processes have ended.
async fn assert_gone(processes: &[u32], server: u32) {
    for pid in processes {
        // Orphaned or not: nothing that was this server's worker may go on.
        let name = format!("/proc/{pid}/comm");
        let is_worker = || std::fs::read_to_string(&name).is_ok_and(|name| name.starts_with("headwater-worke"));
        let deadline = Instant::now() + Duration::from_secs(5);
        while is_worker() && parent_of(*pid).is_some() {
            assert!(Instant::now() < deadline, "worker {pid} outlived server {server}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_server_killed_at_twenty_moments_finishes_the_title() {
    const KILLS: u64 = 20;
    let _turn = turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    let slowly = [("HEADWATER_WORKER__COUNT", "2"), ("HEADWATER_VIDEO__PRESET", "medium")];
    let mut dice = Dice(0x5eed_0f2a_77e1);
    let mut server = Server::start(&data, &slowly).await;
    let id = server.upload("film", clip_bytes("640x360", 120)).await.id().to_owned();
    let total = 3 * 30;
    let mut before = Ledger::new();
    let mut moments = Vec::new();
    for kill in 0..KILLS {
        // The first ones meet the survey and the beginning, every fourth the start itself, the others the work spread over the title.
        let (segments, requests) = match kill {
            0..3 => (0, dice.below(40)),
            _ if kill % 4 == 3 => (0, dice.below(4)),
            _ => ((before.len() as u64 + 1).max(total * kill / (KILLS + 2)), dice.below(150)),
        };
        eventually("progress", async || {
            let title = server.title(&id).await;
            assert!(!title.has_failed(), "{:#}", title.0);
            (title.segments_done() >= segments || title.is_ready()).then_some(())
        })
        .await;
        dawdle(&server, requests).await;
        let (pid, workers) = (server.pid(), server.workers());
        let state = server.title(&id).await;
        moments.push(format!("{}:{}", state.state(), state.segments_done()));
        server.kill();
        assert_gone(&workers, pid).await;

        assert_sound(&data).await;
        let after = ledger(&data, &id).await;
        for (segment, hash) in &before {
            assert_eq!(after.get(segment), Some(hash), "{segment:?} was lost at kill {kill} ({moments:?})");
        }
        before = after;
        if kill % 5 == 4 {
            // Killed again before it has even come up.
            let server = Server::launch(&data, &slowly);
            let until = Instant::now() + Duration::from_millis(dice.below(60));
            while Instant::now() < until {
                tokio::task::yield_now().await;
            }
            server.kill();
            assert_sound(&data).await;
        }
        server = Server::start(&data, &slowly).await;
    }
    println!("killed at {moments:?}");
    let under_way = moments.iter().filter(|moment| moment.starts_with("processing")).count();
    assert!(under_way >= 12, "the kills are to be spread over the work: {moments:?}");
    let title = server.until(&id, Title::is_ready).await;
    assert_eq!(title.segments_done(), total);
    let served = Presentation::of(&server, &title).await.fetch(&server).await;
    assert!(server.stop().await.success());
    let after = ledger(&data, &id).await;
    assert_eq!(after.len() as u64, total);
    for ((track, number), hash) in &after {
        assert_eq!(ContentHash::of(&served[&format!("1/{track}/{number}.m4s")].body), *hash);
        assert!(before.get(&(*track, *number)).is_none_or(|known| known == hash));
    }
    assert_sound(&data).await;
}

#[tokio::test]
async fn an_upload_that_a_crash_cut_off_leaves_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[]).await;
    let data = server.data.clone();
    // It sends 40 MiB of the 64 it declares, and then waits for ever.
    let chunk = Bytes::from(vec![7; 1 << 20]);
    let sent = stream::iter(vec![chunk; 40]).map(|chunk| Ok(Frame::data(chunk)));
    let body = StreamBody::new(sent.chain(stream::pending())).boxed_unsync();
    let length = (64 << 20).to_string();
    let upload = request(Method::POST, &server.api("/api/v1/titles?name=cut"), &[("content-length", &length)], body);
    let sending = tokio::spawn(server.begin(upload));
    let spool = data.join("spool");
    let written = || files(&spool).iter().map(|file| file.metadata().map_or(0, |file| file.len())).sum::<u64>();
    eventually("40 MiB in the spool", async || (written() >= 39 << 20).then_some(())).await;
    let listed = good(&server, &server.api("/api/v1/titles?state=receiving")).await.json();
    assert_eq!(listed["titles"].as_array().map(Vec::len), Some(1));
    server.kill();
    assert!(sending.await.expect("no panic").is_err(), "it was never acknowledged");
    assert_sound(&data).await;

    let server = Server::start(&data, &[]).await;
    assert_eq!(good(&server, &server.api("/api/v1/titles")).await.json()["titles"].as_array().map(Vec::len), Some(0));
    assert_eq!((files(&spool), files(&data.join("store"))), (vec![], vec![]), "its space is free again");
    assert_sound(&data).await;
}

#[tokio::test]
async fn a_deletion_that_a_crash_cut_off_is_whole_or_was_not() {
    let _turn = turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    let source = clip_bytes("320x240", 10);
    let mut dice = Dice(0xde1e7e);
    let mut ends = [0, 0];
    for round in 0..6 {
        let server = Server::start(&data, &[]).await;
        let title = server.upload("film", source.clone()).await;
        let title = server.until(title.id(), Title::is_ready).await;
        let address = server.api(&format!("/api/v1/titles/{}", title.id()));
        let deleting = tokio::spawn(server.begin(request(Method::DELETE, &address, &[], none())));
        // Even rounds die once it was answered, the others at any moment before or after.
        let answered = if round % 2 == 0 {
            deleting.await.expect("no panic").is_ok_and(|status| status == StatusCode::NO_CONTENT)
        } else {
            for _ in 0..dice.below(400) {
                tokio::task::yield_now().await;
            }
            false
        };
        server.kill();
        assert_sound(&data).await;

        let server = Server::start(&data, &[]).await;
        let found = server.get(&server.api(&format!("/api/v1/titles/{}", title.id()))).await.status;
        let objects = data.join("store").join("titles").join(title.id());
        if found == StatusCode::OK {
            assert!(!answered, "an answered deletion came back");
            let title = server.title(title.id()).await;
            Presentation::of(&server, &title).await.fetch(&server).await;
        } else {
            assert_eq!(found, StatusCode::NOT_FOUND);
            assert_eq!(files(&objects), Vec::<std::path::PathBuf>::new());
        }
        ends[usize::from(found == StatusCode::OK)] += 1;
        assert!(server.stop().await.success());
        assert_sound(&data).await;
    }
    println!("{} deleted, {} kept", ends[0], ends[1]);
}

/// The server's worker other than `before`, once it runs.
async fn next_worker(server: &Server, before: Option<u32>) -> u32 {
    eventually("a worker", async || server.workers().into_iter().find(|pid| Some(*pid) != before)).await
}

/// A server over a title of one segment that takes long to make, once that is being made, with the worker's process number.
async fn making_one_segment(data: &Path) -> (Server, Title, u32) {
    let slowly = [("HEADWATER_WORKER__COUNT", "1"), ("HEADWATER_VIDEO__PRESET", "veryslow")];
    let server = Server::start(data, &slowly).await;
    let title = server.upload("short", clip_bytes("1280x720", 4)).await;
    let title = server.until(title.id(), |title| title.state() == "processing").await;
    assert_eq!(title.segments_done(), 0);
    let worker = next_worker(&server, None).await;
    (server, title, worker)
}

#[tokio::test]
async fn a_segment_that_kills_three_workers_fails_its_title_and_keeps_the_source() {
    let _turn = turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let (server, title, mut worker) = making_one_segment(&home.path().join("data")).await;
    for kill in 0..3 {
        signal(worker, Signal::KILL);
        if kill < 2 {
            worker = next_worker(&server, Some(worker)).await;
        }
    }
    let failed = server.until(title.id(), Title::has_failed).await;
    assert_eq!(failed.0["problem"]["code"], "worker-failed", "{}", failed.0);
    assert!(failed.0["problem"]["detail"].as_str().expect("a detail").contains("segment 0 failed 3 times"), "{}", failed.0);
    assert_eq!(server.get(title.hls()).await.status, StatusCode::NOT_FOUND);
    let directory = server.data.join("store").join("titles").join(title.id());
    eventually("nothing but the source", async || (files(&directory) == [directory.join("source")]).then_some(())).await;
    assert_eq!(std::fs::read(directory.join("source")).expect("read"), clip_bytes("1280x720", 4));
    assert_sound(&server.data).await;
}

#[tokio::test]
async fn a_worker_that_dies_once_is_replaced() {
    let _turn = turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let (server, title, worker) = making_one_segment(&home.path().join("data")).await;
    signal(worker, Signal::KILL);
    assert_ne!(next_worker(&server, Some(worker)).await, worker);
    server.until(title.id(), Title::is_ready).await;
    let metrics = String::from_utf8(good(&server, &server.api("/metrics")).await.body.to_vec()).expect("UTF-8");
    assert!(metrics.lines().any(|line| line.contains("worker_failures") && line.ends_with(" 1")), "{metrics}");
    assert_sound(&server.data).await;
}

#[tokio::test]
async fn a_survey_that_kills_three_workers_keeps_the_source() {
    let home = tempfile::tempdir().expect("a directory");
    let program = home.path().join("dying-worker");
    std::fs::write(&program, "#!/bin/sh\nkill -9 $$\n").expect("written");
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
    let server = Server::start(&home.path().join("data"), &[("HEADWATER_WORKER__PATH", program.to_str().expect("UTF-8"))]).await;
    let title = server.upload("short", clip_bytes("320x240", 10)).await;
    let failed = server.until(title.id(), Title::has_failed).await;
    assert_eq!(failed.0["problem"]["code"], "worker-failed", "{}", failed.0);
    let directory = server.data.join("store").join("titles").join(title.id());
    assert_eq!(std::fs::read(directory.join("source")).expect("kept"), clip_bytes("320x240", 10));
    assert_sound(&server.data).await;
}

#[tokio::test]
async fn a_title_with_hdr_is_finished_although_no_other_gets_it_any_more() {
    let _turn = turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    let rung = "name = \"180p\"\nshort_side = 180\ncrf_tenths = 230\nmaxrate_kbps = 450\nbufsize_kbit = 675\n";
    let ladder = home.path().join("ladder.toml");
    let high = rung.replace("180p", "180p-hdr");
    std::fs::write(&ladder, format!("high_rate_percent = 140\n[[rung]]\n{rung}[[hdr]]\n{high}")).expect("written");
    let ladder = ladder.to_str().expect("UTF-8");
    let picture =
        ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=12", "-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-preset", "ultrafast"];
    let colours = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc", "-x265-params", "log-level=none"];
    let film = std::fs::read(clip("mp4", &[&picture[..], &colours].concat())).expect("read");
    let preset = ("HEADWATER_VIDEO__PRESET", "medium");
    let slowly = |hdr| [("HEADWATER_WORKER__COUNT", "1"), preset, ("HEADWATER_LADDER__FILE", ladder), ("HEADWATER_LADDER__HDR", hdr)];
    let server = Server::start(&data, &slowly("true")).await;
    let title = server.upload("film", film).await;
    let title = server.until(title.id(), |title| title.state() == "processing").await;
    server.kill();

    let server = Server::start(&data, &slowly("false")).await;
    let under_way = server.title(title.id()).await;
    assert!(!under_way.is_final(), "{:#}", under_way.0);
    let ready = server.until(title.id(), Title::is_final).await;
    assert!(ready.is_ready(), "{:#}", ready.0["problem"]);
    let codecs = ready.0["renditions"].as_array().expect("renditions").iter().map(|each| each["codec"].as_str().unwrap_or_default());
    assert_eq!(codecs.filter(|codec| codec.starts_with("hvc1")).count(), 1);
    assert_sound(&server.data).await;
}
