//! What a source's colours mean and how the renditions are described, by the code points of ITU-T H.273.
//!
//! Standard renditions are BT.601 or BT.709 in limited range and nothing else. A source of that family keeps its own
//! description: players know all of it, nothing is rounded, and a copied rendition looks like the encoded ones beside it.
//! Everything else becomes BT.709, for players often ignore what primaries a stream names, and never ask for a gamut wider
//! than their display's.

use super::{ColourFacts, DolbyVision, VideoFacts, VideoRange};

/// BT.709, for all three properties.
pub const BT709: u8 = 1;
/// Unspecified, for all three properties.
pub const UNSPECIFIED: u8 = 2;
/// BT.601 with 525 lines, for all three properties.
pub const BT601: u8 = 6;
/// RGB, for the matrix.
pub const RGB: u8 = 0;
/// BT.2020, for the primaries, and with non-constant luminance for the matrix.
pub const BT2020: u8 = 9;
/// IPT-PQ-C2, for the matrix: what Dolby Vision has in place of luma and chroma.
const IPT_C2: u8 = 15;
/// Perceptual quantiser, for the transfer.
pub const PQ: u8 = 16;
/// Hybrid log-gamma, for the transfer.
pub const HLG: u8 = 18;

/// BT.709, BT.470 M, BT.470 BG, SMPTE 170M and 240M: the gamuts that displays are made for, near enough to each other.
const STANDARD_PRIMARIES: [u8; 5] = [1, 4, 5, 6, 7];
/// Transfers that are shown with the same display gamma: BT.709, the two of BT.470, 170M, 240M, xvYCC, BT.1361, sRGB, and
/// the two of BT.2020.
const STANDARD_TRANSFERS: [u8; 10] = [1, 4, 5, 6, 7, 11, 12, 13, 14, 15];
/// BT.709, BT.470 BG and SMPTE 170M: the matrices that every player knows.
const STANDARD_MATRICES: [u8; 3] = [1, 5, 6];
/// Above this many lines an untagged picture is taken for HD.
const SD_LINES_MAX: u32 = 576;

impl ColourFacts {
    /// BT.709 in limited range.
    pub const STANDARD: Self = Self { full_range: Some(false), primaries: BT709, transfer: BT709, matrix: BT709 };

    /// What BT.2100 has for PQ that players take: its one colour space, non-constant luminance, limited range.
    pub const HDR10: Self = Self { full_range: Some(false), primaries: BT2020, transfer: PQ, matrix: BT2020 };

    /// How bright such pictures may be.
    pub fn range(self) -> VideoRange {
        match self.transfer {
            PQ => VideoRange::Pq,
            HLG => VideoRange::Hlg,
            _ => VideoRange::Sdr,
        }
    }

    /// What is meant where nothing is said, in a picture whose shorter side has `short_side` pixels: what is said decides,
    /// else the size. The range, where it is not said, is limited.
    pub fn completed(self, short_side: u32) -> Self {
        let known = |code: u8| Some(code).filter(|code| !matches!(*code, UNSPECIFIED | RGB));
        let by_size = if short_side > SD_LINES_MAX { BT709 } else { BT601 };
        // RGB of no further description is what computers make: the primaries of BT.709.
        let usual = match self.range() {
            VideoRange::Sdr if self.matrix == RGB => BT709,
            VideoRange::Sdr => by_size,
            VideoRange::Pq | VideoRange::Hlg => BT2020,
        };
        // The code points of primaries and matrix agree where they matter; SMPTE 170M stands for all of BT.601.
        let of_primaries = known(self.primaries).map(|code| match code {
            BT709 | BT2020 => code,
            4..=7 => BT601,
            _ => usual,
        });
        let of_matrix = known(self.matrix).map(|code| match code {
            BT709 | BT2020 => code,
            10 | 14 => BT2020,
            5 | 6 => code,
            _ => usual,
        });
        let primaries = known(self.primaries).or(of_matrix).unwrap_or(usual);
        let transfer = known(self.transfer).unwrap_or(if (4..=7).contains(&primaries) { BT601 } else { BT709 });
        Self {
            full_range: Some(self.full_range.unwrap_or(false)),
            primaries,
            transfer,
            matrix: known(self.matrix).or(of_primaries).unwrap_or(usual),
        }
    }

    /// The description of standard renditions of such pictures that needs no conversion but of the range; absent when the
    /// pictures are of another family.
    pub fn standard(self) -> Option<Self> {
        let known = STANDARD_PRIMARIES.contains(&self.primaries)
            && STANDARD_TRANSFERS.contains(&self.transfer)
            && STANDARD_MATRICES.contains(&self.matrix);
        known.then_some(Self {
            full_range: Some(false),
            // What BT.470 M names is no longer made, and SMPTE 240M names the same as 170M.
            primaries: if matches!(self.primaries, 4 | 7) { BT601 } else { self.primaries },
            transfer: if self.transfer == BT601 { BT601 } else { BT709 },
            matrix: self.matrix,
        })
    }
}

impl DolbyVision {
    /// Whether there are no colours but those that its metadata makes.
    pub fn is_alone(self) -> bool {
        matches!((self.profile, self.compatibility), (5, _) | (10 | 20, 0))
    }
}

impl VideoFacts {
    /// What its colours mean; what they become by their metadata where they are IPT.
    pub fn meant_colour(&self) -> ColourFacts {
        if self.is_ipt() {
            return ColourFacts::HDR10;
        }
        let matrix = if self.is_rgb() { RGB } else { self.colour.matrix };
        ColourFacts { matrix, ..self.colour }.completed(self.width.min(self.height))
    }

    /// The description of its standard renditions.
    pub fn standard_colour(&self) -> ColourFacts {
        self.meant_colour().standard().unwrap_or(ColourFacts::STANDARD)
    }

    /// The description of its renditions of that range.
    pub fn output_colour(&self, range: VideoRange) -> ColourFacts {
        match range {
            VideoRange::Sdr => self.standard_colour(),
            VideoRange::Pq => ColourFacts::HDR10,
            VideoRange::Hlg => ColourFacts { transfer: HLG, ..ColourFacts::HDR10 },
        }
    }

    /// Whether the source has high dynamic range that can be kept as it is: enough bits, and the colour space of BT.2100.
    pub fn kept_range(&self) -> Option<VideoRange> {
        let meant = self.meant_colour();
        let fits = self.bit_depth >= 10 && meant.primaries == BT2020 && meant.matrix == BT2020;
        Some(meant.range()).filter(|range| fits && *range != VideoRange::Sdr)
    }

    /// Whether its pixels are IPT-PQ-C2, which the metadata of Dolby Vision makes colours of: profile 5, what AV1 and MV-HEVC
    /// have like it (10 and 20 without compatibility), and whatever names such a matrix.
    pub fn is_ipt(&self) -> bool {
        self.dolby_vision.is_some_and(DolbyVision::is_alone) || self.colour.matrix == IPT_C2
    }

    /// Whether it is Dolby Vision whose colours cannot be worked out, for nothing else tells them and its metadata was not found.
    pub fn lacks_metadata(&self) -> bool {
        self.dolby_vision.is_some_and(|declared| declared.is_alone() && !declared.with_metadata)
    }

    /// Whether its pixels are stored as red, green and blue.
    pub fn is_rgb(&self) -> bool {
        let format = self.pixel_format.as_str();
        ["rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2rgb", "x2bgr"].iter().any(|start| format.starts_with(start))
    }

    /// Whether its pixels may be transparent. A palette may, but hardly ever is.
    pub fn has_alpha(&self) -> bool {
        let format = self.pixel_format.as_str();
        ["yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16", "ayuv"].iter().any(|start| format.starts_with(start))
    }

    /// Whether black is 0 and white the largest code.
    pub fn is_full_range(&self) -> bool {
        self.colour.full_range == Some(true) || self.pixel_format.starts_with("yuvj")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title::sample::video_facts;

    fn described(primaries: u8, transfer: u8, matrix: u8) -> ColourFacts {
        ColourFacts { full_range: None, primaries, transfer, matrix }
    }

    #[test]
    fn what_is_said_decides_then_the_size() {
        // (said, shorter side, meant)
        for (said, short_side, expect) in [
            ((2, 2, 2), 1080, (1, 1, 1)),
            ((2, 2, 2), 576, (6, 6, 6)),
            ((1, 2, 2), 240, (1, 1, 1)),
            ((2, 2, 5), 1080, (5, 6, 5)),
            ((5, 2, 2), 1080, (5, 6, 6)),
            ((2, 2, 1), 240, (1, 1, 1)),
            ((2, 2, 0), 240, (1, 1, 1)),
            ((2, 13, 0), 1080, (1, 13, 1)),
            ((2, 16, 2), 240, (9, 16, 9)),
            ((9, 18, 2), 2160, (9, 18, 9)),
            ((9, 2, 9), 2160, (9, 1, 9)),
            ((12, 1, 2), 1080, (12, 1, 1)),
        ] {
            let (primaries, transfer, matrix) = said;
            let meant = described(primaries, transfer, matrix).completed(short_side);
            assert_eq!((meant.primaries, meant.transfer, meant.matrix), expect, "{said:?} at {short_side}");
            assert_eq!(meant.full_range, Some(false));
        }
    }

    #[test]
    fn only_the_standard_family_keeps_its_description() {
        let output = |primaries, transfer, matrix| {
            let mut video = video_facts(12_800, 512, 100, None);
            video.colour = described(primaries, transfer, matrix);
            let colour = video.standard_colour();
            (colour.primaries, colour.transfer, colour.matrix)
        };
        for kept in [(1, 1, 1), (6, 6, 6), (5, 6, 5), (5, 1, 6)] {
            assert_eq!(output(kept.0, kept.1, kept.2), kept);
        }
        assert_eq!((output(1, 13, 1), output(7, 7, 6)), ((1, 1, 1), (6, 1, 6)));
        for changed in [(9, 14, 9), (9, 1, 9), (12, 1, 1), (9, 16, 9), (9, 18, 9), (1, 8, 1), (1, 1, 8), (1, 16, 1)] {
            assert_eq!(output(changed.0, changed.1, changed.2), (1, 1, 1), "{changed:?}");
        }
    }

    #[test]
    fn high_dynamic_range_is_kept_only_as_bt2100_has_it() {
        let kept = |bit_depth, primaries, transfer, matrix| {
            let mut video = video_facts(12_800, 512, 100, None);
            video.bit_depth = bit_depth;
            video.colour = described(primaries, transfer, matrix);
            video.kept_range()
        };
        assert_eq!(kept(10, 9, 16, 9), Some(VideoRange::Pq));
        assert_eq!(kept(12, 2, 18, 2), Some(VideoRange::Hlg));
        for (bit_depth, primaries, transfer, matrix) in [(8, 9, 16, 9), (10, 1, 16, 1), (10, 9, 16, 14), (10, 9, 14, 9), (10, 1, 1, 1)] {
            assert_eq!(kept(bit_depth, primaries, transfer, matrix), None);
        }
    }

    #[test]
    fn dolby_vision_without_a_base_is_told_from_that_with_one() {
        let of = |profile, compatibility, with_metadata| {
            let dolby_vision = Some(DolbyVision { profile, compatibility, with_metadata });
            VideoFacts { dolby_vision, bit_depth: 10, ..video_facts(12_800, 512, 100, None) }
        };
        for (profile, compatibility) in [(5, 0), (10, 0), (20, 0)] {
            let video = of(profile, compatibility, true);
            assert!(video.is_ipt() && !video.lacks_metadata() && of(profile, compatibility, false).lacks_metadata());
            assert_eq!((video.meant_colour(), video.standard_colour()), (ColourFacts::HDR10, ColourFacts::STANDARD));
            assert_eq!(video.kept_range(), Some(VideoRange::Pq));
        }
        for (profile, compatibility) in [(4, 2), (7, 6), (7, 0), (8, 1), (8, 2), (8, 4), (9, 2), (10, 1), (10, 4)] {
            let video = of(profile, compatibility, false);
            assert!(!video.is_ipt() && !video.lacks_metadata(), "{profile}.{compatibility}");
        }
        let mut video = video_facts(12_800, 512, 100, None);
        assert!(!video.is_ipt());
        video.colour = described(9, 16, 15);
        assert!(video.is_ipt() && !video.lacks_metadata(), "as H.273 has it, without Dolby Vision");
    }
}
