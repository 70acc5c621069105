//! Interlaced pictures become whole ones: at the right rate, without combing, with motion going forward, and the same whoever
//! makes them.

use std::path::PathBuf;
use std::process::Command;

use headwater::title::{DeinterlacePolicy, PlanPolicy, RemarkCode, SegmentNumber, TrackId, plan};

use crate::clips::{clip, ffmpeg, file};
use crate::harness::{Opened, policy, quick_policy};
use crate::rendition::Rendition;

/// What is filmed: a soft ground that stands still, and a white bar that moves to the right by four pixels a field.
const SCENE: &str = "gradients=s=352x288:r=50:d=6:seed=3:speed=0.00001[still];color=black:s=352x288:r=50:d=6[ground];color=white:s=12x288:r=50:d=6[bar];\
[still][ground]blend=all_expr='A/3'[dim];[dim][bar]overlay=x='4*mod(n\\,80)':y=0:eval=frame,format=yuv420p";

/// Brings it to as many lines as a broadcast has.
const TALL: &str = "scale=352:576:flags=neighbor,";

struct Clip {
    what: &'static str,
    extension: &'static str,
    /// How 50 pictures a second become 25 of two fields each; tinterlace's mode.
    weave: &'static str,
    codec: &'static [&'static str],
}

const CLIPS: [Clip; 9] = [
    Clip {
        what: "MPEG-2, upper field first",
        extension: "ts",
        weave: "interleave_top",
        codec: &["-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-top", "1", "-b:v", "6M", "-g", "12", "-bf", "2"],
    },
    Clip {
        what: "MPEG-2, lower field first",
        extension: "mpg",
        weave: "interleave_bottom",
        codec: &["-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-top", "0", "-b:v", "6M", "-g", "12", "-bf", "2"],
    },
    Clip {
        what: "H.264, fields and frames by macroblock",
        extension: "mp4",
        weave: "interleave_top",
        codec: &["-c:v", "libx264", "-flags", "+ilme+ildct", "-x264opts", "tff=1:keyint=30", "-bf", "2", "-crf", "16"],
    },
    Clip {
        what: "H.264, open groups, lower field first",
        extension: "mkv",
        weave: "interleave_bottom",
        codec: &["-c:v", "libx264", "-flags", "+ilme+ildct", "-x264opts", "bff=1:keyint=30:open-gop=1", "-bf", "3", "-crf", "16"],
    },
    Clip {
        what: "H.264 that says it is progressive",
        extension: "mp4",
        weave: "interleave_top",
        codec: &["-c:v", "libx264", "-g", "30", "-bf", "2", "-crf", "12", "-field_order", "progressive"],
    },
    Clip {
        what: "MPEG-4 without a word",
        extension: "avi",
        weave: "interleave_bottom",
        codec: &["-c:v", "mpeg4", "-q:v", "2", "-g", "30"],
    },
    Clip { what: "lossless without a word", extension: "mkv", weave: "interleave_top", codec: &["-c:v", "huffyuv"] },
    Clip { what: "MJPEG", extension: "avi", weave: "interleave_bottom", codec: &["-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p"] },
    Clip {
        what: "DV",
        extension: "dv",
        weave: "interleave_bottom",
        codec: &[
            "-vf",
            "tinterlace=mode=interleave_bottom,scale=720:576:interl=1",
            "-c:v",
            "dvvideo",
            "-flags",
            "+ilme+ildct",
            "-top",
            "0",
            "-r",
            "25",
        ],
    },
];

/// The pictures before they were woven, which one run makes for all: the ground differs from run to run.
fn scene() -> PathBuf {
    clip("nut", &["-f", "lavfi", "-i", SCENE, "-c:v", "ffv1"])
}

fn upload(clip_of: &Clip) -> PathBuf {
    // Of the sizes that are looked at unasked.
    let weave = format!("{TALL}tinterlace=mode={}", clip_of.weave);
    let scene = scene();
    let mut arguments = vec!["-i", scene.to_str().expect("a path")];
    if !clip_of.codec.contains(&"-vf") {
        arguments.extend(["-vf", &weave]);
    }
    arguments.extend_from_slice(clip_of.codec);
    clip(clip_of.extension, &arguments)
}

/// One rung as tall as the uploads: scaling would smooth combing away.
fn tall_policy() -> PlanPolicy {
    let mut policy = PlanPolicy { segment_ms: 1500, ..policy() };
    policy.ladder.rungs.retain(|rung| rung.short_side == 540);
    policy.ladder.rungs.iter_mut().for_each(|rung| rung.short_side = 576);
    policy
}

/// The pictures of a rendition as plain grey, at their own size.
fn grey(path: &std::path::Path, filter: &str) -> Vec<Vec<u8>> {
    let filter = format!("{filter}format=gray,scale=352:288");
    let out = ffmpeg(&["-i", path.to_str().expect("a path"), "-fps_mode", "passthrough", "-vf", &filter, "-f", "rawvideo", "-"]);
    let bytes = { out }.output().expect("ffmpeg").stdout;
    bytes.chunks_exact(352 * 288).map(<[u8]>::to_vec).collect()
}

/// The left edge of the bar, in pixels.
fn bar(picture: &[u8]) -> Option<f64> {
    let column = |x: usize| (40..248).map(|y| u32::from(picture[y * 352 + x])).sum::<u32>() / 208;
    let bright: Vec<usize> = (0..352).filter(|x| column(*x) > 170).collect();
    (!bright.is_empty()).then(|| bright.iter().sum::<usize>() as f64 / bright.len() as f64)
}

/// Pictures that FFmpeg's detector calls combed, of all.
fn combed(path: &std::path::Path) -> (u64, u64) {
    let out = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-v", "info", "-i"])
        .arg(path)
        .args(["-vf", "idet", "-f", "null", "-"])
        .output()
        .expect("ffmpeg");
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    let line = text.lines().find(|line| line.contains("Single frame detection")).expect("a count").to_owned();
    let numbers: Vec<u64> =
        line.rsplit("detection:").next().expect("numbers").split_whitespace().filter_map(|word| word.parse().ok()).collect();
    (numbers[0] + numbers[1], numbers.iter().sum())
}

async fn made(what: &str, path: &std::path::Path, policy: &PlanPolicy) -> (Opened, tempfile::NamedTempFile) {
    let mut opened = Opened::new(path, policy).await.unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
    let made = opened.make_all().await;
    let track = TrackId::video(0);
    Rendition::new(&opened, track, &made[&track]).prove(&opened.plan);
    let mut file = tempfile::Builder::new().suffix(".mp4").tempfile().expect("a file");
    std::io::Write::write_all(&mut file, &opened.init(track)).expect("written");
    for segment in &made[&track] {
        std::io::Write::write_all(&mut file, &segment.bytes).expect("written");
    }
    (opened, file)
}

#[tokio::test]
async fn each_field_becomes_a_picture() {
    for each in &CLIPS {
        let what = each.what;
        let path = upload(each);
        let (opened, file) = made(what, &path, &tall_policy()).await;
        let (_, remarks) = plan(&opened.facts, &quick_policy()).expect("a plan");
        let seen = opened.facts.videos().next().expect("a picture").scan;
        println!("{what}: {seen:?} {:?}", opened.plan.deinterlace);
        assert!(remarks.iter().any(|remark| remark.code == RemarkCode::Deinterlaced), "{what}: {remarks:?}");
        assert_eq!(opened.plan.timeline.frame_rate().fraction(), (50, 1), "{what}");
        let (odd, all) = combed(file.path());
        assert!(odd * 50 <= all, "{what}: {odd} of {all} pictures are combed");
        let positions: Vec<Option<f64>> = grey(file.path(), "").iter().map(|picture| bar(picture)).collect();
        // Four pixels to the right a picture; the wrong field first would go back and forth. Near the sides the bar is cut.
        let mut steps = 0;
        for pair in positions.windows(2).skip(4) {
            if let [Some(from), Some(to)] = pair
                && *from > 20.0
                && *to < 300.0
                && *to > 20.0
            {
                assert!((1.0..=7.0).contains(&(to - from)), "{what}: from {from} to {to} in {positions:?}");
                steps += 1;
            }
        }
        assert!(steps > 150, "{what}: the bar was seen to move {steps} times only");
    }
}

/// Against the pictures before they were woven.
#[tokio::test]
async fn little_of_the_picture_is_lost() {
    let original = grey(&scene(), TALL);
    let path = upload(&CLIPS[6]);
    let (_, file) = made("lossless", &path, &tall_policy()).await;
    let ours = grey(file.path(), "");
    assert_eq!(ours.len(), original.len());
    let psnr = |index: usize| {
        let error: f64 = original[index].iter().zip(&ours[index]).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
        10.0 * (255.0_f64.powi(2) / (error / (352.0 * 288.0)).max(1e-9)).log10()
    };
    let worst = (2..ours.len() - 2).map(psnr).fold(f64::MAX, f64::min);
    println!("the worst picture has {worst:.1} dB");
    assert!(worst > 36.0, "{worst:.1} dB");
}

#[tokio::test]
async fn the_policy_decides() {
    let path = upload(&CLIPS[0]);
    for (wanted, rate) in [(DeinterlacePolicy::Frame, 25), (DeinterlacePolicy::Off, 25)] {
        let policy = PlanPolicy { deinterlace: wanted, ..tall_policy() };
        let (opened, file) = made("by policy", &path, &policy).await;
        assert_eq!(opened.plan.timeline.frame_rate().fraction(), (rate, 1), "{wanted:?}");
        let (odd, all) = combed(file.path());
        assert_eq!(odd * 50 <= all, wanted == DeinterlacePolicy::Frame, "{wanted:?}: {odd} of {all} pictures are combed");
    }
}

/// Flagged interlaced, but whole: nothing is done. Film that was woven into video is left alone.
#[tokio::test]
async fn what_is_whole_stays_whole() {
    let flagged = ["-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-vf", "framestep=2,setfield=tff", "-b:v", "6M", "-g", "12"];
    let path = clip("ts", &[["-f", "lavfi", "-i", SCENE].as_slice(), &flagged].concat());
    let opened = Opened::new(&path, &quick_policy()).await.expect("opened");
    let (plan_made, remarks) = plan(&opened.facts, &quick_policy()).expect("a plan");
    println!("{:?}", opened.facts.videos().next().expect("a picture").scan);
    assert_eq!((plan_made.deinterlace, plan_made.timeline.frame_rate().fraction()), (None, (25, 1)));
    assert!(remarks.iter().all(|remark| remark.code != RemarkCode::Deinterlaced), "{remarks:?}");

    let film = SCENE.replace("r=50", "r=24000/1001");
    let woven = ["-vf", "telecine=pattern=23", "-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-b:v", "8M", "-g", "12"];
    let path = clip("ts", &[["-f", "lavfi", "-i", &film].as_slice(), &woven].concat());
    let opened = Opened::new(&path, &quick_policy()).await.expect("opened");
    let (plan_made, remarks) = plan(&opened.facts, &quick_policy()).expect("a plan");
    println!("{:?}", opened.facts.videos().next().expect("a picture").scan);
    assert_eq!((plan_made.deinterlace, plan_made.timeline.frame_rate().fraction()), (None, (30_000, 1001)));
    assert!(remarks.iter().any(|remark| remark.code == RemarkCode::Telecine), "{remarks:?}");
}

#[tokio::test]
async fn segments_are_the_same_however_they_are_come_by() {
    for each in [&CLIPS[0], &CLIPS[1], &CLIPS[3], &CLIPS[2], &CLIPS[5]] {
        let path = upload(each);
        let mut opened = Opened::new(&path, &quick_policy()).await.expect("opened");
        let made = opened.make_all().await;
        let track = TrackId::video(0);
        let count = opened.plan.timeline.segment_count();
        let mut backwards = Opened::again(&path, &opened.facts, &opened.plan).await;
        for number in (0..count).rev().map(SegmentNumber) {
            let again = backwards.worker.make(number, &[track]).await.expect("made");
            assert!(again[0] == made[&track][number.0 as usize], "{}: {number} differs in reverse order", each.what);
            let mut fresh = Opened::again(&path, &opened.facts, &opened.plan).await;
            let again = fresh.worker.make(number, &[track]).await.expect("made");
            assert!(again[0] == made[&track][number.0 as usize], "{}: {number} differs by a fresh worker", each.what);
        }
    }
}

/// Film in MPEG-2 as discs have it: the flags of the pictures say to show them for three fields and two in turn.
#[tokio::test]
async fn film_by_flags_comes_out_as_film() {
    let film = SCENE.replace("r=50", "r=30000/1001").replace("4*mod", "3*mod");
    let codec = ["-c:v", "mpeg2video", "-flags", "+ildct", "-b:v", "4M", "-g", "12", "-bf", "0", "-f", "mpeg2video"];
    let bare = clip("m2v", &[["-f", "lavfi", "-i", &film].as_slice(), &codec].concat());
    let mut bytes = std::fs::read(bare).expect("read");
    let mut count = 0;
    for at in 0..bytes.len() - 9 {
        // Picture coding extension (ISO 13818-2 6.2.3.1).
        if bytes[at..at + 4] == [0, 0, 1, 0xb5] && bytes[at + 4] >> 4 == 8 {
            let (top_first, repeat) = [(true, true), (false, false), (false, true), (true, false)][count % 4];
            bytes[at + 7] = bytes[at + 7] & 0x7f | u8::from(top_first) << 7;
            bytes[at + 7] = bytes[at + 7] & 0xfd | u8::from(repeat) << 1;
            bytes[at + 8] |= 0x80;
            count += 1;
        }
    }
    assert!(count > 170, "{count} pictures");
    let flagged = file("m2v", &bytes);
    let path = clip("ts", &["-fflags", "+genpts", "-f", "mpegvideo", "-i", flagged.to_str().expect("a path"), "-c", "copy"]);
    let (opened, made) = made("film by flags", &path, &tall_policy()).await;
    let (_, remarks) = plan(&opened.facts, &quick_policy()).expect("a plan");
    println!("{:?}", opened.facts.videos().next().expect("a picture").scan);
    assert!(remarks.iter().any(|remark| remark.code == RemarkCode::Telecine), "{remarks:?}");
    assert!(remarks.iter().all(|remark| remark.code != RemarkCode::VariableFrameRate), "{remarks:?}");
    assert_eq!(opened.plan.timeline.frame_rate().fraction(), (24_000, 1001));
    assert!(opened.plan.timeline.frame_count().abs_diff(count as u64) <= 1, "{} slots", opened.plan.timeline.frame_count());
    let positions: Vec<Option<f64>> = grey(made.path(), "").iter().map(|picture| bar(picture)).collect();
    for pair in positions.windows(2).skip(4) {
        if let [Some(from), Some(to)] = pair
            && (20.0..220.0).contains(from)
            && *to > 20.0
        {
            assert!((2.0..=4.0).contains(&(to - from)), "from {from} to {to} in {positions:?}");
        }
    }
}

/// Writes bits as H.264 has them (ITU-T H.264 7.2, 9.1).
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn put(mut self, value: u32, length: u32) -> Self {
        self.0.extend((0..length).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    fn coded(self, value: u32) -> Self {
        let length = (value + 1).ilog2();
        self.put(0, length).put(value + 1, length + 1)
    }

    fn all_coded(self, values: &[u32]) -> Self {
        values.iter().fold(self, |bits, value| bits.coded(*value))
    }

    fn aligned(mut self) -> Self {
        self.0.resize(self.0.len().next_multiple_of(8), false);
        self
    }

    /// A NAL unit in a byte stream; 0x03 keeps start codes out of it.
    fn unit(self, head: u8) -> Vec<u8> {
        let bits = self.put(1, 1).aligned();
        let mut unit = vec![0, 0, 0, 1, head];
        let mut zeros = 0;
        for byte in bits.0.chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))) {
            if zeros >= 2 && byte <= 3 {
                unit.push(3);
                zeros = 0;
            }
            unit.push(byte);
            zeros = if byte == 0 { zeros + 1 } else { 0 };
        }
        unit
    }
}

/// H.264 of 64 by 160 pixels whose fields are pictures of their own, raw: a bar moves to the right by two pixels a field.
/// No encoder at hand makes such a stream, and broadcasts are full of them.
fn field_pictures(frames: u32) -> Vec<u8> {
    let sequence = Bits::default()
        .put(77, 8)
        .put(0, 8)
        .put(30, 8)
        // Identifier, frame numbers of 8 bits, pictures in the order of decoding, one reference.
        .all_coded(&[0, 4, 2, 1])
        .put(0, 1)
        .all_coded(&[3, 4])
        // Not frames alone, no mixing within one, no direct inference of 8x8, no cropping; then the rate: 50 fields a second.
        .put(0b0_0001, 5)
        .put(0, 4)
        .put(1, 1)
        .put(1, 32)
        .put(50, 32)
        .put(1, 1)
        .put(0, 4)
        .unit(0x67);
    let picture =
        Bits::default().all_coded(&[0, 0]).put(0, 2).all_coded(&[0, 0, 0]).put(0, 3).all_coded(&[0, 0, 0]).put(0b100, 3).unit(0x68);
    let field = |frame: u32, bottom: u32| {
        let begins = frame.is_multiple_of(12) && bottom == 0;
        let mut bits = Bits::default().all_coded(&[0, 7, 0]).put(frame % 12, 8).put(1, 1).put(bottom, 1);
        bits = if begins { bits.coded(frame / 12 % 2).put(0, 2) } else { bits.put(0, 1) };
        // No change of the quantiser, no deblocking.
        bits = bits.all_coded(&[0, 1]);
        let edge = (frame * 2 + bottom) * 2 % 80;
        for macroblock in 0..20 {
            bits = bits.coded(25).aligned();
            for pixel in 0..256 {
                let x = macroblock % 4 * 16 + pixel % 16;
                bits = bits.put(if (edge..edge + 8).contains(&x) { 235 } else { 40 }, 8);
            }
            for _ in 0..128 {
                bits = bits.put(128, 8);
            }
        }
        bits.unit(if begins { 0x65 } else { 0x61 })
    };
    let delimiter = [0, 0, 0, 1, 0x09, 0xf0];
    let mut bytes = Vec::new();
    for frame in 0..frames {
        bytes.extend(delimiter);
        if frame % 12 == 0 {
            bytes.extend(sequence.iter().chain(&picture));
        }
        bytes.extend(field(frame, 0));
        bytes.extend(delimiter);
        bytes.extend(field(frame, 1));
    }
    bytes
}

#[tokio::test]
async fn fields_in_packets_of_their_own() {
    let bare = file("h264", &field_pictures(100));
    let timed = ["-fflags", "+genpts", "-r", "50", "-i", bare.to_str().expect("a path"), "-c", "copy"];
    for path in [clip("ts", &timed), clip("mp4", &timed), bare.clone()] {
        let what = path.extension().expect("an extension").to_str().expect("a name");
        let (opened, file) = made(what, &path, &quick_policy()).await;
        let video = opened.facts.videos().next().expect("a picture");
        println!("{what}: {:?} {:?}", video.scan, opened.plan.timeline.frame_rate());
        assert_eq!((video.frame_count, opened.plan.timeline.frame_rate().fraction()), (100, (50, 1)), "{what}");
        assert!(opened.plan.timeline.frame_count().abs_diff(200) <= 2, "{what}: {}", opened.plan.timeline.frame_count());
        let out = ffmpeg(&[
            "-i",
            file.path().to_str().expect("a path"),
            "-fps_mode",
            "passthrough",
            "-vf",
            "scale=64:160,format=gray",
            "-f",
            "rawvideo",
            "-",
        ])
        .output();
        let bytes = out.expect("ffmpeg").stdout;
        let edges: Vec<Option<usize>> = bytes.chunks_exact(64 * 160).map(|picture| (0..64).find(|x| picture[32 * 64 + x] > 140)).collect();
        for (index, pair) in edges.windows(2).enumerate().skip(2) {
            if let [Some(from), Some(to)] = pair
                && *from > 2
                && *to > 2
                && *to < 52
            {
                assert!((1..=3).contains(&(*to as i64 - *from as i64)), "{what}: {index}: from {from} to {to} in {edges:?}");
            }
        }
    }
}
