//! H.264 by x264, opened so that equal pictures always give equal bytes and every segment carries the same headers.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::encoder::video::Encoder;
use ffmpeg_next::ffi;
use ffmpeg_next::frame::Video;
use headwater::cmaf::{Sample, nal};
use headwater::title::{CodecHeader, ColourFacts, FrameRate, Problem, ProblemCode, VideoTrack};

use super::reference::refer;

/// An encoder for the pictures of one segment of one track.
pub struct VideoEncoder {
    encoder: Encoder,
    frame_ticks: i32,
    samples: Vec<Sample>,
}

/// Single-threaded, one closed group of pictures from the first on (more at changes of scene), equal headers for all
/// segments, steady rate.
const X264_PARAMETERS: &str = "threads=1:lookahead-threads=1:sliced-threads=0:keyint=infinite:open-gop=0:stitchable=1:force-cfr=1:nal-hrd=none:aud=0:repeat-headers=0";

impl VideoEncoder {
    /// Opens an encoder for one segment of `track`.
    pub fn open(track: &VideoTrack, rate: FrameRate, colour: ColourFacts) -> Result<Self, Problem> {
        let codec = ffmpeg::encoder::find_by_name("libx264").ok_or_else(|| failed("FFmpeg here has no libx264"))?;
        let mut context = ffmpeg::codec::Context::new_with_codec(codec);
        context.set_threading(ffmpeg::threading::Config { count: 1, ..Default::default() });
        let mut video = context.encoder().video().map_err(failed)?;
        let (num, den) = rate.fraction();
        video.set_width(track.width);
        video.set_height(track.height);
        video.set_format(ffmpeg::format::Pixel::YUV420P);
        video.set_time_base(ffmpeg::Rational::new(den as i32, num as i32));
        video.set_frame_rate(Some(ffmpeg::Rational::new(num as i32, den as i32)));
        video.set_aspect_ratio(ffmpeg::Rational::new(1, 1));
        // SAFETY: the context is owned here and not open yet; the code points are those of the same tables (H.273).
        unsafe {
            let raw = video.as_mut_ptr();
            (*raw).flags |= ffi::AV_CODEC_FLAG_GLOBAL_HEADER as i32;
            (*raw).color_range = ffi::AVColorRange::AVCOL_RANGE_MPEG;
            (*raw).color_primaries = std::mem::transmute::<u32, ffi::AVColorPrimaries>(u32::from(colour.primaries));
            (*raw).color_trc = std::mem::transmute::<u32, ffi::AVColorTransferCharacteristic>(u32::from(colour.transfer));
            (*raw).colorspace = std::mem::transmute::<u32, ffi::AVColorSpace>(u32::from(colour.matrix));
        }
        let encoding = track.encoding().ok_or_else(|| failed("the track is not encoded"))?;
        let mut options = ffmpeg::Dictionary::new();
        options.set("preset", &encoding.preset);
        options.set("profile", "high");
        options.set("crf", &format!("{}.{}", encoding.crf_tenths / 10, encoding.crf_tenths % 10));
        options.set("maxrate", &encoding.maxrate_bps.to_string());
        options.set("bufsize", &encoding.bufsize_bits.to_string());
        options.set("x264-params", X264_PARAMETERS);
        let encoder = video.open_with(options).map_err(failed)?;
        Ok(Self { encoder, frame_ticks: rate.frame_ticks() as i32, samples: Vec::new() })
    }

    /// The parameter sets that every segment of the track is decoded with.
    pub fn header(&self) -> Result<CodecHeader, Problem> {
        // SAFETY: the encoder is open, so `extradata` points to `extradata_size` bytes or the size is 0.
        let extradata = unsafe {
            let raw = self.encoder.as_ptr();
            match usize::try_from((*raw).extradata_size) {
                Ok(size) if size > 0 => std::slice::from_raw_parts((*raw).extradata, size),
                _ => &[],
            }
        };
        nal::header(extradata).map_err(failed)
    }

    /// Encodes the `index`-th picture of the segment.
    pub fn encode(&mut self, picture: &Video, index: u64) -> Result<(), Problem> {
        let mut shared = Video::empty();
        // The encoder needs a time of its own on the same picture.
        refer(&mut shared, picture).map_err(failed)?;
        shared.set_pts(Some(index as i64));
        self.encoder.send_frame(&shared).map_err(failed)?;
        self.collect()
    }

    /// The segment's samples in decoding order.
    pub fn finish(mut self) -> Result<Vec<Sample>, Problem> {
        self.encoder.send_eof().map_err(failed)?;
        self.collect()?;
        Ok(self.samples)
    }

    fn collect(&mut self) -> Result<(), Problem> {
        let mut packet = ffmpeg::Packet::empty();
        while self.encoder.receive_packet(&mut packet).is_ok() {
            let (Some(pts), Some(data)) = (packet.pts(), packet.data()) else { return Err(failed("a packet without time")) };
            // Decoding times count from the cut, one a frame; what x264 shows earlier than that gets a negative offset.
            let shown = pts - self.samples.len() as i64;
            self.samples.push(Sample {
                duration_ticks: self.frame_ticks as u32,
                composition_offset_ticks: i32::try_from(shown).map_err(failed)? * self.frame_ticks,
                sync: packet.is_key(),
                data: nal::to_sample(data),
            });
        }
        Ok(())
    }
}

fn failed(what: impl std::fmt::Display) -> Problem {
    Problem::with_detail(ProblemCode::WorkerFailed, format!("encoding pictures: {what}"))
}
