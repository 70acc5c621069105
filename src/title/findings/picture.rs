//! What is worth saying of the picture of a source.

use crate::title::colour::{BT709, UNSPECIFIED};
use crate::title::frame_rate::{is_constant, measured};
use crate::title::plan::{Scan, memory, scan_of};
use crate::title::{Deinterlace, FieldOrder, FrameRate, Orientation, Remark, RemarkCode, VideoFacts, VideoRange, VideoTrack};

/// What is worth saying of the picture.
pub fn of_picture(video: &VideoFacts, frame_rate: FrameRate) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let info = |code, message: String| Remark::new(code, message);
    if !is_constant(video) && scan_of(video) != Scan::Telecine {
        let message = format!("The pictures come at a varying rate. They were laid on a steady grid of {frame_rate} frames a second.");
        remarks.push(info(RemarkCode::VariableFrameRate, message));
    } else if let Some(measured) = measured(video)
        && measured.as_f64() > frame_rate.as_f64() * 1.5
    {
        let message = format!("The source runs at {measured} frames a second. It was brought down to {frame_rate}.");
        remarks.push(info(RemarkCode::FrameRateReduced, message));
    }
    if video.orientation != Orientation::default() {
        let degrees = u32::from(video.orientation.quarter_turns) * 90;
        let stored = match (video.orientation.mirror, degrees) {
            (true, 0) => "mirrored".to_owned(),
            (true, degrees) => format!("mirrored and turned by {degrees} degrees"),
            (false, degrees) => format!("turned by {degrees} degrees"),
        };
        remarks.push(info(RemarkCode::Rotated, format!("The picture is stored {stored}. It was made upright.")));
    }
    let (wide, high) = video.sample_aspect;
    if wide != high && wide != 0 && high != 0 {
        remarks.push(info(
            RemarkCode::NonSquarePixels,
            format!("The pixels are not square ({wide}:{high}). The picture was made of square ones in its right shape."),
        ));
    }
    if video.undecodable_lead_count > 0 {
        let message = match video.undecodable_lead_count {
            1 => "The first picture cannot be decoded without what came before it. It was replaced.".to_owned(),
            count => format!("The first {count} pictures cannot be decoded without what came before them. They were replaced."),
        };
        remarks.push(Remark::new(RemarkCode::Concealed, message));
    }
    if video.size_change_count > 0 {
        let times = if video.size_change_count == 1 { "once".into() } else { format!("{} times", video.size_change_count) };
        let message = format!(
            "The size of the picture changes in mid-stream, {times}. Every size was fitted into {} by {}, uncropped and undistorted.",
            video.width, video.height
        );
        remarks.push(Remark::new(RemarkCode::SizeChanged, message));
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

/// What is worth saying of its colours, which became those of `tracks`.
pub fn of_colour(video: &VideoFacts, tracks: &[VideoTrack]) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let meant = video.meant_colour();
    let name = match meant.range() {
        VideoRange::Pq if video.is_ipt() => Some(match video.dolby_vision {
            Some(dolby_vision) => format!("Dolby Vision of profile {}", dolby_vision.profile),
            None => "IPT-PQ-C2".to_owned(),
        }),
        VideoRange::Pq => Some("PQ".to_owned()),
        VideoRange::Hlg => Some("HLG".to_owned()),
        VideoRange::Sdr => None,
    };
    if let Some(name) = name {
        let left_out = match video.dolby_vision {
            Some(_) if video.is_ipt() => " What Dolby Vision says for single displays was left out.",
            Some(_) => " What Dolby Vision adds was left out.",
            None => "",
        };
        let message = format!("The picture has high dynamic range ({name}). Its standard renditions were tone-mapped to BT.709.{left_out}");
        remarks.push(Remark::new(RemarkCode::HdrToneMapped, message));
        if tracks.iter().any(|track| track.range != VideoRange::Sdr) {
            let as_what = if video.is_ipt() { " as HDR10" } else { "" };
            let message = format!("The picture has high dynamic range ({name}). HEVC renditions keep it{as_what}.{left_out}");
            remarks.push(Remark::new(RemarkCode::HdrKept, message));
        }
    } else {
        let mut stored = Vec::new();
        if video.is_rgb() {
            stored.push("as red, green and blue");
        } else if video.is_full_range() {
            stored.push("in full range");
        }
        if meant.standard().is_none() {
            stored.push("in another colour space than displays have");
        }
        if !stored.is_empty() {
            let message = format!("The colours are stored {}. They were converted.", stored.join(" and "));
            remarks.push(Remark::new(RemarkCode::ColourConverted, message));
        }
    }
    let said = video.colour;
    let is_silent = said.primaries == UNSPECIFIED && said.transfer == UNSPECIFIED && matches!(said.matrix, UNSPECIFIED);
    if is_silent && !video.is_rgb() && !video.is_ipt() {
        let assumed = if meant.matrix == BT709 { "BT.709" } else { "BT.601" };
        let message = format!("The source does not say how its colours are meant. {assumed} was assumed, as is usual for its size.");
        remarks.push(Remark::new(RemarkCode::ColourAssumed, message));
    }
    if video.has_alpha() {
        remarks.push(Remark::new(RemarkCode::AlphaFlattened, "The picture is partly transparent. It was laid over black."));
    }
    remarks
}

/// What is worth saying of renditions of high dynamic range that were left out, largest first, since a worker may use no more
/// than `memory_max_bytes`.
pub fn of_memory(video: &VideoFacts, unfit: &[VideoTrack], memory_max_bytes: u64) -> Option<Remark> {
    let largest = unfit.first()?;
    let names: Vec<&str> = unfit.iter().map(|track| track.name.as_str()).collect();
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    let message = format!(
        "HEVC renditions that would keep the high dynamic range were left out: {}. The largest needs about {} MiB of a worker, which may use {} MiB.",
        names.join(", "),
        mebibytes(memory::needed_bytes(video, largest)),
        mebibytes(memory_max_bytes)
    );
    Some(Remark::new(RemarkCode::HdrLeftOut, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title::sample::{facts, policy, video_facts};
    use crate::title::{ColourFacts, PlanPolicy, StreamFacts, plan};

    fn codes(change: impl FnOnce(&mut VideoFacts), hdr: bool) -> Vec<RemarkCode> {
        let mut video = video_facts(12_800, 512, 100, None);
        change(&mut video);
        let source = facts(vec![StreamFacts::Video(video)]);
        let (_, remarks) = plan(&source, &PlanPolicy { hdr, ..policy() }).expect("a plan");
        remarks.into_iter().map(|remark| remark.code).filter(|code| *code != RemarkCode::NoAudio).collect()
    }

    fn described(primaries: u8, transfer: u8, matrix: u8) -> ColourFacts {
        ColourFacts { full_range: Some(false), primaries, transfer, matrix }
    }

    #[test]
    fn each_finding_has_its_code_and_ordinary_pictures_none() {
        use RemarkCode::{AlphaFlattened, ColourAssumed, ColourConverted, HdrKept, HdrToneMapped, SizeChanged};
        let pq = |video: &mut VideoFacts| (video.colour, video.bit_depth) = (described(9, 16, 9), 10);
        assert_eq!(codes(|_| {}, true), []);
        assert_eq!(codes(pq, false), [HdrToneMapped]);
        assert_eq!(codes(pq, true), [HdrToneMapped, HdrKept]);
        assert_eq!(codes(|video| video.colour = described(9, 18, 9), true), [HdrToneMapped], "8 bits");
        assert_eq!(codes(|video| video.colour.full_range = Some(true), false), [ColourConverted]);
        assert_eq!(codes(|video| video.colour = described(9, 14, 9), false), [ColourConverted]);
        assert_eq!(codes(|video| video.colour = described(2, 2, 2), false), [ColourAssumed]);
        let rgba = |video: &mut VideoFacts| (video.colour, video.pixel_format) = (described(2, 2, 0), "rgba".into());
        assert_eq!(codes(rgba, false), [ColourConverted, AlphaFlattened]);
        assert_eq!(codes(|video| video.size_change_count = 2, false), [SizeChanged]);
    }

    #[test]
    fn high_dynamic_range_that_no_worker_has_the_memory_for_is_told() {
        let told = |memory_max_bytes| {
            let mut video = video_facts(12_800, 512, 100, None);
            (video.colour, video.bit_depth, video.width, video.height) = (described(9, 16, 9), 10, 3840, 2160);
            let policy = PlanPolicy { hdr: true, memory_max_bytes, ..policy() };
            let (_, remarks) = plan(&facts(vec![StreamFacts::Video(video)]), &policy).expect("a plan");
            let of = |code| remarks.iter().find(|remark| remark.code == code).map(|remark| remark.message.clone());
            (of(RemarkCode::HdrKept).is_some(), of(RemarkCode::HdrLeftOut))
        };
        assert_eq!(told(8 << 30), (true, None));
        let (is_kept, left_out) = told(5 << 28);
        let left_out = left_out.expect("some do not fit");
        assert!(is_kept && left_out.contains("left out: 2160p-hdr. The largest needs about "), "{left_out}");
        assert!(left_out.ends_with(" MiB of a worker, which may use 1280 MiB."), "{left_out}");
    }

    #[test]
    fn the_rate_told_is_the_measured_one() {
        let told = |interval: i64, declared: (u32, u32), grid: (u32, u32)| {
            let video = video_facts(90_000, interval, 1000, Some(declared));
            let grid = FrameRate::new(grid.0, grid.1).expect("a rate");
            of_picture(&video, grid).into_iter().map(|remark| remark.message).next()
        };
        // Some writers declare fields.
        assert_eq!(told(3600, (50, 1), (25, 1)), None);
        let down = |from: &str, to: &str| Some(format!("The source runs at {from} frames a second. It was brought down to {to}."));
        assert_eq!(told(750, (120, 1), (60, 1)), down("120", "60"));
        assert_eq!(told(90, (1000, 1), (1000, 17)), down("1000", "58.824"));
    }

    #[test]
    fn turns_and_mirrors_are_told_as_people_say_it() {
        let told = |mirror: bool, quarter_turns: u8| {
            let mut video = video_facts(25, 1, 100, None);
            video.orientation = Orientation { quarter_turns, mirror };
            of_picture(&video, FrameRate::new(25, 1).expect("a rate")).swap_remove(0).message
        };
        assert_eq!(told(true, 0), "The picture is stored mirrored. It was made upright.");
        assert_eq!(told(true, 1), "The picture is stored mirrored and turned by 90 degrees. It was made upright.");
        assert_eq!(told(false, 2), "The picture is stored turned by 180 degrees. It was made upright.");
    }
}
