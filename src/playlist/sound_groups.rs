//! The groups of audio renditions (EXT-X-MEDIA of RFC 8216bis 4.4.6.1): one a tier, each with all sounds of the title.

use m3u8_rs::{AlternativeMedia, AlternativeMediaType};

use super::names;
use crate::title::{AudioTier, AudioTrack, Generation, Plan, TrackId};

/// A group: players choose it together with a variant, and in it one of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SoundGroup {
    /// GROUP-ID.
    pub id: &'static str,
    /// One track a sound, the default one first. Groups have the same members (RFC 8216bis 4.4.6.1.1): a sound that has no
    /// rendition of this tier is here with its stereo one.
    pub members: Vec<TrackId>,
}

/// The groups of the plan, the one that players start with first. None when there is no sound.
pub(super) fn groups(plan: &Plan) -> Vec<SoundGroup> {
    let tracks = || plan.tracks().skip(plan.video.len()).zip(&plan.audio);
    let of_tier = |tier: AudioTier| tracks().filter(move |(_, audio)| audio.tier == tier);
    let group = |tier: AudioTier| {
        let member = |(track, stereo): (TrackId, &AudioTrack)| {
            let other = of_tier(tier).find(|(_, audio)| audio.is_of_same_sound(stereo)).filter(|_| tier != AudioTier::Stereo);
            other.map_or(track, |(track, _)| track)
        };
        SoundGroup { id: id(tier), members: of_tier(AudioTier::Stereo).map(member).collect() }
    };
    let present = [AudioTier::Stereo, AudioTier::Surround, AudioTier::Low].into_iter().filter(|tier| of_tier(*tier).next().is_some());
    present.map(group).collect()
}

fn id(tier: AudioTier) -> &'static str {
    match tier {
        AudioTier::Stereo => "audio",
        AudioTier::Surround => "surround",
        AudioTier::Low => "low",
    }
}

/// What players are told of the members of a group.
pub(super) fn renditions(plan: &Plan, generation: Generation, group: &SoundGroup) -> Vec<AlternativeMedia> {
    let mut renditions: Vec<AlternativeMedia> = Vec::new();
    for track in &group.members {
        let Some(audio) = plan.audio.get(usize::from(track.index)) else { continue };
        let language = audio.language.clone().filter(|tag| is_language_tag(tag));
        let characteristics = audio.described.then(|| DESCRIBES_VIDEO.to_owned());
        // Players choose by language and characteristics only: of several alike, the first stands for them
        // (RFC 8216bis 4.4.6.1.1).
        let alike = |other: &AlternativeMedia| other.language == language && other.characteristics == characteristics;
        let taken = renditions.iter().any(|other| other.autoselect && alike(other));
        let default = audio.default && !renditions.iter().any(|other| other.default);
        renditions.push(AlternativeMedia {
            media_type: AlternativeMediaType::Audio,
            uri: Some(names::media(generation, *track)),
            group_id: group.id.to_owned(),
            name: name_in_group(audio, &renditions),
            language,
            default,
            autoselect: default || !(taken || audio.commentary),
            characteristics,
            channels: Some(audio.channels.to_string()),
            ..AlternativeMedia::default()
        });
    }
    renditions
}

/// The characteristic of sound that describes the picture (RFC 8216bis 4.4.6.1).
const DESCRIBES_VIDEO: &str = "public.accessibility.describes-video";

fn is_language_tag(tag: &str) -> bool {
    !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The track's name without what a quoted string may not hold (RFC 8216bis 4.2), unlike any name before it.
fn name_in_group(audio: &AudioTrack, others: &[AlternativeMedia]) -> String {
    let allowed = |symbol: char| match symbol {
        '"' => '\'',
        symbol if symbol.is_control() => ' ',
        symbol => symbol,
    };
    let cleaned: String = audio.name.chars().map(allowed).collect();
    let wanted = if cleaned.trim().is_empty() { "Audio" } else { cleaned.trim() };
    let taken = |name: &str| others.iter().any(|other| other.name == name);
    let mut name = wanted.to_owned();
    let mut count = 1;
    while taken(&name) {
        count += 1;
        name = format!("{wanted} ({count})");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playlist::testing::{audio, plan, surround};

    #[test]
    fn every_group_has_every_sound() {
        let mut plan = plan((24, 1), 960, 4000);
        let mut english = audio("English", Some("en"), false);
        english.stream = 2;
        plan.audio.push(english);
        plan.audio.push(surround(&plan.audio[0]));
        let expect = [("audio", vec![TrackId::audio(0), TrackId::audio(1)]), ("surround", vec![TrackId::audio(2), TrackId::audio(1)])];
        let found: Vec<_> = groups(&plan).into_iter().map(|group| (group.id, group.members)).collect();
        assert_eq!(found, expect);
        plan.audio.clear();
        assert_eq!(groups(&plan), []);
    }

    #[test]
    fn renditions_are_told_apart() {
        let mut plan = plan((24, 1), 960, 4000);
        let mut described = audio("German, described", Some("de"), false);
        described.described = true;
        let mut commentary = audio("French, commentary", Some("fr"), false);
        commentary.commentary = true;
        plan.audio.extend([
            audio("German", Some("de"), true),
            described,
            commentary,
            audio("Say \"hi\"\n\tnow", None, false),
            audio("\u{7}", None, false),
            audio("x", Some("e\"n"), false),
        ]);
        let renditions = renditions(&plan, Generation(1), &groups(&plan)[0]);
        let found: Vec<_> = renditions
            .iter()
            .map(|other| (other.name.as_str(), other.language.as_deref(), other.default, other.autoselect, other.characteristics.is_some()))
            .collect();
        let expect = [
            ("German", Some("de"), true, true, false),
            ("German (2)", Some("de"), false, false, false),
            ("German, described", Some("de"), false, true, true),
            ("French, commentary", Some("fr"), false, false, false),
            ("Say 'hi'  now", None, false, true, false),
            ("Audio", None, false, false, false),
            ("x", None, false, false, false),
        ];
        assert_eq!(found, expect);
    }
}
