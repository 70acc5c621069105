//! Pictures in which there is nothing to see.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;

/// A black picture in limited range, in 4:2:0 of 8 or 10 bits.
pub fn black(format: Pixel, width: u32, height: u32) -> Video {
    let mut picture = Video::new(format, width, height);
    for (plane, value) in [(0, 16_u16), (1, 128), (2, 128)] {
        match format {
            Pixel::YUV420P10LE => {
                let code = (value << 2).to_le_bytes();
                picture.data_mut(plane).chunks_exact_mut(2).for_each(|place| place.copy_from_slice(&code));
            }
            _ => picture.data_mut(plane).fill(value as u8),
        }
    }
    picture
}
