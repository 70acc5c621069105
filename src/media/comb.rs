//! Whether a picture is torn into lines where something moves, as one woven of two fields is.
//!
//! In a whole picture a line is more like its neighbours than like the lines beyond them. In a woven one it is the other way
//! round wherever something moved between the fields.

use ffmpeg_next::ffi;
use ffmpeg_next::frame::Video;

/// A change of luma from picture to picture, of 255, that is movement and no noise.
const MOVED: i32 = 12;
/// Of so many columns one is looked at.
const COLUMNS: usize = 4;
/// With fewer places that move, nothing can be told.
const MOVING_LEAST: u32 = 200;

/// Whether `picture` is torn where it is unlike the one `before`; absent when too little moves, or the pictures have no plain
/// luma to look at.
pub fn is_torn(before: &Video, picture: &Video) -> Option<bool> {
    let (old, new) = (Luma::of(before)?, Luma::of(picture)?);
    if (old.width, old.height) != (new.width, new.height) {
        return None;
    }
    let (mut near, mut far, mut moving) = (0_u64, 0_u64, 0_u32);
    for y in 2..new.height.saturating_sub(2) {
        for x in (0..new.width).step_by(COLUMNS) {
            let at = |line: usize| new.at(x, line);
            let here = at(y);
            if (here - old.at(x, y)).abs() <= MOVED {
                continue;
            }
            moving += 1;
            near += u64::from((2 * here - at(y - 1) - at(y + 1)).unsigned_abs());
            far += u64::from((2 * here - at(y - 2) - at(y + 2)).unsigned_abs());
        }
    }
    (moving >= MOVING_LEAST).then_some(near > far)
}

/// The luma of a picture.
struct Luma<'a> {
    bytes: &'a [u8],
    stride: usize,
    step: usize,
    /// Offset of a sample's first byte, the lower one where there are two.
    offset: usize,
    depth: u32,
    width: usize,
    height: usize,
}

impl<'a> Luma<'a> {
    fn of(picture: &'a Video) -> Option<Self> {
        // SAFETY: the description is a static table of FFmpeg; the frame is alive, and its format one of FFmpeg's or none.
        let described = unsafe { ffi::av_pix_fmt_desc_get(ffi::AVPixelFormat::from(picture.format())).as_ref() }?;
        let luma = described.comp[0];
        let other =
            (ffi::AV_PIX_FMT_FLAG_RGB | ffi::AV_PIX_FMT_FLAG_BE | ffi::AV_PIX_FMT_FLAG_BITSTREAM | ffi::AV_PIX_FMT_FLAG_HWACCEL) as u64;
        if described.flags & other != 0 || luma.plane != 0 || luma.shift != 0 || !(8..=16).contains(&luma.depth) {
            return None;
        }
        Some(Self {
            bytes: picture.data(0),
            stride: picture.stride(0),
            step: usize::try_from(luma.step).ok()?,
            offset: usize::try_from(luma.offset).ok()?,
            depth: u32::try_from(luma.depth).ok()?,
            width: picture.width() as usize,
            height: picture.height() as usize,
        })
    }

    /// A sample in eight bits; 0 beyond the picture.
    fn at(&self, x: usize, y: usize) -> i32 {
        let place = y * self.stride + x * self.step + self.offset;
        let byte = |place: usize| u32::from(self.bytes.get(place).copied().unwrap_or(0));
        let sample = if self.depth > 8 { (byte(place) | byte(place + 1) << 8) >> (self.depth - 8) } else { byte(place) };
        sample as i32
    }
}

#[cfg(test)]
mod tests {
    use ffmpeg_next::format::Pixel;

    use super::*;

    /// A soft edge at `position`, its odd lines at `position + weave`.
    fn edge(form: Pixel, position: usize, weave: usize) -> Video {
        let mut picture = Video::new(form, 320, 128);
        let (stride, deep) = (picture.stride(0), form != Pixel::YUV420P);
        for y in 0..128 {
            for x in 0..320_usize {
                let edge = position + (y % 2) * weave + y / 4;
                let value = ((x + 20).saturating_sub(edge) * 5).min(200) as u8;
                match deep {
                    true => picture.data_mut(0)[y * stride + 2 * x..][..2].copy_from_slice(&(u16::from(value) << 2).to_le_bytes()),
                    false => picture.data_mut(0)[y * stride + x] = value,
                }
            }
        }
        picture
    }

    #[test]
    fn woven_pictures_are_torn_and_whole_ones_are_not() {
        for form in [Pixel::YUV420P, Pixel::YUV420P10LE] {
            let torn = |weave: usize, position: usize| is_torn(&edge(form, 100, weave), &edge(form, position, weave));
            assert_eq!(torn(0, 116), Some(false), "{form:?}");
            assert_eq!(torn(8, 116), Some(true), "{form:?}");
            assert_eq!(torn(8, 100), None, "nothing moves");
        }
        assert_eq!(is_torn(&Video::new(Pixel::RGB24, 320, 128), &Video::new(Pixel::RGB24, 320, 128)), None);
    }
}
