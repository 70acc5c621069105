//! H.264 by x264 and HEVC by x265, opened so that equal pictures always give equal bytes and every segment carries the same
//! headers.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::encoder::video::Encoder;
use ffmpeg_next::ffi;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use headwater::cmaf::{Sample, hevc, nal};
use headwater::title::{CodecHeader, LightFacts, Plan, Problem, ProblemCode, VideoCodec, VideoEncoding, VideoFacts, VideoTrack};

use super::reference::refer;

/// An encoder for the pictures of one segment of one track.
pub struct VideoEncoder {
    encoder: Encoder,
    codec: VideoCodec,
    frame_ticks: i32,
    samples: Vec<Sample>,
}

/// Single-threaded, one closed group of pictures from the first on (more at changes of scene), equal headers for all
/// segments, steady rate.
const X264_PARAMETERS: &str = "threads=1:lookahead-threads=1:sliced-threads=0:keyint=infinite:open-gop=0:stitchable=1:force-cfr=1:nal-hrd=none:aud=0:repeat-headers=0";

/// One frame encoder and no pool of threads, one closed group of pictures, no banner, equal headers for all segments. Cuts
/// of scene get intra pictures but no key frames, so that nothing after one may be shown before it. How far it looks ahead is
/// bounded, for each of those pictures takes memory.
const X265_PARAMETERS: &str = "pools=none:frame-threads=1:wpp=0:lookahead-slices=0:rc-lookahead=10:bframes=3:keyint=-1:open-gop=0:info=0:aud=0:hrd=0:\
repeat-headers=0:log-level=none:range=limited:annexb=1";

impl VideoEncoder {
    /// Opens an encoder for one segment of `track`, whose pictures are those of `video`.
    pub fn open(track: &VideoTrack, plan: &Plan, video: &VideoFacts) -> Result<Self, Problem> {
        let encoding = track.encoding().ok_or_else(|| failed("the track is not encoded"))?;
        let name = match encoding.codec {
            VideoCodec::Avc => "libx264",
            VideoCodec::Hevc => "libx265",
        };
        let codec = ffmpeg::encoder::find_by_name(name).ok_or_else(|| failed(format!("FFmpeg here has no {name}")))?;
        let mut context = ffmpeg::codec::Context::new_with_codec(codec);
        context.set_threading(ffmpeg::threading::Config { count: 1, ..Default::default() });
        let mut opening = context.encoder().video().map_err(failed)?;
        let rate = plan.timeline.frame_rate();
        let (num, den) = rate.fraction();
        opening.set_width(track.width);
        opening.set_height(track.height);
        opening.set_format(encoder_format(track));
        opening.set_time_base(ffmpeg::Rational::new(den as i32, num as i32));
        opening.set_frame_rate(Some(ffmpeg::Rational::new(num as i32, den as i32)));
        opening.set_aspect_ratio(ffmpeg::Rational::new(1, 1));
        let colour = video.output_colour(track.range);
        // SAFETY: the context is owned here and not open yet; the code points are those of the same tables (H.273).
        unsafe {
            let raw = opening.as_mut_ptr();
            (*raw).flags |= ffi::AV_CODEC_FLAG_GLOBAL_HEADER as i32;
            (*raw).color_range = ffi::AVColorRange::AVCOL_RANGE_MPEG;
            (*raw).color_primaries = std::mem::transmute::<u32, ffi::AVColorPrimaries>(u32::from(colour.primaries));
            (*raw).color_trc = std::mem::transmute::<u32, ffi::AVColorTransferCharacteristic>(u32::from(colour.transfer));
            (*raw).colorspace = std::mem::transmute::<u32, ffi::AVColorSpace>(u32::from(colour.matrix));
        }
        let encoder = opening.open_with(options(encoding, &plan.light)).map_err(failed)?;
        Ok(Self { encoder, codec: encoding.codec, frame_ticks: rate.frame_ticks() as i32, samples: Vec::new() })
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
        match self.codec {
            VideoCodec::Avc => nal::header(extradata).map_err(failed),
            VideoCodec::Hevc => hevc::header(extradata).map_err(failed),
        }
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
            let data = match self.codec {
                VideoCodec::Avc => nal::to_sample(data),
                VideoCodec::Hevc => hevc::to_sample(data),
            };
            let sync = match self.codec {
                VideoCodec::Avc => nal::is_idr(&data),
                VideoCodec::Hevc => hevc::is_idr(&data),
            };
            // Decoding times count from the cut, one a frame; what is shown earlier than that gets a negative offset.
            let shown = pts - self.samples.len() as i64;
            self.samples.push(Sample {
                duration_ticks: self.frame_ticks as u32,
                composition_offset_ticks: i32::try_from(shown).map_err(failed)? * self.frame_ticks,
                sync,
                data,
            });
        }
        Ok(())
    }
}

/// The form of pictures that the track's encoder takes.
pub fn encoder_format(track: &VideoTrack) -> Pixel {
    match track.encoding().map(|encoding| encoding.codec) {
        Some(VideoCodec::Hevc) => Pixel::YUV420P10LE,
        Some(VideoCodec::Avc) | None => Pixel::YUV420P,
    }
}

fn options(encoding: &VideoEncoding, light: &LightFacts) -> ffmpeg::Dictionary<'static> {
    let mut options = ffmpeg::Dictionary::new();
    options.set("preset", &encoding.preset);
    let crf = format!("{}.{}", encoding.crf_tenths / 10, encoding.crf_tenths % 10);
    match encoding.codec {
        VideoCodec::Avc => {
            options.set("profile", "high");
            options.set("crf", &crf);
            options.set("maxrate", &encoding.maxrate_bps.to_string());
            options.set("bufsize", &encoding.bufsize_bits.to_string());
            options.set("x264-params", X264_PARAMETERS);
        }
        VideoCodec::Hevc => {
            options.set("profile", "main10");
            options.set("crf", &crf);
            let (rate, buffer) = (encoding.maxrate_bps / 1000, encoding.bufsize_bits / 1000);
            options.set("x265-params", &format!("{X265_PARAMETERS}:vbv-maxrate={rate}:vbv-bufsize={buffer}{}", described(light)));
        }
    }
    options
}

/// Mastering display and content light as x265 takes them; it writes them before every key frame.
fn described(light: &LightFacts) -> String {
    let mut parameters = String::new();
    if let Some(display) = light.mastering {
        let [red, green, blue] = display.primaries;
        let pair = |(x, y): (u16, u16)| format!("({x},{y})");
        parameters += &format!(
            ":master-display=G{}B{}R{}WP{}L({},{})",
            pair(green),
            pair(blue),
            pair(red),
            pair(display.white),
            display.luminance_max,
            display.luminance_min
        );
    }
    if let Some(content) = light.content {
        parameters += &format!(":max-cll={},{}", content.max_nits, content.average_nits);
    }
    parameters
}

fn failed(what: impl std::fmt::Display) -> Problem {
    Problem::with_detail(ProblemCode::WorkerFailed, format!("encoding pictures: {what}"))
}
