//! What is copied instead of encoded: pictures bit for bit, cut where they can be, and sound frame for frame; and what is
//! not, for a reason.

use std::path::{Path, PathBuf};
use std::process::Command;

use headwater::cmaf::nal;
use headwater::title::{
    AudioMethod, CopyDoubt, CopyRefusal, Plan, PlanPolicy, Ratio, RemarkCode, SegmentNumber, SourceFacts, TrackId, VideoMethod,
    copy_picture, copy_sound, plan,
};
use headwater::worker::protocol::MadeSegment;

use crate::clips::{clip, ffmpeg, file, uploads};
use crate::harness::{Opened, copying, policy};
use crate::rendition::Rendition;

const PICTURE: &str = "testsrc2=s=320x180:r=25:d=12";
const SOUND: &str = "sine=f=440:r=48000:d=12";
/// Two-second closed groups with B-pyramids.
const CLOSED: [&str; 12] =
    ["-c:v", "libx264", "-preset", "veryfast", "-crf", "36", "-g", "50", "-bf", "3", "-x264-params", "b-pyramid=normal"];

fn made_of(extension: &str, picture: &str, sound: &str, options: &[&str]) -> PathBuf {
    clip(extension, &[&["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound], options].concat())
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path")
}

fn small_policy() -> PlanPolicy {
    let mut policy = copying(policy());
    policy.ladder.rungs.retain(|rung| rung.short_side <= 360);
    policy
}

async fn open(path: &Path) -> Opened {
    Opened::new(path, &small_policy()).await.unwrap_or_else(|failure| panic!("{}: {failure:?}", path.display()))
}

fn picture_is_copied(plan: &Plan) -> bool {
    plan.video.first().is_some_and(|video| matches!(video.method, VideoMethod::Copy { .. }))
}

fn sound_is_copied(plan: &Plan) -> bool {
    plan.audio.first().is_some_and(|audio| matches!(audio.method, AudioMethod::Copy { .. }))
}

/// Why the pictures, and the first sound, are not copied; nothing where they are.
fn refusals(facts: &SourceFacts) -> (Option<CopyRefusal>, Option<CopyRefusal>) {
    let policy = copying(policy());
    let (mut encoded, _) = plan(facts, &crate::harness::policy()).expect("a plan");
    let picture = copy_picture(&mut encoded, facts, &policy).err();
    (picture, copy_sound(&mut encoded, 0, facts, &policy).err())
}

/// The slices of a file's first video stream, in order.
fn slices(path: &Path) -> Vec<Vec<u8>> {
    units(path).into_iter().filter(|unit| matches!(unit[0] & 31, 1..=5)).collect()
}

/// All NAL units of a file's first video stream, in order.
fn units(path: &Path) -> Vec<Vec<u8>> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i"]).arg(path).args(["-map", "0:v:0", "-c", "copy", "-bsf:v", "h264_mp4toannexb"]);
    let out = command.args(["-f", "h264", "-"]).output().expect("ffmpeg");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    nal::units(&out.stdout).map(<[u8]>::to_vec).collect()
}

/// Makes everything and checks the copied pictures: the source's slices in order, every segment decodable alone and within
/// the promised rate, all of it as planned; and the other renditions beside them.
async fn prove(upload: &Path, opened: &mut Opened) {
    let what = upload.display();
    let track = TrackId::video(0);
    let made = opened.make_all().await;
    let VideoMethod::Copy { peak_bps, average_bps } = opened.plan.video[0].method else { panic!("{what}: not copied") };
    let whole = Rendition::new(opened, track, &made[&track]);
    assert!(slices(upload) == slices(whole.path()), "{what}: other slices");
    let mut bytes_total = 0;
    for segment in &made[&track] {
        let alone = Rendition::new(opened, track, std::slice::from_ref(segment));
        let frames = opened.plan.timeline.frames(segment.number).expect("a segment");
        assert_eq!(alone.pictures().len() as u64, frames.end - frames.start, "{what}: {}", segment.number);
        let seconds = opened.plan.timeline.frame_rate().time_of(frames.end - frames.start);
        assert!(seconds <= Ratio::from_integer(10), "{what}: {seconds} s");
        let bits = Ratio::from_integer(segment.bytes.len() as i128 * 8);
        assert!(bits <= seconds * i128::from(peak_bps), "{what}: {} takes {bits} bits of {peak_bps} a second", segment.number);
        bytes_total += segment.bytes.len() as i128;
    }
    let average = Ratio::from_integer(bytes_total * 8) / opened.plan.timeline.duration();
    let promised = Ratio::from_integer(average_bps.into());
    assert!(average <= promised && promised <= average * Ratio::new(11, 10) + 3000, "{what}: {average} of {average_bps}");
    for (track, segments) in &made {
        Rendition::new(opened, *track, segments).prove(&opened.plan);
    }
    same_in_any_order(upload, opened, &made.into_values().flatten().collect::<Vec<_>>()).await;
}

/// Another worker, asked from the end and for one track at a time, makes the same bytes.
async fn same_in_any_order(upload: &Path, opened: &Opened, made: &[MadeSegment]) {
    let mut backwards = Opened::again(upload, &opened.facts, &opened.plan).await;
    for segment in made.iter().rev().filter(|segment| segment.track.index == 0) {
        let again = backwards.worker.make(segment.number, &[segment.track]).await.expect("made");
        assert!(again == std::slice::from_ref(segment), "{}: {} {}", upload.display(), segment.track, segment.number);
    }
}

#[tokio::test]
async fn closed_groups_are_copied_from_every_container() {
    for extension in ["mp4", "mov", "mkv", "ts", "flv"] {
        let upload = made_of(extension, PICTURE, SOUND, &[CLOSED.as_slice(), &["-c:a", "aac", "-ac", "2", "-b:a", "128k"]].concat());
        let mut opened = open(&upload).await;
        assert!(picture_is_copied(&opened.plan), "{extension}: {:?}", refusals(&opened.facts));
        assert!(sound_is_copied(&opened.plan), "{extension}: {:?}", refusals(&opened.facts));
        let lengths = opened.plan.timeline.segments().filter_map(|number| opened.plan.timeline.frames(number));
        let lengths: Vec<u64> = lengths.map(|frames| frames.end - frames.start).collect();
        assert!(lengths.iter().take(2).all(|length| (100..=101).contains(length)), "{extension}: {lengths:?}");
        let (_, remarks) = plan(&opened.facts, &small_policy()).expect("a plan");
        let codes: Vec<RemarkCode> = remarks.iter().map(|remark| remark.code).collect();
        assert!(codes.contains(&RemarkCode::PictureCopied) && codes.contains(&RemarkCode::SoundCopied), "{extension}: {codes:?}");
        prove(&upload, &mut opened).await;
    }
}

/// The rungs below are cut where the copied one is.
#[tokio::test]
async fn other_rungs_are_cut_at_the_same_instants() {
    let groups = ["-force_key_frames", "0,3.2,4.4,9,15.2,16"];
    let codecs = [CLOSED.as_slice(), &["-g", "1000", "-sc_threshold", "0", "-c:a", "aac"], &groups].concat();
    let upload = made_of("mp4", "testsrc2=s=640x360:r=25:d=18", SOUND, &codecs);
    let mut opened = open(&upload).await;
    assert!(picture_is_copied(&opened.plan) && opened.plan.video.len() == 2);
    let starts: Vec<u64> =
        opened.plan.timeline.segments().filter_map(|number| opened.plan.timeline.frames(number)).map(|frames| frames.start).collect();
    assert_eq!(starts, [0, 110, 225, 380]);
    prove(&upload, &mut opened).await;
}

/// A broadcast put into a file keeps its delimiters and the parameter sets before every key frame.
#[tokio::test]
async fn parameter_sets_in_band_are_taken_out() {
    let options = [CLOSED.as_slice(), &["-x264-params", "aud=1:b-pyramid=normal", "-c:a", "aac"]].concat();
    let broadcast = made_of("ts", PICTURE, SOUND, &options);
    for extension in ["mp4", "mkv"] {
        let upload = clip(extension, &["-i", path(&broadcast), "-c", "copy", "-bsf:a", "aac_adtstoasc"]);
        let kinds: Vec<u8> = units(&upload).iter().map(|unit| unit[0] & 31).collect();
        assert!(kinds.iter().filter(|kind| **kind == 7).count() > 4 && kinds.contains(&9), "{extension}");
        let mut opened = open(&upload).await;
        assert!(picture_is_copied(&opened.plan), "{extension}: {:?}", refusals(&opened.facts));
        prove(&upload, &mut opened).await;
    }
}

/// A picture is missing, the picture begins after the sound, and it ends before it.
#[tokio::test]
async fn holes_are_bridged_by_the_picture_before() {
    let late = ["-itsoffset", "0.3", "-f", "lavfi", "-i", PICTURE, "-f", "lavfi", "-i", "sine=f=440:r=48000:d=13.2"];
    let missing = ["-vf", "select='not(eq(n,60)+eq(n,131)+eq(n,132))'", "-fps_mode", "vfr", "-c:a", "aac"];
    for extension in ["mp4", "mkv", "ts"] {
        let upload = clip(extension, &[late.as_slice(), &CLOSED, &missing].concat());
        let mut opened = open(&upload).await;
        assert!(picture_is_copied(&opened.plan), "{extension}: {:?}", refusals(&opened.facts));
        let packets = {
            let made = opened.worker.make(SegmentNumber(0), &[TrackId::video(0)]).await.expect("made");
            assert_eq!(made[0].concealed, 1, "{extension}");
            Rendition::new(&opened, TrackId::video(0), &made).packets()
        };
        let mut concealed = 0;
        for number in opened.plan.timeline.segments() {
            concealed += opened.worker.make(number, &[TrackId::video(0)]).await.expect("made")[0].concealed;
        }
        assert_eq!(concealed, 3, "{extension}: what follows the last picture is not missing");
        // The first picture stands in for those before it: 0.3 s are about eight slots of 40 ms.
        let slots = packets[0].duration / i64::from(opened.plan.timeline.frame_rate().frame_ticks());
        assert!((8..=10).contains(&slots), "{extension}: {slots}");
        prove(&upload, &mut opened).await;
    }
}

/// The last picture is shown on while sound lasts longer: none is missing for that.
#[tokio::test]
async fn none_is_missing_after_the_last_picture() {
    let upload = made_of("mp4", "testsrc2=s=320x180:r=25:d=6", "sine=d=6.5", &[CLOSED.as_slice(), &["-c:a", "aac"]].concat());
    let mut opened = open(&upload).await;
    assert!(picture_is_copied(&opened.plan), "{:?}", refusals(&opened.facts));
    for number in opened.plan.timeline.segments().collect::<Vec<_>>() {
        let made = opened.worker.make(number, &[TrackId::video(0)]).await.expect("made");
        assert_eq!(made[0].concealed, 0, "segment {number}");
    }
    prove(&upload, &mut opened).await;
}

#[tokio::test]
async fn what_is_doubtful_is_encoded() {
    let with =
        |extension: &str, options: &[&str]| made_of(extension, PICTURE, SOUND, &[CLOSED.as_slice(), &["-c:a", "aac"], options].concat());
    let plain = with("mp4", &[]);
    let copied = |extension: &str, options: &[&str]| clip(extension, &[&["-i", path(&plain), "-c", "copy"], options].concat());
    let part = |size: &str, offset: &str| {
        let picture = format!("testsrc2=s={size}:r=25:d=4");
        let output = [CLOSED.as_slice(), &["-c:a", "mp2", "-output_ts_offset", offset]].concat();
        std::fs::read(made_of("ts", &picture, "sine=d=4", &output)).expect("read")
    };
    // The seam of a broadcast shows in its packets' counters; put into a file it does not.
    let whole = file("ts", &[part("320x180", "0"), part("160x90", "4")].concat());
    let unseamed = clip("mkv", &["-i", path(&whole), "-c", "copy", "-map", "0:v"]);
    let vary = ["-vf", "select='not(eq(mod(n\\,7)\\,3))'", "-fps_mode", "vfr"];
    for (what, upload, reason) in [
        ("open groups", with("mp4", &["-x264-params", "open-gop=1:keyint=50"]), CopyRefusal::Cuts),
        ("one key frame in 12 s", with("mp4", &["-g", "1000", "-sc_threshold", "0"]), CopyRefusal::Cuts),
        ("rolling refresh", with("ts", &["-bf", "0", "-x264-params", "intra-refresh=1"]), CopyRefusal::Cuts),
        ("a changing size", whole, CopyRefusal::Doubt(CopyDoubt::Damaged)),
        ("a size that changes without a seam", unseamed, CopyRefusal::Doubt(CopyDoubt::ParameterSets)),
        ("a varying rate", with("mkv", &vary), CopyRefusal::Holes),
        ("interlaced", with("mp4", &["-flags", "+ilme+ildct", "-x264-params", "tff=1"]), CopyRefusal::Doubt(CopyDoubt::Format)),
        ("ten bits", with("mp4", &["-pix_fmt", "yuv420p10le"]), CopyRefusal::Doubt(CopyDoubt::Format)),
        ("4:4:4", with("mp4", &["-pix_fmt", "yuv444p"]), CopyRefusal::Doubt(CopyDoubt::Format)),
        ("full range", with("mp4", &["-pix_fmt", "yuvj420p"]), CopyRefusal::Colours),
        ("broad pixels", with("mp4", &["-vf", "setsar=4/3"]), CopyRefusal::Shape),
        ("a high bit rate", with("mp4", &["-crf", "10", "-vf", "noise=alls=40:allf=t"]), CopyRefusal::BitRate),
        ("120 pictures a second", made_of("mp4", "testsrc2=s=320x180:r=120:d=4", "sine=d=4", &CLOSED), CopyRefusal::FrameRate),
        ("turned", copied("mp4", &["-metadata:s:v", "rotate=90"]), CopyRefusal::Turned),
        ("times of decoding for times of showing", copied("mkv", &["-bsf:v", "setts=pts=DTS"]), CopyRefusal::Doubt(CopyDoubt::Timestamps)),
        ("a lost picture", copied("mp4", &["-bsf:v", "noise=drop=eq(n\\,101)"]), CopyRefusal::Doubt(CopyDoubt::Damaged)),
        ("a lost beginning", copied("mp4", &["-bsf:v", "noise=drop=lt(n\\,3)"]), CopyRefusal::Doubt(CopyDoubt::Cuts)),
        ("a trimmed beginning", clip("mp4", &["-ss", "1.2", "-i", path(&plain), "-c", "copy"]), CopyRefusal::Doubt(CopyDoubt::Edited)),
        ("another codec", with("mp4", &["-c:v", "mpeg4"]), CopyRefusal::Doubt(CopyDoubt::Codec)),
    ] {
        let opened = open(&upload).await;
        assert!(!picture_is_copied(&opened.plan), "{what} in {}", upload.display());
        assert_eq!(refusals(&opened.facts).0, Some(reason), "{what} in {}", upload.display());
    }
    let off = Opened::new(&plain, &policy()).await.expect("opened");
    assert!(!picture_is_copied(&off.plan) && !sound_is_copied(&off.plan));
}

/// Frames of sound, each as its bytes; with headers of their own where the container has them so.
fn sounds(path: &Path) -> Vec<Vec<u8>> {
    let mut command = ffmpeg(&[]);
    let out = command.arg("-i").arg(path).args(["-map", "0:a:0", "-c", "copy", "-f", "adts", "-"]).output().expect("ffmpeg");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let (mut frames, mut rest) = (Vec::new(), out.stdout.as_slice());
    while let [_, _, _, a, b, c, ..] = rest {
        let length = usize::from(a & 3) << 11 | usize::from(*b) << 3 | usize::from(c >> 5);
        frames.push(rest[7..length].to_vec());
        rest = &rest[length..];
    }
    frames
}

#[tokio::test]
async fn sound_is_copied_frame_for_frame() {
    for (extension, rate, channels, bits) in [
        ("mp4", "48000", "2", "128k"),
        ("mkv", "44100", "2", "160k"),
        ("ts", "44100", "1", "96k"),
        ("flv", "44100", "2", "192k"),
        ("mp4", "32000", "1", "64k"),
    ] {
        let what = format!("{extension} at {rate} Hz");
        let sound = format!("sine=f=440:r={rate}:d=11.7");
        let upload = made_of(extension, PICTURE, &sound, &[CLOSED.as_slice(), &["-c:a", "aac", "-ac", channels, "-b:a", bits]].concat());
        let mut opened = open(&upload).await;
        let audio = opened.facts.audios().next().expect("sound").clone();
        assert!(sound_is_copied(&opened.plan), "{what}: {:?}", audio.aac);
        let track = &opened.plan.audio[0];
        assert_eq!((track.sample_rate.to_string(), track.channels.to_string()), (rate.to_owned(), channels.to_owned()), "{what}");
        let made = opened.make_all().await;
        let rendition = Rendition::new(&opened, TrackId::audio(0), &made[&TrackId::audio(0)]);
        rendition.prove(&opened.plan);
        let (theirs, ours) = (sounds(&upload), sounds(rendition.path()));
        // From some frame on, ours are theirs, to the end of theirs.
        let begin = ours.iter().position(|frame| theirs[..4].contains(frame)).expect("a frame of the source");
        let skipped = theirs.iter().position(|frame| *frame == ours[begin]).expect("it is there");
        assert!(begin <= 2 && skipped <= 2, "{what}: {begin} {skipped}");
        let common = theirs.len() - skipped;
        assert!(ours.len() >= begin + common, "{what}: {} of {}", ours.len(), theirs.len());
        assert!(ours[begin..begin + common] == theirs[skipped..], "{what}: other frames");
        // Silence after it, to the end of the picture.
        let heard = rendition.sound();
        let tail = &heard[heard.len() - rate.parse::<usize>().expect("a number") / 10..];
        assert!(tail.iter().all(|sample| sample.abs() < 1e-3), "{what}");
    }
}

#[tokio::test]
async fn sound_that_is_not_as_players_take_it_is_encoded() {
    let with = |extension: &str, sound: &str, options: &[&str]| made_of(extension, PICTURE, sound, &[CLOSED.as_slice(), options].concat());
    for (what, upload) in [
        ("22 kHz", with("mp4", "sine=r=22050:d=12", &["-c:a", "aac"])),
        ("5.1", with("mp4", "anoisesrc=d=12:a=0.1", &["-c:a", "aac", "-ac", "6"])),
        ("a high bit rate", with("mp4", "anoisesrc=d=12:r=48000", &["-c:a", "aac", "-ac", "2", "-b:a", "500k", "-cutoff", "20000"])),
        ("a gap", with("mkv", "sine=r=48000:d=12", &["-af", "aselect='not(between(t,4,5))'", "-c:a", "aac"])),
        ("another codec", with("mp4", "sine=r=48000:d=12", &["-c:a", "libmp3lame"])),
    ] {
        let opened = open(&upload).await;
        assert!(picture_is_copied(&opened.plan), "{what}");
        assert!(!sound_is_copied(&opened.plan), "{what}: {:?}", refusals(&opened.facts));
    }
}

/// Which real uploads are copied, and every copied one proved; shown with what speaks against the others.
#[tokio::test]
async fn real_uploads() {
    let Some(folder) = uploads() else { return };
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    for upload in names {
        let name = upload.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(mut opened) = Opened::new(&upload, &copying(policy())).await else { continue };
        let told = |refusal: Option<CopyRefusal>| refusal.map_or_else(|| "copied".to_owned(), |refusal| refusal.to_string());
        let (picture, sound) = refusals(&opened.facts);
        println!("{name:36} picture: {}; sound: {}", told(picture), told(sound));
        assert_eq!((picture.is_none(), sound.is_none()), (picture_is_copied(&opened.plan), sound_is_copied(&opened.plan)), "{name}");
        if picture.is_none() {
            prove(&upload, &mut opened).await;
        }
    }
}
