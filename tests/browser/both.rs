//! Titles played by each of the players: with subtitles, with the sound switched, and copied.

use std::fs;
use std::path::Path;

use http::{Method, StatusCode};
use serde_json::Value;

use super::{Look, Player, play, play_folder};
use crate::clips::{clip, file};
use crate::server::{self, Server, Title, clip_bytes, headwater, output, request, whole};

const PLAYERS: [Player; 2] = [Player::HlsJs, Player::Shaka];

fn path(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

#[tokio::test]
async fn subtitles_are_shown_at_their_time() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(&data.path().join("data"), &[]).await;
    let title = server.upload("film", clip_bytes("320x240", 40)).await;
    let title = server.until(title.id(), Title::is_ready).await;
    for (language, text) in [("de", "Etwas anderes"), ("pt-BR", "Olá & <i>adeus</i>")] {
        // Over a cut, so that it comes in two segments.
        let file = format!("1\n00:00:21,500 --> 00:00:26,250\n{text}\n");
        let url = server.api(&format!("/api/v1/titles/{}/subtitles/{language}", title.id()));
        assert_eq!(server.send(request(Method::PUT, &url, &[], whole(file))).await.status, StatusCode::CREATED);
    }
    for player in PLAYERS {
        let report = play(player, title.hls(), Look::Captions("Portuguese (BR)")).await;
        report.assert_flawless();
        let cue = report.cue();
        assert_eq!((cue.track.as_str(), cue.language.as_str(), cue.start_ms, cue.end_ms), ("Portuguese (BR)", "pt-BR", 21_500, 26_250));
        assert_eq!(cue.text, "Olá &amp; <i>adeus</i>", "{player:?}");
    }
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn subtitles_of_a_source_are_shown_from_plain_files() {
    let home = tempfile::tempdir().expect("a directory");
    let out = home.path().join("film");
    let srt = file("srt", b"1\n00:00:21,000 --> 00:00:22,500\nOne <i>& only</i>\n\n2\n00:00:25,000 --> 00:00:26,000\nMore\n");
    let inputs = ["-i", &path(&server::clip("320x240", 40)), "-i", &path(&srt)];
    let options = ["-map", "0", "-map", "1", "-c", "copy", "-c:s", "srt", "-metadata:s:s:0", "language=ger", "-output_ts_offset", "10"];
    let film = clip("mkv", &[inputs.as_slice(), &options].concat());
    let made = output(headwater(&["transcode", &path(&film), "--out", &path(&out)])).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for player in PLAYERS {
        let report = play_folder(player, &out, Look::Captions("German")).await;
        report.assert_flawless();
        let cue = report.cue();
        assert_eq!((cue.text.as_str(), cue.language.as_str()), ("One <i>&amp; only</i>", "de"), "{player:?}");
        assert!(cue.start_ms.abs_diff(21_000) < 50 && cue.end_ms - cue.start_ms == 1500, "{player:?}: {cue:?}");
    }
}

#[tokio::test]
async fn subtitles_that_are_not_there_are_noticed() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(&data.path().join("data"), &[]).await;
    let title = server.upload("film", clip_bytes("320x240", 10)).await;
    let title = server.until(title.id(), Title::is_ready).await;
    for player in PLAYERS {
        for look in [Look::Captions("German"), Look::Sound("German")] {
            let report = play(player, title.hls(), look).await;
            assert!(!report.passed && report.failures[0].contains("'German' among"), "{player:?}, {look:?}: {report:#?}");
        }
    }
}

/// English at 440 Hz in 5.1, German at 880 Hz in stereo.
#[tokio::test]
async fn another_sound_is_heard_once_it_is_chosen() {
    let inputs = ["-f", "lavfi", "-i", "testsrc2=s=640x360:r=24:d=20", "-f", "lavfi", "-i", "sine=f=440:r=48000:d=20"];
    let more = ["-f", "lavfi", "-i", "sine=f=880:r=48000:d=20", "-map", "0", "-map", "1", "-map", "2"];
    let codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac:a:1", "2"];
    let surround = ["-filter:a:0", "pan=5.1|FL=c0|FR=c0|FC=c0|LFE=c0|BL=c0|BR=c0"];
    let tags = ["-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu"];
    let film = clip("mkv", &[inputs.as_slice(), &more, &codecs, &surround, &tags].concat());
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(&data.path().join("data"), &[]).await;
    let title = server.upload("film", fs::read(film).expect("the clip")).await;
    let title = server.until(title.id(), Title::is_ready).await;
    let channels: Vec<_> = title.0["audio_renditions"].as_array().expect("a list").iter().map(|each| &each["channels"]).collect();
    assert_eq!(channels, [2, 2, 6]);
    for player in PLAYERS {
        let report = play(player, title.hls(), Look::Sound("German")).await;
        report.assert_flawless();
        let [before, after, later] = report.sounds.as_slice() else { panic!("{player:?}: {report:#?}") };
        assert_eq!((before.track.as_str(), before.language.as_str()), ("English", "en"), "{player:?}");
        assert!(before.hz.abs_diff(440) <= 6, "{player:?}: {before:?}");
        for german in [after, later] {
            assert_eq!((german.track.as_str(), german.language.as_str(), german.channels), ("German", "de", 2), "{player:?}");
            assert!(german.hz.abs_diff(880) <= 6, "{player:?}: {german:?}");
        }
    }
    assert!(server.stop().await.success());
}

/// The picture begins 0.3 s after the sound, has holes, and is cut every five seconds; the sound is of 44.1 kHz.
#[tokio::test]
async fn a_copied_title_plays_from_the_origin() {
    let inputs = ["-itsoffset", "0.3", "-f", "lavfi", "-i", "testsrc2=s=640x360:r=25:d=24", "-f", "lavfi", "-i", "sine=f=440:r=44100:d=25"];
    let picture = ["-vf", "select='not(eq(n,60)+between(n,131,134))'", "-fps_mode", "vfr", "-c:v", "libx264", "-crf", "32", "-g", "125"];
    let film = clip("mp4", &[inputs.as_slice(), &picture, &["-bf", "3", "-c:a", "aac", "-ac", "2"]].concat());
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(&data.path().join("data"), &[]).await;
    let title = server.upload("copied.mp4", fs::read(film).expect("the clip")).await;
    let title = server.until(title.id(), Title::is_ready).await;
    let renditions = ["renditions", "audio_renditions"].into_iter().flat_map(|list| title.0[list].as_array().expect("a list"));
    let methods: Vec<&Value> = renditions.map(|each| &each["method"]).collect();
    assert_eq!(methods, ["copy", "encode", "copy"]);
    for player in PLAYERS {
        play(player, title.hls(), Look::Nothing).await.assert_flawless();
    }
    assert!(server.stop().await.success());
}
