//! Loudness, measured in what comes out by FFmpeg's own meter.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use headwater::title::{AudioTier, Loudness, RemarkCode, TrackId, plan};
use headwater::worker::Worker;

use crate::clips::{clip, ffmpeg};
use crate::harness::{Opened, quick_policy, worker_settings};
use crate::rendition::Rendition;
use crate::server::{Server, Title, turn};

/// The default target in hundredths of LUFS.
const TARGET: i32 = -1800;

/// What FFmpeg's meter reads: integrated loudness in LUFS, loudness range in LU, true peak in dBTP.
fn measured(path: &Path) -> [f64; 3] {
    let filter = "ebur128=peak=true:dualmono=true";
    let out = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-nostats", "-v", "info", "-i"])
        .arg(path)
        .args(["-filter_complex", filter, "-f", "null", "-"])
        .output()
        .expect("ffmpeg");
    let said = String::from_utf8_lossy(&out.stderr);
    let value = |label: &str| {
        let summary = said.rsplit("Summary:").next().expect("a summary");
        let line = summary.lines().find_map(|line| line.trim().strip_prefix(label)).unwrap_or_else(|| panic!("no {label} in {said}"));
        line.split_whitespace().next().expect("a number").parse().expect("a number")
    };
    [value("I:"), value("LRA:"), value("Peak:")]
}

async fn listen(path: &Path) -> BTreeMap<u32, Loudness> {
    let file = std::fs::File::open(path).expect("the file");
    let mut worker = Worker::spawn(&worker_settings(), file).expect("a worker");
    let facts = worker.survey().await.expect("surveyed").facts;
    let mut heard = BTreeMap::new();
    for audio in facts.audios() {
        heard.insert(audio.stream, worker.listen(audio.stream).await.expect("heard"));
    }
    heard
}

fn noise(filter: &str, extension: &str, output: &[&str]) -> PathBuf {
    // Speech-like: pink noise that comes and goes.
    let source = "anoisesrc=d=20:c=pink:a=0.5:r=48000:seed=3";
    let filter = format!("tremolo=f=3:d=0.7,{filter}");
    clip(extension, &[["-f", "lavfi", "-i", source, "-af", &filter].as_slice(), output].concat())
}

#[tokio::test]
async fn what_is_measured_is_what_other_meters_read() {
    for (filter, extension, output) in [
        ("volume=-20dB,aformat=channel_layouts=stereo", "wav", &["-c:a", "pcm_s16le"][..]),
        ("volume=0.3", "wav", &["-c:a", "pcm_s24le", "-ac", "1"]),
        ("aresample=44100,aformat=channel_layouts=stereo", "flac", &["-c:a", "flac"]),
        ("pan=5.1|c0=c0|c1=0.5*c0|c2=0.7*c0|c3=0.4*c0|c4=0.3*c0|c5=0.2*c0", "flac", &["-c:a", "flac"]),
        ("volume=-12dB,aformat=channel_layouts=stereo", "mp4", &["-c:a", "aac", "-b:a", "192k"]),
    ] {
        let path = noise(filter, extension, output);
        let [integrated, range, peak] = measured(&path);
        let heard = listen(&path).await.remove(&0).expect("sound");
        let ours = |hundredths: i32| f64::from(hundredths) / 100.0;
        let found = [
            ours(heard.integrated_hundredths_lufs.expect("loudness")),
            ours(heard.range_hundredths_lu),
            ours(heard.true_peak_hundredths_dbtp.expect("a peak")),
        ];
        println!("{filter}: {found:?}, by the other meter {:?}", [integrated, range, peak]);
        assert!((found[0] - integrated).abs() <= 0.15, "{filter}: {} LUFS, not {integrated}", found[0]);
        assert!((found[1] - range).abs() <= 0.5, "{filter}: {} LU, not {range}", found[1]);
        assert!((found[2] - peak).abs() <= 0.35, "{filter}: {} dBTP, not {peak}", found[2]);
        assert!(!heard.silent);
    }
}

#[tokio::test]
async fn silence_is_silent() {
    let silence = clip("flac", &["-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo:d=3", "-c:a", "flac"]);
    let heard = listen(&silence).await.remove(&0).expect("sound");
    assert_eq!((heard.integrated_hundredths_lufs, heard.true_peak_hundredths_dbtp, heard.silent), (None, None, true));
    let dither = clip("flac", &["-f", "lavfi", "-i", "anoisesrc=d=3:a=0.0001:r=48000:seed=1", "-c:a", "flac"]);
    let heard = listen(&dither).await.remove(&0).expect("sound");
    assert!(heard.silent && heard.integrated_hundredths_lufs.is_none(), "{heard:?}");
}

/// The renditions of every tier after the plan was levelled, as files; and what was said of it.
async fn levelled(path: &Path) -> (Vec<(AudioTier, PathBuf, tempfile::TempDir)>, Option<String>) {
    let heard = listen(path).await;
    let file = std::fs::File::open(path).expect("the file");
    let mut worker = Worker::spawn(&worker_settings(), file).expect("a worker");
    let facts = worker.survey().await.expect("surveyed").facts;
    let (mut plan, _) = plan(&facts, &quick_policy()).expect("a plan");
    let remark = plan.level(&heard, TARGET);
    assert!(remark.as_ref().is_none_or(|remark| remark.code == RemarkCode::LoudnessAdjusted));
    let mut opened = Opened::again(path, &facts, &plan).await;
    let made = opened.make_all().await;
    let mut renditions = Vec::new();
    for (index, audio) in plan.audio.iter().enumerate() {
        let track = TrackId::audio(index as u8);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sound.mp4");
        Rendition::new(&opened, track, &made[&track]).copy_to(&path);
        renditions.push((audio.tier, path, folder));
    }
    (renditions, remark.map(|remark| remark.message))
}

#[tokio::test]
async fn quiet_and_loud_come_out_at_the_target() {
    let stereo = "aformat=channel_layouts=stereo";
    for (volume, word) in [("-12dB", "raised"), ("11dB", "lowered")] {
        // Tones that swell: low peaks leave room for the gain, and codecs put no noise of their own in their place.
        let source = "aevalsrc=(0.6+0.4*sin(2*PI*t))*(0.1*sin(2*PI*t*220)+0.1*sin(2*PI*t*523)+0.05*sin(2*PI*t*1318)):s=48000:d=20";
        let filter = format!("volume={volume},{stereo}");
        let path = clip("flac", &["-f", "lavfi", "-i", source, "-af", &filter, "-c:a", "flac"]);
        let [before, ..] = measured(&path);
        let (renditions, said) = levelled(&path).await;
        let said = said.expect("a remark");
        println!("{said}");
        for (tier, file, _folder) in &renditions {
            let [integrated, _, peak] = measured(file);
            println!("{volume} {tier:?}: {before} LUFS became {integrated} LUFS, {peak} dBTP");
            let expect = f64::from(TARGET) / 100.0;
            assert!((integrated - expect).abs() <= 0.3, "{volume} {tier:?}: {integrated} LUFS");
            assert!(peak <= -1.0, "{volume} {tier:?}: {peak} dBTP");
        }
        assert!(said.contains(word) && said.contains("to the target"), "{said}");
    }
}

#[tokio::test]
async fn peaks_limit_the_gain() {
    // Quiet but for clicks near full scale.
    let source = "aevalsrc=0.01*sin(2*PI*t*440)+0.6*exp(-3000*mod(t\\,2))*sin(2*PI*t*3000):s=48000:d=20";
    let path = clip("flac", &["-f", "lavfi", "-i", source, "-ac", "2", "-c:a", "flac"]);
    let [before, _, peak_before] = measured(&path);
    let (renditions, said) = levelled(&path).await;
    let said = said.expect("a remark");
    println!("{said}");
    assert!(said.contains("its peaks are too high"), "{said}");
    for (tier, file, _folder) in &renditions {
        let [integrated, _, peak] = measured(file);
        println!("{tier:?}: {before} LUFS, {peak_before} dBTP became {integrated} LUFS, {peak} dBTP");
        assert!(integrated > before && integrated < f64::from(TARGET) / 100.0, "{tier:?}: {integrated} LUFS");
        assert!((-3.0..=-1.0).contains(&peak), "{tier:?}: {peak} dBTP");
    }
}

/// 5.1 and its mix to stereo are about as loud as each other, and neither passes the peak.
#[tokio::test]
async fn five_one_and_stereo_are_equally_loud() {
    let pan = "pan=5.1|c0=c0|c1=c0|c2=c0|c3=0.1*c0|c4=c0|c5=c0";
    // Each channel at a time of its own, so that they do not add up as one.
    let filter = format!("volume=-14dB,{pan},adelay=0|70|140|0|210|280");
    let path = noise(&filter, "flac", &["-c:a", "flac"]);
    let (renditions, said) = levelled(&path).await;
    println!("{said:?}");
    let of =
        |tier: AudioTier| renditions.iter().find(|(known, ..)| *known == tier).map(|(_, file, _)| measured(file)).expect("a rendition");
    let (stereo, surround) = (of(AudioTier::Stereo), of(AudioTier::Surround));
    println!("stereo {stereo:?}, 5.1 {surround:?}");
    assert!((stereo[0] - surround[0]).abs() <= 2.0, "stereo {} LUFS, 5.1 {} LUFS", stereo[0], surround[0]);
    assert!(stereo[2] <= -1.0 && surround[2] <= -1.0, "{} and {} dBTP", stereo[2], surround[2]);
}

/// The whole way, through a server that is told so: measured before it is planned, told in the API, heard in what is served.
#[tokio::test]
async fn a_server_brings_titles_to_its_target() {
    let _turn = turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let server =
        Server::start(&home.path().join("data"), &[("HEADWATER_AUDIO__LOUDNESS", "target"), ("HEADWATER_AUDIO__LOUDNESS_TARGET", "-20")])
            .await;
    let source = "aevalsrc=0.02*sin(2*PI*t*440)|0.02*sin(2*PI*t*660):s=48000:d=12";
    let path = clip("flac", &["-f", "lavfi", "-i", source, "-c:a", "flac"]);
    let title = server.upload("quiet.flac", std::fs::read(&path).expect("read")).await;
    let Title(title) = server.until(title.id(), Title::is_final).await;
    let [before, ..] = measured(&path);
    let told = title["source"]["audio"][0]["loudness"]["integrated_lufs"].as_f64().expect("a loudness");
    assert!((told - before).abs() < 0.2, "{told} LUFS, not {before}");
    let gain = title["gain_db"].as_f64().expect("a gain");
    assert!((gain - (-20.0 - told)).abs() < 0.02, "{gain} dB for {told} LUFS");
    let codes: Vec<&str> = title["report"].as_array().expect("a report").iter().filter_map(|remark| remark["code"].as_str()).collect();
    assert_eq!(codes, ["audio-only", "loudness-adjusted"]);
    let tiers: Vec<&str> =
        title["audio_renditions"].as_array().expect("renditions").iter().filter_map(|one| one["tier"].as_str()).collect();
    assert_eq!(tiers, ["stereo", "low"]);
    let [after, _, peak] = measured(Path::new(title["playback"]["hls"].as_str().expect("a URL")));
    assert!((after + 20.0).abs() < 0.3 && peak < -1.0, "{after} LUFS, {peak} dBTP");
    let silence = clip("flac", &["-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo:d=3", "-c:a", "flac"]);
    let title = server.upload("silence.flac", std::fs::read(&silence).expect("read")).await;
    let Title(title) = server.until(title.id(), Title::is_final).await;
    let codes: Vec<&str> = title["report"].as_array().expect("a report").iter().filter_map(|remark| remark["code"].as_str()).collect();
    assert_eq!(codes, ["audio-only", "silent-track"], "measured and told once");
}

#[test]
fn the_other_meter_is_there() {
    let filters = ffmpeg(&["-filters"]).output().expect("ffmpeg").stdout;
    assert!(String::from_utf8_lossy(&filters).contains("ebur128"));
}
