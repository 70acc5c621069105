//! Segments by the real worker: the same bytes however they are come by, and exactly what was planned.

use std::path::{Path, PathBuf};

use headwater::title::{PlanPolicy, SegmentNumber, TrackId};
use headwater::worker::protocol::MadeSegment;

use crate::clips::{clip, file};
use crate::harness::{Opened, hdr_policy, quick_policy};
use crate::rendition::Rendition;

const PICTURE: &str = "testsrc2=s=320x180:r=25:d=8";
/// Pink noise makes encoders use their noise substitution, whose generator a decoder carries from frame to frame.
const NOISE: &str = "anoisesrc=d=8:c=pink:a=0.5:r=44100:seed=7";

fn made_with(extension: &str, codecs: &[&str]) -> PathBuf {
    let mut arguments = vec!["-f", "lavfi", "-i", PICTURE, "-f", "lavfi", "-i", NOISE];
    arguments.extend_from_slice(codecs);
    clip(extension, &arguments)
}

/// Makes every segment of every track in four ways and wants the same each time; then reads the renditions back.
async fn check(path: &Path, policy: &PlanPolicy) -> Vec<MadeSegment> {
    let name = path.display();
    let mut opened = Opened::new(path, policy).await.unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
    let made = opened.make_all().await;
    let same = |how: &str, segment: &MadeSegment| {
        let first = &made[&segment.track][segment.number.0 as usize];
        assert!(
            first == segment,
            "{name}: {} {} differs when made {how}: {} against {}",
            segment.track,
            segment.number,
            told(first),
            told(segment)
        );
    };
    let mut backwards = Opened::again(path, &opened.facts, &opened.plan).await;
    for number in opened.plan.timeline.segments().collect::<Vec<_>>().into_iter().rev() {
        backwards.make(number).await.iter().for_each(|segment| same("in reverse order", segment));
        let mut fresh = Opened::again(path, &opened.facts, &opened.plan).await;
        fresh.make(number).await.iter().for_each(|segment| same("by a fresh worker", segment));
    }
    let mut alone = Opened::again(path, &opened.facts, &opened.plan).await;
    for track in opened.plan.tracks() {
        for number in opened.plan.timeline.segments() {
            let segments = alone.worker.make(number, &[track]).await.expect("made");
            segments.iter().for_each(|segment| same("alone", segment));
        }
    }
    for (track, segments) in &made {
        Rendition::new(&opened, *track, segments).prove(&opened.plan);
    }
    made.into_values().flatten().collect()
}

fn told(segment: &MadeSegment) -> String {
    format!("{} bytes, {} concealed, {} dropped", segment.bytes.len(), segment.concealed, segment.dropped)
}

fn of_pictures(made: &[MadeSegment]) -> impl Iterator<Item = &MadeSegment> {
    made.iter().filter(|segment| segment.track == TrackId::video(0))
}

fn of_track(made: &[MadeSegment], index: u8) -> impl Iterator<Item = &MadeSegment> {
    made.iter().filter(move |segment| segment.track == TrackId::video(index))
}

fn none_concealed(made: &[MadeSegment]) {
    for segment in made {
        assert_eq!((segment.concealed, segment.dropped), (0, 0), "{} {}", segment.track, segment.number);
    }
}

#[tokio::test]
async fn h264_with_closed_groups_and_aac() {
    let clip = made_with("mp4", &["-c:v", "libx264", "-g", "40", "-bf", "3", "-c:a", "aac", "-shortest"]);
    none_concealed(&check(&clip, &quick_policy()).await);
}

#[tokio::test]
async fn h264_with_open_groups() {
    let codecs = ["-c:v", "libx264", "-g", "30", "-bf", "3", "-x264-params", "open-gop=1:b-pyramid=normal", "-c:a", "aac", "-shortest"];
    for extension in ["mp4", "mkv", "ts"] {
        none_concealed(&check(&made_with(extension, &codecs), &quick_policy()).await);
    }
}

/// No key frame after the first: pictures heal from left to right, and only after a while are they whole.
#[tokio::test]
async fn h264_with_rolling_refresh() {
    let codecs = ["-c:v", "libx264", "-g", "50", "-bf", "0", "-x264-params", "intra-refresh=1", "-c:a", "aac", "-shortest"];
    for extension in ["ts", "mp4"] {
        none_concealed(&check(&made_with(extension, &codecs), &quick_policy()).await);
    }
}

#[tokio::test]
async fn hevc_with_open_groups_and_ac3() {
    let codecs =
        ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "open-gop=1:keyint=30:log-level=none", "-c:a", "ac3", "-shortest"];
    none_concealed(&check(&made_with("mkv", &codecs), &quick_policy()).await);
}

#[tokio::test]
async fn mpeg2_transport_stream() {
    for sound in ["mp2", "ac3"] {
        let codecs = ["-c:v", "mpeg2video", "-b:v", "2M", "-g", "15", "-bf", "2", "-c:a", sound, "-shortest", "-output_ts_offset", "3600"];
        none_concealed(&check(&made_with("ts", &codecs), &quick_policy()).await);
    }
}

#[tokio::test]
async fn webm() {
    let vp9 =
        ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "60", "-auto-alt-ref", "1", "-c:a", "libopus", "-shortest"];
    check(&made_with("webm", &vp9), &quick_policy()).await;
    let vp8 =
        ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "60", "-auto-alt-ref", "1", "-c:a", "libvorbis", "-shortest"];
    check(&made_with("webm", &vp8), &quick_policy()).await;
}

#[tokio::test]
async fn avi_and_flash() {
    let avi = ["-c:v", "mpeg4", "-bf", "2", "-g", "40", "-b:v", "1M", "-c:a", "libmp3lame", "-shortest"];
    check(&made_with("avi", &avi), &quick_policy()).await;
    let without_times = ["-c:v", "libx264", "-bf", "2", "-g", "40", "-flags", "+cgop", "-c:a", "libmp3lame", "-shortest"];
    check(&made_with("avi", &without_times), &quick_policy()).await;
    let flash = ["-c:v", "flv", "-g", "40", "-b:v", "1M", "-c:a", "libmp3lame", "-shortest"];
    check(&made_with("flv", &flash), &quick_policy()).await;
}

#[tokio::test]
async fn pictures_at_a_varying_rate() {
    let vary = "select='not(eq(mod(n\\,7)\\,3))*not(between(n\\,60\\,85))'";
    let codecs = ["-vf", vary, "-fps_mode", "vfr", "-c:v", "libx264", "-g", "40", "-bf", "2", "-c:a", "aac", "-shortest"];
    for extension in ["mkv", "mp4"] {
        let made = check(&made_with(extension, &codecs), &quick_policy()).await;
        assert!(of_pictures(&made).all(|segment| segment.dropped == 0));
    }
}

/// Bytes of a broadcast are lost here and there: what can be shown depends on where decoding began, and that is defined.
#[tokio::test]
async fn a_damaged_broadcast() {
    for codecs in [
        ["-c:v", "libx264", "-g", "40", "-bf", "2", "-c:a", "mp2", "-shortest"],
        ["-c:v", "mpeg2video", "-g", "15", "-bf", "2", "-c:a", "mp2", "-shortest"],
    ] {
        let mut bytes = std::fs::read(made_with("ts", &codecs)).expect("read");
        let length = bytes.len();
        for at in [length / 5, length / 2, length * 4 / 5] {
            bytes[at..at + 700].fill(0x55);
        }
        check(&file("ts", &bytes), &quick_policy()).await;
    }
}

#[tokio::test]
async fn a_broadcast_that_changes_its_size_and_sound() {
    let part = |size: &str, channels: &str, offset: &str| {
        let picture = format!("testsrc2=s={size}:r=25:d=4");
        let sound = "sine=f=440:r=48000:d=4";
        let output = ["-c:v", "libx264", "-g", "25", "-c:a", "mp2", "-ac", channels, "-output_ts_offset", offset];
        std::fs::read(clip("ts", &[&["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", sound], output.as_slice()].concat()))
            .expect("read")
    };
    let joined = [part("320x180", "2", "0"), part("640x360", "1", "4"), part("320x240", "2", "8")].concat();
    let made = check(&file("ts", &joined), &quick_policy()).await;
    let concealed: u64 = of_pictures(&made).map(|segment| segment.concealed).sum();
    assert!(concealed <= 2, "{concealed} pictures concealed");
}

/// Two encoders side by side, one of them with a thread of its own.
#[tokio::test]
async fn high_dynamic_range_beside_standard() {
    let metadata = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400:log-level=none";
    let codecs = ["-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", metadata];
    let colours = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc", "-c:a", "aac", "-shortest"];
    let made = check(&made_with("mp4", &[&codecs[..], &colours].concat()), &hdr_policy()).await;
    none_concealed(&made);
    assert_eq!(of_track(&made, 1).count(), of_pictures(&made).count());
}

#[tokio::test]
async fn the_last_segment_first() {
    let clip = made_with("mp4", &["-c:v", "libx264", "-g", "40", "-bf", "3", "-c:a", "aac", "-shortest"]);
    let opened = Opened::new(&clip, &quick_policy()).await.expect("opened");
    let last = SegmentNumber(opened.plan.timeline.segment_count() - 1);
    let mut late = Opened::again(&clip, &opened.facts, &opened.plan).await;
    let first_made = late.make(last).await;
    late.make(SegmentNumber(0)).await;
    assert!(late.make(last).await == first_made);
}

/// Every other picture of a source is white, and every other one is shown: none or all, however its times are rounded.
#[tokio::test]
async fn a_rate_brought_down_does_not_judder() {
    let flicker = "color=black:s=160x96:r=120:d=4,drawbox=c=white:t=fill:enable='mod(n,2)'";
    for extension in ["mkv", "mp4", "ts"] {
        let upload = clip(extension, &["-f", "lavfi", "-i", flicker, "-c:v", "libx264", "-preset", "ultrafast", "-g", "60"]);
        let mut opened = Opened::new(&upload, &quick_policy()).await.unwrap_or_else(|failure| panic!("{extension}: {failure:?}"));
        assert_eq!(opened.plan.timeline.frame_rate().fraction(), (60, 1), "{extension}");
        assert_eq!(opened.plan.timeline.frame_count(), 240, "{extension}: no slot is added for a picture that is left out");
        let made = opened.make_all().await;
        let luma = Rendition::new(&opened, TrackId::video(0), &made[&TrackId::video(0)]).luma();
        let white = luma.iter().filter(|luma| **luma > 128.0).count();
        assert!(white == 0 || white == luma.len(), "{extension}: {white} of {} are white", luma.len());
    }
}
