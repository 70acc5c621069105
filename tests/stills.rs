//! Poster and storyboard by the real worker: the right pictures, in the right size, for little work; and what becomes of a
//! title whose pictures cannot be looked at.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use headwater::title::{SegmentNumber, Storyboard, TrackId, jpeg_size};
use headwater::worker::protocol::MadeStills;
use http::StatusCode;

use crate::browser::sample;
use crate::clips::{clip, ffmpeg};
use crate::harness::{Opened, policy, quick_policy};
use crate::player::{good, join};
use crate::server::{Server, Title, assert_sound, clip_bytes};

/// From 40 on, brighter by 16 every two seconds, a little before each tile's time: the picture of that very time may be one
/// that no other needs.
const STEPS: &str = "color=gray:s=320x180:r=25:d=20,format=yuv420p,geq=lum='40+16*floor((T+0.4)/2)':cb=128:cr=128";

async fn look(path: &Path) -> (Opened, MadeStills) {
    let mut opened = Opened::new(path, &quick_policy()).await.unwrap_or_else(|failure| panic!("{}: {failure:?}", path.display()));
    let stills = opened.worker.look().await.expect("stills");
    (opened, stills)
}

/// The brightness of a JPEG's pixels in limited range, with its size.
fn grey(jpeg: &[u8]) -> (Vec<u8>, u32, u32) {
    let (width, height) = jpeg_size(jpeg).expect("a JPEG");
    let file = crate::clips::file("jpg", jpeg);
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i"]).arg(file).args([
        "-vf",
        "scale=in_range=pc:out_range=tv,format=yuv420p,extractplanes=y",
        "-f",
        "rawvideo",
        "-",
    ]);
    let out = command.output().expect("ffmpeg");
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.stdout.len(), (width * height) as usize);
    (out.stdout, width, height)
}

fn mean((pixels, stride, _): &(Vec<u8>, u32, u32), (x, y, width, height): (u32, u32, u32, u32)) -> f64 {
    let rows = (y..y + height).map(|row| &pixels[(row * stride + x) as usize..][..width as usize]);
    let sum: u64 = rows.flatten().map(|pixel| u64::from(*pixel)).sum();
    sum as f64 / f64::from(width * height)
}

/// Mean brightness of every tile.
fn tiles(board: &Storyboard, stills: &MadeStills) -> Vec<f64> {
    let sheets: Vec<_> = stills.sheets.iter().map(|sheet| grey(sheet)).collect();
    let place = |tile| {
        let (sheet, x, y) = board.place(tile);
        // Away from its edges, where neighbours in one block of the JPEG shine through.
        mean(&sheets[usize::from(sheet)], (x + 16, y + 16, board.tile_width - 32, board.tile_height - 32))
    };
    (0..board.tiles).map(place).collect()
}

#[tokio::test]
async fn each_tile_shows_its_time() {
    let keyed = ["-c:v", "libx264", "-bf", "2", "-x264-params", "keyint=25:min-keyint=25:scenecut=0"];
    let rare = ["-c:v", "libx264", "-bf", "2", "-x264-params", "keyint=infinite:scenecut=0"];
    let open = ["-c:v", "libx264", "-bf", "3", "-x264-params", "open-gop=1:keyint=25:min-keyint=25:scenecut=0"];
    let refreshed = ["-c:v", "libx264", "-bf", "0", "-g", "50", "-x264-params", "intra-refresh=1"];
    let mpeg2 = ["-c:v", "mpeg2video", "-b:v", "1M", "-g", "25", "-sc_threshold", "1000000000", "-bf", "2", "-output_ts_offset", "3600"];
    let vp9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "500"];
    // Where the key frames are not at the tiles' times but near, a tile shows the one before.
    for (extension, codec, is_exact) in [
        ("mp4", keyed.as_slice(), true),
        ("mp4", &rare, true),
        ("mkv", &open, false),
        ("ts", &refreshed, false),
        ("ts", &mpeg2, false),
        ("webm", &vp9, true),
    ] {
        let path = clip(extension, &[["-f", "lavfi", "-i", STEPS].as_slice(), codec].concat());
        let (opened, stills) = look(&path).await;
        let board = Storyboard::of(&opened.plan).expect("a layout");
        assert_eq!((board.tiles, board.tile_width, board.tile_height), (10, 160, 90), "{codec:?}");
        for (tile, found) in tiles(&board, &stills).into_iter().enumerate() {
            let expect = 40.0 + 16.0 * tile as f64;
            let early = if is_exact || tile == 0 { 0.0 } else { 16.0 };
            assert!((expect - early - 5.0..expect + 5.0).contains(&found), "{extension} {codec:?}: tile {tile} is {found}, not {expect}");
        }
        assert_eq!(stills.black_start_ms, 0);
    }
}

#[tokio::test]
async fn the_poster_is_neither_black_nor_faded_nor_flat() {
    // Four seconds of black, a fade in over four, ten of a scene, then a plain card.
    let scene = "testsrc2=s=640x360:r=25:d=24,fade=in:st=4:d=4";
    let card = "drawbox=color=blue:t=fill:enable='gt(t,18)',drawbox=color=black:t=fill:enable='lt(t,4)'";
    let path = clip("mp4", &["-f", "lavfi", "-i", scene, "-vf", card, "-c:v", "libx264", "-g", "25"]);
    let (_, stills) = look(&path).await;
    let poster = grey(&stills.poster.expect("a poster"));
    assert_eq!((poster.1, poster.2), (640, 360));
    let original = Command::new("ffmpeg")
        .args(["-v", "error", "-ss", "12", "-i"])
        .arg(&path)
        .args(["-frames:v", "1", "-vf", "extractplanes=y", "-f", "rawvideo", "-"])
        .stdin(Stdio::null())
        .output()
        .expect("ffmpeg");
    let whole = (0, 0, 640, 360);
    let expect = mean(&(original.stdout, 640, 360), whole);
    assert!((mean(&poster, whole) - expect).abs() < 6.0, "it is from the steady scene");
    assert!((3800..=4600).contains(&stills.black_start_ms), "{} ms", stills.black_start_ms);
}

/// Black for longer than the poster is usually looked for in, or else pictures without any detail.
#[tokio::test]
async fn any_poster_is_better_than_a_black_one() {
    for (seconds, shown_from, shown) in [(75, 70, "white"), (20, 17, "gray")] {
        let source = format!("color=black:s=320x180:r=5:d={seconds}");
        let card = format!("drawbox=color={shown}:t=fill:enable='gte(t,{shown_from})'");
        let path = clip("mp4", &["-f", "lavfi", "-i", &source, "-vf", &card, "-c:v", "libx264", "-g", "5"]);
        let (_, stills) = look(&path).await;
        let poster = mean(&grey(&stills.poster.expect("a poster")), (0, 0, 320, 180));
        assert!(poster > 100.0, "{shown}: {poster}");
    }
}

#[tokio::test]
async fn stills_are_upright_in_square_pixels() {
    let picture = "testsrc2=s=720x576:r=25:d=3,setsar=16/11";
    let wide = clip("mp4", &["-f", "lavfi", "-i", picture, "-c:v", "libx264"]);
    let (opened, stills) = look(&wide).await;
    assert_eq!(opened.plan.deinterlace, None);
    let largest = &opened.plan.video[0];
    assert_eq!(jpeg_size(&stills.poster.expect("a poster")), Some((largest.width, largest.height)));
    assert!(largest.width > largest.height * 17 / 10, "made wide: {} by {}", largest.width, largest.height);

    let turned = tempfile::Builder::new().suffix(".mp4").tempfile().expect("a file");
    let tall = clip("mp4", &["-f", "lavfi", "-i", "testsrc2=s=640x360:r=25:d=3", "-c:v", "libx264"]);
    let tall = tall.to_str().expect("UTF-8");
    let made = ffmpeg(&["-i", tall, "-c", "copy", "-metadata:s:v", "rotate=90", "-y"]).arg(turned.path()).output().expect("ffmpeg");
    assert!(made.status.success());
    let (opened, stills) = look(turned.path()).await;
    assert_eq!(jpeg_size(&stills.poster.expect("a poster")), Some((360, 640)));
    let board = Storyboard::of(&opened.plan).expect("a layout");
    assert_eq!((board.tile_width, board.tile_height), (90, 160));
}

/// A bar runs through the picture, twenty-five pictures woven of fifty fields.
#[tokio::test]
async fn stills_of_interlaced_pictures_are_whole() {
    let bar = "color=gray:s=640x360:r=50:d=4,format=yuv420p,geq=lum='if(between(mod(X+600-T*300,600),0,60),220,40)':cb=128:cr=128";
    let woven = format!("{bar},tinterlace=interleave_top,setfield=tff");
    let path = clip("mp4", &["-f", "lavfi", "-i", &woven, "-c:v", "libx264", "-flags", "+ildct+ilme", "-g", "25"]);
    let (opened, stills) = look(&path).await;
    assert!(opened.plan.deinterlace.is_some());
    let (pixels, width, height) = grey(&stills.poster.expect("a poster"));
    assert_eq!((width, height), (640, 360));
    let at = |x: u32, y: u32| i32::from(pixels[(y * width + x) as usize]);
    let combed = (2..height - 2).flat_map(|y| (0..width).map(move |x| (x, y)));
    let combed = combed.filter(|(x, y)| (2 * at(*x, *y) - at(*x, y - 1) - at(*x, y + 1)).abs() > 50).count();
    assert!(combed < 100, "{combed} places are torn");
}

#[tokio::test]
async fn the_cover_is_the_poster_of_sound() {
    for (extension, codec) in [("mp3", "libmp3lame"), ("m4a", "aac")] {
        let inputs = ["-f", "lavfi", "-i", "sine=f=440:d=3", "-f", "lavfi", "-i", "testsrc2=s=1600x1600:d=1"];
        let outputs = ["-map", "0", "-map", "1", "-c:a", codec, "-c:v", "png", "-frames:v", "1", "-disposition:v", "attached_pic"];
        let path = clip(extension, &[inputs.as_slice(), &outputs].concat());
        let (opened, stills) = look(&path).await;
        assert!(opened.plan.video.is_empty() && stills.sheets.is_empty() && stills.poster_is_cover);
        let poster = stills.poster.expect("a poster");
        assert_eq!(jpeg_size(&poster), Some((1280, 1280)), "{extension}");
        assert!(mean(&grey(&poster), (0, 0, 1280, 1280)) > 60.0);
    }
    let silent = clip("flac", &["-f", "lavfi", "-i", "sine=f=440:d=3"]);
    let (_, stills) = look(&silent).await;
    assert_eq!(stills, MadeStills { poster: None, poster_is_cover: false, sheets: Vec::new(), black_start_ms: 0 });
}

#[tokio::test]
async fn whoever_looks_sees_the_same() {
    let (mut opened, first) = look(&sample()).await;
    opened.make(SegmentNumber(2)).await;
    assert!(opened.worker.look().await.expect("stills") == first, "after a segment");
    let mut other = Opened::again(&sample(), &opened.facts, &opened.plan).await;
    assert!(other.worker.look().await.expect("stills") == first, "by another worker");
}

/// Clock ticks that a process has spent.
fn spent(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    fields[11].parse::<u64>().expect("a number") + fields[12].parse::<u64>().expect("a number")
}

/// Part of the processor time that the stills take of all that is made of a title, in percent.
async fn share_of_stills(path: &Path) -> f64 {
    let policy = headwater::title::PlanPolicy { preset: "veryfast".into(), ..policy() };
    let mut opened = Opened::new(path, &policy).await.expect("opened");
    let pid = opened.worker.pid().expect("it runs");
    let before = spent(pid);
    opened.worker.look().await.expect("stills");
    let looked = spent(pid) - before;
    let tracks: Vec<TrackId> = opened.plan.tracks().collect();
    for number in opened.plan.timeline.segments().collect::<Vec<_>>() {
        opened.worker.make(number, &tracks).await.expect("made");
    }
    let all = spent(pid) - before;
    let percent = 100.0 * looked as f64 / all as f64;
    println!("the stills of {} took {looked} of {all} ticks, {percent:.1} percent", path.display());
    percent
}

#[tokio::test]
async fn looking_costs_little() {
    // The sample's key frames are ten seconds apart and its tiles two, so most of it has to be decoded: the worst case.
    let rare = share_of_stills(&sample()).await;
    assert!(rare < 5.0, "{rare:.1} percent");
    let sample = sample();
    let sample = sample.to_str().expect("UTF-8");
    let codec = ["-c:v", "libx264", "-preset", "superfast", "-crf", "18", "-x264-params", "keyint=48:min-keyint=48:scenecut=0"];
    let usual = share_of_stills(&clip("mp4", &[["-i", sample, "-an"].as_slice(), &codec].concat())).await;
    assert!(usual < 4.0, "{usual:.1} percent");
}

#[tokio::test]
async fn a_title_tells_and_delivers_its_stills() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(&data.path().join("data"), &[]).await;
    let title = server.upload("clip.mp4", clip_bytes("320x180", 9)).await;
    assert!(title.0["playback"]["poster"].is_null());
    let title = server.until(title.id(), Title::is_ready).await;
    let url = |name: &str| title.0["playback"][name].as_str().expect("a URL").to_owned();
    let poster = good(&server, &url("poster")).await;
    assert_eq!(poster.header("content-type"), "image/jpeg");
    assert_eq!(jpeg_size(&poster.body), Some((320, 180)));
    let index = good(&server, &url("storyboard")).await;
    assert_eq!((index.header("content-type"), index.header("vary")), ("text/vtt", "Accept-Encoding"));
    let text = std::str::from_utf8(&index.body).expect("UTF-8");
    assert!(text.starts_with("WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nsprite-0.jpg#xywh=0,0,160,90\n"), "{text}");
    assert!(text.contains("00:00:08.000 --> 00:00:09.0"), "{text}");
    let sprite = good(&server, &join(&url("storyboard"), "sprite-0.jpg")).await;
    assert_eq!(jpeg_size(&sprite.body), Some((800, 90)));
    assert_eq!(server.get(&join(&url("storyboard"), "sprite-1.jpg")).await.status, StatusCode::NOT_FOUND);
    let playlist = String::from_utf8(good(&server, title.hls()).await.body.to_vec()).expect("UTF-8");
    let line = playlist.lines().find(|line| line.starts_with("#EXT-X-I-FRAME-STREAM-INF:")).expect("an I-frame variant");
    let (_, uri) = line.split_once("URI=\"").expect("a URI");
    let frames = good(&server, &join(title.hls(), uri.trim_end_matches('"'))).await;
    assert!(std::str::from_utf8(&frames.body).expect("UTF-8").contains("#EXT-X-I-FRAMES-ONLY"));
    assert_sound(&server.data).await;
    assert!(server.stop().await.success());
}

/// A worker that does everything well but dies as soon as it is to look.
fn blind(folder: &Path) -> PathBuf {
    let path = folder.join("blind-worker");
    let text = format!(
        r#"#!/usr/bin/python3
import os, signal, subprocess, sys
real = subprocess.Popen(["{}", *sys.argv[1:]], stdin=subprocess.PIPE, pass_fds=(3,))
while head := sys.stdin.buffer.read(4):
    body = sys.stdin.buffer.read(int.from_bytes(head, "little"))
    if body == b"\x03":
        real.kill()
        os.kill(os.getpid(), signal.SIGSEGV)
    real.stdin.write(head + body)
    real.stdin.flush()
real.stdin.close()
real.wait()
"#,
        env!("CARGO_BIN_EXE_headwater-worker")
    );
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("made a program");
    path
}

#[tokio::test]
async fn a_title_does_without_stills_that_cannot_be_made() {
    let data = tempfile::tempdir().expect("a directory");
    let worker = blind(data.path());
    let variables = [("HEADWATER_WORKER__PATH", worker.to_str().expect("UTF-8")), ("HEADWATER_WORKER__ATTEMPTS", "2")];
    let server = Server::start(&data.path().join("data"), &variables).await;
    let title = server.upload("clip.mp4", clip_bytes("320x180", 9)).await;
    let title = server.until(title.id(), Title::is_ready).await;
    assert!(title.0["playback"]["poster"].is_null() && title.0["playback"]["storyboard"].is_null());
    let log = server.logged();
    assert_eq!(log.matches("a pass came to nothing").count(), 2, "{log}");
    assert!(log.contains("the title goes without"), "{log}");
    assert_sound(&server.data).await;
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn a_restart_makes_the_stills_that_are_missing() {
    let data = tempfile::tempdir().expect("a directory");
    let worker = blind(data.path());
    let variables = [("HEADWATER_WORKER__PATH", worker.to_str().expect("UTF-8")), ("HEADWATER_WORKER__ATTEMPTS", "100")];
    let server = Server::start(&data.path().join("data"), &variables).await;
    let title = server.upload("clip.mp4", clip_bytes("320x180", 9)).await;
    let all_made = |title: &Title| title.segments_done() > 0 && title.0["progress"]["segments_total"] == title.segments_done();
    let title = server.until(title.id(), all_made).await;
    assert_eq!(title.state(), "processing", "it waits for its stills");
    let directory = server.data.clone();
    server.kill();
    let server = Server::start(&directory, &[]).await;
    let title = server.until(title.id(), Title::is_ready).await;
    assert!(title.0["playback"]["poster"].is_string() && title.0["playback"]["storyboard"].is_string());
    assert_sound(&server.data).await;
    assert!(server.stop().await.success());
}
