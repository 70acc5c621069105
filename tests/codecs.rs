//! Sound in every codec that the system's `ffmpeg` can write: each beep where it belongs, and as loud as it was.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

use headwater::title::{SegmentNumber, TrackId};

use crate::clips::{clip, ffmpeg, file, wav};
use crate::harness::{Opened, quick_policy};
use crate::rendition::Rendition;

const LENGTH_S: u32 = 6;
/// When the beeps begin, in seconds: at the start, in the middle and at the end.
const BEEPS: [f64; 3] = [0.25, 2.9, 5.7];
const BEEP_S: f64 = 0.06;
const LEVEL: f64 = 0.5;

/// A beep that begins at zero.
fn beep(time: f64) -> f64 {
    if (0.0..BEEP_S).contains(&time) { LEVEL * (TAU * 900.0 * time).sin() * (TAU * time / (2.0 * BEEP_S)).sin() } else { 0.0 }
}

fn signal(rate: u32, channels: u16) -> PathBuf {
    let value = |index: u32| {
        let time = f64::from(index) / f64::from(rate);
        (BEEPS.iter().map(|start| beep(time - start)).sum::<f64>() * 32_767.0).round() as i16
    };
    let samples: Vec<i16> = (0..rate * LENGTH_S).flat_map(|index| std::iter::repeat_n(value(index), usize::from(channels))).collect();
    wav(rate, channels, &samples)
}

/// A beep as it came out: how late in milliseconds, and how loud compared with how it should be.
struct Heard {
    late_ms: f64,
    level: f64,
}

async fn listen(path: &Path, what: &str) -> (Opened, Vec<Heard>) {
    let mut opened = Opened::new(path, &quick_policy()).await.unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
    let numbers: Vec<SegmentNumber> = opened.plan.timeline.segments().collect();
    let mut made = Vec::new();
    for number in numbers {
        made.extend(opened.worker.make(number, &[TrackId::audio(0)]).await.expect("made"));
    }
    let sound = Rendition::new(&opened, TrackId::audio(0), &made).sound();
    let heard = BEEPS.iter().map(|start| find(&sound, *start)).collect();
    (opened, heard)
}

/// The beep nearest to `start`.
fn find(sound: &[f32], start: f64) -> Heard {
    let shape: Vec<f64> = (0..(BEEP_S * 48_000.0) as usize).map(|index| beep(index as f64 / 48_000.0)).collect();
    let energy: f64 = shape.iter().map(|value| value * value).sum();
    let likeness = |at: usize| shape.iter().zip(&sound[at..]).map(|(a, b)| a * f64::from(*b)).sum::<f64>() / energy;
    let middle = (start * 48_000.0) as usize;
    let last = sound.len() - shape.len();
    let likest = |places: &mut dyn Iterator<Item = usize>| places.max_by(|a, b| likeness(*a).total_cmp(&likeness(*b))).expect("a place");
    // The likest of every eighth place is within a period, which is 53 samples, of the likest of all.
    let near = likest(&mut (middle.saturating_sub(9600)..(middle + 9600).min(last)).step_by(8));
    let best = likest(&mut (near.saturating_sub(60)..(near + 60).min(last)));
    Heard { late_ms: (best as f64 / 48_000.0 - start) * 1000.0, level: likeness(best) }
}

/// Checks the beeps of an upload: each within `late_ms` of its place, give or take one millisecond, and within a decibel or
/// two of its level.
async fn check(path: &Path, what: &str, late_ms: f64) -> Opened {
    let (opened, heard) = listen(path, what).await;
    let told: Vec<String> = heard.iter().map(|heard| format!("{:+.2} ms, level {:.2}", heard.late_ms, heard.level)).collect();
    println!("{what}: {}", told.join("; "));
    for heard in &heard {
        assert!((heard.late_ms - late_ms).abs() <= 1.0, "{what}: {told:?}");
        assert!((0.8..1.15).contains(&heard.level), "{what}: {told:?}");
    }
    opened
}

async fn check_codec(rate: u32, channels: u16, extension: &str, codec: &[&str], late_ms: f64) -> Opened {
    let source = signal(rate, channels);
    let path = clip(extension, &[&["-i", source.to_str().expect("a path")], codec].concat());
    check(&path, &format!("{} at {rate} Hz in {extension}", codec.join(" ")), late_ms).await
}

#[tokio::test]
async fn without_loss() {
    for (extension, codec) in [
        ("wav", "pcm_u8"),
        ("wav", "pcm_s16le"),
        ("wav", "pcm_s24le"),
        ("wav", "pcm_s32le"),
        ("wav", "pcm_f32le"),
        ("wav", "pcm_f64le"),
        ("wav", "pcm_alaw"),
        ("wav", "pcm_mulaw"),
        ("aiff", "pcm_s24be"),
        ("au", "pcm_f32be"),
        ("caf", "pcm_s16be"),
        ("w64", "pcm_s32le"),
        ("mov", "pcm_s24le"),
        ("mkv", "pcm_s16le"),
        ("flac", "flac"),
        ("ogg", "flac"),
        ("m4a", "alac"),
        ("caf", "alac"),
        ("wv", "wavpack"),
        ("tta", "tta"),
    ] {
        check_codec(44_100, 2, extension, &["-c:a", codec], 0.0).await;
    }
    check_codec(44_100, 2, "mp4", &["-c:a", "flac", "-strict", "-2"], 0.0).await;
    check_codec(48_000, 2, "ts", &["-c:a", "s302m", "-strict", "-2"], 0.0).await;
    check_codec(48_000, 2, "mkv", &["-c:a", "truehd", "-strict", "-2"], 0.0).await;
}

#[tokio::test]
async fn every_rate() {
    for rate in [8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000, 176_400, 192_000] {
        check_codec(rate, if rate % 1000 == 0 { 1 } else { 2 }, "wav", &["-c:a", "pcm_s16le"], 0.0).await;
    }
}

#[tokio::test]
async fn with_a_container_that_tells_the_encoders_delay() {
    check_codec(44_100, 2, "m4a", &["-c:a", "aac", "-b:a", "160k"], 0.0).await;
    check_codec(48_000, 1, "mp4", &["-c:a", "aac", "-b:a", "96k"], 0.0).await;
    for rate in [16_000, 22_050, 44_100, 48_000] {
        check_codec(rate, 2, "mp3", &["-c:a", "libmp3lame", "-b:a", if rate < 32_000 { "80k" } else { "160k" }], 0.0).await;
    }
    check_codec(44_100, 2, "mp4", &["-c:a", "libmp3lame", "-b:a", "160k"], 0.0).await;
    check_codec(48_000, 2, "mp4", &["-c:a", "ac3"], 0.0).await;
    for extension in ["opus", "ogg", "webm", "mkv", "mp4"] {
        check_codec(48_000, 2, extension, &["-c:a", "libopus", "-b:a", "128k"], 0.0).await;
    }
    for extension in ["ogg", "webm", "mkv"] {
        check_codec(44_100, 2, extension, &["-c:a", "libvorbis", "-q:a", "6"], 0.0).await;
    }
}

/// Nothing in these says how much of their beginning is the encoder's own. What is known of the encoder is how late they are,
/// as in every player.
#[tokio::test]
async fn with_a_delay_that_nobody_tells() {
    check_codec(44_100, 2, "aac", &["-c:a", "aac", "-b:a", "160k"], 1024.0 / 44.1).await;
    check_codec(48_000, 2, "ac3", &["-c:a", "ac3", "-b:a", "256k"], 256.0 / 48.0).await;
    check_codec(48_000, 2, "eac3", &["-c:a", "eac3", "-b:a", "256k"], 256.0 / 48.0).await;
    check_codec(48_000, 2, "mp2", &["-c:a", "mp2", "-b:a", "256k"], 481.0 / 48.0).await;
    check_codec(44_100, 2, "wma", &["-c:a", "wmav2", "-b:a", "160k"], 2048.0 / 44.1).await;
    check_codec(48_000, 2, "dts", &["-c:a", "dca", "-strict", "-2", "-b:a", "768k"], 512.0 / 48.0).await;
    check_codec(44_100, 2, "wav", &["-c:a", "adpcm_ms"], 0.0).await;
    check_codec(44_100, 2, "wav", &["-c:a", "adpcm_ima_wav"], 0.0).await;
    check_codec(44_100, 2, "flv", &["-c:a", "libmp3lame", "-b:a", "160k"], 1105.0 / 44.1).await;
}

/// With a picture beside it the delay is in the picture too: sound and picture are together.
#[tokio::test]
async fn a_delay_that_the_picture_shares() {
    let source = signal(44_100, 2);
    let source = source.to_str().expect("a path");
    let picture = ["-f", "lavfi", "-i", "color=c=gray:s=64x48:r=25:d=6", "-i", source, "-c:v", "libx264", "-preset", "ultrafast"];
    for (extension, codec) in [("mkv", "aac"), ("mkv", "libmp3lame"), ("ts", "aac"), ("flv", "aac"), ("avi", "libmp3lame"), ("mp4", "aac")]
    {
        let path = clip(extension, &[picture.as_slice(), &["-c:a", codec]].concat());
        let what = format!("{codec} in {extension} beside a picture");
        let (opened, heard) = listen(&path, &what).await;
        let video = opened.facts.videos().next().expect("a picture");
        let shown = video.time_base.seconds(video.first_pts) - opened.plan.origin;
        let shown_ms = *shown.numer() as f64 / *shown.denom() as f64 * 1000.0;
        for heard in heard {
            println!("{what}: sound {:+.2} ms, picture {shown_ms:+.2} ms", heard.late_ms);
            assert!((heard.late_ms - shown_ms).abs() <= 26.0, "{what}: sound {:+.2} ms, picture {shown_ms:+.2} ms", heard.late_ms);
        }
    }
}

/// Three parts of different rates, one after another, as a joined file or a broadcast has them.
#[tokio::test]
async fn a_rate_that_changes_in_mid_stream() {
    for (extension, codec) in [("mp3", "libmp3lame"), ("aac", "aac"), ("mp2", "mp2"), ("ac3", "ac3")] {
        let tone = |frequency: u32, rate: u32| {
            let source = format!("sine=f={frequency}:r={rate}:d=3");
            // Joined files have no tags in between.
            let arguments = ["-f", "lavfi", "-i", &source, "-c:a", codec, "-b:a", "128k", "-id3v2_version", "0", "-write_xing", "0"];
            let arguments = if codec == "libmp3lame" { arguments.as_slice() } else { &arguments[..8] };
            std::fs::read(clip(extension, arguments)).expect("read")
        };
        let path = file(extension, &[tone(500, 48_000), tone(900, 44_100), tone(500, 32_000)].concat());
        let mut opened = Opened::new(&path, &quick_policy()).await.expect("opened");
        let audio = opened.facts.audios().next().expect("sound").clone();
        assert_eq!(audio.form_change_count, 2, "{extension}");
        let length = (audio.end_sample - audio.first_sample) as f64 / f64::from(audio.sample_rate);
        assert!((length - 9.0).abs() < 0.2, "{extension}: {length} s");
        let made = opened.make_all().await.remove(&TrackId::audio(0)).expect("sound");
        let concealed: u64 = made.iter().map(|segment| segment.concealed).sum();
        let sound = Rendition::new(&opened, TrackId::audio(0), &made).sound();
        for (at, frequency) in [(1.5, 500.0), (4.5, 900.0), (7.5, 500.0)] {
            let part = &sound[(at * 48_000.0) as usize..][..24_000];
            let of = |frequency: f64| {
                let turn = |index: usize| TAU * frequency * index as f64 / 48_000.0;
                let sum = part.iter().enumerate().fold((0.0, 0.0), |(re, im), (index, sample)| {
                    (re + f64::from(*sample) * turn(index).cos(), im + f64::from(*sample) * turn(index).sin())
                });
                f64::hypot(sum.0, sum.1) * 2.0 / part.len() as f64
            };
            println!("{extension} at {at} s: {:.4} of {frequency} Hz", of(frequency));
            // FFmpeg's sine has an amplitude of an eighth.
            assert!((of(frequency) - 0.125).abs() < 0.02, "{extension} at {at} s: {:.4} of {frequency} Hz", of(frequency));
        }
        assert!(concealed < 9600, "{extension}: {concealed} samples concealed");
        // The same however they are come by.
        let mut again = Opened::again(&path, &opened.facts, &opened.plan).await;
        for number in opened.plan.timeline.segments().collect::<Vec<_>>().into_iter().rev() {
            let segment = again.worker.make(number, &[TrackId::audio(0)]).await.expect("made").swap_remove(0);
            assert!(segment == made[number.0 as usize], "{extension}: segment {number} differs when made in reverse order");
        }
    }
}

/// A title of sound alone ends where its sound ends.
#[tokio::test]
async fn speech_codecs() {
    for (rate, extension, codec) in [
        (8000, "ogg", &["-c:a", "libspeex"][..]),
        (16_000, "ogg", &["-c:a", "libspeex"]),
        (16_000, "wav", &["-c:a", "g722"]),
        (8000, "wav", &["-c:a", "libgsm_ms"]),
        (22_050, "flv", &["-c:a", "nellymoser"]),
    ] {
        let source = signal(rate, 1);
        let path = clip(extension, &[&["-i", source.to_str().expect("a path")], codec].concat());
        let what = format!("{} at {rate} Hz in {extension}", codec.join(" "));
        let (_, heard) = listen(&path, &what).await;
        for heard in heard {
            println!("{what}: {:+.2} ms, level {:.2}", heard.late_ms, heard.level);
            // Their delays are told by nobody, and their waveforms are only like what went in.
            assert!((-2.0..100.0).contains(&heard.late_ms) && heard.level > 0.15, "{what}: {:+.2} ms, {:.2}", heard.late_ms, heard.level);
        }
    }
}

#[test]
fn the_signal_is_heard_by_the_one_who_listens() {
    let path = signal(48_000, 1);
    let out = ffmpeg(&["-i", path.to_str().expect("a path"), "-f", "f32le", "-"]).output().expect("ffmpeg").stdout;
    let sound: Vec<f32> = out.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect();
    for start in BEEPS {
        let heard = find(&sound, start);
        assert!(heard.late_ms.abs() < 0.05 && (heard.level - 1.0).abs() < 0.01, "{:+} ms, {}", heard.late_ms, heard.level);
    }
}

/// Its packets have decoding times only, and the one behind the place of a seek has none at all.
#[tokio::test]
async fn no_picture_of_h264_in_asf_is_lost() {
    let path = clip("asf", &["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=9", "-c:v", "libx264", "-g", "50", "-preset", "ultrafast"]);
    let mut opened = Opened::new(&path, &quick_policy()).await.expect("opened");
    let numbers: Vec<_> = opened.plan.timeline.segments().collect();
    // Backwards, so that each begins with a seek.
    for number in numbers.into_iter().rev() {
        let made = opened.worker.make(number, &[TrackId::video(0)]).await.expect("made");
        assert_eq!((made[0].concealed, made[0].dropped), (0, 0), "segment {number}");
    }
}
