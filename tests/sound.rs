//! Sound through the whole path against the signal it was made from: no click where segments join, no shift, no drift.
//!
//! Signals are formulas of time, so what a rendition should hold is known exactly at its own 48 kHz, whatever rate and codec
//! the upload had.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

use headwater::title::{AAC_FRAME_SAMPLES, AUDIO_SAMPLE_RATE, SegmentNumber, TrackId};

use crate::clips::{clip, wav};
use crate::harness::{Opened, quick_policy};
use crate::rendition::{Rendition, first_of, sound_length};

/// Length of the clips in seconds.
const LENGTH_S: f64 = 10.0;
/// Samples on either side of a joint that are looked at: all that the transforms of two frames overlap.
const REACH: usize = 1024;
/// Windows like that of a joint, on either side of it, that it is compared with.
const NEIGHBOURS: usize = 12;
/// The error around a joint may be this much above that of the worst of its neighbours, ...
const JOINT_FACTOR: f64 = 1.5;
/// ... the error around all joints on average this much above that of all neighbours, ...
const MEAN_FACTOR: f64 = 1.2;
/// ... plus this, of a full scale of 1: what 16 bits can tell.
const FLOOR: f64 = 1.0 / 32_768.0;

/// Encoders put noise of their own in the place of noise, so little of its waveform survives; its joints must be no worse.
const NOISE_ERROR_MAX: f64 = 0.25;

#[derive(Clone, Copy, Debug)]
enum Signal {
    /// Rising exponentially from 60 Hz to 0.36 of the sample rate.
    Sweep,
    Tone,
    /// Thirty tones of odd frequencies.
    Noise,
}

impl Signal {
    /// The value at `time` seconds, for an upload of `rate` samples a second.
    fn at(self, time: f64, rate: u32) -> f64 {
        let highest = f64::from(rate.min(44_100)) * 0.36;
        match self {
            Self::Sweep => {
                let pace = (highest / 60.0).ln() / LENGTH_S;
                0.4 * (TAU * 60.0 * ((pace * time).exp() - 1.0) / pace).sin()
            }
            Self::Tone => 0.4 * (TAU * 997.0 * time).sin(),
            Self::Noise => {
                let tone = |index: u32| {
                    let scattered = |by: u32| f64::from(index.wrapping_mul(by).wrapping_add(12_345) >> 8 & 0xffff) / 65_536.0;
                    (TAU * ((50.0 + scattered(2_654_435_761) * (highest - 50.0)) * time + scattered(40_503_001))).sin()
                };
                (0..30).map(tone).sum::<f64>() * 0.05
            }
        }
    }

    fn upload(self, rate: u32, channels: u16) -> PathBuf {
        let frames = (LENGTH_S * f64::from(rate)) as u32;
        let value = |frame: u32| (self.at(f64::from(frame) / f64::from(rate), rate) * 32_767.0).round() as i16;
        let samples: Vec<i16> = (0..frames).flat_map(|frame| std::iter::repeat_n(value(frame), usize::from(channels))).collect();
        wav(rate, channels, &samples)
    }
}

/// The sound of a title's first audio track, all of it.
async fn heard(upload: &Path) -> (Opened, Vec<f32>) {
    let mut opened = Opened::new(upload, &quick_policy()).await.unwrap_or_else(|failure| panic!("{}: {failure:?}", upload.display()));
    let made = opened.make_all().await.remove(&TrackId::audio(0)).expect("sound");
    let concealed: u64 = made.iter().map(|segment| segment.concealed).sum();
    assert_eq!(concealed, 0, "{}: samples concealed", upload.display());
    let sound = Rendition::new(&opened, TrackId::audio(0), &made).sound();
    assert_eq!(sound.len() as u64, sound_length(&opened.plan, TrackId::audio(0)));
    (opened, sound)
}

fn rms(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value * value, count + 1.0));
    (sum / f64::max(count, 1.0)).sqrt()
}

/// Holds the sound against the signal: all of it, and around every joint compared with its neighbourhood.
fn check_joints(what: &str, opened: &Opened, sound: &[f32], expect: impl Fn(f64) -> f64, error_max: f64) {
    let rate = f64::from(AUDIO_SAMPLE_RATE);
    // The end of the upload fades in its codec's window; the first frame of any AAC stream lacks the one it overlaps with.
    let end = ((LENGTH_S - 0.1) * rate) as usize;
    let error: Vec<f64> = (0..end).map(|index| f64::from(sound[index]) - expect(index as f64 / rate)).collect();
    let at = |middle: usize| rms(error[middle - REACH..middle + REACH].iter().copied());
    let whole = rms(error[4 * REACH..].iter().copied());
    assert!(whole < error_max, "{what}: the error is {whole:.5} in all");
    let (mut joints, mut sum_here, mut sum_near) = (0, 0.0, 0.0);
    for number in opened.plan.timeline.segments().skip(1) {
        let joint = first_of(&opened.plan, TrackId::audio(0), number) as usize * AAC_FRAME_SAMPLES as usize;
        if joint + (NEIGHBOURS + 2) * REACH > error.len() {
            continue;
        }
        let near: Vec<f64> = (2..2 + NEIGHBOURS).flat_map(|away| [at(joint - away * REACH), at(joint + away * REACH)]).collect();
        let (here, worst) = (at(joint), near.iter().copied().fold(0.0, f64::max));
        assert!(here <= worst * JOINT_FACTOR + FLOOR, "{what}: joint {number}: error {here:.5}, around it up to {worst:.5}");
        joints += 1;
        sum_here += here;
        sum_near += near.iter().sum::<f64>() / near.len() as f64;
    }
    assert!(joints >= 4, "{what}: {joints} joints");
    let (here, near) = (sum_here / f64::from(joints), sum_near / f64::from(joints));
    println!("{what}: error {here:.5} at joints, {near:.5} around them, {whole:.5} in all");
    assert!(here <= near * MEAN_FACTOR + FLOOR, "{what}: error {here:.5} at joints, {near:.5} around them");
}

async fn check(rate: u32, channels: u16, extension: &str, codec: &[&str], error_max: f64) {
    check_late(rate, channels, extension, codec, error_max, 0).await;
}

/// As [`check`], of an upload that holds `late` samples of its encoder's priming and does not say so.
async fn check_late(rate: u32, channels: u16, extension: &str, codec: &[&str], error_max: f64, late: u32) {
    // Noise says nothing about codecs that put their own in its place.
    for signal in [Signal::Sweep, Signal::Tone, Signal::Noise].into_iter().take(if extension == "wav" { 3 } else { 2 }) {
        let what = format!("{signal:?} of {rate} Hz, {channels} channels, {extension} {codec:?}");
        let mut upload = signal.upload(rate, channels);
        if extension != "wav" {
            let path = upload.to_str().expect("a path").to_owned();
            upload = clip(extension, &[&["-i", &path], codec].concat());
        }
        let error_max = if matches!(signal, Signal::Noise) { NOISE_ERROR_MAX } else { error_max };
        let expect = |time: f64| signal.at(time - f64::from(late) / f64::from(rate), rate);
        let (opened, sound) = heard(&upload).await;
        check_joints(&what, &opened, &sound, expect, error_max);
    }
}

#[tokio::test]
async fn joints_from_pcm() {
    for rate in [48_000, 44_100, 22_050, 8000] {
        check(rate, if rate == 8000 { 1 } else { 2 }, "wav", &[], 0.02).await;
    }
}

#[tokio::test]
async fn joints_from_aac() {
    for (rate, bits) in [(48_000, "256k"), (44_100, "256k"), (22_050, "160k")] {
        check(rate, 2, "mp4", &["-c:a", "aac", "-b:a", bits], 0.03).await;
        check_late(rate, 2, "mkv", &["-c:a", "aac", "-b:a", bits], 0.03, 1024).await;
    }
}

#[tokio::test]
async fn joints_from_mp3() {
    for rate in [48_000, 44_100, 22_050] {
        check(rate, 2, "mp3", &["-c:a", "libmp3lame", "-b:a", "160k"], 0.03).await;
    }
    check_late(44_100, 2, "mkv", &["-c:a", "libmp3lame", "-b:a", "256k"], 0.03, 1105).await;
}

#[tokio::test]
async fn joints_from_vorbis_opus_and_flac() {
    for extension in ["ogg", "mkv"] {
        check(44_100, 2, extension, &["-c:a", "libvorbis", "-q:a", "9"], 0.03).await;
        check(48_000, 2, extension, &["-c:a", "libopus", "-b:a", "256k"], 0.03).await;
        check(44_100, 2, extension, &["-c:a", "flac"], 0.02).await;
    }
}

/// A beep a minute for ten minutes: each where it belongs, wherever it is looked at from.
#[tokio::test]
async fn ten_minutes_without_drift() {
    const MINUTES: u32 = 10;
    let beep = |time: f64| if (0.0..0.03).contains(&time) { 0.6 * (TAU * 1500.0 * time).sin() * (TAU * time / 0.06).sin() } else { 0.0 };
    for (rate, extension, codec) in [
        (44_100, "mp4", ["-c:a", "aac", "-b:a", "128k"]),
        (22_050, "mkv", ["-c:a", "libvorbis", "-q:a", "4"]),
        (44_100, "mp3", ["-c:a", "libmp3lame", "-b:a", "96k"]),
        (48_000, "ts", ["-c:a", "mp2", "-b:a", "128k"]),
        (8000, "flac", ["-c:a", "flac", "-compression_level", "5"]),
    ] {
        let samples = (0..rate * 60 * MINUTES + rate).map(|index| {
            let time = f64::from(index) / f64::from(rate);
            (beep(time % 60.0 - 0.5) * 32_767.0) as i16
        });
        let path = wav(rate, 1, &samples.collect::<Vec<_>>());
        let upload = clip(extension, &[["-i", path.to_str().expect("a path")].as_slice(), &codec].concat());
        let mut opened = Opened::new(&upload, &quick_policy()).await.expect("opened");
        for minute in [0, 1, MINUTES / 2, MINUTES - 1, MINUTES] {
            let expected = f64::from(minute) * 60.0 + 0.5;
            let found = find(&mut opened, expected, beep).await;
            // The decoder that `ffmpeg` has for MP2 makes 481 samples before the first audible one, and no stream says so.
            let late = if extension == "ts" { 481.0 / 48_000.0 } else { 0.0 };
            let off_ms = (found - expected - late) * 1000.0;
            println!("{extension} at {minute} min: {off_ms:+.3} ms");
            assert!(off_ms.abs() <= 1.0, "{extension} {rate}: the beep of minute {minute} is off by {off_ms:+.3} ms");
        }
    }
}

/// When the beep that is expected about then is heard, in seconds of presentation time.
async fn find(opened: &mut Opened, expected: f64, beep: impl Fn(f64) -> f64) -> f64 {
    let rate = f64::from(AUDIO_SAMPLE_RATE);
    let frame = (expected * rate / f64::from(AAC_FRAME_SAMPLES)) as u64;
    let of = |number: &SegmentNumber| first_of(&opened.plan, TrackId::audio(0), *number);
    let number = opened.plan.timeline.segments().filter(|number| of(number) <= frame).last().expect("a segment");
    let first = of(&number);
    let made = opened.worker.make(number, &[TrackId::audio(0)]).await.expect("made");
    let sound = Rendition::new(opened, TrackId::audio(0), &made).sound();
    let shape: Vec<f64> = (0..(0.03 * rate) as usize).map(|index| beep(index as f64 / rate)).collect();
    let likeness = |at: usize| shape.iter().zip(&sound[at..]).map(|(a, b)| a * f64::from(*b)).sum::<f64>();
    let best = (0..sound.len() - shape.len()).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b))).expect("a place");
    let energy: f64 = shape.iter().map(|value| value * value).sum();
    assert!(likeness(best) > energy * 0.7, "no beep near {expected} s");
    (first * u64::from(AAC_FRAME_SAMPLES)) as f64 / rate + best as f64 / rate
}
