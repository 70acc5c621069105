//! Bringing a title to a loudness: one gain for all of its sound, from start to end.

use std::collections::BTreeMap;

use super::Plan;
use crate::title::{Loudness, Remark, RemarkCode};

/// The highest true peak that a rendition may have, in hundredths of dBTP (EBU R 128, AES TD1008).
const TRUE_PEAK_MAX: i32 = -100;
/// What lossy coding adds to peaks, in hundredths of a decibel: they are held that much lower before it. More where there are
/// few bits.
const CODING_ADDS: i32 = 50;
const SPARSE_CODING_ADDS: i32 = 150;
/// Bits a second and channel below which bits are few.
const SPARSE_BPS: u32 = 48_000;
/// The largest gain, in hundredths of a decibel: what is quieter than that is noise rather than a programme.
const GAIN_MAX: i32 = 3000;
/// A smaller change is none, in hundredths of a decibel.
const GAIN_MIN: i32 = 10;

impl Plan {
    /// Sets the gain that brings the default sound to `target_hundredths_lufs`, so far as the peaks of all sounds allow it,
    /// and lets mixes have their full level, since their peaks are known now. Nothing changes when a sound was not `heard`,
    /// or the default one is silent. Gives the remark that tells it.
    ///
    /// It is one static gain for all renditions, never a compressor: what a mixer made loud and quiet stays so, segments stay
    /// independent of each other, and languages stay as loud as they were to each other.
    pub fn level(&mut self, heard: &BTreeMap<u32, Loudness>, target_hundredths_lufs: i32) -> Option<Remark> {
        let sounds = self.audio.iter().map(|track| heard.get(&track.stream)).collect::<Option<Vec<_>>>()?;
        let integrated = sounds.first()?.integrated_hundredths_lufs?;
        let peaks = sounds.iter().flat_map(|sound| [sound.true_peak_hundredths_dbtp, sound.mix_true_peak_hundredths_dbtp]);
        let is_sparse = self.audio.iter().any(|track| track.bit_rate_bps / u32::from(track.channels.max(1)) < SPARSE_BPS);
        let coding_adds = if is_sparse { SPARSE_CODING_ADDS } else { CODING_ADDS };
        let room = peaks.flatten().max().map_or(i32::MAX, |peak| TRUE_PEAK_MAX - coding_adds - peak);
        let wanted = target_hundredths_lufs - integrated;
        let gain = wanted.min(room).min(GAIN_MAX);
        self.mix_hundredths_db = 0;
        if gain.abs() < GAIN_MIN {
            return None;
        }
        self.gain_hundredths_db = gain;
        let (is, change) = (shown(integrated), shown(gain.abs()));
        let done =
            format!("The title measures {is} LUFS. All of its sound was {} by {change} dB", if gain > 0 { "raised" } else { "lowered" });
        let target = shown(target_hundredths_lufs);
        let message = if gain == wanted {
            format!("{done}, to the target of {target} LUFS.")
        } else if gain == room {
            format!("{done}; for the target of {target} LUFS its peaks are too high.")
        } else {
            format!("{done}, which is the most; the target is {target} LUFS.")
        };
        Some(Remark::new(RemarkCode::LoudnessAdjusted, message))
    }
}

/// Hundredths with one decimal.
fn shown(hundredths: i32) -> String {
    format!("{:.1}", f64::from(hundredths) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title::SoundPolicy;
    use crate::title::sample::{audio_track, low_track, plan};

    fn loudness(integrated: Option<i32>, peak: i32, mix_peak: Option<i32>) -> Loudness {
        Loudness {
            integrated_hundredths_lufs: integrated,
            range_hundredths_lu: 500,
            true_peak_hundredths_dbtp: Some(peak),
            mix_true_peak_hundredths_dbtp: mix_peak,
            silent: false,
        }
    }

    #[test]
    fn the_default_sound_decides_and_all_peaks_limit() {
        // (default sound, another one, gain, mix level, a word of the remark)
        let at = SoundPolicy::MIX_HUNDREDTHS_DB;
        for (first, second, gain, mix, word) in [
            (loudness(Some(-2300), -1000, None), loudness(Some(-3000), -900, None), 500, 0, Some("raised by 5.0 dB, to")),
            (loudness(Some(-900), -10, None), loudness(Some(-900), -10, None), -900, 0, Some("lowered by 9.0 dB, to")),
            (loudness(Some(-2700), -600, None), loudness(Some(-1800), -900, None), 450, 0, Some("raised by 4.5 dB; for")),
            (loudness(Some(-2700), -900, Some(-300)), loudness(Some(-1800), -900, None), 150, 0, Some("raised by 1.5 dB; for")),
            (loudness(Some(-1800), -900, None), loudness(Some(-1800), 50, None), -200, 0, Some("lowered by 2.0 dB; for")),
            (loudness(Some(-1795), -900, None), loudness(Some(-2300), -900, None), 0, 0, None),
            (loudness(Some(-6000), -5000, None), loudness(Some(-6000), -5000, None), 3000, 0, Some("raised by 30.0 dB, which is the most")),
            (loudness(None, -9000, None), loudness(Some(-2300), -900, None), 0, at, None),
        ] {
            let mut plan = plan((24, 1), 960, 4000);
            let mut other = audio_track("English", Some("en"), false);
            other.stream = 2;
            plan.audio.push(other);
            let remark = plan.level(&BTreeMap::from([(1, first), (2, second)]), -1800);
            assert_eq!((plan.gain_hundredths_db, plan.mix_hundredths_db), (gain, mix), "{first:?} {second:?}");
            match (word, remark) {
                (None, None) => {}
                (Some(word), Some(remark)) => assert!(remark.message.contains(word), "{remark:?}"),
                (_, remark) => panic!("{remark:?}"),
            }
        }
    }

    #[test]
    fn a_low_bit_rate_needs_more_room() {
        let mut plan = plan((24, 1), 960, 4000);
        plan.audio.push(low_track(&plan.audio[0]));
        plan.level(&BTreeMap::from([(1, loudness(Some(-2700), -600, None))]), -1800);
        assert_eq!(plan.gain_hundredths_db, 350);
    }

    #[test]
    fn a_sound_that_was_not_heard_changes_nothing() {
        let mut plan = plan((24, 1), 960, 4000);
        let before = plan.clone();
        assert_eq!(plan.level(&BTreeMap::new(), -1800), None);
        assert_eq!(plan, before);
    }
}
