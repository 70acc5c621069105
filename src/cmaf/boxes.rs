//! Reading boxes (ISO 14496-12 4.2) of finished bytes, without trust in any length and without allocating.

/// The bodies of the boxes that `bytes` is made of, when they are of exactly these kinds in this order and nothing else is
/// there. Sizes of 64 bits and boxes to the end of the file, which no segment has, count as something else.
pub(super) fn exactly<'a, const N: usize>(bytes: &'a [u8], kinds: [&[u8; 4]; N]) -> Option<[&'a [u8]; N]> {
    let mut bodies = [[].as_slice(); N];
    let mut rest = bytes;
    for (body, kind) in bodies.iter_mut().zip(kinds) {
        let (found, inner, after) = split_first(rest)?;
        if found != *kind {
            return None;
        }
        *body = inner;
        rest = after;
    }
    rest.is_empty().then_some(bodies)
}

/// The kind and body of the first box, and what follows it.
pub(super) fn split_first(bytes: &[u8]) -> Option<([u8; 4], &[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first_chunk::<4>()?;
    let body_length = usize::try_from(u32::from_be_bytes(*size)).ok()?.checked_sub(HEADER_BYTES)?;
    let (body, rest) = rest.split_at_checked(body_length)?;
    Some((*kind, body, rest))
}

/// Bytes of a box's size and kind.
pub(super) const HEADER_BYTES: usize = 8;

/// Reads the big-endian fields of a box one after the other.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    pub(super) fn u32(&mut self) -> Option<u32> {
        let (field, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*field))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        let (field, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*field))
    }

    /// Present when all has been read.
    pub(super) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_may_be_there() {
        let bytes = b"\0\0\0\x0astyphi\0\0\0\x08mdat";
        assert_eq!(exactly(bytes, [b"styp", b"mdat"]), Some([b"hi".as_slice(), b""]));
        assert_eq!(exactly(bytes, [b"styp"]), None);
        assert_eq!(exactly(bytes, [b"mdat", b"styp"]), None);
        assert_eq!(exactly(&bytes[..17], [b"styp", b"mdat"]), None);
        for broken in [b"\0\0\0\x07styp", b"\0\0\0\0styp", b"\0\0\0\x01styp", b"\xff\xff\xff\xffstyp"] {
            assert!(split_first(broken).is_none(), "{broken:?}");
        }
    }
}
