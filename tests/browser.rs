//! Titles played by a real player in a real browser: hls.js in Chromium, on a page of another origin than the media.
//! `tests/browser/play.mjs` does the watching; here is what it is given to watch.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use headwater::cmaf;
use headwater::playlist::{self, TrackFacts, names};
use headwater::title::Generation;
use tokio::process::Command;

use crate::harness::{Opened, policy};
use crate::server::{Server, Title};

/// What the browser saw. Times are in milliseconds of the title.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether every step happened and nothing stalled or failed.
    pub passed: bool,
    /// What did not happen.
    pub failures: Vec<String>,
    /// The duration, once the player learnt it.
    pub duration_ms: Option<u64>,
    /// Where playing ended, when it did.
    pub ended_at_ms: Option<u64>,
    /// The variants, lowest first.
    pub levels: Vec<Level>,
    /// The steps in order, with the size of the pictures that were shown.
    pub played: Vec<Step>,
    /// Errors that hls.js reported, those it got over included.
    pub errors: Vec<PlayerError>,
    /// Pictures decoded.
    pub frames_decoded: u64,
    /// Pictures decoded but not shown in time: a busy machine may drop some.
    pub frames_dropped: u64,
    /// Bytes of sound decoded.
    pub sound_bytes_decoded: u64,
    /// What the page wrote to the console as an error, failed requests included.
    pub console_errors: Vec<String>,
}

/// A variant as hls.js read it.
#[derive(Debug, serde::Deserialize)]
pub struct Level {
    /// Width of its pictures.
    pub width: u32,
    /// Height of its pictures.
    pub height: u32,
}

/// A step that was played.
#[derive(Debug, serde::Deserialize)]
pub struct Step {
    /// Its name: `start`, `whole`, `middle`, `lowest`, `highest`, `near the end`, `end`.
    pub step: String,
    /// Width of the pictures shown.
    pub width: u32,
    /// Height of the pictures shown.
    pub height: u32,
}

/// An error of hls.js.
#[derive(Debug, serde::Deserialize)]
pub struct PlayerError {
    /// Whether playing ended by it.
    pub fatal: bool,
    /// Its kind.
    pub details: String,
}

impl Report {
    /// Asserts that a viewer had nothing to complain of: all steps, no error, each level in its size, sound.
    pub fn assert_flawless(&self) {
        assert!(self.passed && self.errors.is_empty() && self.console_errors.is_empty(), "{self:#?}");
        let shown = |name: &str| self.played.iter().find(|step| step.step == name).map(|step| (step.width, step.height));
        let level = |level: Option<&Level>| level.map(|level| (level.width, level.height));
        assert!(shown("end").is_some(), "{self:#?}");
        assert_eq!(shown("lowest"), level(self.levels.first()));
        assert_eq!(shown("highest"), level(self.levels.last()));
        assert!(self.frames_decoded > 2 * self.frames_dropped && self.sound_bytes_decoded > 0, "{self:#?}");
        let (duration_ms, ended_at_ms) = (self.duration_ms.expect("a duration"), self.ended_at_ms.expect("an end"));
        assert!(duration_ms.abs_diff(ended_at_ms) <= 250, "{self:#?}");
    }
}

/// Plays the multivariant playlist at this URL.
pub async fn play(url: &str) -> Report {
    watch([url]).await
}

/// Plays the multivariant playlist in a folder, served without any of Headwater's code.
pub async fn play_folder(folder: &Path) -> Report {
    watch([OsStr::new("--folder"), folder.as_os_str(), OsStr::new(names::MULTIVARIANT)]).await
}

async fn watch(what: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Report {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    assert!(scripts.join("node_modules").exists(), "the browser tests need `make setup`");
    let mut command = Command::new("node");
    command.arg(scripts.join("play.mjs")).args(what).arg("--json").kill_on_drop(true);
    let output = command.output().await.expect("node runs; `make setup` installs what the tests need");
    let report = serde_json::from_slice(&output.stdout);
    report.unwrap_or_else(|error| panic!("no report ({error}): {}", String::from_utf8_lossy(&output.stderr)))
}

/// The clip that Headwater ships.
pub fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("media/samples/bunny.mp4")
}

/// Writes a title as files: what the worker made of the clip, and its playlists.
async fn package(clip: &Path, folder: &Path) {
    let mut opened = Opened::new(clip, &policy()).await.expect("opened");
    let generation = Generation(1);
    let mut facts = BTreeMap::new();
    for (track, segments) in opened.make_all().await {
        let directory = folder.join(names::track_directory(generation, track));
        fs::create_dir_all(&directory).expect("a directory");
        let init = opened.init(track);
        let codec = cmaf::codec_string_of_init(&init).expect("a codec string");
        let sizes: Vec<u64> = segments.iter().map(|segment| segment.bytes.len() as u64).collect();
        let rates = playlist::measure(&opened.plan, track, &sizes);
        facts.insert(track, TrackFacts { codec, peak_bps: Some(rates.peak_bps), average_bps: Some(rates.average_bps), key_frames: None });
        fs::write(directory.join(names::INIT), init).expect("written");
        fs::write(directory.join(names::MEDIA), playlist::media(&opened.plan, track).expect("a playlist")).expect("written");
        for segment in segments {
            fs::write(directory.join(names::segment(segment.number)), segment.bytes).expect("written");
        }
    }
    let multivariant = playlist::multivariant(&opened.plan, generation, &facts).expect("a playlist");
    fs::write(folder.join(names::MULTIVARIANT), multivariant).expect("written");
}

#[tokio::test]
async fn what_is_packaged_plays_from_plain_files() {
    let folder = tempfile::tempdir().expect("a directory");
    package(&sample(), folder.path()).await;
    let report = play_folder(folder.path()).await;
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
    let report = play_folder(folder.path()).await;
    assert!(!report.passed && report.errors.iter().any(|error| error.fatal && error.details == "levelLoadError"), "{report:#?}");
    assert!(!report.failures.is_empty() && !report.console_errors.is_empty(), "{report:#?}");
}

#[tokio::test]
async fn an_origin_that_is_not_there_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let report = play(&format!("http://{address}/{}", names::MULTIVARIANT)).await;
    assert!(!report.passed && report.errors.iter().any(|error| error.fatal && error.details == "manifestLoadError"), "{report:#?}");
}

#[tokio::test]
async fn the_shipped_sample_plays_from_the_origin() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(&data.path().join("data"), &[]).await;
    let title = server.upload("bunny.mp4", fs::read(sample()).expect("the sample")).await;
    let title = server.until(title.id(), Title::is_ready).await;
    let report = play(title.hls()).await;
    report.assert_flawless();
    assert_eq!(report.levels.len(), 4, "720p has the rungs 720, 540, 360, 240");
    assert!(server.stop().await.success());
}
