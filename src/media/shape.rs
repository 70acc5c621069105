//! What a decoded picture is like beside its pixels: size, pixel format and shape, colours, and where its chroma lies.

use std::ffi::CStr;

use ffmpeg_next::ffi;
use ffmpeg_next::frame::Video;
use headwater::title::colour::{RGB, UNSPECIFIED};
use headwater::title::{ColourFacts, VideoFacts};

/// A picture of another shape needs another way through the filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// FFmpeg's number of the pixel format.
    pub format: i32,
    /// Width of a pixel over its height; (0, 1) when the picture says nothing.
    pub aspect: (u32, u32),
    /// Colour description as the picture has it.
    pub colour: ColourFacts,
    /// Place of the chroma samples.
    pub siting: Siting,
}

/// Where chroma samples lie among those of luma, in 1/256 of a luma sample, as FFmpeg's scaler counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Siting {
    /// To the right of the left luma sample.
    pub right: u16,
    /// Below the upper luma sample.
    pub down: u16,
}

impl Siting {
    /// Between two lines, level with the left sample: what MPEG-2, H.264 and HEVC mean when they say nothing.
    pub const LEFT: Self = Self { right: 0, down: 128 };
}

impl Shape {
    /// The shape of a picture.
    pub fn of(frame: &Video) -> Self {
        // SAFETY: the frame is alive, and only plain integers and enumerations are read of it.
        let (format, aspect, range, primaries, transfer, matrix, siting) = unsafe {
            let raw = &*frame.as_ptr();
            let colours = (raw.color_primaries as u32, raw.color_trc as u32, raw.colorspace as u32);
            (raw.format, raw.sample_aspect_ratio, raw.color_range, colours.0, colours.1, colours.2, raw.chroma_location)
        };
        let code = |value: u32| u8::try_from(value).unwrap_or(UNSPECIFIED);
        let full_range = match range {
            ffi::AVColorRange::AVCOL_RANGE_JPEG => Some(true),
            ffi::AVColorRange::AVCOL_RANGE_MPEG => Some(false),
            _ => None,
        };
        let siting = match siting {
            ffi::AVChromaLocation::AVCHROMA_LOC_CENTER => Siting { right: 128, down: 128 },
            ffi::AVChromaLocation::AVCHROMA_LOC_TOPLEFT => Siting { right: 0, down: 0 },
            ffi::AVChromaLocation::AVCHROMA_LOC_TOP => Siting { right: 128, down: 0 },
            _ => Siting::LEFT,
        };
        let aspect = match (u32::try_from(aspect.num), u32::try_from(aspect.den)) {
            (Ok(wide), Ok(high)) if wide > 0 && high > 0 => (wide, high),
            _ => (0, 1),
        };
        Self {
            width: frame.width(),
            height: frame.height(),
            format,
            aspect,
            colour: ColourFacts { full_range, primaries: code(primaries), transfer: code(transfer), matrix: code(matrix) },
            siting,
        }
    }

    /// What its colours mean, in a source with those facts, which stand in for what the picture does not say.
    pub fn meant_colour(&self, video: &VideoFacts) -> ColourFacts {
        let known = |own: u8, of_source: u8| if own == UNSPECIFIED { of_source } else { own };
        let said = ColourFacts {
            full_range: self.colour.full_range.or(video.colour.full_range),
            primaries: known(self.colour.primaries, video.colour.primaries),
            transfer: known(self.colour.transfer, video.colour.transfer),
            matrix: if self.is_rgb() { RGB } else { known(self.colour.matrix, video.colour.matrix) },
        };
        said.completed(video.width.min(video.height))
    }

    /// Whether its pixels are red, green and blue, or a palette of them.
    pub fn is_rgb(&self) -> bool {
        self.has(u64::from(ffi::AV_PIX_FMT_FLAG_RGB as u32 | ffi::AV_PIX_FMT_FLAG_PAL as u32))
    }

    /// Whether its pixels may be transparent.
    pub fn has_alpha(&self) -> bool {
        self.has(u64::from(ffi::AV_PIX_FMT_FLAG_ALPHA as u32))
    }

    /// Bits of a component.
    pub fn bit_depth(&self) -> u8 {
        self.descriptor().map_or(8, |descriptor| u8::try_from(descriptor.comp[0].depth).unwrap_or(8))
    }

    /// FFmpeg's name of the pixel format.
    pub fn format_name(&self) -> Option<String> {
        // SAFETY: a descriptor's name is a static string.
        self.descriptor().map(|descriptor| unsafe { CStr::from_ptr(descriptor.name) }.to_string_lossy().into_owned())
    }

    fn has(&self, flags: u64) -> bool {
        self.descriptor().is_some_and(|descriptor| descriptor.flags & flags != 0)
    }

    fn descriptor(&self) -> Option<&'static ffi::AVPixFmtDescriptor> {
        if self.format < 0 {
            return None;
        }
        // SAFETY: the number comes from a decoded frame, so it is one of the enumeration; the result is null or static.
        unsafe {
            let format: ffi::AVPixelFormat = std::mem::transmute(self.format);
            ffi::av_pix_fmt_desc_get(format).as_ref()
        }
    }
}
