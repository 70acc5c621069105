//! H.264 as sources hold it: access units in either packing, followed closely enough to know that the stream can be passed
//! on as it is, and brought into the form of a sample.
//!
//! What is followed: the parameter sets, the count of reference pictures (frame_num, H.264 7.4.3), which tells when one is
//! missing, and the order of presentation (8.2.1), which tells when timestamps are wrong.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::avc_packing::Packing;
use super::bits::{BadBits, Bits};
use super::nal::{self, LENGTH_BYTES};
use super::sps::{self, PictureFacts, PictureOrder, SpsFacts};
use crate::title::{AvcFacts, CopyDoubt};

/// Follows the access units of a stream in decoding order.
pub struct AvcReader {
    packing: Packing,
    sps: Option<(Bytes, SpsFacts)>,
    pps: BTreeMap<u32, PictureSet>,
    /// Whether sets that are not known yet are taken in.
    learns: bool,
    last: Last,
}

/// A picture parameter set.
struct PictureSet {
    unit: Bytes,
    sps: u32,
}

/// What the pictures so far leave for the next one.
#[derive(Default)]
struct Last {
    /// Whether there was an IDR picture yet.
    begun: bool,
    /// frame_num of the last reference picture.
    frame_number: u32,
    /// Count of the last reference picture, in the low bits and above them.
    order_low: i64,
    order_high: i64,
    /// Pictures since the last IDR picture.
    since_idr: i64,
}

/// One picture as its bits tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// Whether it is an IDR picture.
    pub idr: bool,
    /// Its place in the order of presentation among those since the last IDR picture.
    pub order: i64,
    /// Length of its sample.
    pub sample_bytes: u64,
}

/// nal_unit_type of what may stand in a stream that is copied, beside those that [`nal`] names.
const SLICE: u8 = 1;
const END_OF_SEQUENCE: u8 = 10;
const END_OF_STREAM: u8 = 11;
/// Bytes of a slice that hold the fields of its header read here: at most eight codes of 32 bits each take 63 bits.
const SLICE_HEADER_BYTES: usize = 72;
/// Highest level_idc that is passed on: 5.2.
const LEVEL_MAX: u8 = 52;
/// Baseline, whose streams keep to Constrained Baseline only where [`CONSTRAINED`] says so.
const BASELINE: u8 = 66;
const MAIN: u8 = 77;
const HIGH: u8 = 100;
/// constraint_set1_flag.
const CONSTRAINED: u8 = 0x40;

impl AvcReader {
    /// A reader for a stream with what the container holds before its packets: an `avcC` body, a byte stream or nothing.
    ///
    /// # Errors
    /// The doubt when that is malformed or not to be copied.
    pub fn new(extradata: &[u8]) -> Result<Self, CopyDoubt> {
        let (packing, sets) = Packing::read(extradata).ok_or(CopyDoubt::ParameterSets)?;
        let mut reader = Self { packing, sps: None, pps: BTreeMap::new(), learns: true, last: Last::default() };
        sets.into_iter().try_for_each(|set| reader.take_set(set))?;
        Ok(reader)
    }

    /// A reader that starts anywhere in a stream that was followed before, and knows no other parameter sets than those.
    ///
    /// # Errors
    /// The doubt when the container or the sets are other than they were then.
    pub fn again(extradata: &[u8], facts: &AvcFacts) -> Result<Self, CopyDoubt> {
        let mut reader = Self::new(extradata)?;
        std::iter::once(&facts.sps).chain(&facts.pps).try_for_each(|set| reader.take_set(set))?;
        reader.learns = false;
        Ok(reader)
    }

    /// The parameter sets so far: the sequence's, and those of pictures by rising id.
    pub fn sets(&self) -> Option<(Bytes, Vec<Bytes>)> {
        let (sps, _) = self.sps.as_ref()?;
        let pps: Vec<Bytes> = self.pps.values().map(|set| set.unit.clone()).collect();
        (!pps.is_empty()).then(|| (sps.clone(), pps))
    }

    /// Fills in what the sequence parameter set says about the pictures.
    pub fn describe(&self, facts: &mut AvcFacts) {
        if let Some((_, sps)) = &self.sps {
            (facts.width, facts.height) = (sps.picture.width, sps.picture.height);
            (facts.sample_aspect, facts.full_range) = (sps.picture.sample_aspect, sps.full_range);
            facts.colour = sps.picture.colour.map(|colour| [colour.primaries, colour.transfer, colour.matrix]);
        }
    }

    /// Takes what a container says anew in mid-stream, which may only be what is known.
    ///
    /// # Errors
    /// The doubt when it changes anything.
    pub fn take_extradata(&mut self, extradata: &[u8]) -> Result<(), CopyDoubt> {
        let other = Self::new(extradata)?;
        if other.packing != self.packing {
            return Err(CopyDoubt::ParameterSets);
        }
        let sps = other.sps.into_iter().map(|(unit, _)| unit);
        sps.chain(other.pps.into_values().map(|set| set.unit)).try_for_each(|set| self.take_set(&set))
    }

    /// Takes the next access unit.
    ///
    /// # Errors
    /// The doubt that it raises; the stream is not to be copied then.
    pub fn take(&mut self, packet: &[u8]) -> Result<AccessUnit, CopyDoubt> {
        let mut picture: Option<Slice> = None;
        let mut sample_bytes = 0;
        for unit in self.packing.units(packet).ok_or(CopyDoubt::Packets)? {
            match nal::unit_type(unit) {
                Some(nal::SPS | nal::PPS) => self.take_set(unit)?,
                Some(SLICE | nal::IDR_SLICE) => {
                    let slice = self.read_slice(unit)?;
                    match &picture {
                        None if slice.first_block == 0 => picture = Some(slice),
                        Some(first) if slice.continues(first) => {}
                        _ => return Err(CopyDoubt::Packets),
                    }
                }
                Some(nal::SEI | nal::ACCESS_UNIT_DELIMITER | nal::FILLER | END_OF_SEQUENCE | END_OF_STREAM) => {}
                _ => return Err(CopyDoubt::Packets),
            }
            if is_kept(unit) {
                sample_bytes += (LENGTH_BYTES + unit.len()) as u64;
            }
        }
        let picture = picture.ok_or(CopyDoubt::Packets)?;
        let order = self.follow(&picture)?;
        Ok(AccessUnit { idr: picture.idr, order, sample_bytes })
    }

    /// The sample of an access unit that was taken: its slices and supplemental information, each behind its length.
    ///
    /// # Errors
    /// The doubt when the packet is not made of NAL units.
    pub fn sample(&self, packet: &[u8]) -> Result<Bytes, CopyDoubt> {
        let mut sample = Vec::with_capacity(packet.len() + 16);
        for unit in self.packing.units(packet).ok_or(CopyDoubt::Packets)?.into_iter().filter(|unit| is_kept(unit)) {
            let length = u32::try_from(unit.len()).map_err(|_| CopyDoubt::Packets)?;
            sample.extend_from_slice(&length.to_be_bytes());
            sample.extend_from_slice(unit);
        }
        Ok(sample.into())
    }

    fn take_set(&mut self, unit: &[u8]) -> Result<(), CopyDoubt> {
        if nal::unit_type(unit) == Some(nal::SPS) {
            return match &self.sps {
                Some((known, _)) if known == unit => Ok(()),
                None if self.learns => {
                    let facts = sps::read(unit).ok_or(CopyDoubt::ParameterSets)?;
                    check_format(&facts)?;
                    self.sps = Some((Bytes::copy_from_slice(unit), facts));
                    Ok(())
                }
                _ => Err(CopyDoubt::ParameterSets),
            };
        }
        let (id, sps) = picture_set(unit)?;
        match self.pps.get(&id) {
            Some(known) if known.unit == unit => Ok(()),
            None if self.learns => {
                self.pps.insert(id, PictureSet { unit: Bytes::copy_from_slice(unit), sps });
                Ok(())
            }
            _ => Err(CopyDoubt::ParameterSets),
        }
    }

    /// slice_header, 7.3.3, as far as frame_num and the picture order count.
    fn read_slice(&self, unit: &[u8]) -> Result<Slice, CopyDoubt> {
        let (_, sps) = self.sps.as_ref().ok_or(CopyDoubt::ParameterSets)?;
        let header = nal::without_emulation_prevention(&unit[1..unit.len().min(SLICE_HEADER_BYTES)]);
        let mut bits = Bits::new(&header);
        let mut read = || -> Result<(u32, Slice), BadBits> {
            let first_block = bits.exp_golomb()?;
            bits.exp_golomb()?; // slice_type
            let set = bits.exp_golomb()?;
            let frame_number = bits.number(sps.frame_number_bits)?;
            let idr = nal::unit_type(unit) == Some(nal::IDR_SLICE);
            if idr {
                bits.exp_golomb()?; // idr_pic_id
            }
            let order_low = match sps.order {
                PictureOrder::Bits(count) => i64::from(bits.number(count)?),
                PictureOrder::Cycle | PictureOrder::AsDecoded => 0,
            };
            Ok((set, Slice { idr, reference: unit[0] & 0x60 != 0, first_block, frame_number, order_low }))
        };
        let (set, slice) = read().map_err(|BadBits| CopyDoubt::Packets)?;
        match self.pps.get(&set) {
            Some(known) if known.sps == sps.id => Ok(slice),
            _ => Err(CopyDoubt::ParameterSets),
        }
    }

    /// Holds a picture against those before it, and returns its place in the order of presentation.
    fn follow(&mut self, picture: &Slice) -> Result<i64, CopyDoubt> {
        let Some((_, sps)) = &self.sps else { return Err(CopyDoubt::ParameterSets) };
        let last = &mut self.last;
        if picture.idr {
            if picture.frame_number != 0 {
                return Err(CopyDoubt::Damaged);
            }
            *last = Last { begun: true, ..Last::default() };
        } else {
            let next = (last.frame_number + 1) % (1 << sps.frame_number_bits);
            let follows = [last.frame_number, next].contains(&picture.frame_number);
            if !last.begun {
                return Err(CopyDoubt::Cuts);
            }
            if !follows && !sps.frame_numbers_may_skip {
                return Err(CopyDoubt::Damaged);
            }
            last.since_idr += 1;
        }
        let order = match sps.order {
            PictureOrder::Bits(count) => {
                // 8.2.1.1: the high part is the one that brings the count nearest to the last reference picture's.
                let (range, step) = (1_i64 << count, picture.order_low - last.order_low);
                let high = last.order_high
                    + if step <= -range / 2 {
                        range
                    } else if step > range / 2 {
                        -range
                    } else {
                        0
                    };
                if picture.reference {
                    (last.order_low, last.order_high) = (picture.order_low, high);
                }
                high + picture.order_low
            }
            PictureOrder::Cycle | PictureOrder::AsDecoded => last.since_idr,
        };
        if picture.reference {
            last.frame_number = picture.frame_number;
        }
        Ok(order)
    }
}

/// What is read of a slice's header.
struct Slice {
    idr: bool,
    reference: bool,
    first_block: u32,
    frame_number: u32,
    order_low: i64,
}

impl Slice {
    /// Whether it is a further slice of the same picture.
    fn continues(&self, first: &Self) -> bool {
        self.first_block > 0
            && (self.idr, self.reference, self.frame_number, self.order_low)
                == (first.idr, first.reference, first.frame_number, first.order_low)
    }
}

/// What goes into a sample: slices, and supplemental information such as captions. The container tells the rest.
fn is_kept(unit: &[u8]) -> bool {
    matches!(nal::unit_type(unit), Some(SLICE | nal::IDR_SLICE | nal::SEI))
}

fn check_format(sps: &SpsFacts) -> Result<(), CopyDoubt> {
    let profile = match sps.profile_idc {
        BASELINE => sps.constraint_flags & CONSTRAINED != 0,
        MAIN | HIGH => true,
        _ => false,
    };
    let PictureFacts { chroma_format_idc, bit_depth_luma, bit_depth_chroma, .. } = sps.picture;
    let samples = (chroma_format_idc, bit_depth_luma, bit_depth_chroma) == (1, 8, 8);
    let order = sps.order != PictureOrder::Cycle;
    if profile && samples && order && sps.frames_only && sps.level_idc <= LEVEL_MAX { Ok(()) } else { Err(CopyDoubt::Format) }
}

/// The ids of a picture parameter set (7.3.2.2): its own and its sequence's.
fn picture_set(unit: &[u8]) -> Result<(u32, u32), CopyDoubt> {
    if nal::unit_type(unit) != Some(nal::PPS) {
        return Err(CopyDoubt::ParameterSets);
    }
    let payload = nal::without_emulation_prevention(&unit[1..]);
    let mut bits = Bits::new(&payload);
    let mut read = || -> Result<(u32, u32, u32), BadBits> {
        let ids = (bits.exp_golomb()?, bits.exp_golomb()?);
        bits.number(2)?; // entropy_coding_mode_flag, bottom_field_pic_order_in_frame_present_flag
        Ok((ids.0, ids.1, bits.exp_golomb()?))
    };
    match read() {
        Ok((id, sps, 0)) if id <= 255 => Ok((id, sps)),
        // More slice groups than one are for the Baseline profile alone.
        Ok(_) => Err(CopyDoubt::Format),
        Err(BadBits) => Err(CopyDoubt::ParameterSets),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::*;
    use crate::cmaf::testing::bytes;
    use crate::title::CodecHeader;

    /// x264's sets: High, level 3.1, frame_num of four bits, picture order counts of six.
    fn sets() -> [Vec<u8>; 2] {
        let CodecHeader::Avc { sps, pps } = crate::cmaf::testing::avc_header() else { panic!("not AVC") };
        [sps[0].to_vec(), pps[0].to_vec()]
    }

    fn number_bits() -> (u32, u32) {
        let facts = sps::read(&sets()[0]).expect("facts");
        let PictureOrder::Bits(order_bits) = facts.order else { panic!("another order") };
        (facts.frame_number_bits, order_bits)
    }

    /// A slice of one picture: its header's fields as they are written, then something.
    fn slice(idr: bool, reference: bool, first_block: u32, frame_number: u32, order: u32) -> Vec<u8> {
        let (frame_bits, order_bits) = number_bits();
        let golomb = |number: u32| format!("{:0width$b}", number + 1, width = 2 * (number + 1).ilog2() as usize + 1);
        let mut bits = golomb(first_block) + &golomb(7) + &golomb(0);
        bits += &format!("{:0width$b}", frame_number % (1 << frame_bits), width = frame_bits as usize);
        bits += &if idr { golomb(0) } else { String::new() };
        bits += &format!("{:0width$b}", order % (1 << order_bits), width = order_bits as usize);
        bits += "1";
        bits += &"0".repeat((8 - bits.len() % 8) % 8);
        let header = (u8::from(reference) << 5) | if idr { nal::IDR_SLICE } else { SLICE };
        let body = bits.as_bytes().chunks(8).map(|byte| byte.iter().fold(0, |value, bit| value << 1 | (bit - b'0')));
        [header].into_iter().chain(body).chain([0x5a]).collect()
    }

    fn stream(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [&[0, 0, 0, 1][..], unit].concat()).collect()
    }

    fn lengths(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [&(unit.len() as u16).to_be_bytes()[..], unit].concat()).collect()
    }

    fn begun() -> AvcReader {
        let [sps, pps] = sets();
        let mut reader = AvcReader::new(&[]).expect("a reader");
        reader.take(&stream(&[&sps, &pps, &slice(true, true, 0, 0, 0)])).expect("an IDR picture");
        reader
    }

    #[test]
    fn both_packings_give_the_same_sample() {
        let [sps, pps] = sets();
        let (delimiter, caption, picture) = (vec![0x09, 0xf0], vec![0x06, 0x04, 0x01, 0xaa, 0x80], slice(true, true, 0, 0, 0));
        let filler = vec![0x0c, 0xff, 0x80];
        let mut reader = AvcReader::new(&[]).expect("a reader");
        let packet = stream(&[&delimiter, &sps, &pps, &caption, &picture, &filler]);
        let expect = [&[0, 0, 0, 5][..], &caption, &(picture.len() as u32).to_be_bytes(), &picture].concat();
        let unit = AccessUnit { idr: true, order: 0, sample_bytes: expect.len() as u64 };
        assert_eq!(reader.take(&packet), Ok(unit));
        assert_eq!(reader.sample(&packet), Ok(expect.clone().into()));
        // The same with lengths of two bytes, and the sets in the container.
        let sets = [&[1, 100, 0, 31, 0xfd, 0xe1][..], &lengths(&[&sps]), &[1], &lengths(&[&pps])].concat();
        let mut reader = AvcReader::new(&sets).expect("a reader");
        let packet = lengths(&[&delimiter, &caption, &picture, &filler]);
        assert_eq!(reader.take(&packet), Ok(unit));
        assert_eq!(reader.sample(&packet), Ok(expect.into()));
        assert_eq!(reader.sets(), Some((sps.into(), vec![pps.into()])));
    }

    #[test]
    fn presentation_is_counted_on_beyond_the_bits_of_a_slice() {
        let (_, order_bits) = number_bits();
        let mut reader = begun();
        // A reference picture four ahead and two others between, again and again.
        for group in 0..3 << order_bits {
            let at = group * 6;
            for (reference, order, number) in [(true, at + 6, group + 1), (false, at + 2, group + 2), (false, at + 4, group + 2)] {
                let unit = reader.take(&stream(&[&slice(false, reference, 0, number, order)])).expect("a picture");
                assert_eq!((unit.idr, unit.order), (false, i64::from(order)));
            }
        }
        assert_eq!(reader.take(&stream(&[&slice(true, true, 0, 0, 0)])).map(|unit| unit.order), Ok(0));
    }

    #[test]
    fn doubts_have_their_names() {
        let [sps, pps] = sets();
        let follow = |units: &[&[u8]]| begun().take(&stream(units)).map(|_| ());
        let next = slice(false, true, 0, 1, 2);
        assert_eq!(follow(&[&next]), Ok(()));
        assert_eq!(follow(&[&sps, &pps, &next]), Ok(()));
        assert_eq!(follow(&[&next, &slice(false, true, 40, 1, 2)]), Ok(()), "two slices");
        assert_eq!(follow(&[&slice(false, true, 0, 2, 2)]), Err(CopyDoubt::Damaged), "a reference picture is missing");
        assert_eq!(follow(&[&slice(true, true, 0, 1, 0)]), Err(CopyDoubt::Damaged));
        assert_eq!(follow(&[&next, &next]), Err(CopyDoubt::Packets), "two pictures");
        assert_eq!(follow(&[&slice(false, true, 40, 1, 2)]), Err(CopyDoubt::Packets), "no beginning");
        assert_eq!(follow(&[&[0x06, 0x80]]), Err(CopyDoubt::Packets), "no picture");
        assert_eq!(follow(&[&[0x74, 1], &next]), Err(CopyDoubt::Packets), "a unit of another kind");
        let mut other = sps.clone();
        other[10] ^= 1;
        assert_eq!(follow(&[&other, &next]), Err(CopyDoubt::ParameterSets));
        assert_eq!(follow(&[&[0x68, 0x53], &next]), Ok(()), "a further picture parameter set");
        assert_eq!(follow(&[&[pps.as_slice(), &[1]].concat(), &next]), Err(CopyDoubt::ParameterSets), "a changed one");
        let mut unbegun = AvcReader::new(&stream(&[&sps, &pps])).expect("a reader");
        assert_eq!(unbegun.take(&stream(&[&next])), Err(CopyDoubt::Cuts));
        assert_eq!(AvcReader::new(&[]).expect("a reader").take(&stream(&[&next])), Err(CopyDoubt::ParameterSets));
        assert!(matches!(AvcReader::new(&[1, 100, 0, 31, 0xff, 0xe1, 0, 9]), Err(CopyDoubt::ParameterSets)));
    }

    #[test]
    fn formats_that_not_every_player_takes_are_refused() {
        for (hex, expect) in [
            ("6764001facd9405005bb016a020202800001f480007530078c18cb", Ok(())),
            ("6742c028d900780227e5c0440000030004000003 00c83c60c920", Ok(())),
            // Baseline that is not said to be constrained; 4:4:4.
            ("67428028d900780227e5c0440000030004000003 00c83c60c920", Err(CopyDoubt::Format)),
            ("67f4000a919b28e4f1b2e0220000030002000003 00641e244b2c", Err(CopyDoubt::Format)),
            ("6764003dacd9405005bb016a020202800001f480007530078c18cb", Err(CopyDoubt::Format)),
        ] {
            assert_eq!(AvcReader::new(&stream(&[&bytes(hex)])).map(|_| ()), expect, "{hex}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            extradata in any::<Vec<u8>>(),
            packet in prop::collection::vec(prop::sample::select(vec![0_u8, 0, 0, 1, 3, 0x65, 0x41, 0x67, 0x68, 0x80, 255]), 0..200),
        ) {
            let _ = AvcReader::new(&[&[1][..], &extradata].concat()).map(|mut reader| reader.take(&packet).is_ok());
            let mut reader = begun();
            let _ = (reader.take(&packet).is_ok(), reader.sample(&packet).is_ok());
        }
    }
}
