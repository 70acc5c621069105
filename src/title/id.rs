//! Identifiers: of a title, and of one generation of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// The value of each byte as a digit.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        digits[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    digits
};
const NO_DIGIT: u8 = u8::MAX;
const LENGTH: usize = 26;

/// Names one title: 26 characters of lower-case Crockford base 32, 130 bits wide of which 128 are used.
///
/// The first 48 bits are the creation time in milliseconds, the rest is random, so identifiers sort by age and cannot be
/// guessed. A value can only be made by [`TitleId::new`] or [`TitleId::parse`], so a path built from one is always safe.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TitleId(u128);

impl TitleId {
    /// Makes an identifier from the creation time (Unix milliseconds; 48 bits are kept) and 80 bits of randomness.
    pub fn new(created_at_ms: u64, random: u128) -> Self {
        let time = u128::from(created_at_ms & ((1 << 48) - 1));
        Self((time << 80) | (random & ((1 << 80) - 1)))
    }

    /// Reads an identifier in its one canonical form.
    ///
    /// # Errors
    /// [`InvalidTitleId`] for another length, another alphabet, upper case, or a value beyond 128 bits.
    pub fn parse(text: &str) -> Result<Self, InvalidTitleId> {
        if text.len() != LENGTH {
            return Err(InvalidTitleId);
        }
        let mut value: u128 = 0;
        for byte in text.bytes() {
            let digit = DIGITS[byte as usize];
            if digit == NO_DIGIT || value >> 123 != 0 {
                return Err(InvalidTitleId);
            }
            value = (value << 5) | u128::from(digit);
        }
        Ok(Self(value))
    }
}

impl fmt::Display for TitleId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = (0..LENGTH).rev().map(|place| char::from(ALPHABET[((self.0 >> (5 * place)) & 31) as usize])).collect();
        out.write_str(&text)
    }
}

impl fmt::Debug for TitleId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for TitleId {
    type Err = InvalidTitleId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for TitleId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TitleId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The text names no title: an identifier is 26 characters of lower-case Crockford base 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a title identifier: expected 26 characters of 0-9 and a-z without i, l, o, u")]
pub struct InvalidTitleId;

/// Counts the plans of a title from 1: whatever a playlist says holds for one generation for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(pub u32);

impl Generation {
    /// The generation that a title's first plan belongs to.
    pub const FIRST: Self = Self(1);
}

impl fmt::Display for Generation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    proptest! {
        #[test]
        fn an_id_is_read_back(time in any::<u64>(), random in any::<u128>()) {
            let id = TitleId::new(time, random);
            assert_eq!(TitleId::parse(&id.to_string()), Ok(id));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            if let Ok(id) = TitleId::parse(&text) {
                assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn ids_sort_by_age() {
        assert!(TitleId::new(1, u128::MAX) < TitleId::new(2, 0));
        assert!(TitleId::new(1, u128::MAX).to_string() < TitleId::new(2, 0).to_string());
    }

    #[test]
    fn other_spellings_are_refused() {
        let id = TitleId::new(1_700_000_000_000, 12345).to_string();
        assert!(TitleId::parse(&id.to_uppercase()).is_err());
        assert!(TitleId::parse("zzzzzzzzzzzzzzzzzzzzzzzzzz").is_err(), "beyond 128 bits");
        assert!(TitleId::parse("../../../../../etc/passwd0").is_err());
        assert!(TitleId::parse("").is_err());
    }
}
