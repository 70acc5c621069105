//! Reading bit by bit, as parameter sets and audio configurations are written. Ends are checked, nothing is allocated.

/// Reads from the most significant bit on.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// The bytes end before the field does, or a code is longer than any field of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadBits;

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn flag(&mut self) -> Result<bool, BadBits> {
        let byte = self.bytes.get(self.position / 8).ok_or(BadBits)?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Ok(bit == 1)
    }

    /// An unsigned number of `count` bits, at most 32.
    pub(super) fn number(&mut self, count: u32) -> Result<u32, BadBits> {
        let mut value: u32 = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Ok(value)
    }

    /// ue(v), H.264 9.1.
    pub(super) fn exp_golomb(&mut self) -> Result<u32, BadBits> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(BadBits);
            }
        }
        Ok((1 << zeros) - 1 + self.number(zeros)?)
    }

    /// se(v), H.264 9.1.1.
    pub(super) fn signed_exp_golomb(&mut self) -> Result<i64, BadBits> {
        let code = i64::from(self.exp_golomb()?);
        Ok(if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_standard() {
        // H.264 table 9-2: 1, 010, 011, 00100, 00101, then a flag and three bits.
        let bytes = [0b1010_0110, 0b0100_0010, 0b1110_1000];
        let mut bits = Bits::new(&bytes);
        let codes: Vec<_> = (0..5).map(|_| bits.exp_golomb()).collect();
        assert_eq!(codes, [Ok(0), Ok(1), Ok(2), Ok(3), Ok(4)]);
        assert_eq!((bits.flag(), bits.number(3)), (Ok(true), Ok(0b101)));
        assert_eq!(bits.number(4), Err(BadBits));
    }

    #[test]
    fn signed_codes_alternate() {
        let bytes = [0b1010_0110, 0b0100_0010, 0b1000_0000];
        let mut bits = Bits::new(&bytes);
        let codes: Vec<_> = (0..5).map(|_| bits.signed_exp_golomb()).collect();
        assert_eq!(codes, [Ok(0), Ok(1), Ok(-1), Ok(2), Ok(-2)]);
    }

    #[test]
    fn a_code_longer_than_its_field_is_refused() {
        assert_eq!(Bits::new(&[0; 16]).exp_golomb(), Err(BadBits));
        assert_eq!(Bits::new(&[0, 0, 0, 1, 255, 255, 255, 255]).exp_golomb(), Ok(u32::MAX - 1));
    }
}
