//! What the content team is told about a title: remarks with a stable code, a severity and a plain sentence.

use serde::{Deserialize, Serialize};

/// How much a remark matters to the content team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know; nothing was lost.
    Info,
    /// Something in the source is odd or was repaired; worth a look.
    Warning,
    /// Something of the source could not be kept.
    Error,
}

/// The stable code of a remark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RemarkCode {
    /// Frames do not come at one rate; the output does.
    VariableFrameRate,
    /// The rate was brought down to what is planned for.
    FrameRateReduced,
    /// The picture is stored turned and was turned upright.
    Rotated,
    /// The picture's pixels are not square and were made so.
    NonSquarePixels,
    /// The container's duration is not what its packets hold.
    DurationCorrected,
    /// Sound begins after the picture.
    AudioStartsLate,
    /// Picture begins after the sound.
    VideoStartsLate,
    /// There is no sound.
    NoAudio,
    /// There is no picture.
    AudioOnly,
    /// A stream was left out.
    StreamIgnored,
    /// Frames or samples were missing or damaged and were concealed.
    Concealed,
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
    /// A remark of the given severity.
    pub fn new(severity: Severity, code: RemarkCode, message: impl Into<String>) -> Self {
        Self { severity, code, message: message.into() }
    }
}
