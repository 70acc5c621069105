//! Why a title failed: a closed list of codes, each with the sentence its uploader reads.

use serde::{Deserialize, Serialize};

/// The stable reason for which a title became `failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemCode {
    /// The upload has no bytes.
    EmptyFile,
    /// No demuxer of the allow-list recognises the bytes.
    NotMedia,
    /// A still picture.
    StillImage,
    /// A subtitle file.
    SubtitleFile,
    /// A playlist, concat script or session description: it names media instead of holding any.
    Playlist,
    /// An archive that has to be unpacked first.
    Archive,
    /// An MP4 or MOV whose index (`moov`) is missing: the upload or the recording was cut short.
    IndexMissing,
    /// Headers, but not one sample of picture or sound.
    NoSamples,
    /// Samples are encrypted.
    Encrypted,
    /// The structure contradicts itself so that nothing can be read.
    Corrupt,
    /// Streams are there, but no decoder for any of them.
    UnsupportedCodec,
    /// Neither picture nor sound.
    NoPictureOrSound,
    /// A size, duration or count is beyond what this origin is configured to take.
    BeyondLimits,
    /// A worker ended badly several times at the same place.
    WorkerFailed,
    /// The survey made no progress in its time.
    SurveyTimedOut,
    /// The stored source is gone or damaged.
    SourceLost,
}

impl ProblemCode {
    /// Every code, in the order of the declaration.
    pub const ALL: [Self; 16] = [
        Self::EmptyFile,
        Self::NotMedia,
        Self::StillImage,
        Self::SubtitleFile,
        Self::Playlist,
        Self::Archive,
        Self::IndexMissing,
        Self::NoSamples,
        Self::Encrypted,
        Self::Corrupt,
        Self::UnsupportedCodec,
        Self::NoPictureOrSound,
        Self::BeyondLimits,
        Self::WorkerFailed,
        Self::SurveyTimedOut,
        Self::SourceLost,
    ];

    /// The stable name, as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmptyFile => "empty-file",
            Self::NotMedia => "not-media",
            Self::StillImage => "still-image",
            Self::SubtitleFile => "subtitle-file",
            Self::Playlist => "playlist",
            Self::Archive => "archive",
            Self::IndexMissing => "index-missing",
            Self::NoSamples => "no-samples",
            Self::Encrypted => "encrypted",
            Self::Corrupt => "corrupt",
            Self::UnsupportedCodec => "unsupported-codec",
            Self::NoPictureOrSound => "no-picture-or-sound",
            Self::BeyondLimits => "beyond-limits",
            Self::WorkerFailed => "worker-failed",
            Self::SurveyTimedOut => "survey-timed-out",
            Self::SourceLost => "source-lost",
        }
    }

    /// Whether the fault may lie with this origin rather than with the file. The source of such a title is kept.
    pub fn may_be_ours(self) -> bool {
        matches!(self, Self::WorkerFailed | Self::SurveyTimedOut | Self::SourceLost)
    }

    /// What to tell the content team: what was found and what to do next.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::EmptyFile => "The file is empty. Check the export and upload it again.",
            Self::NotMedia => "This is not a video or audio file in any format we can read.",
            Self::StillImage => "This is a still picture. Upload the video or the audio file itself.",
            Self::SubtitleFile => "This is a subtitle file. Upload the film, then add subtitles to its title.",
            Self::Playlist => "This file only names other media and holds none itself. Upload the media file it points to.",
            Self::Archive => "This is an archive. Unpack it and upload the media file inside.",
            Self::IndexMissing => {
                "The file's index is missing, so it was cut off before its end. Copy or record it again and upload the whole file."
            }
            Self::NoSamples => "The file has headers but no picture or sound in it. It was probably cut off; upload the whole file.",
            Self::Encrypted => "The file is encrypted. Upload a copy without copy protection.",
            Self::Corrupt => "The file is damaged so badly that nothing in it can be read. Export it again.",
            Self::UnsupportedCodec => "The file's picture and sound are in a codec we cannot decode. Export it in a common codec.",
            Self::NoPictureOrSound => "The file holds neither picture nor sound.",
            Self::BeyondLimits => "The file is beyond what this origin is set up to take.",
            Self::WorkerFailed => "Decoding this file failed several times at the same place. Export it again.",
            Self::SurveyTimedOut => "Reading the file made no progress in the time allowed. Export it again.",
            Self::SourceLost => "The stored upload is missing or damaged. Upload it again.",
        }
    }
}

/// Why a title failed, as its record keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// The stable code.
    pub code: ProblemCode,
    /// A plain sentence for the uploader.
    pub message: String,
    /// What exactly was seen, for an engineer; absent when the sentence says it all.
    pub detail: Option<String>,
}

impl Problem {
    /// A problem whose sentence says it all.
    pub fn new(code: ProblemCode) -> Self {
        Self { code, message: code.sentence().to_owned(), detail: None }
    }

    /// A problem with what exactly was seen.
    pub fn with_detail(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(code) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_one_serde_writes() {
        for code in ProblemCode::ALL {
            assert_eq!(serde_json::to_value(code).ok(), Some(code.as_str().into()));
            assert!(code.sentence().ends_with('.'), "{code:?}");
        }
    }
}
