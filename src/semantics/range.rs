//! Byte ranges (RFC 9110 14): the grammar of `Range`, and which bytes of a body it selects.

/// Bytes of a body, `first` and `last` included; never empty. The first byte by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

    /// Whether the two overlap or one begins where the other ends.
    fn touches(self, other: Self) -> bool {
        self.first <= other.last.saturating_add(1) && other.first <= self.last.saturating_add(1)
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

/// No answer has more parts.
pub const PARTS_MAX: usize = 16;

/// What a request's `Range` selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// No range, another unit, no valid syntax, or more than it is worth to cut: all of the body (RFC 9110 14.2).
    All,
    /// One range that lies in the body; the others asked, if any, do not or are part of it.
    One(ByteRange),
    /// Two to [`PARTS_MAX`] ranges that lie in the body and neither overlap nor touch, in the order asked.
    Several(Box<[ByteRange]>),
    /// Ranges of valid syntax, none of which lies in the body.
    None,
}

/// Selects bytes of a body of `length_bytes` by the value of `Range`.
///
/// Ranges that overlap or touch become one. It is the whole body where that leaves more than [`PARTS_MAX`] apart at any moment,
/// or where the ranges asked add up to more than the body (RFC 9110 17.15). Memory does not grow with their number.
pub fn select(value: &[u8], length_bytes: u64) -> Selection {
    if length_bytes == 0 {
        // A suffix of nothing is satisfiable but cannot be told in a Content-Range; a range may always be ignored.
        return Selection::All;
    }
    let Some(specs) = range_specs(value) else { return Selection::All };
    let (mut parts, mut any, mut asked_bytes) = (Parts::default(), false, 0_u64);
    let mut worth_it = true;
    for spec in specs {
        // The rest is read even when there is nothing more to decide but whether its syntax is right: that is cheap.
        let Some(spec) = spec else { return Selection::All };
        any = true;
        if let Some(range) = spec.within(length_bytes) {
            let sum = asked_bytes.checked_add(range.byte_count()).filter(|sum| *sum <= length_bytes);
            worth_it = worth_it && sum.is_some() && parts.add(range);
            asked_bytes = sum.unwrap_or(asked_bytes);
        }
    }
    match parts.as_slice() {
        _ if !any || !worth_it => Selection::All,
        [] => Selection::None,
        [range] => Selection::One(*range),
        several => Selection::Several(several.into()),
    }
}

/// Ranges that neither overlap nor touch, in the order in which their first bytes were asked for.
#[derive(Default)]
struct Parts {
    ranges: [ByteRange; PARTS_MAX],
    count: usize,
}

impl Parts {
    fn as_slice(&self) -> &[ByteRange] {
        &self.ranges[..self.count]
    }

    /// Adds a range, joined with all that it overlaps or touches, in the place of the first of them; false when there is no room
    /// for one more.
    fn add(&mut self, range: ByteRange) -> bool {
        let Some(place) = self.as_slice().iter().position(|other| other.touches(range)) else {
            if self.count == PARTS_MAX {
                return false;
            }
            self.ranges[self.count] = range;
            self.count += 1;
            return true;
        };
        // Those that are there lie apart, so nothing touches the joined range that does not touch the new one.
        let mut joined = range;
        let mut kept = 0;
        for index in 0..self.count {
            let other = self.ranges[index];
            if index != place && !other.touches(range) {
                self.ranges[kept] = other;
                kept += 1;
            } else {
                joined = ByteRange { first: joined.first.min(other.first), last: joined.last.max(other.last) };
                if index == place {
                    kept += 1;
                }
            }
        }
        // What stands before the place was kept as it is, so the place is still its own.
        self.ranges[place] = joined;
        self.count = kept;
        true
    }
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

    fn several(ranges: &[(u64, u64)]) -> Selection {
        Selection::Several(ranges.iter().map(|&(first, last)| ByteRange { first, last }).collect())
    }

    /// Every second byte of the first `count` pairs.
    fn combed(count: u64) -> String {
        let ranges: Vec<String> = (0..count).map(|index| format!("{0}-{0}", index * 2)).collect();
        format!("bytes={}", ranges.join(","))
    }

    #[test]
    fn parts_are_counted() {
        let sixteen: Vec<(u64, u64)> = (0..16).map(|index| (index * 2, index * 2)).collect();
        assert_eq!(select(combed(16).as_bytes(), 500), several(&sixteen));
        assert_eq!(select(combed(17).as_bytes(), 500), Selection::All);
        assert_eq!(select(format!("{},1-1", combed(16)).as_bytes(), 500), several(&[&[(0, 2)], &sixteen[2..]].concat()));
        assert_eq!(select(format!("{},0-30", combed(16)).as_bytes(), 500), one(0, 30));
        // Wrong syntax counts to the end.
        assert_eq!(select(format!("{},x", combed(2)).as_bytes(), 500), Selection::All);
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
            ("bytes=0-9,5-14", 500, one(0, 14)),
            ("bytes=0-9,10-19", 500, one(0, 19)),
            ("bytes=10-19,0-9", 500, one(0, 19)),
            ("bytes=0-9,20-29,8-21", 500, one(0, 29)),
            ("bytes=0-9,-490", 500, one(0, 499)),
            ("bytes=0-9,20-29", 500, several(&[(0, 9), (20, 29)])),
            ("bytes=20-29,0-9", 500, several(&[(20, 29), (0, 9)])),
            ("bytes=0-9,600-,20-29", 500, several(&[(0, 9), (20, 29)])),
            ("bytes=0-9,20-29,11-11,10-10", 500, several(&[(0, 11), (20, 29)])),
            ("bytes=40-49,0-9,20-29,30-39,60-60", 500, several(&[(20, 49), (0, 9), (60, 60)])),
            ("bytes=0-0, -1 ,\t2-2", 500, several(&[(0, 0), (499, 499), (2, 2)])),
            // More is asked for than there is.
            ("bytes=0-,0-", 500, Selection::All),
            ("bytes=0-299,100-399", 500, Selection::All),
            ("bytes=0-249,250-499", 500, one(0, 499)),
            ("bytes=0-18446744073709551615,0-18446744073709551615", u64::MAX, Selection::All),
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
            let selection = select(value.as_bytes(), length);
            let ranges: &[ByteRange] = match &selection {
                Selection::One(range) => std::slice::from_ref(range),
                Selection::Several(ranges) => ranges,
                Selection::All | Selection::None => &[],
            };
            for range in ranges {
                prop_assert!(range.first() <= range.last() && range.last() < length);
                prop_assert!(range.byte_count() >= 1 && range.byte_count() <= length);
            }
        }

        #[test]
        fn several_are_what_was_asked_and_lie_apart(asked in proptest::collection::vec((0_u64..120, 0_u64..8), 1..12)) {
            let set: Vec<String> = asked.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
            let selection = select(format!("bytes={}", set.join(",")).as_bytes(), 100);
            let ranges: Vec<ByteRange> = match selection {
                Selection::One(range) => vec![range],
                Selection::Several(ranges) => {
                    prop_assert!((2..=PARTS_MAX).contains(&ranges.len()));
                    ranges.into()
                }
                Selection::All => {
                    prop_assert!(asked.iter().map(|(first, more)| (first + more).min(99).saturating_sub(*first) + u64::from(*first < 100)).sum::<u64>() > 100);
                    return Ok(());
                }
                Selection::None => Vec::new(),
            };
            for byte in 0..100 {
                let wanted = asked.iter().any(|(first, more)| (*first..=first + more).contains(&byte));
                let given = ranges.iter().filter(|range| (range.first()..=range.last()).contains(&byte)).count();
                prop_assert_eq!(given, usize::from(wanted), "byte {}", byte);
                // Had two of them touched, they would be one.
                let ends = ranges.iter().any(|range| range.last() == byte);
                prop_assert!(!ends || !ranges.iter().any(|range| range.first() == byte + 1));
            }
            let first = asked.iter().find(|(first, _)| *first < 100);
            if let (Some((first, _)), Some(range)) = (first, ranges.first()) {
                prop_assert!((range.first()..=range.last()).contains(first), "the order is that of the request");
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
