//! Picture and sound stay together: a flash and a beep at the same moment in the upload are so in the renditions, at the
//! start, in the middle and at the end, whatever the container and whatever is odd about its times.

use std::fs;
use std::path::{Path, PathBuf};

use headwater::title::{AudioMethod, PlanPolicy, RemarkCode, TrackId, VideoMethod, plan};

use crate::clips::{clip, file};
use crate::harness::{Opened, copying, quick_policy};
use crate::rendition::Rendition;

/// About when the flashes and beeps come, in seconds; each lasts for two frames. The exact moment is that of a frame.
pub const MOMENTS: [f64; 3] = [2.0, 10.0, 18.0];
const LENGTH_S: f64 = 20.0;
pub const APART_MAX_S: f64 = 0.020;

/// A film of flashes and beeps: its pictures and its sound, lossless, so that cutting off a start is exact.
pub struct Film {
    pub pictures: PathBuf,
    pub sound: PathBuf,
    pub moments: Vec<f64>,
}

impl Film {
    fn new(rate: (u32, u32), samples_a_second: u32) -> Self {
        let per_second = f64::from(rate.0) / f64::from(rate.1);
        let frames = MOMENTS.map(|moment| (moment * per_second - 1e-6).ceil());
        let moments: Vec<f64> = frames.iter().map(|frame| frame / per_second).collect();
        let lit = frames.map(|frame| format!("between(n,{frame},{})", frame + 1.0)).join("+");
        let picture = format!("color=black:s=160x96:r={}/{}:d={LENGTH_S},drawbox=c=white:t=fill:enable='{lit}'", rate.0, rate.1);
        let loud = moments.iter().map(|moment| format!("between(t,{moment},{})", moment + 2.0 / per_second)).collect::<Vec<_>>().join("+");
        let sound = format!("aevalsrc='0.5*sin(2*PI*1000*t)*({loud})':s={samples_a_second}:d={LENGTH_S}");
        let pictures = clip("nut", &["-f", "lavfi", "-i", &picture, "-c:v", "ffv1"]);
        Self { pictures, sound: clip("wav", &["-f", "lavfi", "-i", &sound]), moments }
    }

    /// An upload of it; each stream begins that late, its own start cut off.
    fn late(&self, extension: &str, sound_late: &str, picture_late: &str, options: &[&str]) -> PathBuf {
        let (pictures, sound) = (text(&self.pictures), text(&self.sound));
        let inputs =
            ["-itsoffset", picture_late, "-ss", picture_late, "-i", pictures, "-itsoffset", sound_late, "-ss", sound_late, "-i", sound];
        clip(extension, &[inputs.as_slice(), &["-map", "0:v", "-map", "1:a"], options].concat())
    }

    pub fn upload(&self, extension: &str, options: &[&str]) -> PathBuf {
        self.late(extension, "0", "0", options)
    }
}

const AVC: [&str; 8] = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "50"];
pub const AVC_AAC: [&str; 10] = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "50", "-c:a", "aac"];
pub const AVC_MP2: [&str; 10] = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "50", "-c:a", "mp2"];

/// The usual one.
pub fn pal() -> Film {
    Film::new((25, 1), 44_100)
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

/// The seconds at which `values`, `rate` of them a second, rise above `level` after having been below it for a while.
pub fn rises(values: &[f32], rate: f64, level: f32) -> Vec<f64> {
    let quiet = (rate * 0.5) as usize;
    let mut below = 0;
    let mut found = Vec::new();
    for (index, value) in values.iter().enumerate() {
        if value.abs() >= level {
            if below >= quiet {
                found.push(index as f64 / rate);
            }
            below = 0;
        } else {
            below += 1;
        }
    }
    found
}

/// Makes the upload into renditions and measures them: as many flashes as moments, each with its beep, and where they should
/// be, `slack` seconds either way.
async fn measure(what: &str, upload: &Path, moments: &[f64], slack: f64) -> Opened {
    measure_with(&quick_policy(), what, upload, moments, slack).await
}

async fn measure_with(policy: &PlanPolicy, what: &str, upload: &Path, moments: &[f64], slack: f64) -> Opened {
    let mut opened = Opened::new(upload, policy).await.unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
    let made = opened.make_all().await;
    let rendition = |track: TrackId| Rendition::new(&opened, track, &made[&track]);
    let frame_rate = opened.plan.timeline.frame_rate().as_f64();
    let flashes = rises(&rendition(TrackId::video(0)).luma(), frame_rate, 128.0);
    let beeps = rises(&rendition(TrackId::audio(0)).sound(), f64::from(opened.plan.audio[0].sample_rate), 0.2);
    assert_eq!((flashes.len(), beeps.len()), (moments.len(), moments.len()), "{what}: flashes {flashes:.3?}, beeps {beeps:.3?}");
    let apart: Vec<f64> = flashes.iter().zip(&beeps).map(|(flash, beep)| (flash - beep) * 1000.0).collect();
    let worst = apart.iter().copied().fold(0.0_f64, |worst, apart| if apart.abs() > worst.abs() { apart } else { worst });
    println!("{what:44} {worst:6.1} ms   {apart:5.1?}");
    for ((flash, beep), moment) in flashes.iter().zip(&beeps).zip(moments) {
        assert!((flash - beep).abs() <= APART_MAX_S, "{what}: flash at {flash:.3}, beep at {beep:.3}");
        assert!((flash - moment).abs() <= slack, "{what}: flash at {flash:.3} instead of {moment}");
    }
    opened
}

async fn check(what: &str, upload: PathBuf, film: &Film) {
    measure(what, &upload, &film.moments, 0.1).await;
}

/// With picture and sound copied.
async fn check_copied(what: &str, upload: PathBuf, film: &Film) {
    let opened = measure_with(&copying(quick_policy()), &format!("{what}, copied"), &upload, &film.moments, 0.1).await;
    assert!(matches!(opened.plan.video[0].method, VideoMethod::Copy { .. }), "{what}: the picture is encoded");
    assert!(matches!(opened.plan.audio[0].method, AudioMethod::Copy { .. }), "{what}: the sound is encoded");
}

/// Codes of what is told of the source.
pub fn remarks(opened: &Opened) -> Vec<RemarkCode> {
    plan(&opened.facts, &quick_policy()).expect("a plan").1.iter().map(|remark| remark.code).collect()
}

#[tokio::test]
async fn in_every_container() {
    let film = pal();
    let flac_avc = [AVC.as_slice(), &["-c:a", "flac"]].concat();
    let mp3_avc = [AVC.as_slice(), &["-c:a", "libmp3lame"]].concat();
    let ac3_avc = [AVC.as_slice(), &["-c:a", "ac3"]].concat();
    let pcm_avc = [AVC.as_slice(), &["-c:a", "pcm_s16le"]].concat();
    let vp8 = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "300k", "-c:a", "libvorbis"];
    let vp9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "300k", "-c:a", "libopus"];
    for (what, extension, options) in [
        ("mp4, H.264 and AAC", "mp4", AVC_AAC.as_slice()),
        ("mp4, FLAC", "mp4", &[flac_avc.as_slice(), &["-strict", "-2"]].concat()),
        ("mp4, MP3", "mp4", &mp3_avc),
        ("mp4, fragmented", "mp4", &[AVC_AAC.as_slice(), &["-movflags", "frag_keyframe+empty_moov"]].concat()),
        ("mp4, negative composition offsets", "mp4", &[AVC_AAC.as_slice(), &["-movflags", "negative_cts_offsets"]].concat()),
        ("mov, PCM", "mov", &pcm_avc),
        ("mkv", "mkv", &AVC_AAC),
        ("mkv, MP3", "mkv", &mp3_avc),
        ("webm, VP8 and Vorbis", "webm", &vp8),
        ("webm, VP9 and Opus", "webm", &vp9),
        ("avi, H.264 and PCM", "avi", &pcm_avc),
        ("avi, MPEG-4 and PCM", "avi", &["-c:v", "mpeg4", "-bf", "2", "-g", "50", "-c:a", "pcm_s16le"]),
        ("flv", "flv", &AVC_AAC),
        ("flv, Sorenson and MP3", "flv", &["-c:v", "flv", "-g", "50", "-c:a", "libmp3lame"]),
        ("ts, AAC", "ts", &AVC_AAC),
        ("ts, MP2", "ts", &AVC_MP2),
        ("ts, AC-3", "ts", &ac3_avc),
        ("mpg, MPEG-2 and MP2", "mpg", &["-c:v", "mpeg2video", "-bf", "2", "-g", "12", "-c:a", "mp2"]),
        ("ogg, Theora and Vorbis", "ogg", &["-c:v", "libtheora", "-b:v", "300k", "-c:a", "libvorbis"]),
        ("asf, WMV and WMA", "wmv", &["-c:v", "wmv2", "-b:v", "300k", "-c:a", "wmav2"]),
        ("mxf, MPEG-2 and PCM", "mxf", &["-c:v", "mpeg2video", "-bf", "2", "-g", "12", "-c:a", "pcm_s16le", "-ar", "48000"]),
        ("nut", "nut", &AVC_AAC),
    ] {
        check(what, film.upload(extension, options), &film).await;
    }
}

#[tokio::test]
async fn when_copied() {
    let film = pal();
    for extension in ["mp4", "mkv", "ts", "flv", "mov"] {
        check_copied(extension, film.upload(extension, &AVC_AAC), &film).await;
    }
    for extension in ["mp4", "mkv", "ts"] {
        check_copied(&format!("{extension}, late sound"), film.late(extension, "1.1", "0", &AVC_AAC), &film).await;
        check_copied(&format!("{extension}, late picture"), film.late(extension, "0", "1", &AVC_AAC), &film).await;
    }
    check_copied("ts from 3600 s", film.upload("ts", &[AVC_AAC.as_slice(), &["-output_ts_offset", "3600"]].concat()), &film).await;
    check_copied(
        "ts just before its clock wraps",
        film.upload("ts", &[AVC_AAC.as_slice(), &["-output_ts_offset", "95436"]].concat()),
        &film,
    )
    .await;
}

#[tokio::test]
async fn at_every_rate() {
    for (rate, samples_a_second) in [
        ((24_000, 1001), 44_100),
        ((24, 1), 22_050),
        ((30_000, 1001), 44_100),
        ((30, 1), 32_000),
        ((50, 1), 48_000),
        ((60_000, 1001), 44_100),
        ((60, 1), 96_000),
        ((12, 1), 16_000),
        ((100, 1), 44_100),
    ] {
        let film = Film::new(rate, samples_a_second);
        for extension in ["mp4", "mkv", "ts"] {
            let sound = if extension == "ts" { "ac3" } else { "aac" };
            let rate_of_sound: &[&str] = if sound == "ac3" { &["-ar", "48000"] } else { &[] };
            let options = [AVC.as_slice(), &["-c:a", sound], rate_of_sound].concat();
            check(&format!("{extension}, {}/{} and {samples_a_second} Hz", rate.0, rate.1), film.upload(extension, &options), &film).await;
        }
    }
}

#[tokio::test]
async fn when_one_begins_late() {
    let film = pal();
    for extension in ["mp4", "mkv", "ts", "mov"] {
        check(&format!("{extension}, sound late by 1.1 s"), film.late(extension, "1.1", "0", &AVC_AAC), &film).await;
        check(&format!("{extension}, picture late by 1 s"), film.late(extension, "0", "1", &AVC_AAC), &film).await;
    }
}

#[tokio::test]
async fn wherever_time_begins() {
    let film = pal();
    for (what, extension, offset) in [
        ("ts from 10 s", "ts", "10"),
        ("ts from 3600 s", "ts", "3600"),
        ("ts from 37489 s", "ts", "37489"),
        ("ts whose clock wraps after 9 s", "ts", "95434.5"),
        ("ts whose clock wraps soon", "ts", "95442"),
        ("mkv from 10 s", "mkv", "10"),
        ("mp4 from 3600 s", "mp4", "3600"),
        ("flv from 3600 s", "flv", "3600"),
        ("mpg from 3600 s", "mpg", "3600"),
    ] {
        let codecs = if extension == "mpg" { ["-c:v", "mpeg2video", "-bf", "2", "-g", "12", "-c:a", "mp2"].as_slice() } else { &AVC_AAC };
        let upload = film.upload(extension, &[codecs, &["-output_ts_offset", offset]].concat());
        check(what, upload, &film).await;
    }
}

/// Starts cut off without encoding again: an edit list says from where in the first group of pictures to show.
#[tokio::test]
async fn when_an_edit_list_cuts() {
    let film = pal();
    let whole = film.upload("mp4", &AVC_AAC);
    for (what, extension, at) in [
        ("mov, start cut off within a group", "mov", 1.32),
        ("mp4, start cut off within a later group", "mp4", 4.6),
        ("mp4, start cut off at a key frame", "mp4", 4.0),
        ("mov, start cut off within a picture", "mov", 1.33),
        ("mp4, start cut off within a later picture", "mp4", 4.61),
    ] {
        let start = format!("{at}");
        let cut = clip(extension, &["-ss", &start, "-i", text(&whole), "-c", "copy"]);
        let moments: Vec<f64> = film.moments.iter().map(|moment| moment - at).filter(|moment| *moment > 0.0).collect();
        measure(what, &cut, &moments, 0.03).await;
    }
    let cut = clip("mp4", &["-ss", "4.6", "-i", text(&whole), "-c", "copy", "-avoid_negative_ts", "make_zero"]);
    measure("mp4, start cut off, times moved to zero", &cut, &[6.1, 14.1], 0.1).await;
}

#[tokio::test]
async fn at_a_varying_rate() {
    let film = pal();
    // Most pictures are left out, those of the flashes and their neighbours are not.
    let kept = "select='not(mod(n\\,7))+between(mod(n\\,50)\\,0\\,3)+lt(mod(n\\,97)\\,40)'";
    for extension in ["mp4", "mkv"] {
        let options = [AVC_AAC.as_slice(), &["-vf", kept, "-fps_mode", "vfr"]].concat();
        check(&format!("{extension}, varying rate"), film.upload(extension, &options), &film).await;
    }
}

#[tokio::test]
async fn when_interlaced() {
    let film = Film::new((50, 1), 48_000);
    let weave = ["-vf", "tinterlace=mode=interleave_top", "-flags", "+ilme+ildct"];
    for (what, extension, codec) in [
        ("ts, MPEG-2 interlaced", "ts", ["-c:v", "mpeg2video", "-top", "1", "-bf", "2", "-g", "12", "-c:a", "mp2"].as_slice()),
        ("mp4, H.264 interlaced", "mp4", &[AVC_AAC.as_slice(), &["-x264opts", "tff=1"]].concat()),
    ] {
        let upload = film.upload(extension, &[codec, &weave].concat());
        let opened = measure(what, &upload, &film.moments, 0.1).await;
        assert_eq!(opened.plan.timeline.frame_rate().fraction(), (50, 1), "{what}");
    }
}

/// Recordings joined end to end, with pieces cut out, with clocks that go back: time goes on where it was.
#[tokio::test]
async fn when_clocks_leap() {
    let film = pal();
    let part =
        |offset: &str, codecs: &[&str]| fs::read(film.upload("ts", &[codecs, &["-output_ts_offset", offset]].concat())).expect("read");
    for (kind, codecs) in
        [("H.264 and AAC", AVC_AAC.as_slice()), ("MPEG-2 and MP2", &["-c:v", "mpeg2video", "-bf", "2", "-g", "12", "-c:a", "mp2"])]
    {
        let twice: Vec<f64> = [0.0, LENGTH_S].iter().flat_map(|start| film.moments.iter().map(move |moment| moment + start)).collect();
        for (what, offsets) in
            [("two recordings, the later one later", ["10", "5000"]), ("two recordings, the later one earlier", ["5000", "10"])]
        {
            let joined = file("ts", &[part(offsets[0], codecs), part(offsets[1], codecs)].concat());
            let opened = measure(&format!("ts, {what}, {kind}"), &joined, &twice, 0.15).await;
            assert!(remarks(&opened).contains(&RemarkCode::TimestampsRepaired), "{what}: {:?}", remarks(&opened));
            let length = opened.plan.timeline.duration_ms();
            assert!((39_800..40_300).contains(&length), "{what}: {length} ms");
        }
    }
    // More than ten seconds cut out of a recording, bytes and all: both clocks leap by as much, or nearly.
    let whole = part("100", &AVC_AAC);
    let at = |share: usize| whole.len() / 188 * share / 100 * 188;
    let joined = file("ts", &[&whole[..at(18)], &whole[at(82)..]].concat());
    let opened = measure("ts, the middle cut out", &joined, &[2.0, 5.0], 1.5).await;
    assert!(remarks(&opened).contains(&RemarkCode::TimestampsRepaired), "{:?}", remarks(&opened));
    let length = opened.plan.timeline.duration_ms();
    assert!((5_000..9_500).contains(&length), "{length} ms");
}

/// A gap that a recorder may well have left is kept: the last picture stands, and there is silence.
#[tokio::test]
async fn when_there_is_a_gap() {
    let film = pal();
    let gap = ["-vf", "setpts='PTS+gte(T,6)*5/TB'", "-af", "asetpts='PTS+gte(T,6)*5/TB'", "-fps_mode", "passthrough"];
    for (extension, codecs) in [("mkv", AVC_AAC.as_slice()), ("ts", &AVC_MP2), ("mp4", &AVC_AAC)] {
        let upload = film.upload(extension, &[codecs, &gap].concat());
        let opened = measure(&format!("{extension}, a gap of 5 s"), &upload, &[2.0, 15.0, 23.0], 0.1).await;
        assert!(!remarks(&opened).contains(&RemarkCode::TimestampsRepaired), "{extension}: {:?}", remarks(&opened));
    }
}

/// Streams without a container have no times at all; their rate is all there is.
#[tokio::test]
async fn when_there_are_no_times() {
    for (what, extension, codec) in [
        ("bare H.264", "h264", ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "50"].as_slice()),
        ("bare HEVC", "hevc", &["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=50:log-level=none"]),
        ("bare MPEG-2", "m2v", &["-c:v", "mpeg2video", "-bf", "2", "-g", "12"]),
        ("bare MPEG-4", "m4v", &["-c:v", "mpeg4", "-bf", "2", "-g", "50"]),
    ] {
        let film = pal();
        let upload = clip(extension, &[["-i", text(&film.pictures)].as_slice(), codec].concat());
        let mut opened = Opened::new(&upload, &quick_policy()).await.unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
        let made = opened.make_all().await;
        let track = TrackId::video(0);
        let rendition = Rendition::new(&opened, track, &made[&track]);
        rendition.prove(&opened.plan);
        let flashes = rises(&rendition.luma(), 25.0, 128.0);
        assert_eq!(opened.plan.timeline.frame_count(), 500, "{what}");
        assert_eq!(flashes.len(), 3, "{what}: {flashes:?}");
        assert!(flashes.iter().zip(MOMENTS).all(|(flash, moment)| (flash - moment).abs() < 0.001), "{what}: {flashes:?}");
        let mut backwards = Opened::again(&upload, &opened.facts, &opened.plan).await;
        for number in opened.plan.timeline.segments().collect::<Vec<_>>().into_iter().rev() {
            let again = backwards.worker.make(number, &[track]).await.expect("made");
            assert!(again[0] == made[&track][number.0 as usize], "{what}: {number} differs in reverse order");
        }
    }
}
