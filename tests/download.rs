//! Progressive files of real titles, fetched from the real server: as FFmpeg's demuxer, decoders and seeks find them.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

use super::clips::{clip, ffmpeg, uploads};
use super::player::{Presentation, good};
use super::server::{Server, Title, clip_bytes, eventually, output, turn};

/// URL of the file of a title's rendition: of `renditions` or `audio_renditions`.
fn download<'a>(title: &'a Title, list: &str, index: usize) -> &'a str {
    title.0[list][index]["download"].as_str().unwrap_or_else(|| panic!("no file of {list} {index}: {:#}", title.0))
}

/// What `ffprobe` says of streams and format.
async fn probe(url: &str) -> Value {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-of", "json", "-show_streams", "-show_format", url]);
    let probed = output(command).await;
    assert!(probed.status.success() && probed.stderr.is_empty(), "{url}: {}", String::from_utf8_lossy(&probed.stderr));
    serde_json::from_slice(&probed.stdout).expect("JSON")
}

/// A decoded frame: its time in microseconds, and a hash of what it shows or sounds like.
type Frame = (i64, String);

/// The decoded frames of the first stream of a kind; nothing may be wrong with them.
async fn frames(url: &str, kind: &str, before: &[&str], after: &[&str]) -> Vec<Frame> {
    let map = format!("0:{kind}:0");
    let mut arguments = before.to_vec();
    arguments.extend(["-i", url, "-map", &map, "-fps_mode", "passthrough"]);
    arguments.extend(after);
    arguments.extend(["-f", "framemd5", "-"]);
    let decoded = output(ffmpeg(&arguments)).await;
    assert!(decoded.status.success() && decoded.stderr.is_empty(), "{url}: {}", String::from_utf8_lossy(&decoded.stderr));
    let text = String::from_utf8(decoded.stdout).expect("text");
    let base = text.lines().find_map(|line| line.strip_prefix("#tb 0: ")).and_then(|base| base.split_once('/')).expect("a time base");
    let base = (base.0.parse::<i64>().expect("a number"), base.1.parse::<i64>().expect("a number"));
    let fields = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(',').map(str::trim).collect::<Vec<_>>());
    fields.map(|fields| (fields[2].parse::<i64>().expect("a time") * 1_000_000 * base.0 / base.1, fields[5].to_owned())).collect()
}

/// Asserts that both show or sound the same, one frame after the other. Not when: FFmpeg shifts the times of fragments each time it
/// meets a composition offset that lies further below zero than those before.
fn assert_same(ours: &[Frame], theirs: &[Frame], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (our, their) in ours.iter().zip(theirs) {
        assert!(our.1 == their.1, "{what}: {our:?}, {their:?}");
    }
}

/// Asserts that the file of each rendition decodes to what HLS players get of it, and that its times are right.
async fn assert_as_played(server: &Server, title: &Title) {
    let presentation = Presentation::of(server, title).await;
    let playlist = |track: &str| {
        let wanted = format!("/{track}/");
        &presentation.tracks.iter().find(|each| each.url.contains(&wanted)).unwrap_or_else(|| panic!("no {track}")).url
    };
    let duration_s = title.0["duration_ms"].as_f64().expect("a length") / 1000.0;
    let has_sound = !title.0["audio_renditions"].as_array().expect("a list").is_empty();
    for (index, rendition) in title.0["renditions"].as_array().expect("a list").iter().enumerate() {
        let url = download(title, "renditions", index);
        let probed = probe(url).await;
        let streams = probed["streams"].as_array().expect("streams");
        assert_eq!(streams.len(), 1 + usize::from(has_sound), "{url}");
        assert_eq!((&streams[0]["width"], &streams[0]["height"]), (&rendition["width"], &rendition["height"]), "{url}");
        for stream in streams {
            let start_s: f64 = stream["start_time"].as_str().expect("a start").parse().expect("a number");
            let length_s: f64 = stream["duration"].as_str().expect("a length").parse().expect("a number");
            assert!(start_s.abs() < 0.0005 && (length_s - duration_s).abs() < 0.013, "{url}: {stream:#}");
        }
        let pictures = frames(url, "v", &[], &[]).await;
        assert_same(&pictures, &frames(playlist(&format!("v{index}")), "v", &[], &[]).await, url);
        assert_eq!(pictures[0].0, 0, "{url}");
        // One picture a moment, in order; a copied one may last for several moments.
        let steps: Vec<i64> = pictures.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        let step = steps.iter().copied().min().unwrap_or(0);
        let is_whole = |lasts: i64| rendition["method"] == "copy" && (lasts + 2) % step <= 4 + lasts / step;
        assert!(steps.iter().all(|lasts| lasts - step <= 1 || is_whole(*lasts)), "{url}: {steps:?}");
        if has_sound {
            assert_same(&frames(url, "a", &[], &[]).await, &frames(playlist("a0"), "a", &[], &[]).await, url);
        }
        // From anywhere: the picture that is shown then.
        for tenth in [3, 5, 9] {
            let wanted = &pictures[pictures.len() * tenth / 10];
            let at_s = format!("{:.3}", (wanted.0 - 2000).max(0) as f64 / 1e6);
            let found = frames(url, "v", &["-ss", &at_s], &["-frames:v", "1"]).await;
            assert_eq!(found[0].1, wanted.1, "{url} at {at_s} s");
        }
    }
    for index in 0..title.0["audio_renditions"].as_array().expect("a list").len() {
        let url = download(title, "audio_renditions", index);
        assert_same(&frames(url, "a", &[], &[]).await, &frames(playlist(&format!("a{index}")), "a", &[], &[]).await, url);
    }
}

/// A title of a file, once it is ready.
async fn ready(server: &Server, name: &str, source: impl Into<Bytes>) -> Title {
    let title = server.upload(name, source).await;
    server.until(title.id(), Title::is_ready).await
}

#[tokio::test]
async fn a_download_is_what_hls_players_play() {
    let _turn = turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let encoded = [("HEADWATER_VIDEO__COPY", "false"), ("HEADWATER_AUDIO__COPY", "false"), ("HEADWATER_VIDEO__PRESET", "veryfast")];
    let server = Server::start(&home.path().join("data"), &encoded).await;
    // 29.97 a second, so that no cut falls on a frame of sound; B-pictures; two sounds, the first with 5.1.
    let inputs = ["testsrc2=size=640x360:rate=30000/1001:duration=17", "sine=frequency=440:duration=17", "sine=frequency=880:duration=17"];
    let inputs = inputs.map(|input| ["-f", "lavfi", "-i", input]).concat();
    let options = [
        "-map",
        "0",
        "-map",
        "1",
        "-map",
        "2",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "ac3",
        "-filter:a:0",
        "pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0",
    ];
    let source = clip("mkv", &[&inputs[..], &options].concat());
    let title = ready(&server, "Füße im Wind.mkv", std::fs::read(source).expect("read")).await;
    assert_eq!(title.0["audio_renditions"].as_array().map(Vec::len), Some(3), "{:#}", title.0["audio_renditions"]);
    assert_as_played(&server, &title).await;

    let url = download(&title, "renditions", 0);
    let whole = good(&server, url).await;
    assert_eq!(whole.header("content-type"), "video/mp4");
    assert_eq!(
        whole.header("content-disposition"),
        "attachment; filename=\"F__e im Wind 360p.mp4\"; filename*=UTF-8''F%C3%BC%C3%9Fe%20im%20Wind%20360p.mp4"
    );
    let length = whole.body.len();
    for (first, last) in [(0, 0), (0, length - 1), (length / 3, length / 2), (length - 7, length - 1), (1000, length / 2)] {
        let part = server.ask(Method::GET, url, &[("range", &format!("bytes={first}-{last}"))]).await;
        assert_eq!((part.status, part.header("etag")), (StatusCode::PARTIAL_CONTENT, whole.header("etag")));
        assert!(part.body == whole.body.slice(first..=last), "{first} to {last}");
    }
    assert!(!server.logged().contains("ERROR"), "{}", server.logged());
}

#[tokio::test]
async fn two_nodes_and_a_restart_give_the_same_file() {
    let _turn = turn().await;
    let (home, elsewhere) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let source = clip_bytes("320x240", 14);
    let server = Server::start(&home.path().join("data"), &[]).await;
    let title = ready(&server, "film", source.clone()).await;
    let path = download(&title, "renditions", 0).split_once("/t/").expect("a path").1.to_owned();
    let ours = good(&server, download(&title, "renditions", 0)).await;
    let twin = Server::start(&elsewhere.path().join("data"), &[("HEADWATER_WORKER__COUNT", "1")]).await;
    let copy = ready(&twin, "the same film", source).await;
    let theirs = good(&twin, download(&copy, "renditions", 0)).await;
    assert_eq!((ours.header("etag"), &ours.body), (theirs.header("etag"), &theirs.body));
    assert!(server.stop().await.success());
    let again = Server::start(&home.path().join("data"), &[]).await;
    let after = good(&again, &format!("http://{}/t/{path}", again.public)).await;
    for name in ["etag", "last-modified", "content-disposition", "cache-control"] {
        assert_eq!(ours.header(name), after.header(name), "{name}");
    }
    assert_eq!(ours.body, after.body);
}

#[tokio::test]
async fn copied_tracks_of_odd_lengths_are_taken_as_they_are() {
    let _turn = turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[]).await;
    let inputs = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x240:rate=25:duration=13",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:sample_rate=44100:duration=13",
    ];
    // A picture now and then is missing, so that the one before it lasts longer.
    let options = [
        "-vf",
        "select='mod(n+1,30)'",
        "-fps_mode",
        "vfr",
        "-c:v",
        "libx264",
        "-g",
        "50",
        "-bf",
        "2",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "aac",
        "-ac",
        "2",
    ];
    let source = clip("mp4", &[inputs.as_slice(), &options].concat());
    let title = ready(&server, "film", std::fs::read(&source).expect("read")).await;
    assert_eq!((&title.0["renditions"][0]["method"], &title.0["audio_renditions"][0]["method"]), (&"copy".into(), &"copy".into()));
    assert_as_played(&server, &title).await;
    // Copied, so the upload itself tells what is to be seen when.
    let (ours, theirs) =
        (frames(download(&title, "renditions", 0), "v", &[], &[]).await, frames(source.to_str().expect("UTF-8"), "v", &[], &[]).await);
    assert_same(&ours, &theirs, "the upload");
    assert!(ours.iter().zip(&theirs).all(|(our, their)| our.0.abs_diff(their.0) <= 2), "{ours:?}, {theirs:?}");
}

#[tokio::test]
async fn hevc_and_sound_alone_can_be_taken_away() {
    let _turn = turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let ladder = home.path().join("ladder.toml");
    let rungs = "high_rate_percent = 150\n\
        [[rung]]\nname = \"240p\"\nshort_side = 240\ncrf_tenths = 280\nmaxrate_kbps = 450\nbufsize_kbit = 675\n\
        [[hdr]]\nname = \"240p-hdr\"\nshort_side = 240\ncrf_tenths = 280\nmaxrate_kbps = 450\nbufsize_kbit = 675\n";
    std::fs::write(&ladder, rungs).expect("written");
    let hdr = [("HEADWATER_LADDER__HDR", "true"), ("HEADWATER_LADDER__FILE", ladder.to_str().expect("UTF-8"))];
    let server = Server::start(&home.path().join("data"), &hdr).await;
    let inputs = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=24:duration=6", "-f", "lavfi", "-i", "sine=frequency=440:duration=6"];
    let colours = "hdr10=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:log-level=none";
    let options = ["-c:v", "libx265", "-x265-params", colours, "-pix_fmt", "yuv420p10le", "-tag:v", "hvc1", "-c:a", "aac"];
    let source = clip("mp4", &[inputs.as_slice(), &options].concat());
    let title = ready(&server, "film", std::fs::read(source).expect("read")).await;
    assert_eq!(title.0["renditions"][1]["range"], "pq");
    assert_as_played(&server, &title).await;
    let url = download(&title, "renditions", 1);
    assert!(url.ends_with("/download/240p-hdr.mp4"), "{url}");
    let stream = &probe(url).await["streams"][0];
    assert_eq!((&stream["codec_tag_string"], &stream["color_transfer"]), (&"hvc1".into(), &"smpte2084".into()));

    let song = clip("flac", &["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=9"]);
    let song = ready(&server, "song.flac", std::fs::read(song).expect("read")).await;
    assert_eq!(song.0["renditions"].as_array().map(Vec::len), Some(0));
    assert_as_played(&server, &song).await;
    let answer = good(&server, download(&song, "audio_renditions", 0)).await;
    assert_eq!(answer.header("content-type"), "audio/mp4");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"song.m4a\"");
    assert_eq!(probe(download(&song, "audio_renditions", 1)).await["format"]["tags"]["major_brand"], "M4A ");
}

#[tokio::test]
async fn what_is_not_ready_has_no_file_and_is_not_made_for_one() {
    let _turn = turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let slowly = [("HEADWATER_WORKER__COUNT", "1"), ("HEADWATER_VIDEO__PRESET", "slow")];
    let server = Server::start(&home.path().join("data"), &slowly).await;
    let title = server.upload("film", clip_bytes("640x360", 60)).await;
    let title = server.until(title.id(), |title| title.0["playable"] == true).await;
    assert!(title.0["renditions"][0]["download"].is_null() && title.0["audio_renditions"][0]["download"].is_null());
    let url = format!("{}/1/download/360p.mp4", title.hls().strip_suffix("/main.m3u8").expect("a playlist"));
    let asked = Instant::now();
    let early = server.get(&url).await;
    assert_eq!((early.status, early.header("cache-control")), (StatusCode::NOT_FOUND, "public, max-age=2"));
    assert!(asked.elapsed().as_secs() < 4, "it waits for nothing");
    let title = server.until(title.id(), Title::is_ready).await;
    assert_eq!(download(&title, "renditions", 0), url);
    assert_eq!(good(&server, &url).await.header("content-disposition"), "attachment; filename=\"film 360p.mp4\"");
    let former = url.replace("/1/download/", "/2/download/");
    assert_eq!(server.get(&former).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn real_uploads_can_be_taken_away() {
    let Some(folder) = uploads() else { return };
    let _turn = turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[]).await;
    let small = |path: &Path| path.metadata().is_ok_and(|facts| facts.is_file() && facts.len() < 2_000_000);
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| small(path) && path.extension().is_some_and(|end| end != "tsv" && end != "txt"));
    files.sort();
    let mut taken = 0;
    for file in files {
        let title = server.upload("film", std::fs::read(&file).expect("read")).await;
        let ended = eventually("its end", async || Some(server.title(title.id()).await).filter(Title::is_final)).await;
        if ended.is_ready() {
            println!("{}", file.display());
            assert_as_played(&server, &ended).await;
            taken += 1;
        }
    }
    assert!(taken > 0, "the folder has an upload that becomes a title");
    println!("{taken} uploads");
}
