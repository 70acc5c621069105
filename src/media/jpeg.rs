//! JPEG files out of pictures, always the same bytes for the same picture.

use bytes::Bytes;
use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use headwater::title::colour::BT709;
use headwater::title::{ColourFacts, Problem, ProblemCode};

use super::filters::{pull, push, single};
use super::reference::refer;
use super::shape::Shape;

/// Encodes a picture in limited-range 4:2:0 of these colours. `quality` is the encoder's scale from 2 (best) to 31.
pub fn encode(picture: &Video, colour: ColourFacts, quality: i32) -> Result<Bytes, Problem> {
    let picture = full_range(picture, colour).map_err(failed)?;
    let codec = ffmpeg::encoder::find(ffmpeg::codec::Id::MJPEG).ok_or_else(|| failed("FFmpeg here has no JPEG encoder"))?;
    let mut context = ffmpeg::codec::Context::new_with_codec(codec);
    context.set_threading(ffmpeg::threading::Config { count: 1, ..Default::default() });
    let mut video = context.encoder().video().map_err(failed)?;
    video.set_width(picture.width());
    video.set_height(picture.height());
    video.set_format(Pixel::YUVJ420P);
    video.set_time_base(ffmpeg::Rational::new(1, 1));
    video.set_aspect_ratio(ffmpeg::Rational::new(1, 1));
    let lambda = quality * ffi::FF_QP2LAMBDA;
    // SAFETY: the context is owned here and not open yet; these are plain fields.
    unsafe {
        let raw = video.as_mut_ptr();
        (*raw).flags |= (ffi::AV_CODEC_FLAG_QSCALE | ffi::AV_CODEC_FLAG_BITEXACT) as i32;
        (*raw).global_quality = lambda;
        (*raw).color_range = ffi::AVColorRange::AVCOL_RANGE_JPEG;
    }
    let mut encoder = video.open_as(codec).map_err(failed)?;
    let mut shared = Video::empty();
    refer(&mut shared, &picture).map_err(failed)?;
    shared.set_pts(Some(0));
    shared.set_kind(ffmpeg::picture::Type::None);
    // SAFETY: a plain field of a frame that is alive and owned here.
    unsafe { (*shared.as_mut_ptr()).quality = lambda };
    encoder.send_frame(&shared).map_err(failed)?;
    encoder.send_eof().map_err(failed)?;
    let mut packet = ffmpeg::Packet::empty();
    encoder.receive_packet(&mut packet).map_err(failed)?;
    packet.data().map(Bytes::copy_from_slice).ok_or_else(|| failed("an empty file"))
}

/// The picture as JFIF has it: full range, with the matrix of BT.601, whatever the film has.
fn full_range(picture: &Video, colour: ColourFacts) -> Result<Video, ffmpeg::Error> {
    let matrix = if colour.matrix == BT709 { "bt709" } else { "bt601" };
    let scale = format!("scale=in_range=tv:out_range=pc:in_color_matrix={matrix}:out_color_matrix=bt601:flags=bicubic,format=yuvj420p");
    let mut graph = single(&Shape::of(picture), &scale)?;
    let mut shared = Video::empty();
    refer(&mut shared, picture)?;
    push(&mut graph, shared)?;
    pull(&mut graph, "out")
}

fn failed(what: impl std::fmt::Display) -> Problem {
    Problem::with_detail(ProblemCode::WorkerFailed, format!("making a JPEG: {what}"))
}
