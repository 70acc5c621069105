//! What memory a worker needs for a source and its renditions, so that what cannot be made is refused before any work, and
//! what cannot be made at once is made in turn.
//!
//! The figures are measured on address space, which is what a worker's limit counts, and rounded up.

use super::{VideoCodec, VideoTrack};
use crate::title::VideoFacts;

/// A worker with its libraries and a small picture.
const BASE_BYTES: u64 = 256 << 20;
/// Decoded pictures that a decoder holds: six for order and reference (H.264 table A-1 and H.265 A.4.2 at full size), one
/// under way, one on show.
const PICTURES_DECODED: u64 = 8;
/// What an encoder takes whatever its pictures.
const ENCODER_BYTES: u64 = 20 << 20;

/// For decoding the source.
pub fn decoding_bytes(video: &VideoFacts) -> u64 {
    let format = video.pixel_format.as_str();
    // In halves of a sample for each pixel.
    let halves: u64 = if format.contains("444") || video.is_rgb() {
        6
    } else if format.contains("422") || format.contains("440") {
        4
    } else {
        3
    };
    let alpha = if video.has_alpha() { 2 } else { 0 };
    let picture = u64::from(video.width) * u64::from(video.height) * (halves + alpha) * sample_bytes(video.bit_depth) / 2;
    BASE_BYTES.saturating_add(PICTURES_DECODED.saturating_mul(picture))
}

/// For encoding one rendition; a copied one takes none.
pub fn encoding_bytes(track: &VideoTrack) -> u64 {
    let Some(encoding) = track.encoding() else { return 0 };
    let bits = match encoding.codec {
        VideoCodec::Avc => 8,
        VideoCodec::Hevc => 10,
    };
    let picture = u64::from(track.width) * u64::from(track.height) * 3 * sample_bytes(bits) / 2;
    // Pictures that would fill what encoders were seen to take: for x264 some and more for each that it looks ahead. How far
    // x265 looks ahead does not depend on the preset here.
    let pictures_tenths = match encoding.codec {
        VideoCodec::Avc => 360 + 27 * lookahead(&encoding.preset),
        VideoCodec::Hevc => 660,
    };
    ENCODER_BYTES + picture * pictures_tenths / 10
}

/// For decoding the source and encoding one rendition.
pub fn needed_bytes(video: &VideoFacts, track: &VideoTrack) -> u64 {
    decoding_bytes(video).saturating_add(encoding_bytes(track))
}

/// Whether one rendition can be made within `bytes_max`.
pub fn fits(video: &VideoFacts, track: &VideoTrack, bytes_max: u64) -> bool {
    encoding_bytes(track) <= bytes_max.saturating_sub(decoding_bytes(video))
}

/// Parts the tracks, in their order, into runs that are of one range and can be encoded at once within `bytes_max`. What
/// does not fit even alone is a run of its own.
pub fn runs<'a>(video: &VideoFacts, tracks: &[&'a VideoTrack], bytes_max: u64) -> Vec<Vec<&'a VideoTrack>> {
    let room = bytes_max.saturating_sub(decoding_bytes(video));
    let mut runs: Vec<(u64, Vec<&VideoTrack>)> = Vec::new();
    for track in tracks {
        let bytes = encoding_bytes(track);
        match runs.last_mut() {
            Some((taken, run)) if *taken + bytes <= room && run.iter().all(|other| other.range == track.range) => {
                *taken += bytes;
                run.push(track);
            }
            _ => runs.push((bytes, vec![track])),
        }
    }
    runs.into_iter().map(|(_, run)| run).collect()
}

fn sample_bytes(bits: u8) -> u64 {
    if bits > 8 { 2 } else { 1 }
}

/// Pictures that x264 looks ahead.
fn lookahead(preset: &str) -> u64 {
    match preset {
        "ultrafast" | "superfast" => 0,
        "veryfast" => 10,
        "faster" => 20,
        "fast" => 30,
        "medium" => 40,
        "slow" => 50,
        _ => 60,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title::VideoRange;
    use crate::title::sample::{video_facts, video_track};

    const GIB: u64 = 1 << 30;

    fn source(width: u32, height: u32, pixel_format: &str, bit_depth: u8) -> VideoFacts {
        VideoFacts { width, height, pixel_format: pixel_format.into(), bit_depth, ..video_facts(12_800, 512, 100, None) }
    }

    fn ladder() -> Vec<VideoTrack> {
        let track = |width, height| video_track("", width, height, 1_000_000);
        vec![track(3840, 2160), track(2560, 1440), track(1920, 1080), track(1280, 720), track(960, 540), track(640, 360), track(426, 240)]
    }

    /// Peaks of address space that were measured: 1.68 GiB from 2160p, 1.92 from 4320p, 2.27 from 4320p in HEVC of 10 bits.
    #[test]
    fn estimates_are_a_little_above_what_was_measured() {
        let tracks = ladder();
        let encoding: u64 = tracks.iter().map(encoding_bytes).sum();
        for (video, measured) in [
            (source(3840, 2160, "yuv420p", 8), 1.68),
            (source(7680, 4320, "yuv420p", 8), 1.92),
            (source(7680, 4320, "yuv420p10le", 10), 2.27),
        ] {
            let estimate = (decoding_bytes(&video) + encoding) as f64 / GIB as f64;
            assert!(estimate > measured && estimate < measured * 1.2, "{estimate:.2} GiB");
        }
    }

    #[test]
    fn what_does_not_fit_at_once_is_made_in_turn() {
        let mut tracks = ladder();
        for track in &mut tracks[5..] {
            track.range = VideoRange::Pq;
        }
        let tracks: Vec<&VideoTrack> = tracks.iter().collect();
        let video = source(3840, 2160, "yuv420p", 8);
        let lengths = |bytes_max| runs(&video, &tracks, bytes_max).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(2 * GIB), [5, 2]);
        assert_eq!(lengths(GIB), [1, 3, 1, 2]);
        assert_eq!(lengths(0), [1; 7]);
    }
}
