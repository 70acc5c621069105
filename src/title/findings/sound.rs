//! What is worth saying of the sound: by itself, and beside the picture.

use std::collections::BTreeMap;

use crate::title::{AudioFacts, AudioTier, AudioTrack, Loudness, Ratio, Remark, RemarkCode, VideoFacts};

/// A start this much later than the other track's is worth a remark.
const LATE_MS: i128 = 100;
/// An end this much earlier: streams of one recording seldom end together.
const EARLY_MS: i128 = 500;

/// What is worth saying of the sounds that `tracks` are made of.
pub fn of_sound(sounds: &[&AudioFacts], tracks: &[AudioTrack]) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let is_used = |audio: &&&AudioFacts| tracks.iter().any(|track| track.stream == audio.stream);
    for audio in sounds.iter().filter(is_used) {
        if let Some(surround) = tracks.iter().find(|track| track.stream == audio.stream && track.tier == AudioTier::Surround) {
            let layout = audio.layout.as_deref().unwrap_or("more than two");
            let message = format!(
                "The sound \"{}\" has {} channels ({layout}). A 5.1 rendition stands beside the stereo one.",
                surround.name, audio.channels
            );
            remarks.push(Remark::new(RemarkCode::SurroundKept, message));
        }
        if audio.form_change_count > 0 {
            let times = if audio.form_change_count == 1 { "once".into() } else { format!("{} times", audio.form_change_count) };
            let message = format!(
                "The sample rate or the channels of audio stream {} change {times} in mid-stream. All was brought to one form.",
                audio.stream
            );
            remarks.push(Remark::new(RemarkCode::SampleRateChanged, message));
        }
    }
    remarks
}

/// What is worth saying of when picture and default sound begin and end.
pub fn of_both(video: &VideoFacts, audio: &AudioFacts) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let ms = |seconds: Ratio| (seconds * 1000).round().to_integer();
    let late_ms = ms(audio.seconds(audio.first_sample) - video.time_base.seconds(video.first_pts));
    if late_ms >= LATE_MS {
        let message = format!("The sound begins {late_ms} ms after the picture. It was kept so, with silence before it.");
        remarks.push(Remark::new(RemarkCode::AudioStartsLate, message));
    } else if late_ms <= -LATE_MS {
        let message = format!("The picture begins {} ms after the sound. The first picture is shown until then.", -late_ms);
        remarks.push(Remark::new(RemarkCode::VideoStartsLate, message));
    }
    let early_ms = ms(video.time_base.seconds(video.end_pts) - audio.seconds(audio.end_sample));
    if early_ms >= EARLY_MS {
        let message = format!("The sound ends {early_ms} ms before the picture. Silence follows it.");
        remarks.push(Remark::new(RemarkCode::AudioEndsEarly, message));
    } else if early_ms <= -EARLY_MS {
        let message = format!("The picture ends {} ms before the sound. The last picture is shown on.", -early_ms);
        remarks.push(Remark::new(RemarkCode::VideoEndsEarly, message));
    }
    remarks
}

/// What is worth saying of sounds once they were heard; `tracks` are the plan's.
pub fn of_loudness(heard: &BTreeMap<u32, Loudness>, tracks: &[AudioTrack]) -> Vec<Remark> {
    let stereo = tracks.iter().filter(|track| track.tier == AudioTier::Stereo);
    let silent = stereo.filter(|track| heard.get(&track.stream).is_some_and(|loudness| loudness.silent));
    let remark = |track: &AudioTrack| {
        let message = format!("The sound \"{}\" is silent from start to end. It was kept.", track.name);
        Remark::new(RemarkCode::SilentTrack, message)
    };
    silent.map(remark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title::sample::{audio_facts, audio_track, surround_track, video_facts};

    fn codes(remarks: &[Remark]) -> Vec<RemarkCode> {
        remarks.iter().map(|remark| remark.code).collect()
    }

    #[test]
    fn starts_and_ends_are_compared() {
        // Ten seconds of picture.
        let video = video_facts(12_288, 512, 240, Some((24, 1)));
        for (first, end, expect) in [
            (0, 480_000, vec![]),
            (-4000, 500_000, vec![]),
            (48_000, 480_000, vec![RemarkCode::AudioStartsLate]),
            (-9600, 480_000, vec![RemarkCode::VideoStartsLate]),
            (0, 440_000, vec![RemarkCode::AudioEndsEarly]),
            (9600, 960_000, vec![RemarkCode::AudioStartsLate, RemarkCode::VideoEndsEarly]),
        ] {
            assert_eq!(codes(&of_both(&video, &audio_facts(first, end))), expect, "{first}..{end}");
        }
    }

    #[test]
    fn only_sounds_that_are_used_are_told_of() {
        let mut audio = audio_facts(0, 480_000);
        (audio.channels, audio.layout, audio.form_change_count) = (6, Some("5.1(side)".into()), 2);
        let stereo = audio_track("German", Some("de"), true);
        let remarks = of_sound(&[&audio], &[stereo.clone(), surround_track(&stereo)]);
        assert_eq!(codes(&remarks), [RemarkCode::SurroundKept, RemarkCode::SampleRateChanged]);
        assert!(remarks[0].message.contains("\"German\" has 6 channels (5.1(side))"), "{remarks:?}");
        assert!(remarks[1].message.contains("2 times"), "{remarks:?}");
        assert_eq!(of_sound(&[&audio], &[]), []);
    }

    #[test]
    fn silence_is_told_once_a_sound() {
        let silent = Loudness {
            integrated_hundredths_lufs: None,
            range_hundredths_lu: 0,
            true_peak_hundredths_dbtp: None,
            mix_true_peak_hundredths_dbtp: None,
            silent: true,
        };
        let stereo = audio_track("German", Some("de"), true);
        let remarks = of_loudness(&BTreeMap::from([(1, silent)]), &[stereo.clone(), surround_track(&stereo)]);
        assert_eq!(codes(&remarks), [RemarkCode::SilentTrack]);
        assert_eq!(of_loudness(&BTreeMap::new(), &[stereo]), []);
    }
}
