//! A frame of silence in AAC-LC, for where a copied sound has none.

use bytes::Bytes;
use ffmpeg_next as ffmpeg;
use ffmpeg_next::ChannelLayout;
use ffmpeg_next::frame::Audio;
use headwater::title::{AAC_FRAME_SAMPLES, Problem, ProblemCode};

use super::audio_encoder::{FORMAT, open_aac};

/// Frames encoded until the encoder has forgotten that it just began.
const FRAMES: i64 = 4;

/// One frame of mono or stereo silence at `sample_rate`, as it stands amid silence.
pub fn silent_frame(sample_rate: u32, channels: u32) -> Result<Bytes, Problem> {
    let layout = if channels == 1 { ChannelLayout::MONO } else { ChannelLayout::STEREO };
    let mut encoder = open_aac(sample_rate, layout, None)?;
    let mut packet = ffmpeg::Packet::empty();
    let mut last = None;
    for index in 0..FRAMES {
        let mut frame = Audio::new(FORMAT, AAC_FRAME_SAMPLES as usize, layout);
        frame.set_rate(sample_rate);
        (0..channels as usize).for_each(|channel| frame.plane_mut::<f32>(channel).fill(0.0));
        frame.set_pts(Some(index * i64::from(AAC_FRAME_SAMPLES)));
        encoder.send_frame(&frame).map_err(failed)?;
        while encoder.receive_packet(&mut packet).is_ok() {
            last = packet.data().map(Bytes::copy_from_slice);
        }
    }
    last.ok_or_else(|| failed("the encoder gave nothing"))
}

fn failed(what: impl std::fmt::Display) -> Problem {
    Problem::with_detail(ProblemCode::WorkerFailed, format!("making silence: {what}"))
}
