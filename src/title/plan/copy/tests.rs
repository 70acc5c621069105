//! When pictures and sounds are copied, and when not.

use bytes::Bytes;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::title::sample::{audio_facts, facts, policy, video_facts};
use crate::title::{
    AacFacts, AudioMethod, AvcFacts, AvcPiece, FieldOrder, FrameRate, Plan, PlanPolicy, Ratio, RemarkCode, ScanFacts, Seam, SourceFacts,
    StreamFacts, VideoFacts, VideoMethod, plan,
};

/// 40 s of 1280×720 at 25 frames a second with a closed key frame every two seconds, of 200 kB each.
fn picture() -> VideoFacts {
    let mut video = video_facts(12_800, 512, 1000, Some((25, 1)));
    let piece = |index: i64| AvcPiece { pts: index * 25_600, position: None, picture_count: 50, bytes: 200_000 };
    video.avc = Ok(AvcFacts {
        sps: Bytes::from_static(&[0x67]),
        pps: vec![Bytes::from_static(&[0x68])],
        width: 1280,
        height: 720,
        sample_aspect: None,
        full_range: None,
        colour: None,
        grid: FrameRate::new(25, 1).expect("a rate"),
        slot_count: 1000,
        slot_step_max: 1,
        pieces: (0..20).map(piece).collect(),
    });
    video
}

/// 40 s of sound at 48 kHz with 1024 samples of encoder delay, 300 bytes a frame.
fn sound() -> crate::title::AudioFacts {
    let mut audio = audio_facts(0, 1_920_000);
    audio.aac = Ok(AacFacts {
        config: Bytes::from_static(&[0x11, 0x90]),
        first_sample: -1024,
        frame_count: 1876,
        bytes: 1876 * 300,
        window_bytes_max: 47 * 300,
        drift_samples_max: 0,
    });
    audio
}

fn source(video: VideoFacts) -> SourceFacts {
    facts(vec![StreamFacts::Video(video), StreamFacts::Audio(sound())])
}

/// The plan with nothing copied.
fn encoded(source: &SourceFacts, policy: &PlanPolicy) -> Plan {
    plan(source, &PlanPolicy { video_copy: false, audio_copy: false, ..policy.clone() }).expect("a plan").0
}

/// What speaks against copying the picture after a change to facts and policy.
fn refusal(change: impl FnOnce(&mut VideoFacts, &mut PlanPolicy)) -> Option<CopyRefusal> {
    let (mut video, mut policy) = (picture(), policy());
    change(&mut video, &mut policy);
    let source = source(video);
    copy_picture(&mut encoded(&source, &policy), &source, &policy).err()
}

fn avc(video: &mut VideoFacts) -> &mut AvcFacts {
    video.avc.as_mut().expect("clean")
}

#[test]
fn the_largest_rendition_is_the_sources_own() {
    let (plan, remarks) = plan(&source(picture()), &policy()).expect("a plan");
    let codes: Vec<RemarkCode> = remarks.iter().map(|remark| remark.code).collect();
    assert_eq!(codes, [RemarkCode::PictureCopied, RemarkCode::SoundCopied]);
    let cuts: Vec<u64> = plan.timeline.segments().filter_map(|number| plan.timeline.frames(number)).map(|frames| frames.start).collect();
    assert_eq!(cuts, (0..10).map(|index| index * 100).collect::<Vec<_>>());
    // 400 kB and the boxes of a hundred pictures in four seconds.
    let rate_bps = (400_000 + 260 + 16 * 100) * 8 / 4;
    assert_eq!(rate_bps, 803_720);
    assert_eq!(plan.video[0].method, VideoMethod::Copy { peak_bps: rate_bps, average_bps: rate_bps });
    assert_eq!((plan.video[0].name.as_str(), plan.video.len()), ("720p", 4));
    // No smaller picture may take more than its share of the whole one.
    let caps: Vec<u32> = plan.video.iter().map(|track| track.cap_bps()).collect();
    assert_eq!(caps, [803_720, 522_031, 284_157, 154_494]);
    let audio = &plan.audio[0];
    assert_eq!((audio.sample_rate, audio.channels, audio.bit_rate_bps), (48_000, 2, 112_500));
    assert_eq!(audio.method, AudioMethod::Copy { second_bytes_max: 14_100 });
}

#[test]
fn a_size_between_rungs_is_kept_and_takes_the_place_of_the_nearest() {
    let mut video = picture();
    (video.width, video.height) = (1920, 800);
    (avc(&mut video).width, avc(&mut video).height) = (1920, 800);
    let (plan, _) = plan(&source(video), &policy()).expect("a plan");
    let sizes: Vec<_> = plan.video.iter().map(|track| (track.name.as_str(), track.width, track.height)).collect();
    assert_eq!(sizes[..2], [("800p", 1920, 800), ("540p", 1296, 540)]);
    assert!(plan.video[0].encoding().is_none());
}

#[test]
fn each_doubt_has_its_name() {
    assert_eq!(refusal(|_, _| {}), None);
    let doubt = |video: &mut VideoFacts, doubt| video.avc = Err(doubt);
    assert_eq!(refusal(|video, _| doubt(video, CopyDoubt::Timestamps)), Some(CopyRefusal::Doubt(CopyDoubt::Timestamps)));
    assert_eq!(refusal(|_, policy| policy.video_copy = false), Some(CopyRefusal::Off));
    assert_eq!(refusal(|video, _| video.undecodable_lead_count = 1), Some(CopyRefusal::Doubt(CopyDoubt::Damaged)));
    assert_eq!(refusal(|video, _| video.orientation.quarter_turns = 1), Some(CopyRefusal::Turned));
    assert_eq!(refusal(|video, _| video.orientation.mirror = true), Some(CopyRefusal::Turned));
    assert_eq!(refusal(|video, _| video.sample_aspect = (4, 3)), Some(CopyRefusal::Shape));
    assert_eq!(refusal(|video, _| avc(video).sample_aspect = Some((4, 3))), Some(CopyRefusal::Shape));
    assert_eq!(refusal(|video, _| avc(video).height = 718), Some(CopyRefusal::Shape));
    assert_eq!(refusal(|_, policy| policy.ladder.rungs.retain(|rung| rung.short_side < 720)), Some(CopyRefusal::Size));
    assert_eq!(refusal(|video, _| avc(video).grid = FrameRate::new(24, 1).expect("a rate")), Some(CopyRefusal::FrameRate));
    assert_eq!(refusal(|_, policy| policy.frame_rate_max = 20), Some(CopyRefusal::FrameRate));
    // Field order as flagged says nothing: the bitstream itself has whole frames only, or there would be a doubt.
    assert_eq!(refusal(|video, _| video.field_order = FieldOrder::Unknown), None);
    // Combed pictures in them are another matter.
    let combed = ScanFacts { pictures: 48, top_first: 48, torn: 48, ..ScanFacts::default() };
    assert_eq!(refusal(move |video, _| video.scan = Some(combed)), Some(CopyRefusal::Interlaced));
}

#[test]
fn a_clock_that_leaps_is_doubtful() {
    let mut source = facts(vec![StreamFacts::Video(picture()), StreamFacts::Audio(sound())]);
    source.seams = vec![Seam { stream: 0, position: 7, shift_ticks: -5, leap: 0 }];
    let mut encoded = encoded(&source, &policy());
    assert_eq!(copy_picture(&mut encoded, &source, &policy()), Err(CopyRefusal::Doubt(CopyDoubt::Timestamps)));
    assert_eq!(copy_sound(&mut encoded, 0, &source, &policy()), Err(CopyRefusal::Doubt(CopyDoubt::Timestamps)));
}

#[test]
fn colours_must_mean_the_same_with_and_without_the_container() {
    let colour = |container: [u8; 3], stream: Option<[u8; 3]>, lines: u32| {
        refusal(move |video, _| {
            (video.colour.primaries, video.colour.transfer, video.colour.matrix) = container.into();
            avc(video).colour = stream;
            (video.width, video.height) = (lines * 16 / 9, lines);
            (avc(video).width, avc(video).height) = (lines * 16 / 9, lines);
        })
    };
    for (container, stream, lines, agree) in [
        ([2, 2, 2], None, 720, true),
        ([1, 1, 1], Some([1, 1, 1]), 720, true),
        ([1, 1, 1], None, 720, true),
        ([1, 1, 1], None, 360, false),
        ([6, 6, 6], None, 360, true),
        ([5, 1, 6], None, 360, true),
        ([6, 6, 6], None, 720, false),
        ([1, 1, 1], Some([6, 6, 6]), 720, false),
        ([2, 2, 2], Some([6, 6, 6]), 720, true),
        ([6, 6, 6], Some([6, 2, 6]), 720, true),
        ([1, 1, 1], Some([2, 2, 6]), 720, false),
        ([9, 16, 9], Some([9, 16, 9]), 720, false),
        ([9, 18, 9], Some([9, 18, 9]), 720, false),
    ] {
        let expect = if agree { None } else { Some(CopyRefusal::Colours) };
        assert_eq!(colour(container, stream, lines), expect, "{container:?} {stream:?} {lines}");
    }
    assert_eq!(refusal(|video, _| avc(video).full_range = Some(true)), Some(CopyRefusal::Colours));
    assert_eq!(refusal(|video, _| video.colour.full_range = Some(true)), Some(CopyRefusal::Colours));
    assert_eq!(refusal(|video, _| avc(video).full_range = Some(false)), None);
}

#[test]
fn cuts_and_holes_have_their_limits() {
    let every = |pieces: i64| {
        move |video: &mut VideoFacts, _: &mut PlanPolicy| {
            avc(video).pieces.retain(|piece| piece.pts % (pieces * 25_600) == 0);
        }
    };
    assert_eq!(refusal(every(5)), None, "ten seconds");
    assert_eq!(refusal(every(6)), Some(CopyRefusal::Cuts), "twelve seconds");
    assert_eq!(refusal(|video, _| avc(video).slot_step_max = 50), None, "two seconds");
    assert_eq!(refusal(|video, _| avc(video).slot_step_max = 51), Some(CopyRefusal::Holes));
    assert_eq!(refusal(|video, _| video.frame_count = 950), None, "five of a hundred");
    assert_eq!(refusal(|video, _| video.frame_count = 949), Some(CopyRefusal::Holes));
}

#[test]
fn the_buffer_bounds_every_segment() {
    // 3 Mbit/s over four seconds and a buffer of 4.5 Mbit: 16.5 Mbit, which are 2062500 bytes, in the two pieces of a segment.
    let heavy = |bytes: u64| move |video: &mut VideoFacts, _: &mut PlanPolicy| avc(video).pieces[7].bytes = bytes;
    assert_eq!(refusal(heavy(2_062_500 - 200_000)), None);
    assert_eq!(refusal(heavy(2_062_501 - 200_000)), Some(CopyRefusal::BitRate));
}

#[test]
fn sound_has_its_limits_too() {
    let refusal = |change: fn(&mut crate::title::AudioFacts, &mut Plan, &mut PlanPolicy)| {
        let (mut audio, mut policy) = (sound(), policy());
        let mut encoded = encoded(&source(picture()), &policy);
        change(&mut audio, &mut encoded, &mut policy);
        let source = facts(vec![StreamFacts::Video(picture()), StreamFacts::Audio(audio)]);
        copy_sound(&mut encoded, 0, &source, &policy).err()
    };
    assert_eq!(refusal(|_, _, _| {}), None);
    assert_eq!(refusal(|_, _, policy| policy.audio_copy = false), Some(CopyRefusal::Off));
    assert_eq!(refusal(|_, _, policy| policy.sound.target_hundredths_lufs = Some(-1800)), Some(CopyRefusal::Gain));
    assert_eq!(refusal(|_, plan, _| plan.audio[0].tier = crate::title::AudioTier::Surround), Some(CopyRefusal::Off));
    assert_eq!(refusal(|audio, _, _| audio.aac = Err(CopyDoubt::Format)), Some(CopyRefusal::Doubt(CopyDoubt::Format)));
    // 256 kbit/s are 682.7 bytes a frame, and a twentieth more is let through.
    assert_eq!(refusal(|audio, _, _| audio.aac.as_mut().expect("clean").bytes = 1876 * 716), None);
    assert_eq!(refusal(|audio, _, _| audio.aac.as_mut().expect("clean").bytes = 1876 * 717), Some(CopyRefusal::BitRate));
    assert_eq!(refusal(|audio, _, _| audio.aac.as_mut().expect("clean").drift_samples_max = 144), None);
    assert!(refusal(|audio, _, _| audio.aac.as_mut().expect("clean").drift_samples_max = 145).is_some());
}

#[test]
fn frames_of_sound_go_to_the_nearest_place() {
    let plan = encoded(&source(picture()), &policy());
    for (first_sample, first_frame, shift_samples) in
        [(-1024, 1, 0), (0, 0, 0), (-2112, 2, 64), (-512, 1, -512), (-511, 0, 511), (48_000, -47, 128)]
    {
        let audio = sound();
        let aac = AacFacts { first_sample, ..audio.aac.clone().expect("clean") };
        assert_eq!(sound_placement(&plan, &audio, &aac), SoundPlacement { first_frame, shift_samples }, "{first_sample}");
    }
}

proptest! {
    #[test]
    fn copied_titles_are_cut_at_closed_key_frames_and_nowhere_else(
        lengths in proptest::collection::vec(13_u32..320, 1..60),
        late in 0_i64..70,
        longer in 0_i64..70,
    ) {
        let mut video = picture();
        let count: u32 = lengths.iter().sum();
        (video.frame_count, video.last_pts) = (count.into(), (i64::from(count) - 1) * 512);
        video.end_pts = video.last_pts + 512;
        (video.interval_regular_count, video.interval_regular_ticks) = (u64::from(count) - 1, video.last_pts);
        let mut pts = 0;
        let facts_of = avc(&mut video);
        facts_of.slot_count = count.into();
        facts_of.pieces = lengths.iter().map(|length| {
            let piece = AvcPiece { pts, position: None, picture_count: *length, bytes: 1000 };
            pts += i64::from(*length) * 512;
            piece
        }).collect();
        let pieces = facts_of.pieces.clone();
        // Sound from `late` frames before the picture to `longer` frames after it.
        let sound = audio_facts(-late * 1920, (i64::from(count) + longer) * 1920);
        let source = facts(vec![StreamFacts::Video(video.clone()), StreamFacts::Audio(sound)]);
        let policy = policy();
        let mut planned = encoded(&source, &policy);
        let before = planned.clone();
        match copy_picture(&mut planned, &source, &policy) {
            Err(refusal) => {
                prop_assert_eq!(&planned, &before);
                let held = late > 50 || longer > 50;
                let first_or_last_long = i64::from(lengths[0]) + late > 250 || i64::from(*lengths.last().expect("one")) + longer > 250;
                let alone_long = lengths.len() == 1 && i64::from(lengths[0]) + late + longer > 250;
                let apart = lengths.iter().any(|length| *length > 250) || first_or_last_long || alone_long;
                prop_assert!(if refusal == CopyRefusal::Holes { held } else { refusal == CopyRefusal::Cuts && apart }, "{:?}", refusal);
            }
            Ok(_) => {
                prop_assert_eq!(planned.timeline.frame_count(), before.timeline.frame_count());
                let grid = CopyGrid::of(&planned, &video).expect("on the timeline");
                let mut pictures = 0;
                for frames in planned.timeline.segments().filter_map(|number| planned.timeline.frames(number)) {
                    let at = |slot: u64| pieces.iter().any(|piece| grid.slot(piece.pts) == Some(slot));
                    prop_assert!(at(frames.start));
                    prop_assert!(at(frames.end) || frames.end == planned.timeline.frame_count());
                    prop_assert!(planned.timeline.frame_rate().time_of(frames.end - frames.start) <= Ratio::from_integer(10));
                    let within = pieces.iter().filter(|piece| grid.slot(piece.pts).is_some_and(|slot| frames.contains(&slot)));
                    pictures += within.map(|piece| piece.picture_count).sum::<u32>();
                }
                prop_assert_eq!(pictures, count);
            }
        }
    }
}
