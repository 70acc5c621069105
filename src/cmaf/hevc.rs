//! NAL units of HEVC: out of the byte stream an encoder writes (H.265 annex B) into the length-prefixed form of a sample
//! (ISO 14496-15 8.3.3), and what kind each of them is.

use bytes::Bytes;

use super::Error;
use super::nal::{self, Unit, is_banner, units};
use crate::title::CodecHeader;

/// nal_unit_type (H.265 table 7-1) of leading pictures that an open group skips when decoding starts there.
const SKIPPED: std::ops::RangeInclusive<u8> = 8..=9;
/// nal_unit_type of slices of pictures that a decoder may start with.
const RANDOM_ACCESS: std::ops::RangeInclusive<u8> = 16..=23;
const IDR_WITH_LEADING: u8 = 19;
const IDR_ALONE: u8 = 20;
const SLICES: std::ops::RangeInclusive<u8> = 0..=31;
/// nal_unit_type of a video parameter set.
pub(super) const VPS: u8 = 32;
/// nal_unit_type of a sequence parameter set.
pub(super) const SPS: u8 = 33;
/// nal_unit_type of a picture parameter set.
pub(super) const PPS: u8 = 34;
const ACCESS_UNIT_DELIMITER: u8 = 35;
const FILLER: u8 = 38;
const PREFIX_SEI: u8 = 39;
/// Bytes of a NAL unit's header.
pub(super) const HEADER_BYTES: usize = 2;

/// nal_unit_type; absent for a unit shorter than its header.
pub(super) fn unit_type(unit: &[u8]) -> Option<u8> {
    unit.get(..HEADER_BYTES).map(|header| header[0] >> 1 & 63)
}

/// What a unit of a sample is.
pub(super) fn unit(unit: &[u8]) -> Unit {
    match unit_type(unit) {
        Some(IDR_WITH_LEADING | IDR_ALONE) => Unit::IdrSlice,
        Some(kind) if RANDOM_ACCESS.contains(&kind) || SKIPPED.contains(&kind) => Unit::OpenSlice,
        Some(kind) if SLICES.contains(&kind) => Unit::Slice,
        Some(VPS | SPS | PPS) => Unit::ParameterSet,
        _ => Unit::Other,
    }
}

/// A sample from an access unit in Annex B form: each NAL unit behind its length. Left out are what the container tells
/// (access unit delimiters, parameter sets), filler, and the encoder's banner.
pub fn to_sample(access_unit: &[u8]) -> Bytes {
    nal::to_sample_of(access_unit, |unit| match unit_type(unit) {
        None | Some(ACCESS_UNIT_DELIMITER | VPS | SPS | PPS | FILLER) => false,
        Some(PREFIX_SEI) => !is_banner(&unit[HEADER_BYTES..]),
        Some(_) => true,
    })
}

/// Whether a sample is an IDR picture: it has slices, and all of them are of one.
pub fn is_idr(sample: &[u8]) -> bool {
    nal::is_idr_of(sample, unit)
}

/// The parameter sets of an encoder's extradata in Annex B form. Each is taken once, however often it is there.
///
/// # Errors
/// [`Error::ParameterSets`] when a kind of parameter set is missing.
pub fn header(extradata: &[u8]) -> Result<CodecHeader, Error> {
    let of_type = |wanted: u8| {
        let mut sets: Vec<Bytes> = Vec::new();
        for unit in units(extradata).filter(|unit| unit_type(unit) == Some(wanted)) {
            if sets.iter().all(|set| set != unit) {
                sets.push(Bytes::copy_from_slice(unit));
            }
        }
        sets
    };
    let (vps, sps, pps) = (of_type(VPS), of_type(SPS), of_type(PPS));
    if vps.is_empty() || sps.is_empty() || pps.is_empty() {
        return Err(Error::ParameterSets("a kind of parameter set is missing"));
    }
    Ok(CodecHeader::Hevc { vps, sps, pps })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::cmaf::nal::sample_units;

    fn sample(kinds: &[u8]) -> Vec<u8> {
        kinds.iter().flat_map(|kind| [0, 0, 0, 3, kind << 1, 1, 7]).collect()
    }

    #[test]
    fn an_idr_picture_is_told_by_all_its_slices() {
        for (kinds, expect) in
            [(&[19][..], true), (&[20], true), (&[39, 20, 20], true), (&[20, 1], false), (&[21], false), (&[1], false), (&[39], false)]
        {
            assert_eq!(is_idr(&sample(kinds)), expect, "{kinds:?}");
        }
        assert!(!is_idr(&[0, 0, 0, 9, 40, 1]) && !is_idr(&[0, 0, 0, 1, 40]) && !is_idr(&[]));
    }

    #[test]
    fn only_pictures_and_what_belongs_to_them_get_into_a_sample() {
        let banner = [39 << 1, 1, 5, 2, b'h', b'i', 0x80];
        let display = [39 << 1, 1, 144, 1, 9, 0x80];
        let mut stream = Vec::new();
        for unit in [&[35 << 1, 1, 0x50][..], &[32 << 1, 1, 9], &[33 << 1, 1, 9], &[34 << 1, 1, 9], &banner, &display, &[20 << 1, 1, 8]] {
            stream.extend_from_slice(&[0, 0, 0, 1]);
            stream.extend_from_slice(unit);
        }
        let sample = to_sample(&stream);
        let kept: Vec<_> = sample_units(&sample).collect();
        assert_eq!(kept, [Ok(&display[..]), Ok(&[20 << 1, 1, 8][..])]);
        assert!(is_idr(&sample));
        let CodecHeader::Hevc { vps, sps, pps } = header(&[&stream[..], &stream].concat()).expect("a header") else { panic!("no HEVC") };
        assert_eq!((vps.len(), sps.len(), pps.len()), (1, 1, 1));
        assert!(header(&stream[..9]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let _ = (is_idr(&bytes), is_idr(&to_sample(&bytes)), header(&bytes).is_ok(), unit(&bytes));
        }
    }
}
