//! Picture and sound stay together: a flash and a beep at the same moment in the upload are so in the renditions.

use std::path::{Path, PathBuf};

use headwater::title::{AudioMethod, Plan, PlanPolicy, TrackId, VideoMethod};

use crate::clips::clip;
use crate::harness::{Opened, copying, quick_policy};
use crate::rendition::Rendition;

/// When the flashes and beeps come, in seconds of the first stream's time; each lasts for two frames.
const MOMENTS: [f64; 3] = [2.0, 10.0, 18.0];
const APART_MAX_S: f64 = 0.020;

/// Twenty seconds with flashes and beeps; the sound begins `sound_late` and the picture `picture_late` seconds late, its
/// start cut off.
fn upload(extension: &str, sound_late: &str, picture_late: &str, options: &[&str]) -> PathBuf {
    let lit = MOMENTS.map(|moment| format!("between(t,{moment},{})", moment + 0.079)).join("+");
    let picture = format!("color=black:s=160x90:r=25:d=20,drawbox=c=white:t=fill:enable='{lit}'");
    let loud = MOMENTS.map(|moment| format!("between(t,{moment},{})", moment + 0.08)).join("+");
    let sound = format!("aevalsrc='0.5*sin(2*PI*1000*t)*({loud})':s=44100:d=20");
    // Lossless first, so that cutting off the start is exact.
    let picture = clip("nut", &["-f", "lavfi", "-i", &picture, "-c:v", "ffv1"]);
    let sound = clip("wav", &["-f", "lavfi", "-i", &sound]);
    let (picture, sound) = (picture.to_str().expect("a path"), sound.to_str().expect("a path"));
    let inputs = ["-itsoffset", picture_late, "-ss", picture_late, "-i", picture, "-itsoffset", sound_late, "-ss", sound_late, "-i", sound];
    let codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "50", "-c:a", "aac", "-map", "0:v", "-map", "1:a"];
    clip(extension, &[inputs.as_slice(), &codecs, options].concat())
}

/// The seconds at which `values`, `rate` of them a second, rise above `level` after having been below it for a while.
fn rises(values: &[f32], rate: f64, level: f32) -> Vec<f64> {
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

/// Once with all encoded, once with the picture and the sound copied if they `may`.
async fn check(what: &str, upload: PathBuf, may: bool) {
    check_with(what, &upload, &quick_policy()).await;
    let plan = check_with(&format!("{what}, copied"), &upload, &copying(quick_policy())).await;
    let picture = matches!(plan.video[0].method, VideoMethod::Copy { .. });
    let sound = matches!(plan.audio[0].method, AudioMethod::Copy { .. });
    assert_eq!((picture, sound), (may, may), "{what}: copied");
}

async fn check_with(what: &str, upload: &Path, policy: &PlanPolicy) -> Plan {
    let mut opened = Opened::new(upload, policy).await.unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
    let made = opened.make_all().await;
    let rendition = |track: TrackId| Rendition::new(&opened, track, &made[&track]);
    let frame_rate = opened.plan.timeline.frame_rate().as_f64();
    let flashes = rises(&rendition(TrackId::video(0)).luma(), frame_rate, 128.0);
    let beeps = rises(&rendition(TrackId::audio(0)).sound(), f64::from(opened.plan.audio[0].sample_rate), 0.2);
    println!("{what}: flashes {flashes:.3?}, beeps {beeps:.3?}");
    assert_eq!((flashes.len(), beeps.len()), (MOMENTS.len(), MOMENTS.len()), "{what}");
    for ((flash, beep), moment) in flashes.iter().zip(&beeps).zip(MOMENTS) {
        assert!((flash - beep).abs() <= APART_MAX_S, "{what}: flash at {flash:.3}, beep at {beep:.3}");
        assert!((flash - moment).abs() <= 0.1, "{what}: flash at {flash:.3} instead of {moment}");
    }
    opened.plan
}

#[tokio::test]
async fn in_every_container() {
    for extension in ["mp4", "mkv", "ts", "flv", "mov"] {
        check(extension, upload(extension, "0", "0", &[]), true).await;
    }
    // What an encoder adds before the sound cannot be told in this one, so sound without an encoder.
    check("avi", upload("avi", "0", "0", &["-c:a", "pcm_s16le"]), false).await;
}

#[tokio::test]
async fn when_the_sound_begins_late() {
    for extension in ["mp4", "mkv", "ts"] {
        check(&format!("{extension}, late sound"), upload(extension, "1.1", "0", &[]), true).await;
    }
}

#[tokio::test]
async fn when_the_picture_begins_late() {
    for extension in ["mp4", "mkv", "ts"] {
        check(&format!("{extension}, late picture"), upload(extension, "0", "1", &[]), true).await;
    }
}

#[tokio::test]
async fn when_time_begins_at_an_hour() {
    check("ts from 3600 s", upload("ts", "0", "0", &["-output_ts_offset", "3600"]), true).await;
    check("ts just before its clock wraps", upload("ts", "0", "0", &["-output_ts_offset", "95436"]), true).await;
}
