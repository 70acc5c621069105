//! How loud the sound of a stream is, as EBU R 128 measures it.

use serde::{Deserialize, Serialize};

/// What was measured over the whole of one audio stream, at its own level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loudness {
    /// Integrated loudness in hundredths of LUFS (ITU-R BS.1770-4). Absent when nothing is above its gate: silence, or less
    /// than 400 ms of sound. A single channel counts as it is played, from both sides.
    pub integrated_hundredths_lufs: Option<i32>,
    /// Loudness range in hundredths of LU (EBU Tech 3342).
    pub range_hundredths_lu: i32,
    /// The highest true peak of any channel in hundredths of dBTP (ITU-R BS.1770-4 annex 2). Absent when all samples are zero.
    pub true_peak_hundredths_dbtp: Option<i32>,
    /// The highest true peak of the mix to stereo at its full level, in hundredths of dBTP; absent where nothing is mixed.
    pub mix_true_peak_hundredths_dbtp: Option<i32>,
    /// Whether there is nothing to hear from start to end.
    pub silent: bool,
}
