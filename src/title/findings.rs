//! What the content team is told about a source's streams when it is planned: what was found, what was done about it.

use super::{AudioFacts, Remark, RemarkCode, SourceFacts, VideoFacts};

/// What is worth saying of the streams together, for a plan that lasts `duration_ms`.
pub fn of_streams(facts: &SourceFacts, picture: Option<&VideoFacts>, sounds: &[&AudioFacts], duration_ms: u64) -> Vec<Remark> {
    let mut remarks = Vec::new();
    match (picture, sounds.first()) {
        (Some(_), None) => remarks.push(Remark::new(RemarkCode::NoAudio, "There is no sound in the source.")),
        (None, _) => remarks.push(Remark::new(RemarkCode::AudioOnly, "There is no moving picture in the source: the title is sound only.")),
        (Some(video), Some(audio)) => {
            let late = audio.seconds(audio.first_sample) - video.time_base.seconds(video.first_pts);
            let late_ms = (late * 1000).round().to_integer();
            if late_ms >= LATE_MS {
                let message = format!("The sound begins {late_ms} ms after the picture. It was kept so, with silence before it.");
                remarks.push(Remark::new(RemarkCode::AudioStartsLate, message));
            } else if late_ms <= -LATE_MS {
                let message = format!("The picture begins {} ms after the sound. The first picture is shown until then.", -late_ms);
                remarks.push(Remark::new(RemarkCode::VideoStartsLate, message));
            }
        }
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

/// A start this much later than the other track's is worth a remark.
const LATE_MS: i128 = 100;
