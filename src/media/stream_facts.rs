//! Reads what the demuxer knows about a stream before any packet of it: size, shape, colour, turn, language.

use std::ffi::CStr;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::packet::Ref;
use ffmpeg_next::ffi;
use ffmpeg_next::format::stream::{Disposition, Stream};
use headwater::title::{AudioRoles, ColourFacts, FieldOrder, Orientation, SubtitleForm, TimeBase};

/// The codec parameters of a stream.
pub fn parameters<'a>(stream: &'a Stream<'a>) -> &'a ffi::AVCodecParameters {
    // SAFETY: every stream of an open context has codec parameters that live as long as the stream.
    unsafe { &*(*stream.as_ptr()).codecpar }
}

/// What the container holds for the decoder before any packet; may be empty.
pub fn extradata(parameters: &ffi::AVCodecParameters) -> &[u8] {
    match usize::try_from(parameters.extradata_size) {
        // SAFETY: the pointer is to so many bytes that live as long as the parameters.
        Ok(size) if size > 0 && !parameters.extradata.is_null() => unsafe { std::slice::from_raw_parts(parameters.extradata, size) },
        _ => &[],
    }
}

/// Whether an edit list has the packet decoded but not shown. The wrapper's own flags know nothing of it.
pub fn is_discarded(packet: &ffmpeg::Packet) -> bool {
    // SAFETY: reads one integer of a packet that is alive.
    unsafe { (*packet.as_ptr()).flags & ffi::AV_PKT_FLAG_DISCARD != 0 }
}

/// What the container says to the decoder anew with this packet.
pub fn new_extradata(packet: &ffmpeg::Packet) -> Option<Vec<u8>> {
    let side = packet.side_data().find(|side| side.kind() == ffmpeg::packet::side_data::Type::NewExtraData);
    side.map(|side| side.data().to_vec())
}

/// FFmpeg's name of the stream's codec.
pub fn codec_name(parameters: &ffi::AVCodecParameters) -> String {
    // SAFETY: the function returns a static string for any identifier.
    owned(unsafe { ffi::avcodec_get_name(parameters.codec_id) }).unwrap_or_else(|| "unknown".into())
}

/// FFmpeg's name of the stream's profile.
pub fn profile_name(parameters: &ffi::AVCodecParameters) -> Option<String> {
    // SAFETY: the function returns a static string or null for any pair of numbers.
    owned(unsafe { ffi::avcodec_profile_name(parameters.codec_id, parameters.profile) })
}

/// FFmpeg's name of the pixel format and the bits of one component.
pub fn pixel_format(parameters: &ffi::AVCodecParameters) -> (String, u8) {
    // SAFETY: every format but NONE (-1) stored by the demuxer is one of the enumeration; the result is null or static.
    let (name, descriptor) = unsafe {
        if parameters.format < 0 {
            return ("unknown".into(), 8);
        }
        let format: ffi::AVPixelFormat = std::mem::transmute(parameters.format);
        (owned(ffi::av_get_pix_fmt_name(format)), ffi::av_pix_fmt_desc_get(format).as_ref())
    };
    (name.unwrap_or_else(|| "unknown".into()), descriptor.map_or(8, |descriptor| u8::try_from(descriptor.comp[0].depth).unwrap_or(8)))
}

/// Colour description as the stream declares it.
pub fn colour(parameters: &ffi::AVCodecParameters) -> ColourFacts {
    let full_range = match parameters.color_range {
        ffi::AVColorRange::AVCOL_RANGE_JPEG => Some(true),
        ffi::AVColorRange::AVCOL_RANGE_MPEG => Some(false),
        _ => None,
    };
    let code = |value: u32| u8::try_from(value).unwrap_or(2);
    ColourFacts {
        full_range,
        primaries: code(parameters.color_primaries as u32),
        transfer: code(parameters.color_trc as u32),
        matrix: code(parameters.color_space as u32),
    }
}

/// Interlacing as the stream declares it.
pub fn field_order(parameters: &ffi::AVCodecParameters) -> FieldOrder {
    match parameters.field_order {
        ffi::AVFieldOrder::AV_FIELD_PROGRESSIVE => FieldOrder::Progressive,
        ffi::AVFieldOrder::AV_FIELD_TT | ffi::AVFieldOrder::AV_FIELD_TB => FieldOrder::TopFirst,
        ffi::AVFieldOrder::AV_FIELD_BB | ffi::AVFieldOrder::AV_FIELD_BT => FieldOrder::BottomFirst,
        _ => FieldOrder::Unknown,
    }
}

/// Width of a pixel over its height.
pub fn sample_aspect(stream: &Stream<'_>) -> (u32, u32) {
    // SAFETY: the stream belongs to an open context.
    let of_container = unsafe { (*stream.as_ptr()).sample_aspect_ratio };
    let of_codec = parameters(stream).sample_aspect_ratio;
    [of_container, of_codec]
        .into_iter()
        .find_map(|aspect| match (u32::try_from(aspect.num), u32::try_from(aspect.den)) {
            (Ok(num), Ok(den)) if num > 0 && den > 0 => Some((num, den)),
            _ => None,
        })
        .unwrap_or((1, 1))
}

/// The turn that makes the picture upright, from the display matrix (ISO 14496-12 8.3.2, `matrix`).
pub fn orientation(stream: &Stream<'_>) -> Orientation {
    let matrix = stream.side_data().find(|side| side.kind() == ffmpeg::packet::side_data::Type::DisplayMatrix);
    let Some(matrix) = matrix else { return Orientation::default() };
    let numbers: Vec<i32> =
        matrix.data().chunks_exact(4).map(|bytes| i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect();
    numbers.get(..9).map(upright).unwrap_or_default()
}

/// Decomposes the linear part (a b / c d) of a display matrix into a mirror and quarter turns.
fn upright(matrix: &[i32]) -> Orientation {
    let (a, b, c, d) = (i64::from(matrix[0]), i64::from(matrix[1]), i64::from(matrix[3]), i64::from(matrix[4]));
    let mirror = a * d - b * c < 0;
    // Mirroring left and right first turns the sign of the first row.
    let (a, b) = if mirror { (-a, -b) } else { (a, b) };
    let quarter_turns = if a.abs() >= b.abs() {
        if a >= 0 { 0 } else { 2 }
    } else if b > 0 {
        1
    } else {
        3
    };
    Orientation { mirror, quarter_turns }
}

/// What the cues of a subtitle stream are. Captions within lines of a picture (CEA-608, teletext) are neither: what comes out
/// of their decoders depends on more than their packets.
pub fn subtitle_form(parameters: &ffi::AVCodecParameters) -> SubtitleForm {
    // SAFETY: the function returns a static descriptor or null for any identifier.
    let properties = unsafe { ffi::avcodec_descriptor_get(parameters.codec_id).as_ref() }.map_or(0, |descriptor| descriptor.props);
    match parameters.codec_id {
        ffi::AVCodecID::AV_CODEC_ID_EIA_608 | ffi::AVCodecID::AV_CODEC_ID_DVB_TELETEXT => SubtitleForm::Unknown,
        _ if properties & ffi::AV_CODEC_PROP_TEXT_SUB != 0 => SubtitleForm::Text,
        _ if properties & ffi::AV_CODEC_PROP_BITMAP_SUB != 0 => SubtitleForm::Bitmap,
        _ => SubtitleForm::Unknown,
    }
}

/// Length of a tick of the stream.
pub fn time_base(stream: &Stream<'_>) -> TimeBase {
    let base = stream.time_base();
    TimeBase { num: u32::try_from(base.numerator()).unwrap_or(1).max(1), den: u32::try_from(base.denominator()).unwrap_or(1).max(1) }
}

/// Frames a second that the container or bitstream declares: the mean, or else the finest one.
pub fn declared_rate(stream: &Stream<'_>) -> Option<(u32, u32)> {
    [stream.avg_frame_rate(), stream.rate()].into_iter().find_map(|rate| {
        let (num, den) = (u32::try_from(rate.numerator()).ok()?, u32::try_from(rate.denominator()).ok()?);
        (num > 0 && den > 0 && f64::from(num) / f64::from(den) <= 240.0).then_some((num, den))
    })
}

/// A text tag of the stream, such as `language`.
pub fn tag(stream: &Stream<'_>, key: &str) -> Option<String> {
    stream.metadata().get(key).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Whether the stream is a picture attached to the file rather than a moving one.
pub fn is_attached_picture(stream: &Stream<'_>) -> bool {
    stream.disposition().contains(Disposition::ATTACHED_PIC)
}

/// Whether the container marks the stream as the default of its kind.
pub fn is_default(stream: &Stream<'_>) -> bool {
    stream.disposition().contains(Disposition::DEFAULT)
}

/// What the container says an audio stream is for.
pub fn audio_roles(stream: &Stream<'_>) -> AudioRoles {
    let disposition = stream.disposition();
    AudioRoles {
        described: disposition.intersects(Disposition::VISUAL_IMPAIRED | Disposition::DESCRIPTIONS),
        commentary: disposition.contains(Disposition::COMMENT),
        original: disposition.contains(Disposition::ORIGINAL),
        dubbed: disposition.contains(Disposition::DUB),
    }
}

fn owned(text: *const libc::c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, and FFmpeg's names are static C strings.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_matrices_become_turns() {
        const ONE: i32 = 1 << 16;
        let check = |linear: [i32; 4], mirror: bool, quarter_turns: u8| {
            let matrix = [linear[0], linear[1], 0, linear[2], linear[3], 0, 0, 0, 1 << 30];
            assert_eq!(upright(&matrix), Orientation { mirror, quarter_turns }, "{linear:?}");
        };
        check([ONE, 0, 0, ONE], false, 0);
        check([0, ONE, -ONE, 0], false, 1);
        check([-ONE, 0, 0, -ONE], false, 2);
        check([0, -ONE, ONE, 0], false, 3);
        check([-ONE, 0, 0, ONE], true, 0);
        check([ONE, 0, 0, -ONE], true, 2);
    }
}
