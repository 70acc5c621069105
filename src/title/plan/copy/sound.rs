//! Whether the source's sounds are copied, and where their frames lie then.

use super::CopyRefusal;
use crate::title::plan::{AAC_FRAME_SAMPLES, AudioMethod, AudioTier, AudioTrack, Plan, PlanPolicy};
use crate::title::{AacFacts, AudioFacts, CopyDoubt, Seam, SourceFacts};

/// A rate that is nominally the limit may be so many percent above it.
const BIT_RATE_SLACK_PERCENT: u64 = 5;
/// How far timestamps may be off the count of samples, in milliseconds: the rounding of containers that count them.
const DRIFT_MAX_MS: u64 = 3;
/// How far copied sound may be moved: half a frame at 44.1 kHz. AAC frames are copied whole, and players are given no edit list.
const SHIFT_MAX_MS: u64 = 12;

/// Has the plan copy the sounds that can be; returns the names of those renditions.
pub fn copy_sounds(plan: &mut Plan, facts: &SourceFacts, policy: &PlanPolicy) -> Vec<String> {
    (0..plan.audio.len()).filter_map(|index| copy_sound(plan, index, facts, policy).ok()).collect()
}

/// Has the plan copy the source's sound for an audio rendition, where that can be done; returns its name.
///
/// # Errors
/// [`CopyRefusal`], and the plan stays as it is.
pub fn copy_sound(plan: &mut Plan, index: usize, facts: &SourceFacts, policy: &PlanPolicy) -> Result<String, CopyRefusal> {
    let track = plan.audio.get(index).ok_or(CopyRefusal::Off)?;
    let audio = facts.audio(track.stream).ok_or(CopyRefusal::Off)?;
    if !policy.audio_copy || track.tier != AudioTier::Stereo {
        return Err(CopyRefusal::Off);
    }
    let aac = audio.aac.as_ref().map_err(|doubt| *doubt)?;
    if facts.corrupt_packet_count > 0 {
        return Err(CopyDoubt::Damaged.into());
    }
    if facts.seams.iter().any(Seam::is_leap) {
        return Err(CopyDoubt::Timestamps.into());
    }
    if policy.sound.target_hundredths_lufs.is_some() {
        return Err(CopyRefusal::Gain);
    }
    let within = |samples: u64, ms: u64| samples * 1000 <= u64::from(audio.sample_rate) * ms;
    if !within(aac.drift_samples_max.into(), DRIFT_MAX_MS) {
        return Err(CopyDoubt::Timestamps.into());
    }
    if !within(sound_placement(plan, audio, aac).shift_samples.unsigned_abs(), SHIFT_MAX_MS) {
        return Err(CopyRefusal::Placement);
    }
    let samples = u128::from(aac.frame_count) * u128::from(AAC_FRAME_SAMPLES);
    let average_bps = (u128::from(aac.bytes) * 8 * u128::from(audio.sample_rate)).div_ceil(samples.max(1));
    let average_bps = u32::try_from(average_bps).map_err(|_| CopyRefusal::BitRate)?;
    if u64::from(average_bps) * 100 > u64::from(policy.audio_copy_bps_max) * (100 + BIT_RATE_SLACK_PERCENT) {
        return Err(CopyRefusal::BitRate);
    }
    let copied = AudioTrack {
        channels: u8::try_from(audio.channels).map_err(|_| CopyDoubt::Format)?,
        sample_rate: audio.sample_rate,
        bit_rate_bps: average_bps,
        method: AudioMethod::Copy { second_bytes_max: aac.window_bytes_max },
        ..track.clone()
    };
    let name = copied.name.clone();
    plan.audio[index] = copied;
    Ok(name)
}

/// Where the frames of a copied sound lie in the presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoundPlacement {
    /// The presentation's frame n is the source's frame n + this.
    pub first_frame: i64,
    /// So many samples later than it should is each heard; at most half a frame either way.
    pub shift_samples: i64,
}

/// Where the frames of a copied sound lie in the presentation: each at the place nearest to its own.
pub fn sound_placement(plan: &Plan, audio: &AudioFacts, aac: &AacFacts) -> SoundPlacement {
    let zero = (plan.origin * i128::from(audio.sample_rate)).round().to_integer();
    let frame = i128::from(AAC_FRAME_SAMPLES);
    let before = zero - i128::from(aac.first_sample);
    let first_frame = (before + frame / 2).div_euclid(frame);
    let whole = |samples: i128| i64::try_from(samples).unwrap_or(i64::MAX);
    SoundPlacement { first_frame: whole(first_frame), shift_samples: whole(before - first_frame * frame) }
}
