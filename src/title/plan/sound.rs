//! The audio renditions of a plan: which there are, what they are called, and how each comes about.

use serde::{Deserialize, Serialize};

use super::{AUDIO_SAMPLE_RATE, PlanPolicy};
use crate::title::{AudioFacts, AudioRoles, language};

/// Which of the renditions of one sound a track is. Players choose a tier together with the picture; tracks of one tier
/// form a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AudioTier {
    /// Mono or stereo at the usual bit rate; every title with sound has it.
    Stereo,
    /// 5.1 beside the stereo downmix.
    Surround,
    /// The low bit rate of a title without pictures.
    Low,
}

/// How the samples of an audio track come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AudioMethod {
    /// They are the source's own.
    Copy {
        /// Most bytes of any run of AAC frames that last a second, rounded up to whole frames.
        second_bytes_max: u32,
    },
    /// They are decoded, mixed, resampled and encoded.
    Encode,
}

/// One audio rendition: AAC-LC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioTrack {
    /// Index of the source's stream.
    pub stream: u32,
    /// What a player's menu shows; unique among the tracks of its tier.
    pub name: String,
    /// Language as BCP 47, if the source tells it.
    pub language: Option<String>,
    /// Whether it plays when nobody chose.
    pub default: bool,
    /// Whether it describes the picture for those who do not see it.
    pub described: bool,
    /// Whether somebody talks about the film in it; nobody gets that without asking for it.
    pub commentary: bool,
    /// Which of the renditions of its sound it is.
    pub tier: AudioTier,
    /// Channels.
    pub channels: u8,
    /// Samples a second.
    pub sample_rate: u32,
    /// Bit rate in bits a second: the encoder's, or that of the source where it is copied.
    pub bit_rate_bps: u32,
    /// How its samples come about.
    pub method: AudioMethod,
}

/// How sound is planned, its usual bit rate aside; from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoundPolicy {
    /// Bit rate of a 5.1 rendition in bits a second; absent when there shall be none.
    pub surround_bps: Option<u32>,
    /// The low bit rate of titles without pictures, in bits a second.
    pub low_bps: u32,
    /// The loudness that titles are brought to, in hundredths of LUFS; absent when they are left as they are.
    pub target_hundredths_lufs: Option<i32>,
}

impl SoundPolicy {
    /// Level of a mix whose peaks nobody has measured: channels of equal power come out at the power of one.
    pub const MIX_HUNDREDTHS_DB: i32 = -301;
}

impl AudioTrack {
    /// Whether both are renditions of one sound.
    pub fn is_of_same_sound(&self, other: &Self) -> bool {
        self.stream == other.stream
    }
}

/// The renditions of the sounds: tier by tier, in each the default sound first.
pub(super) fn audio_tracks(sounds: &[&AudioFacts], has_picture: bool, policy: &PlanPolicy) -> Vec<AudioTrack> {
    let mut ordered: Vec<&AudioFacts> = sounds.to_vec();
    if !ordered.is_empty() {
        let first = ordered.remove(default_of(sounds));
        ordered.insert(0, first);
    }
    ordered.truncate(AUDIO_TRACKS_MAX);
    let mut stereo: Vec<AudioTrack> = Vec::new();
    for (index, audio) in ordered.iter().enumerate() {
        let name = unlike_others(wanted_name(audio, index), index, &stereo);
        stereo.push(AudioTrack {
            stream: audio.stream,
            name,
            language: audio.language.as_deref().and_then(language::bcp47),
            default: index == 0,
            described: is_described(audio),
            commentary: is_commentary(audio),
            tier: AudioTier::Stereo,
            channels: 2,
            sample_rate: AUDIO_SAMPLE_RATE,
            bit_rate_bps: policy.audio_bps,
            method: AudioMethod::Encode,
        });
    }
    let surround = policy.sound.surround_bps.map(|bit_rate_bps| {
        let have = ordered.iter().zip(&stereo).filter(|(audio, _)| has_surround(audio));
        let track = |stereo: &AudioTrack| AudioTrack { tier: AudioTier::Surround, channels: 6, bit_rate_bps, ..stereo.clone() };
        have.map(|(_, stereo)| track(stereo)).collect::<Vec<_>>()
    });
    let low = (!has_picture && policy.sound.low_bps < policy.audio_bps).then(|| {
        let track = |stereo: &AudioTrack| AudioTrack { tier: AudioTier::Low, bit_rate_bps: policy.sound.low_bps, ..stereo.clone() };
        stereo.iter().map(track).collect::<Vec<_>>()
    });
    stereo.iter().cloned().chain(surround.into_iter().flatten()).chain(low.into_iter().flatten()).collect()
}

/// Sounds of a title at most: a menu of more is no menu. The rest is reported as left out.
pub(in crate::title) const AUDIO_TRACKS_MAX: usize = 16;

/// Whether the sound is worth a 5.1 rendition: five channels or more, and known where each is heard. Four (quad) have no
/// centre, so stereo loses little of them.
pub(in crate::title) fn has_surround(audio: &AudioFacts) -> bool {
    audio.channels >= 5 && audio.layout.as_deref().is_some_and(|layout| !layout.starts_with("ambisonic"))
}

/// The sound that plays when nobody chose: the first that the container marks so, else the original, else the first; one that
/// describes the picture or comments on the film only where there is no other.
fn default_of(sounds: &[&AudioFacts]) -> usize {
    let rank = |audio: &AudioFacts| {
        let aside = is_described(audio) || is_commentary(audio);
        (aside, !audio.default, !audio.roles.original)
    };
    (0..sounds.len()).min_by_key(|index| rank(sounds[*index])).unwrap_or(0)
}

fn wanted_name(audio: &AudioFacts, index: usize) -> String {
    let tidy = |label: &String| {
        // Playlists have no way to write these in a name.
        let label = label.replace('"', "'").replace(char::is_control, " ");
        let label = label.trim();
        (!label.is_empty() && label.len() <= NAME_BYTES_MAX).then(|| label.to_owned())
    };
    if let Some(label) = audio.label.as_ref().and_then(tidy) {
        return label;
    }
    let language = audio.language.as_deref().and_then(language::bcp47).and_then(|tag| language::label(&tag));
    let name = language.unwrap_or_else(|| format!("Audio {}", index + 1));
    match audio.roles {
        AudioRoles { described: true, .. } => format!("{name}, described"),
        AudioRoles { commentary: true, .. } => format!("{name}, commentary"),
        AudioRoles { original: true, .. } => format!("{name}, original"),
        AudioRoles { dubbed: true, .. } => format!("{name}, dubbed"),
        _ => name,
    }
}

/// Longer labels are no names but notes.
const NAME_BYTES_MAX: usize = 120;

fn unlike_others(wanted: String, index: usize, others: &[AudioTrack]) -> String {
    let taken = |name: &str| others.iter().any(|other| other.name == name);
    if !taken(&wanted) {
        return wanted;
    }
    // The first number to try is the track's own, which tells more than the count of equal names.
    (index + 1..).map(|number| format!("{wanted} ({number})")).find(|name| !taken(name)).unwrap_or(wanted)
}

/// Whether the sound describes the picture, by the container's mark or by its label.
fn is_described(audio: &AudioFacts) -> bool {
    const LABELS: [&str; 10] = [
        "audio description",
        "audio-description",
        "audiodescription",
        "audiodescri",
        "audiodeskription",
        "descriptive",
        "described video",
        "video description",
        "visually impaired",
        "hörfilm",
    ];
    audio.roles.described || is_labelled(audio, &LABELS)
}

fn is_commentary(audio: &AudioFacts) -> bool {
    audio.roles.commentary || is_labelled(audio, &["commentary", "commentaire", "kommentar", "comentario"])
}

fn is_labelled(audio: &AudioFacts, words: &[&str]) -> bool {
    audio.label.as_ref().is_some_and(|label| {
        let label = label.to_lowercase();
        words.iter().any(|word| label.contains(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title::sample::{audio_facts, policy};

    fn sound(stream: u32, change: impl FnOnce(&mut AudioFacts)) -> AudioFacts {
        let mut audio = AudioFacts { stream, default: false, language: None, ..audio_facts(0, 480_000) };
        change(&mut audio);
        audio
    }

    fn tracks(sounds: &[AudioFacts], has_picture: bool) -> Vec<AudioTrack> {
        audio_tracks(&sounds.iter().collect::<Vec<_>>(), has_picture, &policy())
    }

    #[test]
    fn the_default_is_the_film_itself() {
        let described = |audio: &mut AudioFacts| (audio.roles.described, audio.default) = (true, true);
        let commentary = |audio: &mut AudioFacts| (audio.label, audio.default) = (Some("Director's Commentary".into()), true);
        let original = |audio: &mut AudioFacts| audio.roles.original = true;
        let marked = |audio: &mut AudioFacts| audio.default = true;
        let plain = |_: &mut AudioFacts| {};
        for (sounds, expect) in [
            (vec![sound(1, plain), sound(2, plain)], 1),
            (vec![sound(1, plain), sound(2, marked)], 2),
            (vec![sound(1, plain), sound(2, original)], 2),
            (vec![sound(1, original), sound(2, marked)], 2),
            (vec![sound(1, described), sound(2, commentary), sound(3, plain)], 3),
            (vec![sound(1, commentary), sound(2, described)], 1),
        ] {
            let tracks = tracks(&sounds, true);
            assert_eq!(tracks[0].stream, expect, "{sounds:?}");
            assert_eq!(tracks.iter().filter(|track| track.default).count(), 1);
        }
    }

    #[test]
    fn names_say_what_a_sound_is_for() {
        let english = |audio: &mut AudioFacts| audio.language = Some("eng".into());
        let sounds = [
            sound(1, english),
            sound(2, |audio| (audio.language, audio.roles.described) = (Some("eng".into()), true)),
            sound(3, |audio| (audio.language, audio.roles.commentary) = (Some("eng".into()), true)),
            sound(4, |audio| (audio.language, audio.roles.dubbed) = (Some("por-br".into()), true)),
            sound(5, |audio| audio.label = Some(" Stereo mix ".into())),
            sound(6, |audio| audio.label = Some("Deutsch (Audiodeskription)".into())),
            sound(7, |audio| audio.label = Some("x".repeat(500))),
            sound(8, english),
            sound(9, |audio| audio.label = Some("English, audio description for the visually impaired".into())),
            sound(10, |audio| audio.label = Some("The \"long\"\nmix".into())),
        ];
        let found: Vec<_> = tracks(&sounds, true).into_iter().map(|track| (track.name, track.described)).collect();
        let expect = [
            ("English", false),
            ("English, described", true),
            ("English, commentary", false),
            ("Portuguese (BR), dubbed", false),
            ("Stereo mix", false),
            ("Deutsch (Audiodeskription)", true),
            ("Audio 7", false),
            ("English (8)", false),
            ("English, audio description for the visually impaired", true),
            ("The 'long' mix", false),
        ];
        assert_eq!(found, expect.map(|(name, described)| (name.to_owned(), described)));
    }

    #[test]
    fn five_channels_are_kept_where_it_is_known_what_they_are() {
        for (channels, layout, expect) in [
            (2, Some("stereo"), false),
            (4, Some("quad"), false),
            (5, Some("5.0"), true),
            (6, Some("5.1(side)"), true),
            (8, Some("7.1"), true),
            (24, Some("22.2"), true),
            (13, None, false),
            (16, Some("ambisonic 3"), false),
        ] {
            let audio = sound(1, |audio| (audio.channels, audio.layout) = (channels, layout.map(str::to_owned)));
            let tracks = tracks(&[audio], true);
            assert_eq!(tracks.get(1).map(|track| (track.tier, track.channels)), expect.then_some((AudioTier::Surround, 6)), "{layout:?}");
            assert_eq!((tracks[0].tier, tracks[0].channels), (AudioTier::Stereo, 2));
        }
    }

    #[test]
    fn sound_alone_has_two_bit_rates() {
        let rates = |has_picture| -> Vec<u32> { tracks(&[sound(1, |_| {})], has_picture).iter().map(|track| track.bit_rate_bps).collect() };
        assert_eq!(rates(false), [128_000, 64_000]);
        assert_eq!(rates(true), [128_000]);
    }
}
