//! How the output's colours are described, decided from what the source says: code points of ITU-T H.273.

use headwater::title::{ColourFacts, VideoFacts};

/// BT.709, for all three properties.
const BT709: u8 = 1;
/// SMPTE 170M (BT.601 with 525 lines), for all three properties.
const BT601: u8 = 6;
/// Unspecified.
const UNSPECIFIED: u8 = 2;
/// RGB, for the matrix.
const RGB: u8 = 0;
/// Perceptual quantiser and hybrid log-gamma, for the transfer.
const HDR_TRANSFERS: [u8; 2] = [16, 18];
/// Above this many lines an untagged picture is taken for HD.
const SD_LINES_MAX: u32 = 576;

/// The colour description of every video track: limited range, never HDR, never unspecified.
pub fn output(video: &VideoFacts) -> ColourFacts {
    if is_hdr(video) {
        return ColourFacts { full_range: Some(false), primaries: BT709, transfer: BT709, matrix: BT709 };
    }
    let usual = if video.width.min(video.height) > SD_LINES_MAX { BT709 } else { BT601 };
    let known = |code: u8| if matches!(code, UNSPECIFIED | RGB) { usual } else { code };
    ColourFacts {
        full_range: Some(false),
        primaries: known(video.colour.primaries),
        transfer: known(video.colour.transfer),
        matrix: known(video.colour.matrix),
    }
}

/// Whether the source's brightness goes beyond what a standard display shows.
pub fn is_hdr(video: &VideoFacts) -> bool {
    HDR_TRANSFERS.contains(&video.colour.transfer)
}

/// FFmpeg's name for a matrix that RGB sources are converted with.
pub fn matrix_name(colour: ColourFacts) -> &'static str {
    if colour.matrix == BT709 { "bt709" } else { "bt601" }
}
