//! Sizes and shapes of pictures: odd and tiny ones, and those that change in mid-stream.

use std::fs::{self, File};
use std::path::PathBuf;

use headwater::title::{PlanPolicy, RemarkCode, TrackId, plan};
use headwater::worker::{Settings, Worker};

use crate::clips::{clip, file};
use crate::harness::{Opened, hdr_policy, policy, quick_policy, worker_settings};
use crate::rendition::Rendition;

/// Two seconds of a bright picture of that size from `offset` on, in a transport stream.
fn part(size: &str, offset: &str, options: &[&str]) -> Vec<u8> {
    let picture = format!("color=white:s={size}:r=25:d=2");
    let input = ["-f", "lavfi", "-i", &picture];
    let output = ["-output_ts_offset", offset];
    fs::read(clip("ts", &[&input[..], options, &output].concat())).expect("read")
}

/// The brightness of every picture of the largest rendition, shrunk to 16 by 16.
async fn pictures(upload: PathBuf) -> (Opened, Vec<Vec<u8>>) {
    pictures_of(upload, &quick_policy()).await
}

async fn pictures_of(upload: PathBuf, policy: &PlanPolicy) -> (Opened, Vec<Vec<u8>>) {
    let mut opened = Opened::new(&upload, policy).await.unwrap_or_else(|failure| panic!("{}: {failure:?}", upload.display()));
    let made = opened.make_all().await;
    let rendition = |track: TrackId| Rendition::new(&opened, track, &made[&track]);
    for track in made.keys() {
        rendition(*track).prove(&opened.plan);
    }
    let pictures = rendition(TrackId::video(0)).pictures();
    (opened, pictures)
}

/// The share of a picture's columns and of its rows that are bright, as its middle row and column show them.
fn lit(picture: &[u8]) -> (usize, usize) {
    let is_lit = |x: usize, y: usize| usize::from(picture[y * 16 + x] > 128);
    ((0..16).map(|x| is_lit(x, 8)).sum(), (0..16).map(|y| is_lit(8, y)).sum())
}

#[tokio::test]
async fn every_size_is_fitted_into_the_first() {
    for codec in [&["-c:v", "libx264", "-preset", "ultrafast"][..], &["-c:v", "mpeg2video"], &["-c:v", "libx265", "-preset", "ultrafast"]] {
        let sizes = ["320x180", "640x360", "240x180", "320x80", "320x180"];
        let parts = sizes.iter().zip(["0", "2", "4", "6", "8"]).flat_map(|(size, offset)| part(size, offset, codec));
        let (opened, pictures) = pictures(file("ts", &parts.collect::<Vec<u8>>())).await;
        assert_eq!((opened.plan.video[0].width, opened.plan.video[0].height), (320, 180), "{codec:?}");
        let video = opened.facts.videos().next().expect("a picture");
        assert_eq!(video.size_change_count, 4, "{codec:?}");
        assert!(opened.remarks.iter().any(|remark| remark.code == RemarkCode::SizeChanged), "{codec:?}");
        // Four by three leaves an eighth at either side, a quarter as high leaves more than half above and below together.
        for (index, expect) in [(0, (16, 16)), (1, (16, 16)), (2, (12, 16)), (3, (16, 7)), (4, (16, 16))] {
            let (wide, high) = lit(&pictures[index * 50 + 25]);
            assert!(wide.abs_diff(expect.0) <= 1 && high.abs_diff(expect.1) <= 1, "{codec:?}, {}: {wide} by {high}", sizes[index]);
        }
    }
}

#[tokio::test]
async fn pixels_that_change_their_shape_are_fitted() {
    let aspect = |aspect: &str, offset: &str| part("720x576", offset, &["-c:v", "mpeg2video", "-b:v", "2M", "-aspect", aspect]);
    let joined = [aspect("16:9", "0"), aspect("4:3", "2"), aspect("16:9", "4")].concat();
    let (opened, pictures) = pictures(file("ts", &joined)).await;
    let track = &opened.plan.video[0];
    assert!((f64::from(track.width) / f64::from(track.height) - 16.0 / 9.0).abs() < 0.01, "{track:?}");
    assert_eq!((lit(&pictures[25]), lit(&pictures[75]).1, lit(&pictures[125])), ((16, 16), 16, (16, 16)));
    assert!(lit(&pictures[75]).0.abs_diff(12) <= 1, "{:?}", lit(&pictures[75]));
}

#[tokio::test]
async fn odd_and_tiny_pictures_keep_every_line() {
    for (size, expect) in
        [("161x121", (162, 122)), ("33x17", (34, 18)), ("3x3", (4, 4)), ("2x2", (2, 2)), ("1x1", (2, 2)), ("64x3", (64, 4))]
    {
        let picture = format!("color=white:s={size}:r=25:d=1,format=yuv444p");
        let upload = clip("mkv", &["-f", "lavfi", "-i", &picture, "-c:v", "ffv1"]);
        let (opened, pictures) = pictures(upload).await;
        let track = &opened.plan.video[0];
        let close = |side: u32, expect: u32| side.abs_diff(expect) <= side / 50;
        assert!(close(track.width, expect.0) && close(track.height, expect.1), "{size}: {} by {}", track.width, track.height);
        assert!(pictures[10].iter().all(|pixel| *pixel > 220), "{size}: {:?}", pictures[10]);
    }
}

#[tokio::test]
async fn tiny_pictures_of_high_dynamic_range_have_a_rendition_that_plays() {
    for size in ["2x2", "16x16", "62x34"] {
        let picture = format!("color=white:s={size}:r=25:d=1,format=yuv420p10le");
        let colours = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc", "-color_range", "tv"];
        let upload = clip("mkv", &[&["-f", "lavfi", "-i", &picture, "-c:v", "ffv1"][..], &colours].concat());
        let (opened, pictures) = pictures_of(upload, &hdr_policy()).await;
        assert_eq!(pictures.len(), 25, "{size}");
        // None of high dynamic range is this small.
        assert_eq!(opened.plan.video.len(), 1, "{size}: {:?}", opened.plan.video);
        assert!(opened.remarks.iter().any(|remark| remark.code == RemarkCode::HdrToneMapped), "{size}");
        assert!(!opened.remarks.iter().any(|remark| remark.code == RemarkCode::HdrKept), "{size}");
    }
}

#[tokio::test]
async fn the_largest_pictures_are_made_in_the_usual_memory() {
    let picture = "testsrc2=s=7680x4320:r=25:d=0.8";
    let upload = clip("mp4", &["-f", "lavfi", "-i", picture, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]);
    let memory_max_bytes = 2 << 30;
    let settings = Settings { memory_max_bytes, ..worker_settings() };
    let mut worker = Worker::spawn(&settings, File::open(upload).expect("the file")).expect("a worker");
    let facts = worker.survey().await.expect("surveyed").facts;
    let policy = PlanPolicy { memory_max_bytes, preset: "veryfast".into(), ..policy() };
    let (plan, _) = plan(&facts, &policy).expect("a plan");
    worker.open(facts, plan.clone()).await.expect("opened");
    let tracks: Vec<TrackId> = plan.tracks().collect();
    let first = plan.timeline.segments().next().expect("a segment");
    let made = worker.make(first, &tracks).await.expect("made");
    assert_eq!((made.len(), plan.video[0].height), (tracks.len(), 2160));
}
