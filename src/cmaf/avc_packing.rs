//! How the NAL units of H.264 lie in the packets of a source, and the parameter sets that its container holds before them.

use super::nal;

/// How NAL units lie in packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// Behind start codes (H.264 annex B).
    ByteStream,
    /// Behind lengths of so many bytes (ISO 14496-15 5.3.3.1).
    Lengths(usize),
}

impl Packing {
    /// What a container holds before the packets, which tells their packing: an `avcC` body, a byte stream or nothing; and the
    /// parameter sets in it. Absent when it is malformed.
    pub(super) fn read(extradata: &[u8]) -> Option<(Self, Vec<&[u8]>)> {
        match extradata {
            [1, ..] => configuration(extradata).map(|(length_bytes, sets)| (Self::Lengths(length_bytes), sets)),
            _ => Some((Self::ByteStream, nal::units(extradata).collect())),
        }
    }

    /// The NAL units of a packet; absent when it is not made of them.
    pub(super) fn units(self, packet: &[u8]) -> Option<Vec<&[u8]>> {
        let Self::Lengths(length_bytes) = self else {
            return Some(nal::units(packet).collect());
        };
        let mut units = Vec::new();
        let mut rest = packet;
        while !rest.is_empty() {
            let (length, after) = rest.split_at_checked(length_bytes)?;
            let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
            let (unit, after) = after.split_at_checked(length).filter(|(unit, _)| !unit.is_empty())?;
            units.push(unit);
            rest = after;
        }
        Some(units)
    }
}

/// The bytes of a length, and the parameter sets, of an `avcC` body (ISO 14496-15 5.3.3.1.2).
fn configuration(body: &[u8]) -> Option<(usize, Vec<&[u8]>)> {
    let (&[_, _, _, _, length, sps_count], rest) = body.split_first_chunk::<6>()?;
    let length_bytes = usize::from(length & 3) + 1;
    let mut sets = Vec::new();
    let rest = take_sets(sps_count & 31, rest, &mut sets)?;
    let (pps_count, rest) = rest.split_first()?;
    take_sets(*pps_count, rest, &mut sets)?;
    (length_bytes != 3).then_some((length_bytes, sets))
}

/// Reads so many sets, each behind its length, and returns what follows them.
fn take_sets<'a>(count: u8, body: &'a [u8], sets: &mut Vec<&'a [u8]>) -> Option<&'a [u8]> {
    let mut rest = body;
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (set, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        sets.push(set);
        rest = after;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_tell_the_packing_and_the_sets() {
        let body = [1, 100, 0, 31, 0xfd, 0xe1, 0, 2, 0x67, 9, 1, 0, 1, 0x68];
        assert_eq!(Packing::read(&body), Some((Packing::Lengths(2), vec![&[0x67, 9][..], &[0x68]])));
        for cut in 1..body.len() {
            assert_eq!(Packing::read(&body[..cut]), None, "{cut} bytes");
        }
        // No length has three bytes.
        assert_eq!(Packing::read(&[&[1, 100, 0, 31, 0xfe], &body[5..]].concat()), None);
        assert_eq!(Packing::read(&[0, 0, 1, 0x67, 9]), Some((Packing::ByteStream, vec![&[0x67, 9][..]])));
        assert_eq!(Packing::read(&[]), Some((Packing::ByteStream, vec![])));
    }

    #[test]
    fn lengths_must_add_up() {
        let units = |packet| Packing::Lengths(2).units(packet);
        assert_eq!(units(&[0, 1, 9, 0, 2, 8, 7]), Some(vec![&[9][..], &[8, 7]]));
        for broken in [&[0][..], &[0, 2, 9], &[0, 0], &[0, 1, 9, 0]] {
            assert_eq!(units(broken), None, "{broken:?}");
        }
    }
}
