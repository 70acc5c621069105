//! What is worth saying of the picture of a source.

use crate::title::frame_rate::is_constant;
use crate::title::plan::{Scan, scan_of};
use crate::title::{Deinterlace, FieldOrder, FrameRate, Orientation, Remark, RemarkCode, VideoFacts};

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
