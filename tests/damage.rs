//! Uploads with damage in the middle, without a beginning or without an end, and with streams that are no part of the film:
//! what is there is used, sound and picture stay together before and after, and what is missing is counted.

use std::fs;
use std::path::{Path, PathBuf};

use headwater::title::{AUDIO_SAMPLE_RATE, RemarkCode, TrackId};

use crate::clips::{clip, file};
use crate::harness::{Opened, quick_policy};
use crate::rendition::Rendition;
use crate::server::{Server, Title};
use crate::together::{APART_MAX_S, AVC_AAC, AVC_MP2, pal, remarks, rises, text};

/// Makes all of it twice, in different orders; gives how many pictures and samples were filled in, and checks that each of
/// `moments` has its flash and, as near as it should be, its beep.
async fn check(what: &str, upload: &Path, moments: &[f64], slack: f64) -> (Opened, u64, u64) {
    let mut opened = Opened::new(upload, &quick_policy()).await.unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
    let made = opened.make_all().await;
    let mut backwards = Opened::again(upload, &opened.facts, &opened.plan).await;
    for number in opened.plan.timeline.segments().collect::<Vec<_>>().into_iter().rev() {
        for segment in backwards.make(number).await {
            assert!(segment == made[&segment.track][number.0 as usize], "{what}: {} {number} differs in reverse order", segment.track);
        }
    }
    let (video, audio) = (TrackId::video(0), TrackId::audio(0));
    let rendition = |track: TrackId| Rendition::new(&opened, track, &made[&track]);
    rendition(video).prove(&opened.plan);
    let flashes = rises(&rendition(video).luma(), opened.plan.timeline.frame_rate().as_f64(), 128.0);
    let beeps = rises(&rendition(audio).sound(), f64::from(AUDIO_SAMPLE_RATE), 0.2);
    let nearest = |list: &[f64], to: f64| list.iter().copied().min_by(|a, b| (a - to).abs().total_cmp(&(b - to).abs())).unwrap_or(-1.0);
    let mut worst = 0.0_f64;
    for moment in moments {
        let flash = nearest(&flashes, *moment);
        let beep = nearest(&beeps, flash);
        worst = worst.max((flash - beep).abs());
        assert!((flash - moment).abs() <= slack, "{what}: {moment} among flashes {flashes:.3?}");
        assert!((flash - beep).abs() <= APART_MAX_S, "{what}: flashes {flashes:.3?}, beeps {beeps:.3?}");
    }
    let concealed = |track: TrackId| made[&track].iter().map(|segment| segment.concealed).sum::<u64>();
    let counts = (concealed(video), concealed(audio));
    println!("{what:40} {:6.1} ms   {} pictures, {} samples concealed", worst * 1000.0, counts.0, counts.1);
    (opened, counts.0, counts.1)
}

/// The upload with bytes between two shares of its length changed at random, the same way each time.
fn damaged(upload: &Path, extension: &str, from: f64, to: f64) -> PathBuf {
    let mut bytes = fs::read(upload).expect("read");
    let length = bytes.len() as f64;
    let mut state = 12_345_u64;
    for byte in &mut bytes[(length * from) as usize..(length * to) as usize] {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if state >> 60 == 0 {
            *byte ^= (state >> 40) as u8 | 1;
        }
    }
    file(extension, &bytes)
}

#[tokio::test]
async fn damage_in_the_middle_stays_there() {
    let film = pal();
    // Something to damage in every picture.
    let busy = ["-vf", "noise=alls=12:allf=t"];
    let mpeg2 = ["-c:v", "mpeg2video", "-bf", "2", "-g", "12", "-c:a", "mp2"];
    for (what, extension, codecs) in
        [("mp4", "mp4", AVC_AAC.as_slice()), ("mkv", "mkv", &AVC_AAC), ("ts", "ts", &AVC_MP2), ("mpg", "mpg", &mpeg2)]
    {
        let whole = film.upload(extension, &[codecs, &busy].concat());
        let hurt = damaged(&whole, extension, 0.25, 0.35);
        let (opened, pictures, _) = check(&format!("{what}, damaged"), &hurt, &film.moments, 0.1).await;
        assert!(pictures > 0, "{what}: nothing concealed");
        let length = opened.plan.timeline.duration_ms();
        assert!((19_900..20_300).contains(&length), "{what}: {length} ms");
    }
}

#[tokio::test]
async fn without_a_beginning() {
    let film = pal();
    let whole = fs::read(film.upload("ts", &AVC_MP2)).expect("read");
    let cut = file("ts", &whole[whole.len() / 188 / 40 * 188..]);
    let (opened, _, _) = check("ts, begins within a group", &cut, &[10.0 - 0.5, 18.0 - 0.5], 1.0).await;
    assert!(opened.facts.videos().next().expect("a picture").undecodable_lead_count > 5);
    assert!(remarks(&opened).contains(&RemarkCode::Concealed));
}

#[tokio::test]
async fn without_an_end() {
    let film = pal();
    for (extension, options) in [("mp4", ["-movflags", "+faststart"].as_slice()), ("mkv", &[]), ("avi", &["-c:a", "pcm_s16le"])] {
        let options = [options, &["-vf", "noise=alls=12:allf=t"]].concat();
        let options = options.as_slice();
        let whole = fs::read(film.upload(extension, &[AVC_AAC.as_slice(), options].concat())).expect("read");
        let cut = file(extension, &whole[..whole.len() * 7 / 10]);
        let (opened, _, _) = check(&format!("{extension}, cut off"), &cut, &[2.0, 10.0], 0.1).await;
        assert!(opened.facts.cut_off, "{extension}");
        assert!(remarks(&opened).contains(&RemarkCode::BrokenTail), "{extension}: {:?}", remarks(&opened));
        let whole = Opened::new(&film.upload(extension, &[AVC_AAC.as_slice(), options].concat()), &quick_policy()).await.expect("opened");
        assert!(!whole.facts.cut_off && !remarks(&whole).contains(&RemarkCode::BrokenTail), "{extension}");
    }
}

#[tokio::test]
async fn streams_that_are_no_part_of_the_film() {
    let film = pal();
    let main = film.upload("mkv", &AVC_AAC);
    let small = clip("mkv", &["-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=20", "-c:v", "libx264", "-preset", "ultrafast"]);
    let two = clip("mkv", &["-i", text(&small), "-i", text(&main), "-map", "0:v", "-map", "1:v", "-map", "1:a", "-c", "copy"]);
    let (opened, _, _) = check("mkv, a smaller picture first", &two, &film.moments, 0.1).await;
    assert_eq!(opened.plan.video_stream, Some(1));
    assert!(remarks(&opened).contains(&RemarkCode::StreamIgnored));

    let cover = clip("png", &["-f", "lavfi", "-i", "testsrc2=s=600x600:d=1", "-frames:v", "1"]);
    let streams = ["-map", "1:v", "-map", "0:v", "-map", "0:a", "-c", "copy", "-disposition:v:0", "attached_pic"];
    let covered = clip("mp4", &[["-i", text(&main), "-i", text(&cover)].as_slice(), &streams].concat());
    let (opened, _, _) = check("mp4, with a cover", &covered, &film.moments, 0.1).await;
    assert_eq!((opened.facts.videos().count(), opened.plan.video[0].height), (1, 96));

    let timed = clip("mov", &["-i", text(&main), "-map", "0", "-c", "copy", "-timecode", "10:00:00:00"]);
    let (opened, _, _) = check("mov, with a timecode track", &timed, &film.moments, 0.1).await;
    assert!(opened.facts.streams.len() > 2);
    assert!(!remarks(&opened).contains(&RemarkCode::TimestampsRepaired));
}

#[tokio::test]
async fn what_ends_early_is_told() {
    let film = pal();
    let cut = ["-filter_complex", "[0:v]trim=end=15[v]", "-map", "[v]", "-map", "1:a"];
    let inputs = ["-i", text(&film.pictures)];
    let upload = clip("mp4", &[inputs.as_slice(), &["-i", text(&film.sound)], &cut, &AVC_AAC].concat());
    let (opened, pictures, _) = check("mp4, the picture ends after 15 s", &upload, &[2.0, 10.0], 0.1).await;
    assert!(remarks(&opened).contains(&RemarkCode::VideoEndsEarly), "{:?}", remarks(&opened));
    assert_eq!(pictures, 0, "an end is nothing to conceal");
}

/// What is copied nobody decodes, but the smaller renditions are made of the same pictures.
#[tokio::test]
async fn damage_in_copied_pictures_is_told() {
    let picture = ["-f", "lavfi", "-i", "testsrc2=s=640x360:r=25:d=8", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "34", "-g", "50"];
    let mut bytes = std::fs::read(clip("mp4", &picture)).expect("the clip");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8].iter_mut().for_each(|byte| *byte ^= 0x55);
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(&data.path().join("data"), &[]).await;
    let title = server.upload("damaged.mp4", bytes).await;
    let title = server.until(title.id(), Title::is_ready).await;
    assert_eq!(title.0["renditions"][0]["method"], "copy");
    let report = title.0["report"].as_array().expect("a report");
    let told = report.iter().find(|remark| remark["code"] == "concealed").map(|remark| remark["message"].as_str().expect("a sentence"));
    assert!(told.is_some_and(|told| told.contains("missing or damaged in the source")), "{report:?}");
    assert!(server.stop().await.success());
}
