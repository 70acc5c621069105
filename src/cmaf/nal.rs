//! NAL units, and those of H.264: out of the byte stream an encoder writes (H.264 annex B), into the length-prefixed form a sample
//! has (ISO 14496-15 5.3.3.1), and out of that again.

use std::borrow::Cow;

use bytes::Bytes;

use super::Error;
use crate::title::CodecHeader;

/// Bytes of the length before each NAL unit of a sample.
pub const LENGTH_BYTES: usize = 4;

/// nal_unit_type of a slice of an IDR picture.
pub(super) const IDR_SLICE: u8 = 5;
/// nal_unit_type of supplemental enhancement information.
pub(super) const SEI: u8 = 6;
/// nal_unit_type of a sequence parameter set.
pub(super) const SPS: u8 = 7;
/// nal_unit_type of a picture parameter set.
pub(super) const PPS: u8 = 8;
/// nal_unit_type of an access unit delimiter.
pub(super) const ACCESS_UNIT_DELIMITER: u8 = 9;
/// nal_unit_type of filler data.
pub(super) const FILLER: u8 = 12;
/// payloadType of user_data_unregistered, in which encoders leave their banner.
const USER_DATA_UNREGISTERED: u32 = 5;

/// The NAL units of an Annex B byte stream, without start codes and trailing zeros; empty ones are left out.
pub fn units(stream: &[u8]) -> Units<'_> {
    let rest = match start_code(stream) {
        Some(at) => &stream[at + 3..],
        None => &[],
    };
    Units { rest }
}

/// The iterator of [`units`].
#[derive(Clone, Debug)]
pub struct Units<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (unit, rest) = match start_code(self.rest) {
                Some(at) => (&self.rest[..at], &self.rest[at + 3..]),
                None => (self.rest, [].as_slice()),
            };
            self.rest = rest;
            // No NAL unit ends with a zero byte (7.4.1): those belong to the byte stream.
            let length = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            if length > 0 {
                return Some(&unit[..length]);
            }
        }
        None
    }
}

/// Where the next `00 00 01` is.
fn start_code(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    // The third byte alone tells how far to go on: only a zero there can be part of a start code that begins later.
    while let Some(third) = bytes.get(at + 2) {
        match third {
            0 => at += 1,
            1 if bytes[at] == 0 && bytes[at + 1] == 0 => return Some(at),
            _ => at += 3,
        }
    }
    None
}

/// What a NAL unit of a sample is, whatever the codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Part of a picture that decoding can start with, and before which nothing in the segment matters.
    IdrSlice,
    /// Part of a picture of an open group: one that starts it, or one that cannot be decoded from there.
    OpenSlice,
    /// Part of any other picture.
    Slice,
    /// A parameter set.
    ParameterSet,
    /// Anything else.
    Other,
}

/// What a unit of an H.264 sample is.
pub(super) fn unit(unit: &[u8]) -> Unit {
    match unit_type(unit) {
        Some(IDR_SLICE) => Unit::IdrSlice,
        Some(1..IDR_SLICE) => Unit::Slice,
        Some(SPS | PPS) => Unit::ParameterSet,
        _ => Unit::Other,
    }
}

/// A sample from an access unit in Annex B form: each NAL unit behind its length. Left out are what the container tells
/// (access unit delimiters, parameter sets), filler, and the encoder's banner.
pub fn to_sample(access_unit: &[u8]) -> Bytes {
    to_sample_of(access_unit, |unit| match unit_type(unit) {
        None | Some(ACCESS_UNIT_DELIMITER | SPS | PPS | FILLER) => false,
        Some(SEI) => !is_banner(&unit[1..]),
        Some(_) => true,
    })
}

/// A sample of those units of an access unit that belong in it.
pub(super) fn to_sample_of(access_unit: &[u8], belongs: impl Fn(&[u8]) -> bool) -> Bytes {
    // A start code of three bytes becomes a length of four.
    let mut sample = Vec::with_capacity(access_unit.len() + 64);
    for unit in units(access_unit).filter(|unit| belongs(unit)) {
        let Ok(length) = u32::try_from(unit.len()) else {
            continue;
        };
        sample.extend_from_slice(&length.to_be_bytes());
        sample.extend_from_slice(unit);
    }
    Bytes::from(sample)
}

/// Whether an SEI unit, its header taken off, holds nothing but unregistered user data.
pub(super) fn is_banner(unit: &[u8]) -> bool {
    let payload = without_emulation_prevention(unit);
    let mut rest: &[u8] = &payload;
    let mut found = false;
    // Messages, then rbsp_trailing_bits: a one and zeros (7.3.2.3).
    while !rest.is_empty() && rest[0] != 0x80 {
        let message = read_coded_number(rest).and_then(|(kind, rest)| read_coded_number(rest).map(|(size, rest)| (kind, size, rest)));
        let Some((kind, size, after)) = message else {
            return false;
        };
        if kind != USER_DATA_UNREGISTERED {
            return false;
        }
        found = true;
        rest = after.get(size as usize..).unwrap_or_default();
    }
    found
}

/// A number coded as bytes of 255 and a last smaller one (7.3.2.3.1).
fn read_coded_number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let full = bytes.iter().take_while(|byte| **byte == 255).count();
    let last = bytes.get(full)?;
    let number = u32::try_from(full).ok()?.checked_mul(255)?.checked_add(u32::from(*last))?;
    Some((number, &bytes[full + 1..]))
}

/// The NAL units of a sample, each with the bounds of its length checked.
pub fn sample_units(sample: &[u8]) -> SampleUnits<'_> {
    SampleUnits { rest: sample }
}

/// The iterator of [`sample_units`]; it ends after the first error.
#[derive(Clone, Debug)]
pub struct SampleUnits<'a> {
    rest: &'a [u8],
}

/// The lengths in a sample do not add up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the NAL units do not fill the sample exactly")]
pub struct BrokenSample;

impl<'a> Iterator for SampleUnits<'a> {
    type Item = Result<&'a [u8], BrokenSample>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.rest);
        let unit = rest.split_first_chunk::<LENGTH_BYTES>().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok().filter(|length| *length > 0)?;
            rest.split_at_checked(length)
        });
        Some(match unit {
            Some((unit, rest)) => {
                self.rest = rest;
                Ok(unit)
            }
            None => Err(BrokenSample),
        })
    }
}

/// Whether a sample is an IDR picture: it has slices, and all of them are of one.
pub fn is_idr(sample: &[u8]) -> bool {
    is_idr_of(sample, unit)
}

/// The same of a sample whose units are what `kind_of` says.
pub(super) fn is_idr_of(sample: &[u8], kind_of: fn(&[u8]) -> Unit) -> bool {
    let mut found = false;
    for unit in sample_units(sample) {
        match unit.map(kind_of) {
            Ok(Unit::IdrSlice) => found = true,
            Err(_) | Ok(Unit::Slice | Unit::OpenSlice) => return false,
            Ok(Unit::ParameterSet | Unit::Other) => {}
        }
    }
    found
}

/// The codec header from an encoder's extradata in Annex B form.
///
/// # Errors
/// [`Error::ParameterSets`] when either kind of parameter set is missing.
pub fn header(extradata: &[u8]) -> Result<CodecHeader, Error> {
    let of_type = |wanted: u8| -> Vec<Bytes> {
        units(extradata).filter(|unit| unit_type(unit) == Some(wanted)).map(Bytes::copy_from_slice).collect()
    };
    let (sps, pps) = (of_type(SPS), of_type(PPS));
    if sps.is_empty() {
        return Err(Error::ParameterSets("there is no sequence parameter set"));
    }
    if pps.is_empty() {
        return Err(Error::ParameterSets("there is no picture parameter set"));
    }
    Ok(CodecHeader::Avc { sps, pps })
}

/// nal_unit_type; absent for an empty unit.
pub(super) fn unit_type(unit: &[u8]) -> Option<u8> {
    unit.first().map(|byte| byte & 31)
}

/// The payload of a NAL unit with every `03` after two zeros taken out (7.4.1.1).
pub(super) fn without_emulation_prevention(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.windows(3).any(|window| window == [0, 0, 3]) {
        return Cow::Borrowed(bytes);
    }
    let mut payload = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for &byte in bytes {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        payload.push(byte);
    }
    Cow::Owned(payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn byte_streams_come_apart_at_start_codes() {
        for (stream, expect) in [
            (vec![0, 0, 1, 0x65, 7], vec![vec![0x65, 7]]),
            (vec![0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 0], vec![vec![0x67, 1], vec![0x68, 2]]),
            (vec![0, 0, 1, 0, 0, 1, 0x41], vec![vec![0x41]]),
            (vec![0, 0, 1, 0x41, 0, 0, 3, 0, 0, 1, 0x42], vec![vec![0x41, 0, 0, 3], vec![0x42]]),
            (vec![0x41, 1, 2], vec![]),
            (vec![0, 0, 1], vec![]),
            (vec![], vec![]),
        ] {
            assert_eq!(units(&stream).collect::<Vec<_>>(), expect, "{stream:?}");
        }
    }

    #[test]
    fn only_pictures_and_what_belongs_to_them_get_into_a_sample() {
        let banner = [0x06, 5, 2, b'h', b'i', 0x80];
        let timing = [0x06, 1, 1, 9, 0x80];
        let both = [0x06, 5, 1, b'h', 1, 1, 9, 0x80];
        let mut stream = Vec::new();
        for unit in [&[0x09, 0xf0][..], &[0x67, 1], &[0x68, 2], &banner, &timing, &both, &[0x65, 8, 9], &[0x0c, 255, 0x80]] {
            stream.extend_from_slice(&[0, 0, 0, 1]);
            stream.extend_from_slice(unit);
        }
        let sample = to_sample(&stream);
        let kept: Vec<_> = sample_units(&sample).collect();
        assert_eq!(kept, [Ok(&timing[..]), Ok(&both[..]), Ok(&[0x65, 8, 9][..])]);
        assert!(is_idr(&sample));
    }

    #[test]
    fn an_idr_picture_is_told_by_all_its_slices() {
        for (sample, expect) in [
            (&[0, 0, 0, 1, 0x65][..], true),
            (&[0, 0, 0, 1, 0x65, 0, 0, 0, 1, 0x41][..], false),
            (&[0, 0, 0, 1, 0x41][..], false),
            (&[0, 0, 0, 1, 0x06][..], false),
            (&[0, 0, 0, 1, 0x65, 0, 0, 0, 2, 0x65][..], false),
            (&[][..], false),
        ] {
            assert_eq!(is_idr(sample), expect, "{sample:?}");
        }
    }

    #[test]
    fn broken_lengths_end_the_walk() {
        for sample in [&[0, 0, 0, 2, 1][..], &[0, 0, 0, 0][..], &[0, 0, 1][..], &[255, 255, 255, 255, 1][..]] {
            assert_eq!(sample_units(sample).collect::<Vec<_>>(), [Err(BrokenSample)], "{sample:?}");
        }
    }

    #[test]
    fn a_header_needs_both_kinds_of_parameter_set() {
        let stream = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3];
        let expect = CodecHeader::Avc { sps: vec![Bytes::from_static(&[0x67, 1, 2])], pps: vec![Bytes::from_static(&[0x68, 3])] };
        assert_eq!(header(&stream).expect("a header"), expect);
        assert!(header(&stream[..7]).is_err());
        assert!(header(&stream[7..]).is_err());
    }

    proptest! {
        #[test]
        fn what_went_in_comes_out(payloads in prop::collection::vec(prop::collection::vec(1_u8..=255, 1..40), 1..10)) {
            let pictures: Vec<Vec<u8>> = payloads.into_iter().map(|payload| [vec![0x41], payload].concat()).collect();
            let stream: Vec<u8> = pictures.iter().flat_map(|unit| [&[0, 0, 0, 1][..], unit].concat()).collect();
            let sample = to_sample(&stream);
            let units: Result<Vec<_>, _> = sample_units(&sample).collect();
            prop_assert_eq!(units.expect("whole"), pictures);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(prop::sample::select(vec![0_u8, 0, 0, 1, 3, 5, 6, 7, 9, 0x80, 255]), 0..200), raw in any::<Vec<u8>>()) {
            for bytes in [bytes, raw] {
                let sample = to_sample(&bytes);
                prop_assert_eq!(sample_units(&sample).filter(Result::is_err).count(), 0);
                let _ = (is_idr(&bytes), header(&bytes).is_ok(), sample_units(&bytes).count());
            }
        }
    }
}
