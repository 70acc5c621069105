//! What the content team is told about a source when it is planned: what was found in it, what was done about it.

use super::frame_rate::is_constant;
use super::plan::{Scan, scan_of};
use super::{AudioFacts, Deinterlace, FieldOrder, FrameRate, Hole, Orientation, Plan, Remark, RemarkCode, SourceFacts, VideoFacts};

/// What is worth saying of the picture.
pub fn of_picture(video: &VideoFacts, frame_rate: FrameRate) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let info = |code, message: String| Remark::new(code, message);
    if !is_constant(video) && scan_of(video) != Scan::Telecine {
        let message = format!("The pictures come at a varying rate. They were laid on a steady grid of {frame_rate} frames a second.");
        remarks.push(info(RemarkCode::VariableFrameRate, message));
    } else if let Some(declared) = video.declared_rate.and_then(|(num, den)| FrameRate::new(num, den))
        && declared.as_f64() > frame_rate.as_f64() * 1.5
        && declared.as_f64() <= 240.0
    {
        let message = format!("The source runs at {declared} frames a second. It was brought down to {frame_rate}.");
        remarks.push(info(RemarkCode::FrameRateReduced, message));
    }
    if video.orientation != Orientation::default() {
        let degrees = u32::from(video.orientation.quarter_turns) * 90;
        let mirrored = if video.orientation.mirror { "mirrored and " } else { "" };
        remarks
            .push(info(RemarkCode::Rotated, format!("The picture is stored {mirrored}turned by {degrees} degrees. It was made upright.")));
    }
    let (wide, high) = video.sample_aspect;
    if wide != high && wide != 0 && high != 0 {
        remarks.push(info(
            RemarkCode::NonSquarePixels,
            format!("The pixels are not square ({wide}:{high}). The picture was made of square ones in its right shape."),
        ));
    }
    if video.undecodable_lead_count > 0 {
        remarks.push(Remark::new(
            RemarkCode::Concealed,
            format!(
                "The first {} pictures cannot be decoded without what came before them. They were replaced.",
                video.undecodable_lead_count
            ),
        ));
    }
    remarks
}

/// What is worth saying of how the picture was scanned, and what becomes of it.
pub fn of_fields(video: &VideoFacts, deinterlace: Option<Deinterlace>, frame_rate: FrameRate) -> Vec<Remark> {
    let flagged = matches!(video.field_order, FieldOrder::TopFirst | FieldOrder::BottomFirst)
        || video.scan.is_some_and(|seen| seen.flagged * 2 > seen.pictures);
    match (scan_of(video), deinterlace) {
        (Scan::Telecine, _) => {
            let done = if frame_rate.as_f64() < 24.5 { format!("It was laid on {frame_rate}") } else { "It was left as it is".into() };
            vec![Remark::new(RemarkCode::Telecine, format!("The picture is film, shown for three fields and two in turn. {done}."))]
        }
        (Scan::Interlaced { top_first }, Some(way)) => {
            let order = if top_first { "upper" } else { "lower" };
            let found = if flagged { "is interlaced" } else { "is interlaced, although it does not say so" };
            let what = if way.fields { "Each field became a picture" } else { "Each pair of fields became a picture" };
            let message = format!("The picture {found}, {order} field first. {what}: {frame_rate} a second.");
            vec![Remark::new(RemarkCode::Deinterlaced, message)]
        }
        (Scan::Interlaced { .. } | Scan::Progressive, _) => Vec::new(),
    }
}

/// What is worth saying of the streams together, for a plan that lasts `duration_ms`.
pub fn of_streams(facts: &SourceFacts, picture: Option<&VideoFacts>, sounds: &[&AudioFacts], duration_ms: u64) -> Vec<Remark> {
    let mut remarks = Vec::new();
    match (picture, sounds.first()) {
        (Some(_), None) => remarks.push(Remark::new(RemarkCode::NoAudio, "There is no sound in the source.")),
        (None, _) => remarks.push(Remark::new(RemarkCode::AudioOnly, "There is no moving picture in the source: the title is sound only.")),
        (Some(video), Some(audio)) => {
            let early = audio.seconds(audio.end_sample) - video.time_base.seconds(video.end_pts);
            let early_ms = (early * 1000).round().to_integer();
            if early_ms >= EARLY_MS {
                let message = format!("The picture ends {early_ms} ms before the sound. The last picture is shown until then.");
                remarks.push(Remark::new(RemarkCode::VideoEndsEarly, message));
            }
            let late = audio.seconds(audio.first_sample) - video.time_base.seconds(video.first_pts);
            let late_ms = (late * 1000).round().to_integer();
            if late_ms >= LATE_MS {
                let message = format!("The sound begins {late_ms} ms after the picture. It was kept so, with silence before it.");
                remarks.push(Remark::new(RemarkCode::AudioStartsLate, message));
            } else if late_ms <= -LATE_MS {
                let message = format!("The picture begins {} ms after the sound. The first picture is shown until then.", -late_ms);
                remarks.push(Remark::new(RemarkCode::VideoStartsLate, message));
            }
        }
    }
    let declared_ms = facts.declared_duration_ms.filter(|declared_ms| (declared_ms - duration_ms as i64).abs() > 1000);
    match declared_ms {
        _ if facts.cut_off => {
            let lost_ms = declared_ms.map_or(0, |declared_ms| declared_ms - duration_ms as i64);
            let lost = if lost_ms > 0 { format!("; {lost_ms} ms of what its header promises are not there") } else { String::new() };
            remarks.push(Remark::new(RemarkCode::BrokenTail, format!("The file is cut off{lost}. What is there was used.")));
        }
        Some(declared_ms) => {
            let message =
                format!("The header claims {declared_ms} ms; pictures and sound last {duration_ms} ms. The true duration was used.");
            remarks.push(Remark::new(RemarkCode::DurationCorrected, message));
        }
        None => {}
    }
    if let Some(last) = facts.seams.iter().map(|seam| seam.leap).max() {
        let times = match last {
            0 => "once".to_owned(),
            last => format!("{} times", u64::from(last) + 1),
        };
        let message = format!("The source's clock leaps {times}. Time goes on where it was, and sound and picture stay together.");
        remarks.push(Remark::new(RemarkCode::TimestampsRepaired, message));
    }
    let left_out_videos = facts.videos().filter(|video| Some(video.stream) != picture.map(|picture| picture.stream)).count();
    let left_out_sounds = sounds.len().saturating_sub(super::plan::AUDIO_TRACKS_MAX);
    if left_out_videos + left_out_sounds > 0 {
        let message = format!("{left_out_videos} further video and {left_out_sounds} further audio streams were left out.");
        remarks.push(Remark::new(RemarkCode::StreamIgnored, message));
    }
    if facts.corrupt_packet_count > 0 {
        let message = format!("{} packets of the source are damaged. What they held was concealed.", facts.corrupt_packet_count);
        remarks.push(Remark::new(RemarkCode::Concealed, message));
    }
    remarks
}

/// What is worth saying of `missing` pictures that were filled in, the first of them in a segment that begins `near_s` seconds
/// into the title.
pub fn missing_pictures(facts: &SourceFacts, plan: &Plan, missing: u64, near_s: u64) -> Remark {
    let video = plan.video_stream.and_then(|stream| facts.video(stream));
    let places = video.map_or(Vec::new(), |video| places_of(video, plan, missing));
    let more = if video.is_some_and(|video| video.holes.len() > PLACES_MAX) { " and more" } else { "" };
    // Others are there and cannot be decoded: only their segment is known.
    let all = video.is_some_and(|video| video.missing_count * shown_each(video, plan) >= missing);
    let what = if missing == 1 { "picture is" } else { "pictures are" };
    let place = match places.as_slice() {
        [] => format!("the first near {}", clock(near_s)),
        _ if all => format!("{}{more}", places.join(", ")),
        _ => format!("among them {}{more}", places.join(", ")),
    };
    let message = format!("{missing} {what} missing or damaged in the source: {place}. The one before each was shown on.");
    Remark::new(RemarkCode::Concealed, message)
}

/// The first places where pictures are missing, and how many of the output's are at each.
fn places_of(video: &VideoFacts, plan: &Plan, missing: u64) -> Vec<String> {
    let each = shown_each(video, plan);
    let place = |hole: &Hole| {
        let seconds = video.time_base.seconds(hole.pts) - plan.origin;
        let at = format!("at {}", clock(u64::try_from(seconds.to_integer()).unwrap_or(0)));
        // A slower output shows only some of the source's pictures, missing ones among them: then their count says nothing.
        if video.missing_count * each > missing { at } else { format!("{} {at}", hole.count * each) }
    };
    video.holes.iter().take(PLACES_MAX).map(place).collect()
}

/// Pictures of the output that one of the source becomes; at least 1.
fn shown_each(video: &VideoFacts, plan: &Plan) -> u64 {
    let pictures = video.time_base.seconds(video.interval_median) * plan.timeline.frame_rate().per_second();
    u64::try_from(pictures.round().to_integer()).unwrap_or(1).max(1)
}

/// Places that are told one by one.
const PLACES_MAX: usize = 3;

/// Hours, minutes and seconds, as people read a film's time.
fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A picture that ends this much before the sound is worth a remark; a frame or two is nothing.
const EARLY_MS: i128 = 500;
/// A start this much later than the other track's is worth a remark.
const LATE_MS: i128 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title::sample::{facts, plan, video_facts};
    use crate::title::{Seam, StreamFacts};

    #[test]
    fn missing_pictures_are_told_with_place_and_count() {
        let check = |rate: (u32, u32), holes: &[(i64, u64)], missing: u64, expect: &str| {
            let mut video = video_facts(25, 1, 100_000, None);
            video.holes = holes.iter().map(|(seconds, count)| Hole { pts: seconds * 25, count: *count }).collect();
            video.missing_count = holes.iter().map(|(_, count)| count).sum();
            let message = missing_pictures(&facts(vec![StreamFacts::Video(video)]), &plan(rate, 50_000, 4000), missing, 8).message;
            let (_, told) = message.split_once(" missing or damaged in the source: ").expect("what is missing");
            let (place, _) = told.split_once(". The one before").expect("what was done");
            assert_eq!(format!("{}: {place}", message.split(' ').take(3).collect::<Vec<_>>().join(" ")), expect);
        };
        check((25, 1), &[(724, 2)], 2, "2 pictures are: 2 at 00:12:04");
        check((25, 1), &[(724, 1)], 1, "1 picture is: 1 at 00:12:04");
        let many = [(1, 1), (2, 1), (3, 2), (3700, 1)];
        check((25, 1), &many, 5, "5 pictures are: 1 at 00:00:01, 1 at 00:00:02, 2 at 00:00:03 and more");
        check((25, 1), &[(724, 2)], 7, "7 pictures are: among them 2 at 00:12:04");
        check((25, 1), &[], 3, "3 pictures are: the first near 00:00:08");
        // Each field became a picture.
        check((50, 1), &[(724, 2)], 4, "4 pictures are: 4 at 00:12:04");
        // Of two pictures one is shown.
        check((25, 2), &[(724, 2)], 1, "1 picture is: at 00:12:04");
    }

    #[test]
    fn clocks_and_ends_are_told() {
        let codes = |source: &SourceFacts, duration_ms: u64| -> Vec<RemarkCode> {
            of_streams(source, source.videos().next(), &[], duration_ms).iter().map(|remark| remark.code).collect()
        };
        let mut source = facts(vec![StreamFacts::Video(video_facts(25, 1, 250, None))]);
        assert_eq!(codes(&source, 10_000), [RemarkCode::NoAudio]);
        source.seams = vec![Seam { stream: 0, position: 7, shift_ticks: -5, leap: 0 }];
        assert_eq!(codes(&source, 10_000), [RemarkCode::NoAudio, RemarkCode::TimestampsRepaired]);
        source.seams.clear();
        source.declared_duration_ms = Some(20_000);
        assert_eq!(codes(&source, 10_000), [RemarkCode::NoAudio, RemarkCode::DurationCorrected]);
        source.cut_off = true;
        assert_eq!(codes(&source, 10_000), [RemarkCode::NoAudio, RemarkCode::BrokenTail]);
        source.declared_duration_ms = None;
        assert_eq!(codes(&source, 10_000), [RemarkCode::NoAudio, RemarkCode::BrokenTail]);
    }
}
