//! What the content team is told about a title: remarks with a stable code, a severity and a plain sentence.

use serde::{Deserialize, Serialize};

/// How much a remark matters to the content team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know; nothing was lost.
    Info,
    /// Something in the source is odd or was repaired, or something of it could not be kept; worth a look.
    Warning,
}

/// The stable code of a remark. `REPORT.md` explains each to the people who read reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RemarkCode {
    /// Pictures do not come at one rate. They are laid on a steady grid, each at the slot nearest to its time.
    VariableFrameRate,
    /// The source has more pictures a second than are published. The rate was brought down, evenly where a whole fraction is fast enough.
    FrameRateReduced,
    /// The picture is stored turned or mirrored. It was made upright.
    Rotated,
    /// The pixels are not square. The picture was made of square pixels in its right shape.
    NonSquarePixels,
    /// The picture is interlaced, by its flags or by its looks. It was deinterlaced.
    Deinterlaced,
    /// Film at 24 pictures a second was shown at 30, for three fields and two in turn. By flags: it was laid on 24 a second. Woven
    /// into the pictures: it was left as it is.
    Telecine,
    /// The source has high dynamic range. Its standard renditions were tone-mapped to BT.709.
    HdrToneMapped,
    /// The source has high dynamic range. HEVC renditions keep it.
    HdrKept,
    /// HEVC renditions that would keep high dynamic range need more memory than a worker may use. They were left out.
    HdrLeftOut,
    /// The colours are stored in a form that players do not show alike, such as full range or RGB. They were converted.
    ColourConverted,
    /// The source does not say how its colours are meant. The usual meaning for its size was assumed.
    ColourAssumed,
    /// The picture is partly transparent. It was laid over black.
    AlphaFlattened,
    /// The size of the picture changes in mid-stream. Every size was fitted into the same frame, uncropped and undistorted.
    SizeChanged,
    /// The video is already what players take. The largest rendition is the source's own, bit for bit.
    PictureCopied,
    /// The sound is already what players take. It was copied, not encoded again.
    SoundCopied,
    /// The sound has five or more channels. A 5.1 rendition stands beside the stereo one.
    SurroundKept,
    /// The sample rate or the channels change in mid-stream. All was brought to one form.
    SampleRateChanged,
    /// The title is louder or quieter than the target. All of its sound got the same gain.
    LoudnessAdjusted,
    /// A sound track is silent from start to end. It was kept.
    SilentTrack,
    /// The title begins with black. It was kept; the poster is from later on.
    BlackStart,
    /// The header claims another duration than the packets have. The true one was used.
    DurationCorrected,
    /// The sound begins after the picture. It was kept so, with silence before it.
    AudioStartsLate,
    /// The picture begins after the sound. The first picture is shown until then.
    VideoStartsLate,
    /// The sound ends before the picture. Silence follows it.
    AudioEndsEarly,
    /// The picture ends before the sound. The last picture is shown on.
    VideoEndsEarly,
    /// The source breaks off before the end that its header claims. What is there was used.
    BrokenTail,
    /// Timestamps jump or run backwards. They were put in order; sound and picture stay together.
    TimestampsRepaired,
    /// Pictures or samples are missing or damaged. The last good picture, or silence, stands in for them.
    Concealed,
    /// There is no sound. The title has no audio renditions.
    NoAudio,
    /// There is no moving picture. The title is sound only.
    AudioOnly,
    /// A picture is attached to the sound. It became the poster.
    CoverUsed,
    /// A stream was left out. The others were used.
    StreamIgnored,
    /// The source has text subtitles. They became WebVTT, without their styling.
    SubtitlesConverted,
    /// The source has subtitles that are pictures. They are not shown; add a text file instead.
    BitmapSubtitles,
    /// Cues of a subtitle track cannot be read. They were left out.
    SubtitlesDamaged,
}

impl RemarkCode {
    /// Every code, in the order of the declaration.
    pub const ALL: [Self; 35] = [
        Self::VariableFrameRate,
        Self::FrameRateReduced,
        Self::Rotated,
        Self::NonSquarePixels,
        Self::Deinterlaced,
        Self::Telecine,
        Self::HdrToneMapped,
        Self::HdrKept,
        Self::HdrLeftOut,
        Self::ColourConverted,
        Self::ColourAssumed,
        Self::AlphaFlattened,
        Self::SizeChanged,
        Self::PictureCopied,
        Self::SoundCopied,
        Self::SurroundKept,
        Self::SampleRateChanged,
        Self::LoudnessAdjusted,
        Self::SilentTrack,
        Self::BlackStart,
        Self::DurationCorrected,
        Self::AudioStartsLate,
        Self::VideoStartsLate,
        Self::AudioEndsEarly,
        Self::VideoEndsEarly,
        Self::BrokenTail,
        Self::TimestampsRepaired,
        Self::Concealed,
        Self::NoAudio,
        Self::AudioOnly,
        Self::CoverUsed,
        Self::StreamIgnored,
        Self::SubtitlesConverted,
        Self::BitmapSubtitles,
        Self::SubtitlesDamaged,
    ];

    /// How much the code matters wherever it is used.
    pub fn severity(self) -> Severity {
        match self {
            Self::HdrLeftOut
            | Self::SizeChanged
            | Self::SampleRateChanged
            | Self::SilentTrack
            | Self::DurationCorrected
            | Self::BrokenTail
            | Self::TimestampsRepaired
            | Self::Concealed
            | Self::StreamIgnored
            | Self::BitmapSubtitles
            | Self::SubtitlesDamaged => Severity::Warning,
            _ => Severity::Info,
        }
    }
}

/// One plain statement about what was found and what was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Remark {
    /// How much it matters.
    pub severity: Severity,
    /// The stable code.
    pub code: RemarkCode,
    /// A plain sentence: what was found, what was done.
    pub message: String,
}

impl Remark {
    /// A remark with the severity of its code.
    pub fn new(code: RemarkCode, message: impl Into<String>) -> Self {
        Self { severity: code.severity(), code, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The rows of the table in `REPORT.md`: severity and code.
    fn documented() -> Vec<(String, String)> {
        let rows = include_str!("../../REPORT.md").lines().filter_map(|line| line.strip_prefix("| `"));
        let row = |row: &str| {
            let mut cells = row.split('|').map(str::trim);
            let code = cells.next().unwrap_or_default().trim_end_matches('`').to_owned();
            (cells.next().unwrap_or_default().to_owned(), code)
        };
        rows.map(row).collect()
    }

    #[test]
    fn every_code_is_documented_with_its_severity_and_none_besides() {
        let name = |value: serde_json::Value| value.as_str().expect("a name").to_owned();
        let code = |code: RemarkCode| {
            let severity = name(serde_json::to_value(code.severity()).expect("json"));
            (severity, name(serde_json::to_value(code).expect("json")))
        };
        assert_eq!(RemarkCode::ALL.map(code).to_vec(), documented());
        assert_eq!(RemarkCode::ALL.map(code).into_iter().collect::<BTreeSet<_>>().len(), RemarkCode::ALL.len());
    }
}
