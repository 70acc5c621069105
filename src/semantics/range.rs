//! Byte ranges (RFC 9110 14): the grammar of `Range`, and which bytes of a body it selects.

/// Bytes of a body, `first` and `last` included; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    first: u64,
    last: u64,
}

impl ByteRange {
    /// Position of the first byte.
    pub fn first(self) -> u64 {
        self.first
    }

    /// Position of the last byte.
    pub fn last(self) -> u64 {
        self.last
    }

    /// Number of bytes; at least one.
    pub fn byte_count(self) -> u64 {
        // A range lies inside a body, so `last` is below the greatest length and the sum cannot overflow.
        self.last - self.first + 1
    }
}

/// One element of a range set as it was asked (RFC 9110 14.1.1). Numbers beyond 64 bits are held at the greatest, which is
/// beyond every body just the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeSpec {
    /// From a position to another, or to the end.
    From {
        /// First position.
        first: u64,
        /// Last position; absent: to the end.
        last: Option<u64>,
    },
    /// So many bytes at the end.
    Suffix(u64),
}

impl RangeSpec {
    /// The bytes it selects of a body of `length_bytes`; nothing when it is not satisfiable.
    pub fn within(self, length_bytes: u64) -> Option<ByteRange> {
        let end = length_bytes.checked_sub(1)?;
        match self {
            Self::From { first, last } if first <= end => Some(ByteRange { first, last: last.unwrap_or(end).min(end) }),
            Self::Suffix(count) if count > 0 => Some(ByteRange { first: length_bytes.saturating_sub(count), last: end }),
            Self::From { .. } | Self::Suffix(_) => None,
        }
    }
}

/// What a request's `Range` selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// No range, another unit, or no valid syntax: all of the body (RFC 9110 14.2).
    All,
    /// One range that lies in the body; the others asked, if any, do not.
    One(ByteRange),
    /// Two or more ranges that lie in the body.
    Several,
    /// Ranges of valid syntax, none of which lies in the body.
    None,
}

/// Selects bytes of a body of `length_bytes` by the value of `Range`. Memory does not grow with the number of ranges.
pub fn select(value: &[u8], length_bytes: u64) -> Selection {
    if length_bytes == 0 {
        // A suffix of nothing is satisfiable but cannot be told in a Content-Range; a range may always be ignored.
        return Selection::All;
    }
    let Some(specs) = range_specs(value) else { return Selection::All };
    let mut selection = Selection::None;
    let mut any = false;
    for spec in specs {
        let Some(spec) = spec else { return Selection::All };
        any = true;
        selection = match (spec.within(length_bytes), selection) {
            (None, so_far) => so_far,
            (Some(range), Selection::None) => Selection::One(range),
            (Some(range), Selection::One(other)) if range == other => Selection::One(other),
            (Some(_), _) => Selection::Several,
        };
    }
    if any { selection } else { Selection::All }
}

/// The elements of a range set in the unit `bytes`, in the order asked, an element of wrong syntax as nothing; nothing at
/// all for another unit. Empty elements are skipped (RFC 9110 5.6.1.2).
pub fn range_specs(value: &[u8]) -> Option<impl Iterator<Item = Option<RangeSpec>>> {
    let equals = value.iter().position(|&byte| byte == b'=')?;
    let (unit, set) = (&value[..equals], &value[equals + 1..]);
    unit.eq_ignore_ascii_case(b"bytes").then(|| set.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty()).map(spec))
}

fn spec(element: &[u8]) -> Option<RangeSpec> {
    let dash = element.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (&element[..dash], &element[dash + 1..]);
    match (first.is_empty(), last.is_empty()) {
        (true, _) => Some(RangeSpec::Suffix(number(last)?)),
        (false, true) => Some(RangeSpec::From { first: number(first)?, last: None }),
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(RangeSpec::From { first, last: Some(last) })
        }
    }
}

/// One or more digits; held at the greatest number.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits
        .iter()
        .try_fold(0_u64, |number, byte| byte.is_ascii_digit().then(|| number.saturating_mul(10).saturating_add(u64::from(byte - b'0'))))
}

/// Without the optional white space around it (RFC 9110 5.6.3).
fn trim(element: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = element.iter().position(|byte| !blank(byte)).unwrap_or(element.len());
    let end = element.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &element[start..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn one(first: u64, last: u64) -> Selection {
        Selection::One(ByteRange { first, last })
    }

    #[test]
    fn selections() {
        for (value, length, expect) in [
            ("bytes=0-0", 500, one(0, 0)),
            ("bytes=0-99", 500, one(0, 99)),
            ("bytes=499-499", 500, one(499, 499)),
            ("bytes=490-", 500, one(490, 499)),
            ("bytes=0-", 500, one(0, 499)),
            ("bytes=-1", 500, one(499, 499)),
            ("bytes=-500", 500, one(0, 499)),
            ("bytes=-501", 500, one(0, 499)),
            ("bytes=490-5000", 500, one(490, 499)),
            ("bytes=0-18446744073709551615", 500, one(0, 499)),
            ("bytes=0-99999999999999999999999999", 500, one(0, 499)),
            ("bytes=-99999999999999999999999999", 500, one(0, 499)),
            ("bytes=0-18446744073709551615", u64::MAX, one(0, u64::MAX - 1)),
            ("Bytes=000-0009", 500, one(0, 9)),
            ("bytes= 0-9\t", 500, one(0, 9)),
            ("bytes=,0-9, ,", 500, one(0, 9)),
            ("bytes=0-9,0-9", 500, one(0, 9)),
            ("bytes=0-9,600-", 500, one(0, 9)),
            ("bytes=600-,0-9,-0", 500, one(0, 9)),
            ("bytes=0-9,20-29", 500, Selection::Several),
            ("bytes=0-9,600-,20-29", 500, Selection::Several),
            ("bytes=500-", 500, Selection::None),
            ("bytes=501-510", 500, Selection::None),
            ("bytes=99999999999999999999999999-", 500, Selection::None),
            ("bytes=-0", 500, Selection::None),
            ("bytes=500-,505-509", 500, Selection::None),
            ("bytes=-5", 0, Selection::All),
            ("bytes=0-", 0, Selection::All),
            ("items=0-9", 500, Selection::All),
            ("bytesx=0-9", 500, Selection::All),
            ("bytes =0-9", 500, Selection::All),
        ] {
            assert_eq!(select(value.as_bytes(), length), expect, "{value} of {length}");
        }
    }

    #[test]
    fn wrong_syntax_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=abc",
            "bytes=5-3",
            "bytes=--5",
            "bytes=-5-",
            "bytes=1-2-3",
            "bytes=0x0-0x9",
            "bytes=1.5-3",
            "bytes=+1-3",
            "bytes=0-9;x=1",
            "bytes:0-9",
            "=0-9",
            "bytes 0-9",
            "bytes=0 - 9",
            "bytes==0-9",
            "bytes=0\u{2013}9",
            "bytes=0-9/100",
            "bytes=0-9,abc",
            "bytes=abc,0-9",
            "bytes=600-,abc",
        ] {
            assert_eq!(select(value.as_bytes(), 500), Selection::All, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_part_is_always_inside(value in "(bytes=)?[-0-9, ]{0,60}", length in any::<u64>()) {
            if let Selection::One(range) = select(value.as_bytes(), length) {
                prop_assert!(range.first() <= range.last() && range.last() < length);
                prop_assert!(range.byte_count() >= 1 && range.byte_count() <= length);
            }
        }

        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..60), length in any::<u64>()) {
            select(&value, length);
            select(&[b"bytes=".as_slice(), &value].concat(), length);
        }

        #[test]
        fn what_is_asked_inside_is_given(first in 0_u64..1000, more in 0_u64..1000) {
            let last = first + more;
            prop_assert_eq!(select(format!("bytes={first}-{last}").as_bytes(), last + 1), one(first, last));
        }
    }
}
