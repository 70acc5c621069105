//! AAC-LC by FFmpeg's own encoder, for the frames of one segment.
//!
//! The encoder starts some frames before the segment and goes on a little after it; what it makes there is thrown away. So
//! the frames that are kept come out as from one continuous encode, and segments join without a click (the transform of
//! each frame overlaps with its neighbours', ISO 14496-3 4.6.11).

use bytes::Bytes;
use ffmpeg_next as ffmpeg;
use ffmpeg_next::ChannelLayout;
use ffmpeg_next::codec::encoder::audio::Encoder;
use ffmpeg_next::ffi;
use ffmpeg_next::format::Sample as Format;
use ffmpeg_next::format::sample::Type;
use ffmpeg_next::frame::Audio;
use headwater::cmaf::Sample;
use headwater::title::{AAC_FRAME_SAMPLES, AUDIO_SAMPLE_RATE, AudioTrack, CodecHeader, Problem, ProblemCode};

use super::resample::layout;
use super::sound::Sound;

/// Frames encoded before the segment and thrown away.
pub const PRE_ROLL_FRAMES: u64 = 8;
/// Frames encoded after the segment and thrown away: the encoder's one frame of delay, and one it looks ahead.
pub const POST_ROLL_FRAMES: u64 = 2;

/// The form of the samples that are encoded.
pub const FORMAT: Format = Format::F32(Type::Planar);

fn open(track: &AudioTrack) -> Result<Encoder, Problem> {
    open_aac(AUDIO_SAMPLE_RATE, layout(usize::from(track.channels)), Some(track.bit_rate_bps))
}

/// An encoder of AAC-LC that takes [`FORMAT`]; without a bit rate, at the encoder's own.
pub fn open_aac(sample_rate: u32, layout: ChannelLayout, bit_rate_bps: Option<u32>) -> Result<Encoder, Problem> {
    let codec = ffmpeg::encoder::find(ffmpeg::codec::Id::AAC).ok_or_else(|| failed("FFmpeg here has no AAC encoder"))?;
    let mut context = ffmpeg::codec::Context::new_with_codec(codec);
    context.set_threading(ffmpeg::threading::Config { count: 1, ..Default::default() });
    let mut audio = context.encoder().audio().map_err(failed)?;
    audio.set_rate(sample_rate as i32);
    audio.set_format(FORMAT);
    audio.set_channel_layout(layout);
    if let Some(bit_rate_bps) = bit_rate_bps {
        audio.set_bit_rate(bit_rate_bps as usize);
    }
    audio.set_time_base(ffmpeg::Rational::new(1, sample_rate as i32));
    // SAFETY: the context is owned here and not open yet.
    unsafe { (*audio.as_mut_ptr()).flags |= (ffi::AV_CODEC_FLAG_GLOBAL_HEADER | ffi::AV_CODEC_FLAG_BITEXACT) as i32 };
    audio.open().map_err(failed)
}

/// The AudioSpecificConfig that every segment of the track is decoded with.
pub fn header(track: &AudioTrack) -> Result<CodecHeader, Problem> {
    let encoder = open(track)?;
    // SAFETY: the encoder is open, so `extradata` points to `extradata_size` bytes or the size is 0.
    let config = unsafe {
        let raw = encoder.as_ptr();
        match usize::try_from((*raw).extradata_size) {
            Ok(size) if size > 0 => Bytes::copy_from_slice(std::slice::from_raw_parts((*raw).extradata, size)),
            _ => return Err(failed("the encoder gave no configuration")),
        }
    };
    Ok(CodecHeader::Aac { config })
}

/// Encodes `frames` AAC frames. `sound` holds [`PRE_ROLL_FRAMES`] before them, them, and [`POST_ROLL_FRAMES`] after them.
pub fn encode(track: &AudioTrack, sound: &Sound, frames: u64) -> Result<Vec<Sample>, Problem> {
    let mut encoder = open(track)?;
    let length = AAC_FRAME_SAMPLES as usize;
    let mut kept = Vec::with_capacity(frames as usize);
    let mut packet = ffmpeg::Packet::empty();
    let keep = PRE_ROLL_FRAMES as i64..(PRE_ROLL_FRAMES + frames) as i64;
    let mut collect = |encoder: &mut Encoder, kept: &mut Vec<Sample>| -> Result<(), Problem> {
        while encoder.receive_packet(&mut packet).is_ok() {
            let (Some(pts), Some(data)) = (packet.pts(), packet.data()) else { return Err(failed("a packet without time")) };
            if keep.contains(&pts.div_euclid(length as i64)) {
                kept.push(Sample {
                    duration_ticks: AAC_FRAME_SAMPLES,
                    composition_offset_ticks: 0,
                    sync: true,
                    data: Bytes::copy_from_slice(data),
                });
            }
        }
        Ok(())
    };
    for first in (0..sound.len() / length).map(|index| index * length) {
        let mut frame = Audio::new(FORMAT, length, layout(sound.channels().len()));
        frame.set_rate(AUDIO_SAMPLE_RATE);
        for (plane, samples) in sound.channels().iter().enumerate() {
            frame.plane_mut::<f32>(plane).copy_from_slice(&samples[first..first + length]);
        }
        frame.set_pts(Some(first as i64));
        encoder.send_frame(&frame).map_err(failed)?;
        collect(&mut encoder, &mut kept)?;
    }
    encoder.send_eof().map_err(failed)?;
    collect(&mut encoder, &mut kept)?;
    Ok(kept)
}

fn failed(what: impl std::fmt::Display) -> Problem {
    Problem::with_detail(ProblemCode::WorkerFailed, format!("encoding sound: {what}"))
}
