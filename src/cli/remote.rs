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
    pub(super) subtitles: Vec<Subtitles>,
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
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Source {
    pub(super) bytes: u64,
    pub(super) container: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Rendition {
    pub(super) name: String,
    pub(super) width: u32,
    pub(super) height: u32,
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

impl Title {
    /// A line for each track of subtitles.
    pub(super) fn subtitle_lines(&self) -> impl Iterator<Item = String> + '_ {
        self.subtitles.iter().map(|track| {
            let language = track.language.as_deref().unwrap_or("und");
            let default = if track.default { ", default" } else { "" };
            format!("subtitles  {language}, {}, {}, {}{default}", track.name, track.kind, track.origin)
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
