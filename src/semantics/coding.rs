//! Content codings: which form of a body a request gets (RFC 9110 12.5.3).

use http::header::{ACCEPT_ENCODING, HeaderMap};

/// A content coding that texts are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Brotli (RFC 7932).
    Brotli,
    /// Zstandard (RFC 8878), within the window of RFC 9659.
    Zstd,
    /// Gzip (RFC 1952).
    Gzip,
}

impl Coding {
    /// Every coding, in the order of the declaration.
    pub const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// Its name in `Content-Encoding`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    fn named(name: &[u8]) -> Option<Self> {
        // x-gzip is the same coding by its old name (RFC 9110 8.4.1.3).
        let gzip = name.eq_ignore_ascii_case(b"x-gzip").then_some(Self::Gzip);
        gzip.or_else(|| Self::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.as_str().as_bytes())))
    }
}

/// Which form of a body is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is, without a coding.
    Plain,
    /// Coded.
    Coded(Coding),
}

/// Chooses among a body of `plain_bytes` and its `coded` forms, of which each is named with its length: the acceptable one of
/// the greatest weight, and of equal ones the shortest. Nothing when the client refuses them all.
///
/// A plain body that the client does not mention is acceptable, and its weight is for the server to say (RFC 9110 12.5.3): it
/// counts like the best of the others, so that length decides. A member that cannot be read counts as not said.
pub fn choose(headers: &HeaderMap, plain_bytes: u64, coded: impl Iterator<Item = (Coding, u64)>) -> Option<Form> {
    let Some(weights) = Weights::read(headers) else { return Some(Form::Plain) };
    let mut best: Option<(u16, u64, Form)> = None;
    for (coding, bytes) in coded {
        let weight = weights.of(coding);
        if weight > 0 && best.is_none_or(|(other, shortest, _)| weight > other || weight == other && bytes < shortest) {
            best = Some((weight, bytes, Form::Coded(coding)));
        }
    }
    let plain = weights.plain.or(weights.rest);
    match (best, plain) {
        (None, Some(0)) => None,
        (None, _) => Some(Form::Plain),
        (Some((weight, bytes, form)), plain) => {
            let plain = plain.unwrap_or(weight);
            Some(if plain > weight || plain == weight && plain_bytes <= bytes { Form::Plain } else { form })
        }
    }
}

/// What `Accept-Encoding` says, in thousandths.
#[derive(Debug, Default)]
struct Weights {
    coded: [Option<u16>; Coding::ALL.len()],
    /// Of `identity`, the plain body.
    plain: Option<u16>,
    /// Of `*`: whatever is not named.
    rest: Option<u16>,
}

impl Weights {
    /// Absent without the field, which lets the server choose; it then chooses what everyone can read.
    fn read(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(ACCEPT_ENCODING).iter().peekable();
        lines.peek()?;
        let mut weights = Self::default();
        for member in lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')) {
            let mut parts = member.splitn(2, |&byte| byte == b';');
            let name = parts.next().unwrap_or_default().trim_ascii();
            let Some(weight) = weight(parts.next()) else { continue };
            let place = match Coding::named(name) {
                Some(coding) => &mut weights.coded[coding as usize],
                None if name.eq_ignore_ascii_case(b"identity") => &mut weights.plain,
                None if name == b"*" => &mut weights.rest,
                None => continue,
            };
            *place = (*place).max(Some(weight));
        }
        Some(weights)
    }

    fn of(&self, coding: Coding) -> u16 {
        self.coded[coding as usize].or(self.rest).unwrap_or(0)
    }
}

/// A weight in thousandths (RFC 9110 12.4.2); full without one, absent when it is none.
fn weight(parameter: Option<&[u8]>) -> Option<u16> {
    let Some(parameter) = parameter else { return Some(1000) };
    let equals = parameter.iter().position(|&byte| byte == b'=')?;
    if !parameter[..equals].trim_ascii().eq_ignore_ascii_case(b"q") {
        return None;
    }
    let value = parameter[equals + 1..].trim_ascii();
    let (whole, fraction) = match value {
        [whole] => (*whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (*whole, fraction),
        _ => return None,
    };
    let mut thousandths = 0;
    for place in 0..3 {
        let digit = fraction.get(place).copied().unwrap_or(b'0');
        thousandths = thousandths * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;

    const BR: Option<Form> = Some(Form::Coded(Coding::Brotli));
    const ZSTD: Option<Form> = Some(Form::Coded(Coding::Zstd));
    const GZIP: Option<Form> = Some(Form::Coded(Coding::Gzip));
    const PLAIN: Option<Form> = Some(Form::Plain);
    const TEXT: [(Coding, u64); 3] = [(Coding::Brotli, 300), (Coding::Zstd, 350), (Coding::Gzip, 400)];

    fn asked(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (ACCEPT_ENCODING, HeaderValue::from_bytes(line.as_bytes()).expect("a value"))).fold(
            HeaderMap::new(),
            |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            },
        )
    }

    #[test]
    fn each_coding_has_its_place() {
        for (index, coding) in Coding::ALL.into_iter().enumerate() {
            assert_eq!((coding as usize, Coding::named(coding.as_str().as_bytes())), (index, Some(coding)));
        }
    }

    #[test]
    fn what_is_said_decides() {
        let cases: &[(&[&str], Option<Form>)] = &[
            (&[], PLAIN),
            (&[""], PLAIN),
            (&["gzip"], GZIP),
            (&["GZIP"], GZIP),
            (&["x-gzip"], GZIP),
            (&["br"], BR),
            (&["zstd"], ZSTD),
            (&["gzip, deflate, br, zstd"], BR),
            (&["gzip, deflate, zstd"], ZSTD),
            (&["gzip, deflate"], GZIP),
            (&["gzip", "br"], BR),
            (&["br;q=0.9, gzip"], GZIP),
            (&["br;q=0.5, zstd;q=0.7, gzip;q=0.6"], ZSTD),
            (&["deflate", "gzip;q=0.1"], GZIP),
            (&["gzip;q=0"], PLAIN),
            (&["gzip;q=0.000, *"], BR),
            (&["br;q=0, gzip;q=0, *"], ZSTD),
            (&["*"], BR),
            (&["*;q=0.5, gzip"], GZIP),
            (&["gzip;q=0.1, *;q=0.5"], BR),
            (&["*;q=0, gzip"], GZIP),
            (&["identity"], PLAIN),
            (&["identity, *;q=0"], PLAIN),
            (&["gzip;q=0.5, identity"], PLAIN),
            (&["gzip;q=0.5, identity;q=0.5"], GZIP),
            (&["gzip;q=0.5, identity;q=0.501"], PLAIN),
            (&["gzip, identity;q=0"], GZIP),
            (&["gzip, *;q=0"], GZIP),
            // Nothing that there is.
            (&["identity;q=0"], None),
            (&["*;q=0"], None),
            (&["deflate, identity;q=0"], None),
            (&["deflate, *;q=0.000"], None),
            (&["identity;q=0", "br;q=0", "gzip;q=0"], None),
            // Even so, one that is not refused.
            (&["identity;q=0, *"], BR),
            (&["*;q=0, identity;q=0.001"], PLAIN),
            // What cannot be read.
            (&["gzip;q=banana, ,;"], PLAIN),
            (&["gzip;q=1.001"], PLAIN),
            (&["gzip;q=0.1234"], PLAIN),
            (&["gzip;q=2"], PLAIN),
            (&["gzip;q="], PLAIN),
            (&["gzip;q=-1"], PLAIN),
            (&["gzip;q=.5"], PLAIN),
            (&["gzip ; q=1.0"], GZIP),
            (&["gzip;Q=1."], GZIP),
            (&["gzip;q=0."], PLAIN),
            (&["gzipped"], PLAIN),
            (&["gzip;level=9"], PLAIN),
            (&["gzip br"], PLAIN),
            (&["g\u{f6}zip, br"], BR),
        ];
        for (lines, expect) in cases {
            assert_eq!(choose(&asked(lines), 1000, TEXT.into_iter()), *expect, "{lines:?}");
        }
    }

    #[test]
    fn what_does_not_shrink_goes_plain_unless_that_is_refused() {
        let tiny = [(Coding::Brotli, 20), (Coding::Zstd, 19), (Coding::Gzip, 30)];
        for (line, expect) in [
            ("gzip, br, zstd", PLAIN),
            ("gzip, identity;q=0.9", GZIP),
            ("gzip, br, identity;q=0", BR),
            ("*, identity;q=0", ZSTD),
            ("identity;q=0.1", PLAIN),
        ] {
            assert_eq!(choose(&asked(&[line]), 10, tiny.into_iter()), expect, "{line}");
        }
        assert_eq!(choose(&asked(&["gzip, identity;q=0"]), 10, std::iter::empty()), None);
    }

    proptest! {
        #[test]
        fn what_is_chosen_is_there_and_not_refused(
            members in proptest::collection::vec((0_usize..6, proptest::option::of(0_u16..=1000)), 0..6), plain_bytes in 0_u64..1000,
        ) {
            let names = ["br", "zstd", "gzip", "identity", "*", "deflate"];
            let spelled: Vec<String> = members.iter().map(|&(name, weight)| match weight {
                None => names[name].to_owned(),
                Some(weight) => format!("{};q={}.{:03}", names[name], weight / 1000, weight % 1000),
            }).collect();
            let weight = |name: usize| {
                let said = |name| members.iter().filter(|member| member.0 == name).map(|member| member.1.unwrap_or(1000)).max();
                said(name).or(said(4))
            };
            let chosen = choose(&asked(&[&spelled.join(", ")]), plain_bytes, TEXT.into_iter());
            match chosen {
                Some(Form::Coded(coding)) => {
                    let ours = weight(coding as usize).expect("said");
                    prop_assert!(ours > 0);
                    prop_assert!((0..4).all(|other| weight(other).unwrap_or(0) <= ours), "there is nothing better");
                }
                Some(Form::Plain) => prop_assert!(weight(3) != Some(0)),
                None => prop_assert!(weight(3) == Some(0) && (0..3).all(|coding| weight(coding).unwrap_or(0) == 0)),
            }
        }

        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                choose(&HeaderMap::from_iter([(ACCEPT_ENCODING, value)]), 1000, TEXT.into_iter());
            }
        }
    }
}
