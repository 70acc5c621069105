//! Progressive files played by the browser alone.

use super::{Look, Player, play, sample};
use crate::server::{Server, Title};

#[tokio::test]
async fn a_download_plays_and_seeks_in_a_video_element() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(&data.path().join("data"), &[]).await;
    let title = server.upload("bunny", std::fs::read(sample()).expect("read")).await;
    let title = server.until(title.id(), Title::is_ready).await;
    for rendition in title.0["renditions"].as_array().expect("a list") {
        let report = play(Player::Native, rendition["download"].as_str().expect("a URL"), Look::Nothing).await;
        report.assert_flawless();
        assert_eq!(
            (rendition["width"].as_u64(), rendition["height"].as_u64()),
            (Some(report.levels[0].width.into()), Some(report.levels[0].height.into()))
        );
        let duration_ms = title.0["duration_ms"].as_u64().expect("a length");
        assert!(report.duration_ms.expect("a length").abs_diff(duration_ms) < 25, "{report:#?}");
    }
    assert!(server.stop().await.success());
}
