//! Watches key frames for a change of the picture's size, without decoding: by FFmpeg's parsers, and for VP9, whose parser
//! does not tell, by its frame header.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::Context;
use ffmpeg_next::ffi;
use ffmpeg_next::format::stream::Stream;

use super::stream_facts;

/// What was seen of a stream's size so far.
pub struct SizeWatch {
    parser: Option<Parser>,
    is_vp9: bool,
    last: Option<(u32, u32)>,
    change_count: u64,
}

impl SizeWatch {
    /// Starts with a stream's parameters. A codec without a parser is not watched.
    pub fn begin(stream: &Stream<'_>) -> Self {
        let context = Context::from_parameters(stream.parameters()).ok();
        let is_vp9 = context.as_ref().is_some_and(|context| context.id() == ffmpeg::codec::Id::VP9);
        let parser = context.filter(|_| !is_vp9).and_then(Parser::new);
        Self { parser, is_vp9, last: None, change_count: 0 }
    }

    /// Looks at a key frame.
    pub fn take(&mut self, packet: &ffmpeg::Packet) {
        let Some(data) = packet.data() else { return };
        if let (Some(parser), Some(extradata)) = (&mut self.parser, stream_facts::new_extradata(packet)) {
            parser.restart(&extradata);
        }
        let size = if self.is_vp9 { vp9_size(data) } else { self.parser.as_mut().and_then(|parser| parser.size(packet)) };
        if let Some(size) = size {
            self.change_count += u64::from(self.last.is_some_and(|last| last != size));
            self.last = Some(size);
        }
    }

    /// How often the size was another than before.
    pub fn change_count(&self) -> u64 {
        self.change_count
    }
}

/// One of FFmpeg's parsers with the context that it reads parameter sets into.
struct Parser {
    raw: *mut ffi::AVCodecParserContext,
    context: Context,
}

impl Parser {
    fn new(context: Context) -> Option<Self> {
        // SAFETY: gives null for a codec without a parser; what it gives is closed when dropped.
        let raw = unsafe { ffi::av_parser_init((*context.as_ptr()).codec_id as libc::c_int) };
        if raw.is_null() {
            return None;
        }
        // SAFETY: freshly made; a plain integer.
        unsafe { (*raw).flags |= ffi::PARSER_FLAG_COMPLETE_FRAMES };
        Some(Self { raw, context })
    }

    /// The size that the packet's parameter sets, or those before it, tell.
    fn size(&mut self, packet: &ffmpeg::Packet) -> Option<(u32, u32)> {
        let data = packet.data()?;
        let length = libc::c_int::try_from(data.len()).ok()?;
        let (mut out, mut out_length) = (std::ptr::null_mut(), 0);
        // SAFETY: parser and context are alive and of the same codec, and a packet's data is followed by the padding that
        // parsers ask for. What comes out points into the packet and is not looked at.
        let (width, height) = unsafe {
            let unknown = ffi::AV_NOPTS_VALUE;
            ffi::av_parser_parse2(
                self.raw,
                self.context.as_mut_ptr(),
                &mut out,
                &mut out_length,
                data.as_ptr(),
                length,
                unknown,
                unknown,
                -1,
            );
            ((*self.raw).width, (*self.raw).height)
        };
        Some((u32::try_from(width).ok()?, u32::try_from(height).ok()?)).filter(|(width, height)| *width > 0 && *height > 0)
    }

    /// From now on the parameter sets out of band are these.
    fn restart(&mut self, extradata: &[u8]) {
        let padding = ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize;
        let Ok(length) = libc::c_int::try_from(extradata.len()) else { return };
        // SAFETY: the old extradata belongs to the context and was allocated by FFmpeg, and so is the new one, with zeroed
        // padding behind it. The old parser is closed once, and the new one takes its place only when there is one.
        unsafe {
            let copy = ffi::av_mallocz(extradata.len() + padding).cast::<u8>();
            let parser = ffi::av_parser_init((*self.context.as_ptr()).codec_id as libc::c_int);
            if copy.is_null() || parser.is_null() {
                ffi::av_free(copy.cast());
                ffi::av_parser_close(parser);
                return;
            }
            std::ptr::copy_nonoverlapping(extradata.as_ptr(), copy, extradata.len());
            let context = self.context.as_mut_ptr();
            ffi::av_free((*context).extradata.cast());
            (*context).extradata = copy;
            (*context).extradata_size = length;
            (*parser).flags |= ffi::PARSER_FLAG_COMPLETE_FRAMES;
            ffi::av_parser_close(self.raw);
            self.raw = parser;
        }
    }
}

impl Drop for Parser {
    fn drop(&mut self) {
        // SAFETY: made by `av_parser_init` and closed nowhere else.
        unsafe { ffi::av_parser_close(self.raw) };
    }
}

/// Width and height of a VP9 key frame (VP9 bitstream specification 6.2, uncompressed_header); absent for other frames.
fn vp9_size(frame: &[u8]) -> Option<(u32, u32)> {
    let mut at = 0_usize;
    let mut number = |count: usize| -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(frame.get(at / 8)? >> (7 - at % 8) & 1);
            at += 1;
        }
        Some(value)
    };
    if number(2)? != 2 {
        return None;
    }
    let profile = number(1)? | number(1)? << 1;
    // reserved_zero, show_existing_frame, then frame_type: 0 for a key frame.
    if (profile == 3 && number(1)? != 0) || number(1)? != 0 || number(1)? != 0 {
        return None;
    }
    number(2)?; // show_frame, error_resilient_mode
    if number(24)? != VP9_SYNC {
        return None;
    }
    if profile >= 2 {
        number(1)?; // ten_or_twelve_bit
    }
    let own_subsampling = profile & 1 == 1;
    if number(3)? != VP9_RGB {
        number(1)?; // color_range
        if own_subsampling {
            number(3)?;
        }
    } else if own_subsampling {
        number(1)?;
    }
    Some((number(16)? + 1, number(16)? + 1))
}

/// frame_sync_code.
const VP9_SYNC: u32 = 0x49_83_42;
/// color_space of RGB.
const VP9_RGB: u32 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vp9_key_frames_tell_their_size() {
        // A key frame of profile 0, 161 by 121, and the same as a frame between.
        let key = [0x82, 0x49, 0x83, 0x42, 0x00, 0x0a, 0x00, 0x07, 0x80, 0xf6];
        assert_eq!(vp9_size(&key), Some((161, 121)));
        assert_eq!(vp9_size(&[0x86, 0x49, 0x83, 0x42, 0x00, 0x0a, 0x00, 0x07, 0x80]), None);
        assert_eq!((vp9_size(&key[..6]), vp9_size(&[])), (None, None));
    }
}
