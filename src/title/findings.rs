//! What the content team is told about a source's streams when it is planned: what was found, what was done about it.

mod missing;
mod picture;
mod sound;

pub use missing::missing_pictures;
pub use picture::{of_colour, of_fields, of_memory, of_picture};
pub use sound::{of_loudness, of_sound};

use super::{AudioFacts, AudioTrack, Remark, RemarkCode, SourceFacts, VideoFacts};

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
    let declared_ms = facts.declared_duration_ms.filter(|declared_ms| (declared_ms - duration_ms as i64).abs() > 1000);
    match declared_ms {
        _ if facts.cut_off => {
            let lost_ms = declared_ms.map_or(0, |declared_ms| declared_ms - duration_ms as i64);
            let lost = if lost_ms > 0 { format!("; {lost_ms} ms of what its header promises are not there") } else { String::new() };
            remarks.push(Remark::new(RemarkCode::BrokenTail, format!("The file is cut off{lost}. What is there was used.")));
        }
        Some(declared_ms) => {
            let message =
                format!("The header claims {declared_ms} ms; pictures and sound last {duration_ms} ms. The true duration was used.");
            remarks.push(Remark::new(RemarkCode::DurationCorrected, message));
        }
        None => {}
    }
    if let Some(last) = facts.seams.iter().filter(|seam| seam.is_leap()).map(|seam| seam.leap).max() {
        let times = match last {
            0 => "once".to_owned(),
            last => format!("{} times", u64::from(last) + 1),
        };
        let message = format!("The source's clock leaps {times}. Time goes on where it was, and sound and picture stay together.");
        remarks.push(Remark::new(RemarkCode::TimestampsRepaired, message));
    }
    let left_out_videos = facts.videos().filter(|video| Some(video.stream) != picture.map(|picture| picture.stream)).count();
    let left_out_sounds = sounds.len().saturating_sub(super::plan::AUDIO_TRACKS_MAX);
    if left_out_videos + left_out_sounds > 0 {
        let kinds = [(left_out_videos, "video"), (left_out_sounds, "audio")];
        let told = kinds.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} further {kind}"));
        let what = if left_out_videos + left_out_sounds == 1 { "stream was" } else { "streams were" };
        let message = format!("{} {what} left out.", told.collect::<Vec<_>>().join(" and "));
        remarks.push(Remark::new(RemarkCode::StreamIgnored, message));
    }
    if facts.corrupt_packet_count > 0 {
        let message = match facts.corrupt_packet_count {
            1 => "One packet of the source is damaged. What it held was concealed.".to_owned(),
            count => format!("{count} packets of the source are damaged. What they held was concealed."),
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title::sample::{facts, video_facts};
    use crate::title::{Seam, StreamFacts};

    #[test]
    fn one_and_many_are_told_as_people_say_it() {
        let message = |source: &SourceFacts, code: RemarkCode| {
            let remarks = of_streams(source, source.videos().next(), &[], &[], 10_000);
            remarks.into_iter().find(|remark| remark.code == code).map(|remark| remark.message).unwrap_or_default()
        };
        let video = |stream: u32| StreamFacts::Video(VideoFacts { stream, ..video_facts(25, 1, 250, None) });
        let mut source = facts(vec![video(0), video(1)]);
        assert_eq!(message(&source, RemarkCode::StreamIgnored), "1 further video stream was left out.");
        source = facts(vec![video(0), video(1), video(2)]);
        assert_eq!(message(&source, RemarkCode::StreamIgnored), "2 further video streams were left out.");
        source.corrupt_packet_count = 1;
        assert!(message(&source, RemarkCode::Concealed).starts_with("One packet of the source is damaged."));
        source.corrupt_packet_count = 2;
        assert!(message(&source, RemarkCode::Concealed).starts_with("2 packets of the source are damaged."));
    }

    #[test]
    fn clocks_and_ends_are_told() {
        let codes = |source: &SourceFacts, duration_ms: u64| -> Vec<RemarkCode> {
            of_streams(source, source.videos().next(), &[], &[], duration_ms).iter().map(|remark| remark.code).collect()
        };
        let mut source = facts(vec![StreamFacts::Video(video_facts(25, 1, 250, None))]);
        assert_eq!(codes(&source, 10_000), [RemarkCode::NoAudio]);
        source.seams = vec![Seam { stream: 0, position: 7, shift_ticks: -5, leap: 0 }];
        assert_eq!(codes(&source, 10_000), [RemarkCode::NoAudio, RemarkCode::TimestampsRepaired]);
        source.seams.clear();
        source.declared_duration_ms = Some(20_000);
        assert_eq!(codes(&source, 10_000), [RemarkCode::NoAudio, RemarkCode::DurationCorrected]);
        source.cut_off = true;
        assert_eq!(codes(&source, 10_000), [RemarkCode::NoAudio, RemarkCode::BrokenTail]);
        source.declared_duration_ms = None;
        assert_eq!(codes(&source, 10_000), [RemarkCode::NoAudio, RemarkCode::BrokenTail]);
    }
}
