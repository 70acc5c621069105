//! Titles played by Shaka Player.

use std::fs;
use std::net::TcpListener;

use headwater::playlist::names;

use super::{Look, Player, play, sample, storyboard};
use crate::server::{Server, Title};

#[tokio::test]
async fn the_shipped_sample_plays_with_thumbnails_and_in_fast_motion() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(&data.path().join("data"), &[]).await;
    let title = server.upload("bunny.mp4", fs::read(sample()).expect("the sample")).await;
    let title = server.until(title.id(), Title::is_ready).await;
    let report = play(Player::Shaka, title.hls(), Look::Pictures(storyboard(&title))).await;
    report.assert_flawless();
    report.assert_seekable_by_pictures(2000);
    assert_eq!(report.levels.len(), 4, "720p has the rungs 720, 540, 360, 240");
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn an_origin_that_is_not_there_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let report = play(Player::Shaka, &format!("http://{address}/{}", names::MULTIVARIANT), Look::Nothing).await;
    // HTTP_ERROR of its networking.
    assert!(!report.passed && report.errors.iter().any(|error| error.fatal && error.details == "shaka 1002"), "{report:#?}");
}
