//! The command line as people and scripts use it, against a running server or none.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::player::{Presentation, good, i_frame_uris, join, media, media_uris, multivariant};
use super::server::{Server, Title, clip, eventually, files, headwater, output, turn};

/// How a command ended, and what it said.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    /// What a command that must succeed has printed.
    fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    fn json(self) -> Value {
        serde_json::from_str(&self.good()).expect("JSON")
    }
}

async fn run(arguments: &[&str]) -> Said {
    output(headwater(arguments)).await.into()
}

async fn run_with(arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut command = headwater(arguments);
    command.envs(variables.iter().copied());
    output(command).await.into()
}

/// What stands behind a word at the beginning of a line.
fn value<'a>(text: &'a str, word: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(word)).unwrap_or_else(|| panic!("no {word} in {text}")).trim()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[tokio::test]
async fn a_title_from_the_command_line() {
    let _turn = turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[]).await;
    let at = format!("http://{}", server.admin);
    let file = clip("320x240", 10);
    assert_eq!(run(&["titles", "list", "--server", &at]).await.good(), "There are no titles.\n");
    assert_eq!(run(&["titles", "list", "--json", "--server", &at]).await.json(), Value::Array(vec![]));

    let said = run(&["upload", text(&file), "--name", "The Film", "--wait", "--server", &at]).await.good();
    let id = value(&said, "id").to_owned();
    assert_eq!(value(&said, "name"), "The Film");
    assert!(said.contains(&format!("{id} is ready")), "{said}");
    assert_eq!(good(&server, value(&said, "playback")).await.header("content-type"), "application/vnd.apple.mpegurl");

    let shown = run(&["titles", "show", &id, "--json", "--server", &at]).await.json();
    assert_eq!(shown, server.title(&id).await.0);
    let shown = run(&["titles", "show", &id, "--server", &at]).await.good();
    assert_eq!((value(&shown, "state"), value(&shown, "progress")), ("ready, playable", "100%, 6 of 6 segments"));
    let listed = run(&["titles", "list", "--json", "--server", &at]).await.json();
    assert_eq!(listed[0]["id"], id.as_str());
    let listed = run_with(&["titles", "list", "--state", "ready"], &[("HEADWATER_ADMIN__LISTEN", &server.admin.to_string())]).await;
    assert!(listed.good().lines().nth(1).is_some_and(|line| line.starts_with(&id) && line.ends_with("The Film")));

    assert_eq!(run(&["check", "--data", text(&server.data)]).await.good(), "Every invariant holds.\n");
    assert_eq!(run(&["titles", "delete", &id, "--json", "--server", &at]).await.json(), serde_json::json!({ "deleted": id }));
    for action in ["show", "delete"] {
        let gone = run(&["titles", action, &id, "--server", &at]).await;
        assert_eq!((gone.code, gone.out.as_str()), (Some(1), ""));
        assert!(gone.err.contains("There is no such title."), "{}", gone.err);
    }
}

#[tokio::test]
async fn what_goes_wrong_has_its_exit_code() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[]).await;
    let at = format!("http://{}", server.admin);
    let notes = home.path().join("notes.mp4");
    std::fs::write(&notes, "no film\n").expect("written");
    let failed = run(&["upload", text(&notes), "--wait", "--server", &at]).await;
    assert_eq!(failed.code, Some(1));
    assert!(failed.err.contains("not a video or audio file"), "{}", failed.err);
    let missing = run(&["upload", "/nonexistent/film.mp4", "--server", &at]).await;
    assert!(missing.code == Some(1) && missing.err.contains("/nonexistent/film.mp4"), "{}", missing.err);
    let out = home.path().join("out");
    let refused = run(&["transcode", text(&notes), "--out", text(&out)]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("not a video or audio file") && !out.exists(), "{}", refused.err);
    let nowhere = run(&["check", "--data", text(&home.path().join("nowhere"))]).await;
    assert!(nowhere.code == Some(1) && nowhere.err.contains("is no data directory"), "{}", nowhere.err);
    let nobody = run(&["titles", "list", "--server", "http://127.0.0.1:1"]).await;
    assert!(nobody.code == Some(1) && nobody.err.contains("127.0.0.1:1"), "{}", nobody.err);
    for wrong in [
        ["titles", "show", "not-an-id", "--json"].as_slice(),
        &["titles", "list", "--state", "lost"],
        &["upload"],
        &["transcode", "film.mp4"],
        &["serve", "--port", "1"],
        &["fly"],
        &[],
    ] {
        assert_eq!(run(wrong).await.code, Some(2), "{wrong:?}");
    }
}

#[tokio::test]
async fn every_command_explains_itself() {
    let commands = [
        &["serve"][..],
        &["upload"],
        &["titles"],
        &["titles", "list"],
        &["titles", "show"],
        &["titles", "delete"],
        &["transcode"],
        &["check"],
        &["config"],
    ];
    let overview = run(&["--help"]).await.good();
    for command in commands {
        let help = run(&[command, &["--help"]].concat()).await.good();
        assert!(help.contains("Usage: headwater") && help.contains("Examples:"), "{help}");
        assert!(overview.contains(&format!("  {}", command[0])), "{overview}");
    }
    assert!(run(&["--version"]).await.good().starts_with("headwater "));
}

#[tokio::test]
async fn the_configuration_and_all_its_faults_are_shown() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("headwater.toml");
    std::fs::write(&file, "[worker]\ncount = 3\n").expect("written");
    let variables = [("HEADWATER_CACHE__BYTES", "64MiB"), ("HEADWATER_ADMIN__TOKEN", "sesame"), ("HEADWATER_TEST_MEDIA", "/media")];
    let shown = run_with(&["config", "--config", text(&file)], &variables).await.good();
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("no {key} in {shown}"));
    assert!(line("count = 3 ").ends_with(&format!("# file {}", file.display())));
    assert!(line("bytes = \"64MiB\"").ends_with("# environment HEADWATER_CACHE__BYTES"));
    assert!(line("segment_wait = ").ends_with("# default"));
    assert!(!shown.contains("sesame") && line("token = ").contains("***"));
    assert!(shown.parse::<toml::Table>().is_ok(), "{shown}");

    std::fs::write(&file, "[worker]\ncount = \"three\"\nspeed = 1\n[film]\nx = 1\n").expect("written");
    let variables = [("HEADWATER_CACHE__BYTES", "lots"), ("HEADWATER_VIDEO__PRESET", "warp"), ("HEADWATER_LISTEN", "127.0.0.1:1")];
    for command in [&["config"][..], &["serve", "--data", text(home.path())], &["check"], &["transcode", "a", "--out", "b"]] {
        let wrong = run_with(&[command, &["--config", text(&file)]].concat(), &variables).await;
        assert_eq!((wrong.code, wrong.out.as_str()), (Some(2), ""), "{command:?}");
        for key in ["worker.count", "worker.speed", "film.x", "cache.bytes", "video.preset", "HEADWATER_LISTEN"] {
            assert!(wrong.err.contains(key), "{key} is missing: {}", wrong.err);
        }
    }
}

#[tokio::test]
async fn a_transcoded_directory_is_what_the_server_serves() {
    let _turn = turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let file = clip("640x360", 18);
    let out = home.path().join("public");
    let fast = [("HEADWATER_VIDEO__PRESET", "ultrafast")];
    let printed = run_with(&["transcode", text(&file), "--out", text(&out)], &fast).await.good();
    assert_eq!(printed.trim(), text(&out.join("main.m3u8")));
    let again = run_with(&["transcode", text(&file), "--out", text(&out)], &fast).await;
    assert!(again.code == Some(1) && again.err.contains("not empty"), "{}", again.err);

    // Every file that the playlists name, by its name.
    let read = |name: &str| std::fs::read(out.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut directory = BTreeMap::from([("main.m3u8".to_owned(), read("main.m3u8"))]);
    for name in media_uris(&multivariant(&directory["main.m3u8"])) {
        let playlist = media(&read(&name));
        let map = playlist.segments[0].map.as_ref().expect("a map").uri.clone();
        for uri in playlist.segments.iter().map(|segment| segment.uri.clone()).chain([map]) {
            let uri = join(&name, &uri);
            directory.insert(uri.clone(), read(&uri));
        }
        directory.insert(name.clone(), read(&name));
    }
    for name in i_frame_uris(&multivariant(&directory["main.m3u8"])) {
        directory.insert(name.clone(), read(&name));
    }
    let stills = ["poster.jpg", "sprite-0.jpg", "storyboard.vtt"];
    assert_eq!(directory.len() + stills.len(), files(&out).len(), "there is nothing else: {:?}", files(&out));

    let server = Server::start(&home.path().join("data"), &[]).await;
    let title = server.upload("film", std::fs::read(&file).expect("read")).await;
    let title = server.until(title.id(), Title::is_ready).await;
    eventually("the measured playlist", async || {
        let playlist = good(&server, title.hls()).await;
        (playlist.body == directory["main.m3u8"]).then_some(())
    })
    .await;
    let served = Presentation::of(&server, &title).await.fetch(&server).await;
    assert!(directory.keys().eq(served.keys()), "{:?}", directory.keys());
    for (name, answer) in served {
        assert_eq!(answer.body, directory[&name], "{name}");
    }
    for name in stills {
        let url = join(title.0["playback"]["poster"].as_str().expect("a URL"), name);
        assert_eq!(good(&server, &url).await.body, read(&format!("1/{name}")), "{name}");
    }
}

#[tokio::test]
async fn an_interrupted_transcode_leaves_nothing() {
    let _turn = turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let out = home.path().join("public");
    let mut command = headwater(&["transcode", text(&clip("640x360", 80)), "--out", text(&out)]);
    let mut child = command.env("HEADWATER_VIDEO__PRESET", "slow").stderr(std::process::Stdio::null()).spawn().expect("started");
    eventually("some segments", async || (files(&out).len() > 12).then_some(())).await;
    super::server::signal(child.id(), rustix::process::Signal::INT);
    let status = eventually("its end", || std::future::ready(child.try_wait().expect("its state"))).await;
    assert_eq!((status.code(), out.exists()), (Some(1), false));
}
