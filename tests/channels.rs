//! Where each channel of an upload is heard: a tone of its own in every channel, looked for in the stereo and the 5.1 rendition.

use std::f64::consts::TAU;
use std::path::PathBuf;

use headwater::title::{AudioTier, TrackId};

use crate::clips::{clip, wav};
use crate::harness::{Opened, quick_policy};
use crate::rendition::Rendition;

const RATE: f64 = 48_000.0;
/// 3 dB less.
const H: f64 = std::f64::consts::FRAC_1_SQRT_2;
/// A tone may be so much off what it should be, as a part of it, ...
const OFF_MAX: f64 = 0.06;
/// ... and so much of it may be where it should not: -40 dB.
const LEAK_MAX: f64 = 0.01;

/// The tone of a channel; a low one for the low-frequency channel, which codecs cut above 120 Hz.
fn frequency(channel: usize, is_low: bool) -> f64 {
    if is_low { 40.0 + 20.0 * (channel % 2) as f64 } else { 400.0 + 90.0 * channel as f64 }
}

/// An upload of that layout whose channels hold their tones at `amplitude`.
fn upload(layout: &str, channels: usize, low: &[usize], amplitude: f64, extension: &str, codec: &[&str]) -> PathBuf {
    let tone = |channel: usize| format!("{amplitude}*sin(2*PI*t*{})", frequency(channel, low.contains(&channel)));
    let tones: Vec<String> = (0..channels).map(tone).collect();
    let source = format!("aevalsrc={}:c={layout}:s=48000:d=3", tones.join("|"));
    clip(extension, &[["-f", "lavfi", "-i", &source].as_slice(), codec].concat())
}

/// How much of a frequency there is.
fn amplitude(samples: &[f32], frequency: f64) -> f64 {
    // Whole periods of all tones, which are multiples of 10 Hz: one second from the first on.
    let part = &samples[48_000..96_000];
    let angle = |index: usize| TAU * frequency * index as f64 / RATE;
    let (re, im) = part.iter().enumerate().fold((0.0, 0.0), |(re, im), (index, sample)| {
        let (sin, cos) = angle(index).sin_cos();
        (re + f64::from(*sample) * cos, im + f64::from(*sample) * sin)
    });
    f64::hypot(re, im) * 2.0 / part.len() as f64
}

/// The channels of the rendition of that tier, if there is one.
async fn heard(opened: &mut Opened, tier: AudioTier) -> Option<Vec<Vec<f32>>> {
    let index = opened.plan.audio.iter().position(|track| track.tier == tier)?;
    let track = TrackId::audio(index as u8);
    let mut made = Vec::new();
    for number in opened.plan.timeline.segments() {
        made.extend(opened.worker.make(number, &[track]).await.expect("made"));
    }
    Some(Rendition::new(opened, track, &made).channels())
}

/// Holds every tone in every channel that comes out against `matrix`: for each channel that goes in, what each that comes out
/// takes of it.
fn check(what: &str, out: &[Vec<f32>], low: &[usize], amplitude_in: f64, level: f64, matrix: &[&[f64]]) {
    for (channel, row) in matrix.iter().enumerate() {
        assert_eq!(row.len(), out.len(), "{what}");
        for (index, (samples, part)) in out.iter().zip(*row).enumerate() {
            let expect = amplitude_in * part * level;
            let found = amplitude(samples, frequency(channel, low.contains(&channel)));
            let allowed = if expect > 0.0 { expect * OFF_MAX } else { amplitude_in * LEAK_MAX };
            assert!((found - expect).abs() <= allowed, "{what}: channel {channel} in {index}: {found:.4}, not {expect:.4}");
        }
    }
}

#[tokio::test]
async fn every_channel_is_heard_where_it_belongs() {
    const L: &[f64] = &[1.0, 0.0];
    const R: &[f64] = &[0.0, 1.0];
    const C: &[f64] = &[H, H];
    const LS: &[f64] = &[H, 0.0];
    const RS: &[f64] = &[0.0, H];
    const S: &[f64] = &[0.5, 0.5];
    const NONE: &[f64] = &[0.0, 0.0];
    const FLAC: &[&str] = &["-c:a", "flac"];
    const PCM: &[&str] = &["-c:a", "pcm_s24le"];
    let mixed = 10_f64.powf(-3.01 / 20.0);
    for (layout, extension, codec, low, level, matrix) in [
        ("mono", "flac", FLAC, &[][..], 1.0, &[&[1.0, 1.0][..]][..]),
        ("stereo", "flac", FLAC, &[], 1.0, &[L, R]),
        ("downmix", "mov", PCM, &[], 1.0, &[L, R]),
        ("2.1", "mov", PCM, &[2], 1.0, &[L, R, NONE]),
        ("3.0", "flac", FLAC, &[], mixed, &[L, R, C]),
        ("4.0", "mov", PCM, &[], mixed, &[L, R, C, S]),
        ("quad", "flac", FLAC, &[], mixed, &[L, R, LS, RS]),
        ("5.0", "flac", FLAC, &[], mixed, &[L, R, C, LS, RS]),
        ("5.1", "flac", FLAC, &[3], mixed, &[L, R, C, NONE, LS, RS]),
        ("5.1(side)", "wav", PCM, &[3], mixed, &[L, R, C, NONE, LS, RS]),
        ("5.1", "mp4", &["-c:a", "aac", "-b:a", "512k"], &[3], mixed, &[L, R, C, NONE, LS, RS]),
        ("5.1(side)", "mkv", &["-c:a", "ac3", "-b:a", "640k"], &[3], mixed, &[L, R, C, NONE, LS, RS]),
        ("5.1", "mkv", &["-c:a", "libvorbis", "-q:a", "8"], &[3], mixed, &[L, R, C, NONE, LS, RS]),
        ("5.1", "mkv", &["-c:a", "libopus", "-b:a", "512k", "-mapping_family", "1"], &[3], mixed, &[L, R, C, NONE, LS, RS]),
        ("6.1", "flac", FLAC, &[3], mixed, &[L, R, C, NONE, S, LS, RS]),
        ("7.1", "flac", FLAC, &[3], mixed, &[L, R, C, NONE, LS, RS, LS, RS]),
        ("7.1(wide)", "mov", PCM, &[3], mixed, &[L, R, C, NONE, LS, RS, L, R]),
    ] {
        let what = format!("{layout} in {extension} {codec:?}");
        let file = upload(layout, matrix.len(), low, 0.1, extension, codec);
        let mut opened = Opened::new(&file, &quick_policy()).await.unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
        let stereo = heard(&mut opened, AudioTier::Stereo).await.expect("stereo");
        check(&what, &stereo, low, 0.1, level, matrix);
        let surround = opened.plan.audio.iter().any(|track| track.tier == AudioTier::Surround);
        assert_eq!(surround, matrix.len() >= 5, "{what}");
    }
}

#[tokio::test]
async fn five_one_is_kept_channel_by_channel() {
    let at = |channel: usize, part: f64| {
        let mut row = [0.0; 6];
        row[channel] = part;
        row
    };
    let both = |one: usize, other: usize| {
        let mut row = [0.0; 6];
        (row[one], row[other]) = (H, H);
        row
    };
    let five_one: Vec<[f64; 6]> = (0..6).map(|channel| at(channel, 1.0)).collect();
    let five: Vec<[f64; 6]> = [0, 1, 2, 4, 5].map(|channel| at(channel, 1.0)).to_vec();
    let seven_one: Vec<[f64; 6]> = (0..4).map(|channel| at(channel, 1.0)).chain([4, 5, 4, 5].map(|channel| at(channel, H))).collect();
    let six_one: Vec<[f64; 6]> =
        (0..4).map(|channel| at(channel, 1.0)).chain([both(4, 5)]).chain([4, 5].map(|channel| at(channel, 1.0))).collect();
    let mixed = 10_f64.powf(-3.01 / 20.0);
    for (layout, extension, codec, low, level, matrix) in [
        ("5.1", "flac", &["-c:a", "flac"][..], &[3][..], 1.0, &five_one),
        ("5.1(side)", "wav", &["-c:a", "pcm_s16le"], &[3], 1.0, &five_one),
        ("5.1(side)", "mkv", &["-c:a", "eac3", "-b:a", "640k"], &[3], 1.0, &five_one),
        ("5.1", "mp4", &["-c:a", "aac", "-b:a", "512k"], &[3], 1.0, &five_one),
        ("5.0", "flac", &["-c:a", "flac"], &[], 1.0, &five),
        ("6.1", "flac", &["-c:a", "flac"], &[3], mixed, &six_one),
        ("7.1", "flac", &["-c:a", "flac"], &[3], mixed, &seven_one),
        ("7.1", "mp4", &["-c:a", "aac", "-b:a", "640k"], &[3], mixed, &seven_one),
    ] {
        let what = format!("{layout} in {extension} {codec:?}");
        let file = upload(layout, matrix.len(), low, 0.1, extension, codec);
        let mut opened = Opened::new(&file, &quick_policy()).await.unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
        let surround = heard(&mut opened, AudioTier::Surround).await.expect("5.1");
        let rows: Vec<&[f64]> = matrix.iter().map(|row| row.as_slice()).collect();
        check(&what, &surround, low, 0.1, level, &rows);
    }
}

/// Twenty-four channels, whose layout no container of these tells; and thirteen, which have none.
#[tokio::test]
async fn many_channels() {
    // The numbers of the low-frequency channels of 22.2, and of those heard on the left, on the right, and on both sides.
    let (low, left, right, both) = ([3, 18], [0, 4, 6, 9, 12, 15, 19, 22], [1, 5, 7, 10, 14, 17, 20, 23], [2, 8, 11, 13, 16, 21]);
    let file = upload("22.2", 24, &low, 0.03, "wav", &["-c:a", "pcm_s24le"]);
    let mut opened = Opened::new(&file, &quick_policy()).await.expect("opened");
    assert_eq!(opened.facts.audios().next().expect("sound").layout.as_deref(), Some("22.2"));
    let stereo = heard(&mut opened, AudioTier::Stereo).await.expect("stereo");
    let surround = heard(&mut opened, AudioTier::Surround).await.expect("5.1");
    for channel in 0..24 {
        let part = |samples: &[f32]| amplitude(samples, frequency(channel, low.contains(&channel))) / 0.03;
        let (on_left, on_right) = (part(&stereo[0]) > 0.2, part(&stereo[1]) > 0.2);
        let expect = (left.contains(&channel) || both.contains(&channel), right.contains(&channel) || both.contains(&channel));
        assert_eq!((on_left, on_right), expect, "channel {channel}");
        let loudest = surround.iter().map(|samples| part(samples)).fold(0.0, f64::max);
        assert!(loudest > 0.3, "channel {channel} is lost in 5.1: {loudest}");
    }
    let sample = |index: u32, channel: usize| (3276.8 * (TAU * frequency(channel, false) * f64::from(index) / RATE).sin()) as i16;
    let samples: Vec<i16> = (0..3 * 48_000).flat_map(|index| (0..13).map(move |channel| sample(index, channel))).collect();
    let file = wav(48_000, 13, &samples);
    let mut opened = Opened::new(&file, &quick_policy()).await.expect("opened");
    let stereo = heard(&mut opened, AudioTier::Stereo).await.expect("stereo");
    check("13 channels", &stereo, &[], 0.1, 1.0, &[&[1.0, 0.0], &[0.0, 1.0], &[0.0, 0.0]]);
}

/// All channels at full scale at once: the mix stays within it.
#[tokio::test]
async fn the_loudest_mix_does_not_clip() {
    let source = "aevalsrc=sin(2*PI*t*440)|sin(2*PI*t*440)|sin(2*PI*t*440)|0|sin(2*PI*t*440)|sin(2*PI*t*440):c=5.1:s=48000:d=3";
    let file = clip("flac", &["-f", "lavfi", "-i", source, "-c:a", "flac"]);
    let mut opened = Opened::new(&file, &quick_policy()).await.expect("opened");
    let stereo = heard(&mut opened, AudioTier::Stereo).await.expect("stereo");
    let peak = stereo.iter().flatten().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    // What AAC adds is not ours to prevent.
    assert!((0.9..1.06).contains(&peak), "{peak}");
}
