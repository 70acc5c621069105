//! AAC as sources hold it: raw frames behind a configuration in the container, or each frame behind a header of its own
//! (ADTS, ISO 14496-3 1.A.2.2.1). Followed closely enough to know that the stream can be passed on as it is.

use bytes::Bytes;

use super::aac;
use super::bits::{BadBits, Bits};
use crate::title::CopyDoubt;

/// Reads the packets of one stream.
pub struct AacReader {
    /// What each frame has to be.
    form: Option<Form>,
    packing: Packing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Raw,
    Adts,
}

/// What a decoder has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    rate_index: u32,
    channels: u32,
}

/// The audio object type of AAC-LC.
const LOW_COMPLEXITY: u32 = 2;
/// samplingFrequencyIndex of 48, 44.1 and 32 kHz, with the rates.
const RATES: [(u32, u32); 3] = [(3, 48_000), (4, 44_100), (5, 32_000)];
/// Bytes of a frame's header, and of the checksum that may follow it.
const HEADER_BYTES: usize = 7;
const CHECKSUM_BYTES: usize = 2;

impl AacReader {
    /// A reader for a stream with what the container holds before its packets: an AudioSpecificConfig, or nothing.
    ///
    /// # Errors
    /// The doubt when that is malformed or not to be copied.
    pub fn new(extradata: &[u8]) -> Result<Self, CopyDoubt> {
        if extradata.is_empty() {
            return Ok(Self { form: None, packing: Packing::Adts });
        }
        let facts = aac::read(extradata).ok_or(CopyDoubt::ParameterSets)?;
        // The three last bits of the two bytes: frames of 960 samples, a core coder, an extension.
        let plain = extradata.get(1).is_some_and(|byte| byte & 7 == 0);
        if (facts.object_type, facts.core_object_type) != (LOW_COMPLEXITY, LOW_COMPLEXITY) || !plain {
            return Err(CopyDoubt::Format);
        }
        let form = Form::new(facts.rate_index, facts.channel_configuration)?;
        Ok(Self { form: Some(form), packing: Packing::Raw })
    }

    /// The configuration of the stream in its shortest form, once a packet was seen or the container told it.
    pub fn config(&self) -> Option<Bytes> {
        let form = self.form?;
        let bits = LOW_COMPLEXITY << 11 | form.rate_index << 7 | form.channels << 3;
        u16::try_from(bits).ok().map(|bits| Bytes::copy_from_slice(&bits.to_be_bytes()))
    }

    /// Samples a second and channels, once known.
    pub fn form(&self) -> Option<(u32, u32)> {
        let form = self.form?;
        RATES.iter().find(|(index, _)| *index == form.rate_index).map(|(_, rate)| (*rate, form.channels))
    }

    /// The raw frame in a packet.
    ///
    /// # Errors
    /// The doubt that the packet raises; the stream is not to be copied then.
    pub fn take<'a>(&mut self, packet: &'a [u8]) -> Result<&'a [u8], CopyDoubt> {
        let frame = match self.packing {
            Packing::Raw => packet,
            Packing::Adts => {
                let (form, frame) = read_adts(packet)?;
                if *self.form.get_or_insert(form) != form {
                    return Err(CopyDoubt::ParameterSets);
                }
                frame
            }
        };
        if frame.is_empty() { Err(CopyDoubt::Packets) } else { Ok(frame) }
    }

    /// Takes what a container says anew in mid-stream, which may only be what is known.
    ///
    /// # Errors
    /// The doubt when it changes anything.
    pub fn take_extradata(&self, extradata: &[u8]) -> Result<(), CopyDoubt> {
        let other = Self::new(extradata)?;
        if (other.form, other.packing) == (self.form, self.packing) { Ok(()) } else { Err(CopyDoubt::ParameterSets) }
    }
}

impl Form {
    fn new(rate_index: u32, channels: u32) -> Result<Self, CopyDoubt> {
        let known_rate = RATES.iter().any(|(index, _)| *index == rate_index);
        if known_rate && matches!(channels, 1 | 2) { Ok(Self { rate_index, channels }) } else { Err(CopyDoubt::Format) }
    }
}

/// The form and the raw frame of a packet that is one ADTS frame with one block.
fn read_adts(packet: &[u8]) -> Result<(Form, &[u8]), CopyDoubt> {
    let mut bits = Bits::new(packet);
    let mut read = || -> Result<[u32; 7], BadBits> {
        let sync = bits.number(12)?;
        bits.number(1)?; // ID: MPEG-4 or MPEG-2, which are alike here
        let (layer, unprotected, profile, rate_index) = (bits.number(2)?, bits.number(1)?, bits.number(2)?, bits.number(4)?);
        bits.number(1)?; // private_bit
        let channels = bits.number(3)?;
        bits.number(4)?; // original_copy, home, copyright
        let length = bits.number(13)?;
        bits.number(11)?; // adts_buffer_fullness
        let blocks = bits.number(2)?;
        Ok([sync << 2 | layer, unprotected, profile, rate_index, channels, length, blocks])
    };
    let [mark, unprotected, profile, rate_index, channels, length, blocks] = read().map_err(|BadBits| CopyDoubt::Packets)?;
    if mark != 0xfff << 2 || usize::try_from(length).ok() != Some(packet.len()) || blocks != 0 {
        return Err(CopyDoubt::Packets);
    }
    if profile + 1 != LOW_COMPLEXITY {
        return Err(CopyDoubt::Format);
    }
    let header_bytes = HEADER_BYTES + if unprotected == 1 { 0 } else { CHECKSUM_BYTES };
    let frame = packet.get(header_bytes..).ok_or(CopyDoubt::Packets)?;
    Ok((Form::new(rate_index, channels)?, frame))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::cmaf::testing::bytes;

    #[test]
    fn configurations_are_brought_to_their_shortest_form() {
        for (config, expect) in [
            ("1190", Ok(("1190", (48_000, 2)))),
            ("119056e500", Ok(("1190", (48_000, 2)))),
            ("1208", Ok(("1208", (44_100, 1)))),
            ("1290", Ok(("1290", (32_000, 2)))),
            ("1310", Err(CopyDoubt::Format)),
            ("131056e598", Err(CopyDoubt::Format)),
            ("2b118800", Err(CopyDoubt::Format)),
            ("11b0", Err(CopyDoubt::Format)),
            ("1194", Err(CopyDoubt::Format)),
            ("0a10", Err(CopyDoubt::Format)),
            ("11", Err(CopyDoubt::ParameterSets)),
        ] {
            let found = AacReader::new(&bytes(config)).map(|reader| (reader.config().expect("known"), reader.form().expect("known")));
            assert_eq!(found, expect.map(|(hex, form)| (Bytes::from(bytes(hex)), form)), "{config}");
        }
    }

    #[test]
    fn headers_come_off_and_may_not_change() {
        let mut reader = AacReader::new(&[]).expect("a reader");
        assert_eq!(reader.config(), None);
        // 44.1 kHz stereo, nine bytes in all, without and with a checksum.
        assert_eq!(reader.take(&bytes("fff15080 013ffc 2110")), Ok(&bytes("2110")[..]));
        assert_eq!((reader.config(), reader.form()), (Some(bytes("1210").into()), Some((44_100, 2))));
        assert_eq!(reader.take(&bytes("fff05080 015ffc abcd 21")), Ok(&bytes("21")[..]));
        for (packet, doubt) in [
            ("fff14c80 013ffc 2110", CopyDoubt::ParameterSets),
            ("fff15080 015ffc 2110", CopyDoubt::Packets),
            ("fff15080 013ffd 2110", CopyDoubt::Packets),
            ("fff11080 013ffc 2110", CopyDoubt::Format),
            ("fff15080 00fffc", CopyDoubt::Packets),
            ("2110", CopyDoubt::Packets),
        ] {
            assert_eq!(reader.take(&bytes(packet)), Err(doubt), "{packet}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(extradata in any::<Vec<u8>>(), packet in any::<Vec<u8>>()) {
            let _ = AacReader::new(&extradata).map(|mut reader| reader.take(&packet).is_ok());
            let _ = AacReader::new(&[]).map(|mut reader| reader.take(&[&[0xff, 0xf1][..], &packet].concat()).is_ok());
        }
    }
}
