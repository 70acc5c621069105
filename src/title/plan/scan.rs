//! Whether pictures are whole, woven of two fields, or film woven into video; and what is done about it.

use serde::{Deserialize, Serialize};

use super::PlanPolicy;
use crate::title::frame_rate::is_paired;
use crate::title::{FieldOrder, FrameRate, Ratio, ScanFacts, VideoFacts, choose_frame_rate};

/// What becomes of interlaced pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeinterlacePolicy {
    /// A picture of each field: motion stays as smooth as it was shot.
    Field,
    /// A picture of each frame: half the rate.
    Frame,
    /// They are left as they are.
    Off,
}

/// How whole pictures are made of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deinterlace {
    /// Whether the upper field is the earlier one.
    pub top_first: bool,
    /// Whether each field becomes a picture, or each frame.
    pub fields: bool,
}

/// How a picture was scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// Whole frames.
    Progressive,
    /// Two fields a frame, each of its own time.
    Interlaced {
        /// Whether the upper field is the earlier one.
        top_first: bool,
    },
    /// Film at 24 frames a second, shown for three and two fields in turn: by flags, or woven into the pictures.
    Telecine,
}

impl Deinterlace {
    /// What the policy wants done with the source's pictures.
    pub(super) fn of(video: &VideoFacts, policy: &PlanPolicy) -> Option<Self> {
        let Scan::Interlaced { top_first } = scan_of(video) else { return None };
        let frames = choose_frame_rate(video, policy.frame_rate_max);
        match policy.deinterlace {
            DeinterlacePolicy::Off => None,
            DeinterlacePolicy::Frame => Some(Self { top_first, fields: false }),
            // A slip above the limit does not count, as for whole pictures.
            DeinterlacePolicy::Field => {
                let fits = frames.per_second() * 2 * 100 <= Ratio::from_integer(i128::from(policy.frame_rate_max) * 101);
                Some(Self { top_first, fields: fits && frames.as_f64() <= FRAMES_MAX })
            }
        }
    }

    /// The rate of the output for a source of `frames` a second.
    pub(super) fn frame_rate(this: Option<Self>, frames: FrameRate) -> FrameRate {
        let (num, den) = frames.fraction();
        match this {
            Some(Self { fields: true, .. }) => FrameRate::new(num.saturating_mul(2), den).unwrap_or(frames),
            _ => frames,
        }
    }
}

/// Interlaced video has at most 30 frames a second; a slip above does not count.
const FRAMES_MAX: f64 = 31.0;
/// The lines of pictures that interlaced video comes in, padding included.
const LINES: [u32; 7] = [480, 486, 512, 576, 608, 1080, 1088];
/// Codecs made for screens and the web, which know no fields.
const WHOLE_CODECS: [&str; 8] = ["vp8", "vp9", "av1", "gif", "png", "webp", "flashsv", "theora"];

/// Whether the pictures of a stream may be of fields, so that it is worth looking at some.
pub fn is_worth_a_look(video: &VideoFacts) -> bool {
    let interval = video.time_base.seconds(video.interval_median);
    let slow = interval * 1000 >= Ratio::from_integer(32);
    // Fields may come in packets of their own.
    let fields = interval * 1000 >= Ratio::from_integer(16);
    let lines = video.height.is_multiple_of(2) && video.height >= 144;
    match video.field_order {
        _ if WHOLE_CODECS.contains(&video.codec.as_str()) || video.frame_count < 3 => false,
        FieldOrder::TopFirst | FieldOrder::BottomFirst => fields && video.height.is_multiple_of(2),
        FieldOrder::Unknown => (slow || fields && video.codec == "h264") && lines,
        FieldOrder::Progressive => slow && LINES.contains(&video.height),
    }
}

/// What the pictures are, by their looks where these tell, else by their flags.
pub fn scan_of(video: &VideoFacts) -> Scan {
    let by_container = match video.field_order {
        FieldOrder::TopFirst => Some(true),
        FieldOrder::BottomFirst => Some(false),
        FieldOrder::Unknown | FieldOrder::Progressive => None,
    };
    let Some(seen) = video.scan else {
        if is_paired(video) {
            return Scan::Telecine;
        }
        return by_container.map_or(Scan::Progressive, |top_first| Scan::Interlaced { top_first });
    };
    let flagged = seen.flagged * 2 > seen.pictures || seen.flagged == 0 && by_container.is_some() && seen.pictures < LOOKS_MIN;
    if is_telecine(video, &seen) {
        return Scan::Telecine;
    }
    let combed = seen.top_first + seen.bottom_first;
    let told = combed + seen.progressive;
    let most = seen.top_first.max(seen.bottom_first);
    let by_looks = Scan::Interlaced { top_first: seen.top_first > seen.bottom_first };
    if flagged {
        if told < LOOKS_MIN || combed * 5 >= told && most * 4 < combed * 3 {
            // Nothing moves, or the looks contradict each other: the flags are the better word.
            let top_first = if seen.flagged > 0 { seen.flagged_top_first * 2 > seen.flagged } else { by_container.unwrap_or(true) };
            return Scan::Interlaced { top_first };
        }
        return if combed * 5 >= told { by_looks } else { Scan::Progressive };
    }
    // Against the flags it takes more: nearly all that tells must be combed, and the same way, and torn as well. Whole pictures
    // that move unevenly look combed when they are compared with their neighbours alone.
    let plain = combed >= LOOKS_MIN && combed * 2 >= told && most * 10 >= combed * 9 && seen.torn * 2 >= seen.pictures;
    if plain { by_looks } else { Scan::Progressive }
}

/// With fewer pictures that tell, looks tell nothing.
const LOOKS_MIN: u32 = 5;

/// Film woven into video: of five pictures two are woven of two of film, which makes their neighbours look combed as well,
/// and two repeat a field of the one before, which nothing but weaving does. By flags instead, every other picture is shown
/// for a field longer.
fn is_telecine(video: &VideoFacts, seen: &ScanFacts) -> bool {
    let combed = seen.top_first + seen.bottom_first;
    if seen.flagged_repeat * 4 >= seen.pictures || is_paired(video) {
        return combed * 5 <= combed + seen.progressive;
    }
    let interval = video.time_base.seconds(video.interval_median);
    let at_video_rate = (332..=336).contains(&(interval * 10_000).round().to_integer());
    at_video_rate && combed >= LOOKS_MIN && seen.progressive * 10 >= seen.pictures && seen.repeated * 4 >= seen.pictures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title::sample::{policy, video_facts};

    #[test]
    fn looks_count_more_than_flags() {
        use FieldOrder::{BottomFirst, Progressive, TopFirst, Unknown};
        let woven = |top_first| Scan::Interlaced { top_first };
        // pictures, top first, bottom first, progressive, repeated, flagged, flagged top first, flagged repeat
        for (what, flag, seen, expect) in [
            ("nobody looked, nothing flagged", Progressive, None, Scan::Progressive),
            ("nobody looked", TopFirst, None, woven(true)),
            ("a plain broadcast", TopFirst, Some([48, 44, 0, 0, 0, 48, 48, 0]), woven(true)),
            ("a still, flagged", BottomFirst, Some([48, 0, 0, 0, 0, 48, 0, 0]), woven(false)),
            ("flagged, and whole", TopFirst, Some([48, 0, 0, 30, 0, 48, 48, 0]), Scan::Progressive),
            ("flagged the wrong way round", TopFirst, Some([48, 0, 40, 2, 0, 48, 48, 0]), woven(false)),
            ("flagged, and full of fine stripes", TopFirst, Some([48, 15, 24, 0, 0, 48, 48, 0]), woven(true)),
            ("studio and film, flagged", TopFirst, Some([48, 14, 0, 30, 0, 48, 48, 0]), woven(true)),
            ("not flagged, and combed", Progressive, Some([48, 1, 40, 2, 0, 0, 0, 0]), woven(false)),
            ("not flagged, combed but not torn", Progressive, Some([49, 1, 40, 2, 0, 0, 0, 0]), Scan::Progressive),
            ("not flagged, some fine stripes", Unknown, Some([48, 6, 5, 20, 0, 0, 0, 0]), Scan::Progressive),
            ("not flagged, a few combed", Unknown, Some([48, 3, 0, 1, 0, 0, 0, 0]), Scan::Progressive),
            ("whole", Progressive, Some([48, 0, 0, 44, 0, 0, 0, 0]), Scan::Progressive),
            ("film by flags", TopFirst, Some([48, 0, 0, 40, 0, 0, 0, 24]), Scan::Telecine),
            ("film by weaving", TopFirst, Some([46, 37, 0, 9, 18, 46, 18, 0]), Scan::Telecine),
            ("video at that rate", TopFirst, Some([50, 45, 1, 1, 2, 50, 50, 0]), woven(true)),
        ] {
            let mut video = video_facts(30_000, 1001, 300, None);
            video.field_order = flag;
            video.scan =
                seen.map(|[pictures, top_first, bottom_first, progressive, repeated, flagged, flagged_top_first, flagged_repeat]| {
                    let split = false;
                    ScanFacts {
                        pictures,
                        top_first,
                        bottom_first,
                        progressive,
                        torn: if pictures == 49 { 9 } else { 40 },
                        repeated,
                        flagged,
                        flagged_top_first,
                        flagged_repeat,
                        split,
                    }
                });
            assert_eq!(scan_of(&video), expect, "{what}");
        }
    }

    #[test]
    fn the_rate_follows_the_policy() {
        for (interval, max, wanted, expect) in [
            (3600, 60, DeinterlacePolicy::Field, Some(((50, 1), true))),
            (3003, 60, DeinterlacePolicy::Field, Some(((60_000, 1001), true))),
            (3003, 60, DeinterlacePolicy::Frame, Some(((30_000, 1001), false))),
            (3600, 30, DeinterlacePolicy::Field, Some(((25, 1), false))),
            (3600, 60, DeinterlacePolicy::Off, None),
            (1800, 240, DeinterlacePolicy::Field, Some(((50, 1), false))),
        ] {
            let mut video = video_facts(90_000, interval, 300, None);
            video.field_order = FieldOrder::TopFirst;
            let policy = PlanPolicy { frame_rate_max: max, deinterlace: wanted, ..policy() };
            let way = Deinterlace::of(&video, &policy);
            let rate = Deinterlace::frame_rate(way, choose_frame_rate(&video, max)).fraction();
            assert_eq!(way.map(|way| (rate, way.fields)), expect, "{interval} {max} {wanted:?}");
        }
    }

    #[test]
    fn only_what_may_be_interlaced_is_looked_at() {
        use FieldOrder::{Progressive, TopFirst, Unknown};
        for (codec, lines, interval, flag, expect) in [
            ("h264", 1080, 3600, Progressive, true),
            ("h264", 720, 3600, Progressive, false),
            ("h264", 540, 3600, Progressive, false),
            ("h264", 1080, 1800, Progressive, false),
            ("h264", 1080, 1800, TopFirst, true),
            ("h264", 1080, 1200, TopFirst, false),
            ("vp9", 1080, 3600, Unknown, false),
            ("mpeg4", 400, 3600, Unknown, true),
            ("mpeg4", 400, 1800, Unknown, false),
            ("h264", 400, 1800, Unknown, true),
            ("mjpeg", 96, 3600, Unknown, false),
        ] {
            let mut video = video_facts(90_000, interval, 300, None);
            (video.codec, video.height, video.field_order) = (codec.into(), lines, flag);
            assert_eq!(is_worth_a_look(&video), expect, "{codec} {lines} {interval} {flag:?}");
        }
    }
}
