//! What the content team is told about a source when it is planned: what was found in it, what was done about it.

mod sound;

pub use sound::{of_loudness, of_sound};

use super::frame_rate::is_constant;
use super::{AudioFacts, AudioTrack, FrameRate, Orientation, Remark, RemarkCode, SourceFacts, VideoFacts};

/// What is worth saying of the picture.
pub fn of_picture(video: &VideoFacts, frame_rate: FrameRate) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let info = |code, message: String| Remark::new(code, message);
    if !is_constant(video) {
        let message = format!("The pictures come at a varying rate. They were laid on a steady grid of {frame_rate} frames a second.");
        remarks.push(info(RemarkCode::VariableFrameRate, message));
    } else if let Some(declared) = video.declared_rate.and_then(|(num, den)| FrameRate::new(num, den))
        && declared.as_f64() > frame_rate.as_f64() * 1.5
        && declared.as_f64() <= 240.0
    {
        let message = format!("The source runs at {declared} frames a second. It was brought down to {frame_rate}.");
        remarks.push(info(RemarkCode::FrameRateReduced, message));
    }
    if video.orientation != Orientation::default() {
        let degrees = u32::from(video.orientation.quarter_turns) * 90;
        let mirrored = if video.orientation.mirror { "mirrored and " } else { "" };
        remarks
            .push(info(RemarkCode::Rotated, format!("The picture is stored {mirrored}turned by {degrees} degrees. It was made upright.")));
    }
    let (wide, high) = video.sample_aspect;
    if wide != high && wide != 0 && high != 0 {
        remarks.push(info(
            RemarkCode::NonSquarePixels,
            format!("The pixels are not square ({wide}:{high}). The picture was made of square ones in its right shape."),
        ));
    }
    if video.undecodable_lead_count > 0 {
        remarks.push(Remark::new(
            RemarkCode::Concealed,
            format!(
                "The first {} pictures cannot be decoded without what came before them. They were replaced.",
                video.undecodable_lead_count
            ),
        ));
    }
    remarks
}

/// What is worth saying of the streams together, for a plan that lasts `duration_ms` and has these audio tracks.
pub fn of_streams(
    facts: &SourceFacts,
    picture: Option<&VideoFacts>,
    sounds: &[&AudioFacts],
    tracks: &[AudioTrack],
    duration_ms: u64,
) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let default_sound = tracks.first().and_then(|track| facts.audio(track.stream));
    match (picture, default_sound) {
        (Some(_), None) => remarks.push(Remark::new(RemarkCode::NoAudio, "There is no sound in the source.")),
        (None, _) => remarks.push(Remark::new(RemarkCode::AudioOnly, "There is no moving picture in the source: the title is sound only.")),
        (Some(video), Some(audio)) => remarks.extend(sound::of_both(video, audio)),
    }
    if let Some(declared_ms) = facts.declared_duration_ms
        && (declared_ms - duration_ms as i64).abs() > 1000
    {
        let message = format!("The header claims {declared_ms} ms; pictures and sound last {duration_ms} ms. The true duration was used.");
        remarks.push(Remark::new(RemarkCode::DurationCorrected, message));
    }
    let left_out_videos = facts.videos().filter(|video| Some(video.stream) != picture.map(|picture| picture.stream)).count();
    let left_out_sounds = sounds.len().saturating_sub(super::plan::AUDIO_TRACKS_MAX);
    if left_out_videos + left_out_sounds > 0 {
        let message = format!("{left_out_videos} further video and {left_out_sounds} further audio streams were left out.");
        remarks.push(Remark::new(RemarkCode::StreamIgnored, message));
    }
    if facts.corrupt_packet_count > 0 {
        let message = format!("{} packets of the source are damaged. What they held was concealed.", facts.corrupt_packet_count);
        remarks.push(Remark::new(RemarkCode::Concealed, message));
    }
    remarks
}

/// What is worth saying of what is copied: the name of the video rendition, those of the audio renditions.
pub fn of_copies(picture: Option<&str>, sounds: &[String]) -> Vec<Remark> {
    let picture = picture.map(|name| {
        let message = format!("The picture is H.264 as players take it. The {name} rendition is the source's own, bit for bit.");
        Remark::new(RemarkCode::PictureCopied, message)
    });
    let sound = (!sounds.is_empty()).then(|| {
        let message = format!("The sound is AAC as players take it. It was copied, not encoded again: {}.", sounds.join(", "));
        Remark::new(RemarkCode::SoundCopied, message)
    });
    picture.into_iter().chain(sound).collect()
}
