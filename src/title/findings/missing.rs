//! What is worth saying of pictures that are missing or damaged.

use crate::title::{Hole, Plan, Remark, RemarkCode, SourceFacts, VideoFacts};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title::StreamFacts;
    use crate::title::sample::{facts, plan, video_facts};

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
}
