//! The video renditions of a plan: which there are, how large, and how each comes about.

use serde::{Deserialize, Serialize};

use super::{PlanPolicy, memory};
use crate::title::{FrameRate, Problem, ProblemCode, Ratio, RungSize, VideoFacts, fit_hdr, fit_ladder};

/// How bright the pictures of a rendition may be (VIDEO-RANGE of RFC 8216bis 4.4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum VideoRange {
    /// Standard dynamic range.
    Sdr,
    /// Perceptual quantiser (SMPTE ST 2084).
    Pq,
    /// Hybrid log-gamma (ARIB STD-B67).
    Hlg,
}

/// The coding format of a video rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum VideoCodec {
    /// H.264, 8 bits, 4:2:0.
    Avc,
    /// HEVC Main 10, 4:2:0.
    Hevc,
}

/// How a video track's pictures are encoded. All rates are in bits and bits a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoEncoding {
    /// The coding format.
    pub codec: VideoCodec,
    /// The encoder's preset, such as `veryfast`.
    pub preset: String,
    /// Constant rate factor in tenths.
    pub crf_tenths: u16,
    /// Highest rate over the length of the buffer.
    pub maxrate_bps: u32,
    /// The decoder's buffer.
    pub bufsize_bits: u32,
}

/// How the samples of a video track come about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VideoMethod {
    /// They are the source's own.
    Copy {
        /// Highest rate of a segment of the source's pictures with their boxes, in bits a second; no run of segments is above.
        peak_bps: u32,
        /// Rate of the source's pictures with their boxes over the whole length, in bits a second.
        average_bps: u32,
    },
    /// They are decoded, scaled and encoded.
    Encode(VideoEncoding),
}

/// One video rendition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoTrack {
    /// Name of the rendition, such as `720p`.
    pub name: String,
    /// Width in square pixels, even.
    pub width: u32,
    /// Height in square pixels, even.
    pub height: u32,
    /// How bright its pictures may be.
    pub range: VideoRange,
    /// How its samples come about.
    pub method: VideoMethod,
}

impl VideoTrack {
    /// The highest rate that is promised before anything is measured, in bits a second.
    pub fn cap_bps(&self) -> u32 {
        match &self.method {
            VideoMethod::Copy { peak_bps, .. } => *peak_bps,
            VideoMethod::Encode(encoding) => encoding.maxrate_bps,
        }
    }

    /// The decoder's buffer in bits.
    pub fn buffer_bits(&self) -> u32 {
        match &self.method {
            VideoMethod::Copy { peak_bps, .. } => *peak_bps,
            VideoMethod::Encode(encoding) => encoding.bufsize_bits,
        }
    }

    /// How it is encoded; absent when it is copied.
    pub fn encoding(&self) -> Option<&VideoEncoding> {
        match &self.method {
            VideoMethod::Copy { .. } => None,
            VideoMethod::Encode(encoding) => Some(encoding),
        }
    }
}

/// The renditions of a picture: the standard ones, largest first, then those of high dynamic range likewise.
pub(super) fn video_tracks(video: &VideoFacts, frame_rate: FrameRate, policy: &PlanPolicy) -> Result<Vec<VideoTrack>, Problem> {
    let pixels = u64::from(video.width) * u64::from(video.height);
    if pixels > policy.pixels_max {
        let detail = format!("its picture of {} by {} pixels is too large", video.width, video.height);
        return Err(Problem::with_detail(ProblemCode::BeyondLimits, detail));
    }
    if video.lacks_metadata() {
        let profile = video.dolby_vision.map_or(String::new(), |declared| format!(" of profile {}", declared.profile));
        let detail = format!(
            "its picture is Dolby Vision{profile}, and the metadata that makes colours of it was not found; export it as HDR10, HLG or BT.709"
        );
        return Err(Problem::with_detail(ProblemCode::UnsupportedCodec, detail));
    }
    let (width, height) = display_size(video);
    let as_track = |size: &RungSize| encoded(size, VideoRange::Sdr, frame_rate, policy);
    let standard: Vec<VideoTrack> = fit_ladder(&policy.ladder, width, height).iter().map(as_track).collect();
    if let Some(largest) = standard.first().filter(|track| !memory::fits(video, track, policy.memory_max_bytes)) {
        let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
        let (needed, has) = (memory::needed_bytes(video, largest), policy.memory_max_bytes);
        let detail = format!(
            "its picture of {} by {} pixels needs about {} MiB of a worker, which may use {} MiB",
            video.width,
            video.height,
            mebibytes(needed),
            mebibytes(has)
        );
        return Err(Problem::with_detail(ProblemCode::BeyondLimits, detail));
    }
    let (high, _) = high_tracks(video, frame_rate, policy);
    Ok(standard.into_iter().chain(high).collect())
}

/// The renditions that keep high dynamic range, largest first: those that workers have the memory for, and those that are
/// left out for want of it.
pub(super) fn high_tracks(video: &VideoFacts, frame_rate: FrameRate, policy: &PlanPolicy) -> (Vec<VideoTrack>, Vec<VideoTrack>) {
    let Some(range) = video.kept_range().filter(|_| policy.hdr) else { return (Vec::new(), Vec::new()) };
    let (width, height) = display_size(video);
    let wanted = fit_hdr(&policy.ladder, width, height);
    let wanted = wanted.iter().map(|size| encoded(size, range, frame_rate, policy));
    wanted.partition(|track| memory::fits(video, track, policy.memory_max_bytes))
}

/// A rung as an encoded rendition: standard ones in H.264, those of high dynamic range in HEVC.
pub(super) fn encoded(size: &RungSize, range: VideoRange, frame_rate: FrameRate, policy: &PlanPolicy) -> VideoTrack {
    let percent = if frame_rate.per_second() > Ratio::from_integer(31) { policy.ladder.high_rate_percent } else { 100 };
    let scaled = |kilo: u32| u32::try_from(u64::from(kilo) * 10 * u64::from(percent)).unwrap_or(u32::MAX);
    VideoTrack {
        name: size.rung.name.clone(),
        width: size.width,
        height: size.height,
        range,
        method: VideoMethod::Encode(VideoEncoding {
            codec: if range == VideoRange::Sdr { VideoCodec::Avc } else { VideoCodec::Hevc },
            preset: policy.preset.clone(),
            crf_tenths: size.rung.crf_tenths,
            maxrate_bps: scaled(size.rung.maxrate_kbps),
            bufsize_bits: scaled(size.rung.bufsize_kbit),
        }),
    }
}

/// Size of the upright picture in square pixels; the side with the longer pixels grows.
pub fn display_size(video: &VideoFacts) -> (u32, u32) {
    let (aspect_width, aspect_height) = match video.sample_aspect {
        (0, _) | (_, 0) => (1, 1),
        aspect => aspect,
    };
    let stretch = |side: u32, by: u32, over: u32| {
        u32::try_from((u64::from(side) * u64::from(by) + u64::from(over) / 2) / u64::from(over)).unwrap_or(u32::MAX).max(1)
    };
    let (width, height) = if aspect_width >= aspect_height {
        (stretch(video.width, aspect_width, aspect_height), video.height)
    } else {
        (video.width, stretch(video.height, aspect_height, aspect_width))
    };
    if video.orientation.swaps_sides() { (height, width) } else { (width, height) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title::sample::{policy, video_facts};
    use crate::title::{ColourFacts, DolbyVision, VideoFacts};

    const GIB: u64 = 1 << 30;

    fn tracks(video: &VideoFacts, memory_max_bytes: u64) -> Result<Vec<VideoTrack>, Problem> {
        let rate = FrameRate::new(25, 1).expect("a rate");
        video_tracks(video, rate, &PlanPolicy { hdr: true, memory_max_bytes, ..policy() })
    }

    /// 8K of ten bits in PQ.
    fn huge() -> VideoFacts {
        VideoFacts {
            width: 7680,
            height: 4320,
            pixel_format: "yuv420p10le".into(),
            bit_depth: 10,
            colour: ColourFacts { full_range: Some(false), primaries: 9, transfer: 16, matrix: 9 },
            ..video_facts(12_800, 512, 100, None)
        }
    }

    #[test]
    fn what_no_worker_could_make_is_refused_with_both_figures() {
        let (usual, large) = (tracks(&huge(), 2 * GIB).expect("a plan"), tracks(&huge(), 8 * GIB).expect("a plan"));
        let high = |tracks: &[VideoTrack]| tracks.iter().filter(|track| track.range == VideoRange::Pq).count();
        assert_eq!(usual.len() - high(&usual), large.len() - high(&large), "every standard rendition fits");
        assert!(high(&usual) > 0 && high(&usual) < high(&large), "the largest of high dynamic range does not");
        let refused = tracks(&huge(), GIB).expect_err("refused");
        assert_eq!(refused.code, ProblemCode::BeyondLimits);
        let detail = refused.detail.expect("a detail");
        assert!(detail.contains("7680 by 4320") && detail.contains("may use 1024 MiB"), "{detail}");
    }

    #[test]
    fn dolby_vision_is_refused_only_without_base_and_metadata() {
        let of = |profile, compatibility, with_metadata| {
            let video = VideoFacts { dolby_vision: Some(DolbyVision { profile, compatibility, with_metadata }), ..huge() };
            tracks(&video, 8 * GIB).map(|tracks| tracks.iter().filter(|track| track.range == VideoRange::Pq).count())
        };
        assert_eq!(of(8, 1, false), of(5, 0, true));
        assert!(of(5, 0, true).expect("tracks") > 0, "renditions of high dynamic range");
        let refused = of(5, 0, false).expect_err("refused");
        assert_eq!(refused.code, ProblemCode::UnsupportedCodec);
        assert!(refused.detail.expect("a detail").contains("Dolby Vision of profile 5"));
    }
}
