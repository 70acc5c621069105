//! From any layout to stereo or 5.1, by one fixed matrix a layout.
//!
//! The coefficients are those of ITU-R BS.775-3 table 2: what comes from the centre and from behind goes to the front 3 dB
//! lower, to both sides where it is in the middle. The low-frequency channel is left out of stereo (BS.775-3 annex 7: it is
//! an effect of up to 10 dB more than small speakers can bear, and no programme may depend on it).
//!
//! With these coefficients the mix is about as loud as the channels were (BS.1770 sums their powers), so a player may change
//! between 5.1 and stereo without a jump. But it may pass full scale. A matrix that rules that out would lower everything,
//! the dialogue first, by 7.7 dB, for peaks that most titles never reach. So the plan says by how much mixes are lowered: not
//! at all where their peaks were measured, 3 dB where nobody knows (channels of equal power then mix to the power of one).
//! What would still pass full scale is bent by a fixed curve that leaves everything below -1 dB alone. It looks at one sample
//! at a time: nothing pumps, and segments stay independent of each other.

use super::sound::Sound;
use super::speakers::Speaker;

/// What is mixed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Left, right.
    Stereo,
    /// Left, right, centre, low frequency, left surround, right surround: FFmpeg's order, which its AAC encoder brings into
    /// that of channelConfiguration 6 (ISO 14496-3 table 1.19).
    Surround,
}

impl Target {
    /// The target of a track of so many channels.
    pub fn of_channels(channels: u8) -> Self {
        if channels > 2 { Self::Surround } else { Self::Stereo }
    }

    /// Number of channels.
    pub fn channels(self) -> usize {
        match self {
            Self::Stereo => 2,
            Self::Surround => 6,
        }
    }
}

/// A matrix: for each channel that goes out, what it takes of each that comes in.
#[derive(Clone, Debug, PartialEq)]
pub struct Downmix {
    speakers: Vec<Speaker>,
    rows: Vec<Vec<f32>>,
    /// Whether channels are added up.
    adds: bool,
}

/// 3 dB less.
const HALF_POWER: f32 = std::f32::consts::FRAC_1_SQRT_2;

impl Downmix {
    /// The matrix for sound of these speakers; where channels are added up, the result is `level` times as large.
    pub fn new(speakers: &[Speaker], target: Target, level: f32) -> Self {
        let mut rows = vec![vec![0.0; speakers.len()]; target.channels()];
        if let [_] = speakers {
            // One channel goes to both sides as loud as it is, as players do with it.
            (rows[0][0], rows[1][0]) = (1.0, 1.0);
        } else {
            let both_behind = speakers.contains(&Speaker::SideLeft) && speakers.contains(&Speaker::BackLeft);
            for (channel, speaker) in speakers.iter().enumerate() {
                let parts = match target {
                    Target::Stereo => to_stereo(*speaker).to_vec(),
                    Target::Surround => to_surround(*speaker, both_behind).to_vec(),
                };
                rows.iter_mut().zip(parts).for_each(|(row, part)| row[channel] = part);
            }
        }
        let adds = rows.iter().any(|row| row.iter().sum::<f32>() > 1.001);
        if adds {
            rows.iter_mut().flatten().for_each(|part| *part *= level);
        }
        Self { speakers: speakers.to_vec(), rows, adds }
    }

    /// The speakers it was made for.
    pub fn speakers(&self) -> &[Speaker] {
        &self.speakers
    }

    /// Whether channels are added up, so that the result may be higher than any of them.
    pub fn adds(&self) -> bool {
        self.adds
    }

    /// Mixes sound of those speakers, and keeps it within full scale.
    pub fn mix(&self, sound: &Sound) -> Sound {
        let mut mixed = self.mix_as_is(sound);
        if self.adds {
            mixed = Sound::new(mixed.channels().iter().map(|channel| channel.iter().map(|sample| bent(*sample)).collect()).collect());
        }
        mixed
    }

    /// Mixes sound of those speakers, and lets it pass full scale where it does.
    pub fn mix_as_is(&self, sound: &Sound) -> Sound {
        let channel = |row: &Vec<f32>| {
            let mut out = vec![0.0; sound.len()];
            for (part, samples) in row.iter().zip(sound.channels()).filter(|(part, _)| **part != 0.0) {
                out.iter_mut().zip(samples).for_each(|(out, sample)| *out += part * sample);
            }
            out
        };
        Sound::new(self.rows.iter().map(channel).collect())
    }
}

/// Where the curve begins to bend: -1 dB.
const KNEE: f32 = 0.891;

/// The sample itself up to the knee; beyond it, ever nearer to full scale.
fn bent(sample: f32) -> f32 {
    let size = sample.abs();
    if size <= KNEE {
        return sample;
    }
    (KNEE + (1.0 - KNEE) * ((size - KNEE) / (1.0 - KNEE)).tanh()).copysign(sample)
}

/// What left and right take of a speaker.
fn to_stereo(speaker: Speaker) -> [f32; 2] {
    match speaker {
        Speaker::FrontLeft | Speaker::FrontLeftOfCentre | Speaker::MixLeft | Speaker::WideLeft => [1.0, 0.0],
        Speaker::FrontRight | Speaker::FrontRightOfCentre | Speaker::MixRight | Speaker::WideRight => [0.0, 1.0],
        Speaker::FrontCentre | Speaker::Everywhere => [HALF_POWER, HALF_POWER],
        Speaker::BackLeft
        | Speaker::SideLeft
        | Speaker::SurroundDirectLeft
        | Speaker::TopFrontLeft
        | Speaker::TopSideLeft
        | Speaker::TopBackLeft
        | Speaker::BottomFrontLeft => [HALF_POWER, 0.0],
        Speaker::BackRight
        | Speaker::SideRight
        | Speaker::SurroundDirectRight
        | Speaker::TopFrontRight
        | Speaker::TopSideRight
        | Speaker::TopBackRight
        | Speaker::BottomFrontRight => [0.0, HALF_POWER],
        Speaker::BackCentre | Speaker::TopCentre | Speaker::TopFrontCentre | Speaker::TopBackCentre | Speaker::BottomFrontCentre => {
            [0.5, 0.5]
        }
        Speaker::LowFrequency | Speaker::LowFrequency2 | Speaker::Unknown => [0.0, 0.0],
    }
}

/// What left, right, centre, low frequency, left and right surround take of a speaker. With pairs at the side and at the
/// back, both share the surrounds.
fn to_surround(speaker: Speaker, both_behind: bool) -> [f32; 6] {
    const H: f32 = HALF_POWER;
    let behind = if both_behind { H } else { 1.0 };
    match speaker {
        Speaker::FrontLeft | Speaker::MixLeft | Speaker::WideLeft => [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        Speaker::FrontRight | Speaker::MixRight | Speaker::WideRight => [0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        Speaker::FrontCentre => [0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
        Speaker::LowFrequency | Speaker::LowFrequency2 => [0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
        Speaker::SideLeft | Speaker::BackLeft => [0.0, 0.0, 0.0, 0.0, behind, 0.0],
        Speaker::SideRight | Speaker::BackRight => [0.0, 0.0, 0.0, 0.0, 0.0, behind],
        Speaker::SurroundDirectLeft | Speaker::TopSideLeft | Speaker::TopBackLeft => [0.0, 0.0, 0.0, 0.0, H, 0.0],
        Speaker::SurroundDirectRight | Speaker::TopSideRight | Speaker::TopBackRight => [0.0, 0.0, 0.0, 0.0, 0.0, H],
        Speaker::BackCentre => [0.0, 0.0, 0.0, 0.0, H, H],
        Speaker::FrontLeftOfCentre => [H, 0.0, H, 0.0, 0.0, 0.0],
        Speaker::FrontRightOfCentre => [0.0, H, H, 0.0, 0.0, 0.0],
        Speaker::TopFrontLeft | Speaker::BottomFrontLeft => [H, 0.0, 0.0, 0.0, 0.0, 0.0],
        Speaker::TopFrontRight | Speaker::BottomFrontRight => [0.0, H, 0.0, 0.0, 0.0, 0.0],
        Speaker::TopFrontCentre | Speaker::BottomFrontCentre => [0.0, 0.0, H, 0.0, 0.0, 0.0],
        Speaker::TopCentre | Speaker::TopBackCentre => [0.0, 0.0, 0.0, 0.0, 0.5, 0.5],
        Speaker::Everywhere => [H, H, 0.0, 0.0, 0.0, 0.0],
        Speaker::Unknown => [0.0; 6],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE_ONE: [Speaker; 6] =
        [Speaker::FrontLeft, Speaker::FrontRight, Speaker::FrontCentre, Speaker::LowFrequency, Speaker::SideLeft, Speaker::SideRight];

    /// What each channel alone, at a tenth of full scale, becomes.
    fn parts(speakers: &[Speaker], target: Target, level: f32) -> Vec<Vec<f32>> {
        let one = |lit: usize| {
            let sound = Sound::new((0..speakers.len()).map(|channel| vec![if channel == lit { 0.1 } else { 0.0 }]).collect());
            let mixed = Downmix::new(speakers, target, level).mix(&sound);
            mixed.channels().iter().map(|channel| (channel[0] * 10_000.0).round() / 1000.0).collect()
        };
        (0..speakers.len()).map(one).collect()
    }

    #[test]
    fn coefficients_of_bs_775() {
        let h = 0.707;
        let expect = [[1.0, 0.0], [0.0, 1.0], [h, h], [0.0, 0.0], [h, 0.0], [0.0, h]];
        assert_eq!(parts(&FIVE_ONE, Target::Stereo, 1.0), expect);
        let lower: Vec<Vec<f32>> = parts(&FIVE_ONE, Target::Stereo, HALF_POWER);
        assert_eq!(lower[0], [h, 0.0]);
        assert_eq!(lower[2], [0.5, 0.5]);
    }

    #[test]
    fn what_needs_no_mixing_is_left_alone() {
        for level in [1.0, HALF_POWER] {
            assert_eq!(parts(&[Speaker::FrontCentre], Target::Stereo, level), [[1.0, 1.0]]);
            assert_eq!(parts(&[Speaker::FrontLeft, Speaker::FrontRight], Target::Stereo, level), [[1.0, 0.0], [0.0, 1.0]]);
            for (channel, row) in parts(&FIVE_ONE, Target::Surround, level).iter().enumerate() {
                assert!(row.iter().enumerate().all(|(out, part)| *part == f32::from(u8::from(out == channel))), "{channel}: {row:?}");
            }
        }
    }

    #[test]
    fn nothing_passes_full_scale_and_nothing_bends_below_the_knee() {
        let mix = Downmix::new(&FIVE_ONE, Target::Stereo, 1.0);
        let loud = Sound::new(vec![vec![1.0, -1.0]; 6]);
        let mixed = mix.mix(&loud);
        assert!(mixed.channels().iter().flatten().all(|sample| (0.99..=1.0).contains(&sample.abs())), "{mixed:?}");
        assert!((mix.mix_as_is(&loud).channels()[0][0] - 2.414).abs() < 0.001);
        assert_eq!(bent(-0.89), -0.89);
        let mut last = 0.0;
        for step in 0..300_i16 {
            let now = bent(f32::from(step) / 100.0);
            assert!(now >= last && now <= 1.0);
            last = now;
        }
    }
}
