//! What an AudioSpecificConfig says about the sound (ISO 14496-3 1.6.2.1).

use super::bits::{BadBits, Bits};

/// The fields of an AudioSpecificConfig that packaging needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AacFacts {
    /// The audio object type that a decoder must know: 2 AAC-LC, 5 with spectral band replication, 29 with parametric stereo.
    pub object_type: u32,
    /// The object type of the core.
    pub core_object_type: u32,
    /// samplingFrequencyIndex of the core.
    pub rate_index: u32,
    /// Samples a second of the core.
    pub sample_rate: u32,
    /// channelConfiguration.
    pub channel_configuration: u32,
    /// Samples of a frame of the core.
    pub frame_samples: u32,
}

impl AacFacts {
    /// Channels; absent where the configuration leaves them to the stream.
    pub(super) fn channels(self) -> Option<u32> {
        match self.channel_configuration {
            channels @ 1..=6 => Some(channels),
            7 => Some(8),
            _ => None,
        }
    }
}

const RATES: [u32; 13] = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350];
/// samplingFrequencyIndex that announces a rate in numbers.
const EXPLICIT_RATE: u32 = 15;
/// Audio object type of spectral band replication.
const SBR: u32 = 5;
/// Audio object type of parametric stereo.
const PS: u32 = 29;
/// syncExtensionType of backward compatible signalling, 1.6.6.2.
const SBR_EXTENSION: u32 = 0x2b7;
const PS_EXTENSION: u32 = 0x548;

/// Reads an AudioSpecificConfig; absent when it is malformed.
pub(super) fn read(config: &[u8]) -> Option<AacFacts> {
    read_config(&mut Bits::new(config)).ok()
}

fn read_config(bits: &mut Bits<'_>) -> Result<AacFacts, BadBits> {
    let mut object_type = read_object_type(bits)?;
    let (rate_index, sample_rate) = read_rate(bits)?;
    let channel_configuration = bits.number(4)?;
    let mut core_object_type = object_type;
    if object_type == SBR || object_type == PS {
        read_rate(bits)?;
        core_object_type = read_object_type(bits)?;
    }
    // GASpecificConfig, 4.4.1.
    let short_frames = bits.flag()?;
    if bits.flag()? {
        bits.number(14)?; // coreCoderDelay
    }
    bits.flag()?; // extensionFlag
    if core_object_type == object_type && channel_configuration != 0 {
        // The extension is optional: a configuration that ends here has none.
        object_type = read_extension(bits).unwrap_or(None).unwrap_or(object_type);
    }
    let frame_samples = if short_frames { 960 } else { 1024 };
    Ok(AacFacts { object_type, core_object_type, rate_index, sample_rate, channel_configuration, frame_samples })
}

fn read_object_type(bits: &mut Bits<'_>) -> Result<u32, BadBits> {
    match bits.number(5)? {
        31 => Ok(32 + bits.number(6)?),
        object_type => Ok(object_type),
    }
}

fn read_rate(bits: &mut Bits<'_>) -> Result<(u32, u32), BadBits> {
    let index = bits.number(4)?;
    let rate = match index {
        EXPLICIT_RATE => bits.number(24)?,
        _ => RATES.get(index as usize).copied().ok_or(BadBits)?,
    };
    Ok((index, rate))
}

fn read_extension(bits: &mut Bits<'_>) -> Result<Option<u32>, BadBits> {
    if bits.number(11)? != SBR_EXTENSION || read_object_type(bits)? != SBR || !bits.flag()? {
        return Ok(None);
    }
    read_rate(bits)?;
    let parametric = matches!((bits.number(11), bits.flag()), (Ok(PS_EXTENSION), Ok(true)));
    Ok(Some(if parametric { PS } else { SBR }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn configurations_in_the_wild() {
        // (config, object type, rate, channels)
        for (config, expect) in [
            (&[0x11, 0x90][..], Some((2, 48_000, Some(2)))),
            (&[0x11, 0x90, 0x56, 0xe5, 0x00][..], Some((2, 48_000, Some(2)))),
            (&[0x12, 0x08][..], Some((2, 44_100, Some(1)))),
            (&[0x13, 0x10, 0x56, 0xe5, 0x98][..], Some((5, 24_000, Some(2)))),
            (&[0x2b, 0x11, 0x88, 0x00][..], Some((5, 24_000, Some(2)))),
            (&[0xeb, 0x09, 0x88, 0x00][..], Some((29, 24_000, Some(1)))),
            (&[0x11][..], None),
            (&[0x17, 0x10][..], None),
        ] {
            let found = read(config).map(|facts| (facts.object_type, facts.sample_rate, facts.channels()));
            assert_eq!(found, expect, "{config:02x?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(config in any::<Vec<u8>>()) {
            let _ = read(&config);
        }
    }
}
