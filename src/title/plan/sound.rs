//! The audio renditions of a plan: which there are, what they are called, and how each comes about.

use serde::{Deserialize, Serialize};

use super::{AUDIO_SAMPLE_RATE, PlanPolicy};
use crate::title::{AudioFacts, language};

/// Which of the renditions of one sound a track is. Players choose a tier together with the picture; tracks of one tier
/// form a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

/// The renditions of the sounds, the default one first.
pub(super) fn audio_tracks(sounds: &[&AudioFacts], policy: &PlanPolicy) -> Vec<AudioTrack> {
    let default = sounds.iter().position(|audio| audio.default).unwrap_or(0);
    let mut ordered: Vec<&AudioFacts> = sounds.to_vec();
    if !ordered.is_empty() {
        let first = ordered.remove(default);
        ordered.insert(0, first);
    }
    // One track index is a byte, and a menu of more than this is no menu.
    ordered.truncate(AUDIO_TRACKS_MAX);
    let mut tracks: Vec<AudioTrack> = Vec::new();
    for (index, audio) in ordered.into_iter().enumerate() {
        let language = audio.language.as_deref().and_then(language::bcp47);
        let wanted =
            audio.label.clone().filter(|label| !label.is_empty() && !label.contains(['"', '\n', '\r'])).unwrap_or_else(|| {
                language.as_deref().and_then(language::name).map_or_else(|| format!("Audio {}", index + 1), str::to_owned)
            });
        let taken = tracks.iter().any(|track| track.name == wanted);
        let name = if taken { format!("{wanted} ({})", index + 1) } else { wanted };
        tracks.push(AudioTrack {
            stream: audio.stream,
            name,
            language,
            default: index == 0,
            described: false,
            tier: AudioTier::Stereo,
            channels: 2,
            sample_rate: AUDIO_SAMPLE_RATE,
            bit_rate_bps: policy.audio_bps,
            method: AudioMethod::Encode,
        });
    }
    tracks
}

/// Audio renditions of a title at most; the rest is reported as left out.
pub(in crate::title) const AUDIO_TRACKS_MAX: usize = 16;
