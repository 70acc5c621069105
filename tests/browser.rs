//! Titles played by real players in a real browser: in Chromium, on a page of another origin than the media.
//! `tests/browser/play.mjs` does the watching; here is what it is given to watch and what it must have seen. What each player
//! is given stands in a file of its own.

mod both;
mod hls_js;
mod native;
mod shaka;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use headwater::cmaf;
use headwater::playlist::{self, TrackFacts, names};
use headwater::title::Generation;
use tokio::process::Command;

use crate::harness::{Opened, policy};
use crate::server::Title;

/// What the browser saw. Times are in milliseconds of the title.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Which player it saw.
    pub player: String,
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
    /// The first cue after the middle, when subtitles were chosen.
    pub captions: Vec<Caption>,
    /// What was heard, when a sound was chosen: before, after, and later in another level.
    pub sounds: Vec<Sound>,
    /// Thumbnails that were looked at, in the order of time.
    pub thumbnails: Vec<Thumbnail>,
    /// What came of the I-frame playlists, when they were used.
    pub i_frames: Option<IFrames>,
    /// Errors that the player reported, those it got over included.
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

/// A variant as the player read it.
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

/// A cue as it was shown. Times are in milliseconds of the title.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Caption {
    /// What the menu calls its track.
    pub track: String,
    /// The track's language.
    pub language: String,
    /// When it appears.
    pub start_ms: u64,
    /// When it goes.
    pub end_ms: u64,
    /// Where the film was when it was seen.
    pub seen_ms: u64,
    /// What it shows, as HTML.
    pub text: String,
}

/// What was heard.
#[derive(Debug, serde::Deserialize)]
pub struct Sound {
    /// What the menu calls the track that the player says is heard.
    pub track: String,
    /// That track's language.
    pub language: String,
    /// Its channels.
    pub channels: u32,
    /// The strongest frequency, to within 6 Hz.
    pub hz: u32,
}

/// A thumbnail, held against the picture at its time.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Thumbnail {
    /// The moment that it was asked for.
    pub asked_ms: u64,
    /// When its time begins.
    pub start_ms: u64,
    /// Mean difference of its pixels from those shown, 0 to 255.
    pub difference: f64,
}

/// What a player made of the I-frame playlists.
#[derive(Debug, serde::Deserialize)]
pub struct IFrames {
    /// How many it took up.
    pub variants: u32,
    /// Pictures it showed of them.
    pub shown: u32,
    /// Width of those pictures.
    pub width: u32,
    /// Height of those pictures.
    pub height: u32,
}

/// An error of the player.
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

    /// The cue that was seen, after asserting that it came when it should.
    pub fn cue(&self) -> &Caption {
        let [cue] = self.captions.as_slice() else { panic!("one cue: {self:#?}") };
        // Time is looked at four times a second.
        assert!((cue.start_ms..cue.start_ms + 1000).contains(&cue.seen_ms), "{cue:?} ({})", self.player);
        cue
    }

    /// Asserts that each thumbnail shows what is there, all along, and that I-frames were shown.
    pub fn assert_seekable_by_pictures(&self, interval_ms: u64) {
        assert!(self.thumbnails.len() >= 10, "{self:#?}");
        for thumbnail in &self.thumbnails {
            assert!((thumbnail.start_ms..thumbnail.start_ms + interval_ms).contains(&thumbnail.asked_ms), "{thumbnail:?}");
            // Half a second of movement at most, and two lossy encodings.
            assert!(thumbnail.difference < 12.0, "{thumbnail:?}");
        }
        let frames = self.i_frames.as_ref().expect("I-frames");
        assert!(frames.variants > 0 && frames.shown > 0, "{frames:?}");
        assert!(self.levels.iter().any(|level| (level.width, level.height) == (frames.width, frames.height)), "{frames:?}");
    }
}

/// Which player plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Player {
    HlsJs,
    Shaka,
    /// The browser itself.
    Native,
}

/// What is looked at or listened to beside playing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look<'a> {
    /// Nothing.
    Nothing,
    /// The thumbnails of the storyboard at this URL, and the I-frame playlists.
    Pictures(&'a str),
    /// The subtitles of this name.
    Captions(&'a str),
    /// The sound of this name, after the one that the player chose.
    Sound(&'a str),
}

/// Plays the multivariant playlist at this URL.
pub async fn play(player: Player, url: &str, look: Look<'_>) -> Report {
    watch([OsStr::new(url)], player, look).await
}

/// Plays the multivariant playlist in a folder, served without any of Headwater's code.
pub async fn play_folder(player: Player, folder: &Path, look: Look<'_>) -> Report {
    watch([OsStr::new("--folder"), folder.as_os_str(), OsStr::new(names::MULTIVARIANT)], player, look).await
}

/// URL of a title's storyboard.
fn storyboard(title: &Title) -> &str {
    title.0["playback"]["storyboard"].as_str().expect("a URL")
}

async fn watch(what: impl IntoIterator<Item = &OsStr>, player: Player, look: Look<'_>) -> Report {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    assert!(scripts.join("node_modules").exists(), "the browser tests need `make setup`");
    let mut command = Command::new("node");
    command.arg(scripts.join("play.mjs")).args(what).arg("--json").kill_on_drop(true);
    let name = match player {
        Player::HlsJs => "hls",
        Player::Shaka => "shaka",
        Player::Native => "native",
    };
    command.args(["--player", name]);
    match look {
        Look::Nothing => &mut command,
        Look::Pictures(storyboard) => command.args(["--i-frames", "--storyboard", storyboard]),
        Look::Captions(name) => command.args(["--captions", name]),
        Look::Sound(name) => command.args(["--sound", name]),
    };
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
