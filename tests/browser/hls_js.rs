//! Titles played by hls.js.

use std::fs;
use std::net::TcpListener;

use headwater::playlist::names;

use super::{Look, Player, package, play, play_folder, sample, storyboard};
use crate::fronts::{Front, free_port, is_missing, outcomes};
use crate::server::{Server, Title};

#[tokio::test]
async fn what_is_packaged_plays_from_plain_files() {
    let folder = tempfile::tempdir().expect("a directory");
    package(&sample(), folder.path()).await;
    let report = play_folder(Player::HlsJs, folder.path(), Look::Nothing).await;
    report.assert_flawless();
    assert_eq!(report.levels.len(), 4, "720p has the rungs 720, 540, 360, 240");
    let duration_ms = report.duration_ms.expect("a duration");
    assert!(duration_ms.abs_diff(24_542) <= 100, "the clip has 589 pictures at 24 a second, not {duration_ms} ms");
}

#[tokio::test]
async fn a_title_without_its_segments_is_noticed() {
    let folder = tempfile::tempdir().expect("a directory");
    let multivariant = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=640x360,CODECS=\"avc1.64001e\"\nnothing.m3u8\n";
    fs::write(folder.path().join(names::MULTIVARIANT), multivariant).expect("written");
    let report = play_folder(Player::HlsJs, folder.path(), Look::Nothing).await;
    assert!(!report.passed && report.errors.iter().any(|error| error.fatal && error.details == "levelLoadError"), "{report:#?}");
    assert!(!report.failures.is_empty() && !report.console_errors.is_empty(), "{report:#?}");
}

#[tokio::test]
async fn an_origin_that_is_not_there_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let report = play(Player::HlsJs, &format!("http://{address}/{}", names::MULTIVARIANT), Look::Nothing).await;
    assert!(!report.passed && report.errors.iter().any(|error| error.fatal && error.details == "manifestLoadError"), "{report:#?}");
}

#[tokio::test]
async fn the_shipped_sample_plays_from_the_origin() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(&data.path().join("data"), &[]).await;
    let title = server.upload("bunny.mp4", fs::read(sample()).expect("the sample")).await;
    let title = server.until(title.id(), Title::is_ready).await;
    let report = play(Player::HlsJs, title.hls(), Look::Pictures(storyboard(&title))).await;
    report.assert_flawless();
    report.assert_seekable_by_pictures(2000);
    assert_eq!(report.i_frames.expect("I-frames").variants, 4, "one for each rung");
    assert_eq!(report.levels.len(), 4, "720p has the rungs 720, 540, 360, 240");
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn a_title_plays_through_varnish() {
    if is_missing("varnishd", "varnish") {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[]).await;
    let title = server.upload("bunny.mp4", fs::read(sample()).expect("the sample")).await;
    let title = server.until(title.id(), Title::is_ready).await;
    let front = Front::varnish(home.path(), free_port(), server.public, "").await;
    for _ in 0..2 {
        play(Player::HlsJs, &front.url(&server, title.hls()), Look::Nothing).await.assert_flawless();
    }
    let asked = outcomes(&server).await;
    let fetched = asked["whole"];
    // Multivariant playlists go stale in seconds; all else comes from the front the second time, so that one for each URL is the most.
    play(Player::HlsJs, &front.url(&server, title.hls()), Look::Nothing).await.assert_flawless();
    assert_eq!(outcomes(&server).await["whole"], fetched, "nothing is fetched twice");
    assert!(asked.keys().all(|outcome| ["whole", "not-modified"].contains(&outcome.as_str())), "{asked:?}");
    assert!(server.stop().await.success());
}
