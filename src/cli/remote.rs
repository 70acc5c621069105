//! A title as the server tells it: the members that commands show.

use serde::Deserialize;

/// A title.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Title {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) state: String,
    pub(super) playable: bool,
    pub(super) created_at: String,
    pub(super) duration_ms: Option<u64>,
    pub(super) progress: Progress,
    pub(super) playback: Playback,
    pub(super) source: Option<Source>,
    pub(super) renditions: Vec<Rendition>,
    #[serde(default)]
    pub(super) audio_renditions: Vec<AudioRendition>,
    #[serde(default)]
    pub(super) subtitles: Vec<Subtitles>,
    pub(super) gain_db: Option<f64>,
    pub(super) report: Vec<Remark>,
    pub(super) problem: Option<Problem>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Progress {
    pub(super) fraction: f64,
    pub(super) segments_done: u64,
    pub(super) segments_total: u64,
    pub(super) eta_ms: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Playback {
    pub(super) hls: Option<String>,
    pub(super) poster: Option<String>,
    pub(super) storyboard: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Source {
    pub(super) bytes: u64,
    pub(super) container: Option<String>,
    #[serde(default)]
    pub(super) audio: Vec<SourceAudio>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct SourceAudio {
    pub(super) stream: u32,
    pub(super) language: Option<String>,
    pub(super) loudness: Option<Loudness>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Loudness {
    pub(super) integrated_lufs: Option<f64>,
    pub(super) range_lu: f64,
    pub(super) true_peak_dbtp: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Rendition {
    pub(super) name: String,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) codec: String,
    pub(super) range: Option<String>,
    pub(super) bandwidth: u64,
    pub(super) average_bandwidth: Option<u64>,
    pub(super) method: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct AudioRendition {
    pub(super) name: String,
    pub(super) language: Option<String>,
    pub(super) default: bool,
    pub(super) channels: u8,
    pub(super) codec: String,
    pub(super) bandwidth: u64,
    pub(super) average_bandwidth: Option<u64>,
    pub(super) method: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Subtitles {
    pub(super) language: Option<String>,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) default: bool,
    pub(super) origin: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Remark {
    pub(super) severity: String,
    pub(super) message: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Problem {
    pub(super) message: String,
    pub(super) detail: Option<String>,
}

impl Title {
    /// Whether nothing more will happen to it by itself.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.state.as_str(), "ready" | "failed")
    }
}

/// What sheets say where a language is not known (BCP 47).
const UNKNOWN_LANGUAGE: &str = "und";

impl Title {
    /// A line for each URL where it is seen or heard.
    pub(super) fn playback_lines(&self) -> impl Iterator<Item = String> + '_ {
        let Playback { hls, poster, storyboard } = &self.playback;
        let lines = [("playback", hls), ("poster", poster), ("storyboard", storyboard)];
        lines.into_iter().filter_map(|(what, url)| url.as_ref().map(|url| format!("{what:<10}  {url}")))
    }

    /// A line for each rendition of the picture.
    pub(super) fn rendition_lines(&self) -> impl Iterator<Item = String> + '_ {
        self.renditions.iter().map(|rendition| {
            let Rendition { name, width, height, codec, method, .. } = rendition;
            let range = rendition.range.as_deref().map(|range| format!("{range}, ")).unwrap_or_default();
            let kilobits = rendition.average_bandwidth.unwrap_or(rendition.bandwidth) / 1000;
            format!("rendition   {name}, {width}x{height}, {codec}, {range}{kilobits} kbit/s, {method}")
        })
    }

    /// A line for each rendition of the sound.
    pub(super) fn audio_lines(&self) -> impl Iterator<Item = String> + '_ {
        self.audio_renditions.iter().map(|track| {
            let AudioRendition { name, channels, codec, method, .. } = track;
            let language = track.language.as_deref().unwrap_or(UNKNOWN_LANGUAGE);
            let kilobits = track.average_bandwidth.unwrap_or(track.bandwidth) / 1000;
            let default = if track.default { ", default" } else { "" };
            format!("audio       {language}, {name}, {channels} channels, {codec}, {kilobits} kbit/s, {method}{default}")
        })
    }

    /// A line for each sound of the upload that was measured, and one for the gain of all sound.
    pub(super) fn loudness_lines(&self) -> impl Iterator<Item = String> + '_ {
        let sounds = self.source.iter().flat_map(|source| &source.audio);
        let measured = sounds.filter_map(|sound| sound.loudness.as_ref().map(|loudness| (sound, loudness)));
        let measured = measured.map(|(sound, loudness)| {
            let language = sound.language.as_deref().unwrap_or(UNKNOWN_LANGUAGE);
            let integrated = loudness.integrated_lufs.map_or_else(|| "silent".into(), |lufs| format!("{lufs:.1} LUFS"));
            let peak = loudness.true_peak_dbtp.map(|peak| format!(", peak {peak:.1} dBTP")).unwrap_or_default();
            format!("loudness    stream {}, {language}, {integrated}, range {:.1} LU{peak}", sound.stream, loudness.range_lu)
        });
        let gain = self.gain_db.filter(|_| !self.audio_renditions.is_empty()).map(|gain_db| format!("gain        {gain_db:+.1} dB"));
        measured.chain(gain)
    }

    /// A line for each track of subtitles.
    pub(super) fn subtitle_lines(&self) -> impl Iterator<Item = String> + '_ {
        self.subtitles.iter().map(|track| {
            let language = track.language.as_deref().unwrap_or(UNKNOWN_LANGUAGE);
            let default = if track.default { ", default" } else { "" };
            format!("subtitles   {language}, {}, {}, {}{default}", track.name, track.kind, track.origin)
        })
    }
}

impl Problem {
    /// The sentence, and what exactly was seen if it is known.
    pub(super) fn sentence(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{} ({detail})", self.message),
            None => self.message.clone(),
        }
    }
}
