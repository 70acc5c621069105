//! What the survey finds and what is planned from it, over generated uploads whose truth is known.

use std::fs::File;
use std::path::{Path, PathBuf};

use headwater::title::{Orientation, Plan, Ratio, SourceFacts, TrackId, plan};
use headwater::worker::Worker;

use crate::clips::{clip, ffmpeg};
use crate::harness::{Opened, policy, worker_settings};
use crate::rendition::{Rendition, SHRINK, SIDE, sound_length};

async fn survey(path: &Path) -> (SourceFacts, Plan) {
    let mut worker = Worker::spawn(&worker_settings(), File::open(path).expect("the file")).expect("a worker");
    let facts = worker.survey().await.unwrap_or_else(|failure| panic!("{}: {failure:?}", path.display())).facts;
    let (plan, _) = plan(&facts, &policy()).expect("a plan");
    (facts, plan)
}

fn picture(rate: &str, size: &str, seconds: u32) -> String {
    format!("testsrc2=s={size}:r={rate}:d={seconds}")
}

/// A small picture with these output options.
fn small(extension: &str, options: &[&str]) -> PathBuf {
    let picture = picture("25", "128x96", 2);
    let input = ["-f", "lavfi", "-i", &picture, "-c:v", "libx264", "-preset", "ultrafast"];
    clip(extension, &[input.as_slice(), options].concat())
}

#[tokio::test]
async fn frame_rates_are_exact_in_every_container() {
    let rates = [(24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (30, 1), (50, 1), (60_000, 1001), (60, 1)];
    for (num, den) in rates {
        for extension in ["mp4", "mkv", "ts", "avi", "flv"] {
            let what = format!("{num}/{den} in {extension}");
            let picture = picture(&format!("{num}/{den}"), "64x48", 12);
            let sound = "sine=f=300:r=44100:d=12";
            let codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "1", "-c:a", "libmp3lame"];
            let clip = clip(extension, &[["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", sound].as_slice(), &codecs].concat());
            let (facts, plan) = survey(&clip).await;
            assert_eq!(plan.timeline.frame_rate().fraction(), (num, den), "{what}");
            let video = facts.videos().next().expect("a picture");
            let frames = (f64::from(num) / f64::from(den) * 12.0).ceil() as u64;
            assert!(video.frame_count.abs_diff(frames) <= 1, "{what}: {} frames", video.frame_count);
            assert_eq!((facts.corrupt_packet_count, video.undecodable_lead_count), (0, 0), "{what}");
            let audio = facts.audios().next().expect("sound");
            assert_eq!(audio.discontinuity_count, 0, "{what}");
            let sound_s = (audio.end_sample - audio.first_sample) as f64 / 44_100.0;
            assert!((12.0..12.1).contains(&sound_s), "{what}: {sound_s} s of sound");
        }
    }
}

#[tokio::test]
async fn pictures_are_turned_upright() {
    let stored = small("mp4", &[]);
    let stored = stored.to_str().expect("a path");
    for (degrees, turned) in [("0", false), ("90", true), ("180", false), ("270", true)] {
        let film = clip("mp4", &["-i", stored, "-c", "copy", "-metadata:s:v", &format!("rotate={degrees}")]);
        let mut opened = Opened::new(&film, &policy()).await.expect("opened");
        let orientation = opened.facts.videos().next().expect("a picture").orientation;
        assert_eq!(orientation == Orientation::default(), degrees == "0", "{degrees}: {orientation:?}");
        let (width, height) = (opened.plan.video[0].width, opened.plan.video[0].height);
        assert_eq!((width, height), if turned { (96, 128) } else { (128, 96) }, "{degrees}");
        // As a player shows it.
        let mut show = ffmpeg(&["-i", film.to_str().expect("a path"), "-frames:v", "1", "-vf", SHRINK, "-f", "rawvideo", "-"]);
        let shown = show.output().expect("ffmpeg").stdout;
        let made = opened.make_all().await;
        let ours = &Rendition::new(&opened, TrackId::video(0), &made[&TrackId::video(0)]).pictures()[0];
        let apart: u32 = shown.iter().zip(ours).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        assert_eq!(shown.len(), SIDE * SIDE);
        assert!(apart < 8 * (SIDE * SIDE) as u32, "{degrees}: the picture is {apart} away from the one that is shown");
    }
}

#[tokio::test]
async fn pixels_become_square() {
    for (size, aspect, expect) in
        [("360x288", "64/45", (512, 288)), ("352x288", "12/11", (384, 288)), ("128x96", "1/2", (128, 192)), ("160x90", "1/1", (160, 90))]
    {
        let picture = picture("25", size, 1);
        let filter = format!("setsar={aspect}");
        for extension in ["mp4", "mkv", "ts"] {
            let codec = ["-vf", &filter, "-c:v", "libx264", "-preset", "ultrafast"];
            let (_, plan) = survey(&clip(extension, &[["-f", "lavfi", "-i", &picture].as_slice(), &codec].concat())).await;
            let (width, height) = (plan.video[0].width, plan.video[0].height);
            assert_eq!((width, height), expect, "{size} {aspect} in {extension}");
        }
    }
}

#[tokio::test]
async fn what_is_missing_is_not_invented() {
    let (facts, plan) = survey(&small("mp4", &[])).await;
    assert_eq!((facts.audios().count(), plan.audio.len(), plan.video.len()), (0, 0, 1));
    let sound = clip("m4a", &["-f", "lavfi", "-i", "sine=f=300:r=48000:d=2.5", "-c:a", "aac"]);
    let (facts, plan) = survey(&sound).await;
    // Sound alone has two bit rates.
    assert_eq!((facts.videos().count(), plan.audio.len(), plan.video.len()), (0, 2, 0));
    assert_eq!(plan.video_stream, None);
    let length = sound_length(&plan, TrackId::audio(0)) as f64 / 48_000.0;
    assert!((length - 2.5).abs() < 0.03, "{length} s");
}

#[tokio::test]
async fn a_cover_is_no_film() {
    let cover = clip("png", &["-f", "lavfi", "-i", "testsrc2=s=600x600:d=1", "-frames:v", "1"]);
    let cover = cover.to_str().expect("a path");
    for extension in ["mp3", "m4a"] {
        let codec: &[&str] = if extension == "mp3" { &["-c:a", "libmp3lame", "-id3v2_version", "3"] } else { &["-c:a", "aac"] };
        let streams = ["-map", "0:a", "-map", "1:v", "-c:v", "png", "-disposition:v:0", "attached_pic"];
        let input = ["-f", "lavfi", "-i", "sine=f=300:r=44100:d=3", "-i", cover];
        let (facts, plan) = survey(&clip(extension, &[input.as_slice(), &streams, codec].concat())).await;
        assert_eq!((facts.videos().count(), plan.video.len(), plan.audio.len()), (0, 0, 2), "{extension}");
        let audio = facts.audios().next().expect("sound");
        let length = (audio.end_sample - audio.first_sample) as f64 / 44_100.0;
        assert!((3.0..3.03).contains(&length), "{extension}: {length} s");
    }
}

#[tokio::test]
async fn a_varying_rate_gets_a_steady_grid() {
    let vary = "select='not(mod(n\\,3))+between(n\\,20\\,40)'";
    for extension in ["mp4", "mkv"] {
        let (facts, plan) = survey(&small(extension, &["-vf", vary, "-fps_mode", "vfr"])).await;
        assert_eq!(plan.timeline.frame_rate().fraction(), (25, 1), "{extension}");
        let video = facts.videos().next().expect("a picture");
        assert!(video.interval_regular_count * 100 < video.frame_count * 95, "{extension}: {video:?}");
    }
}

/// A gap in an otherwise steady recording does not bend its rate.
#[tokio::test]
async fn a_gap_does_not_bend_the_rate() {
    let picture = picture("30", "64x48", 30);
    for extension in ["mkv", "mp4", "ts"] {
        let gap = ["-vf", "setpts='PTS+gte(N,400)*0.043/TB'", "-fps_mode", "passthrough", "-enc_time_base", "1/90000"];
        let codec = ["-c:v", "libx264", "-preset", "ultrafast"];
        let (_, plan) = survey(&clip(extension, &[["-f", "lavfi", "-i", &picture].as_slice(), &gap, &codec].concat())).await;
        assert_eq!(plan.timeline.frame_rate().fraction(), (30, 1), "{extension}");
    }
}

/// Presentation begins with whatever comes first, and lasts until the last of it ends.
#[tokio::test]
async fn the_span_is_that_of_all_streams() {
    let picture = picture("25", "128x96", 4);
    for extension in ["mp4", "mkv", "ts"] {
        let inputs = ["-f", "lavfi", "-i", &picture, "-itsoffset", "1", "-f", "lavfi", "-i", "sine=f=300:r=48000:d=5"];
        let codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"];
        let (facts, plan) = survey(&clip(extension, &[inputs.as_slice(), &codecs].concat())).await;
        let video = facts.videos().next().expect("a picture");
        assert_eq!(plan.origin, video.time_base.seconds(video.first_pts), "{extension}");
        let length = plan.timeline.duration();
        assert!((length - Ratio::from_integer(6)).reduced() < Ratio::new(1, 10), "{extension}: {length} s");
        assert!(length > Ratio::new(59, 10), "{extension}: {length} s");
    }
}

/// Ogg tells the end of Opus twice, and the first packet's delay is none of it.
#[tokio::test]
async fn opus_ends_where_it_ended() {
    for length in ["0.1", "2.345", "3"] {
        for extension in ["opus", "mkv", "mp4"] {
            let source = format!("sine=f=300:r=48000:d={length}");
            let (facts, _) = survey(&clip(extension, &["-f", "lavfi", "-i", &source, "-c:a", "libopus"])).await;
            let audio = facts.audios().next().expect("sound");
            let found = (audio.end_sample - audio.first_sample) as f64;
            let expect = length.parse::<f64>().expect("a number") * 48_000.0;
            // Matroska rounds times to milliseconds.
            let off_max = if extension == "mkv" { 48.0 } else { 0.5 };
            assert!((found - expect).abs() <= off_max, "{length} s in {extension}: {found} samples, not {expect}");
        }
    }
}
