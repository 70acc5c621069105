//! Languages: from what containers and people tag to what playlists and menus say.

use std::fmt;

/// A language as BCP 47 writes it (RFC 5646 2.1), in its usual case, with the shortest code: `de`, `pt-BR`, `zh-Hant`. The
/// primary language is one that ISO 639 knows; `und` stands for none that is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LanguageTag(String);

impl LanguageTag {
    /// Reads a tag in any case; a three-letter code of ISO 639-2 is taken for its two-letter one.
    ///
    /// # Errors
    /// [`InvalidLanguageTag`] for what is not well formed, and for a primary language that nobody knows.
    pub fn parse(text: &str) -> Result<Self, InvalidLanguageTag> {
        let allowed = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if text.len() > TAG_BYTES_MAX || !allowed {
            return Err(InvalidLanguageTag);
        }
        let mut parts = text.split('-');
        let primary = parts.next().unwrap_or_default().to_ascii_lowercase();
        let primary = if primary == UNDETERMINED { UNDETERMINED.to_owned() } else { bcp47(&primary).ok_or(InvalidLanguageTag)? };
        let mut tag = primary;
        let mut place = Place::Language;
        for part in parts {
            place = place.after(part).ok_or(InvalidLanguageTag)?;
            let cased = match place {
                Place::Script => part[..1].to_ascii_uppercase() + &part[1..].to_ascii_lowercase(),
                Place::Region => part.to_ascii_uppercase(),
                _ => part.to_ascii_lowercase(),
            };
            tag.push('-');
            tag.push_str(&cased);
        }
        match place {
            // A singleton announces something.
            Place::Singleton | Place::PrivateSingleton => Err(InvalidLanguageTag),
            _ => Ok(Self(tag)),
        }
    }

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The primary language.
    pub fn primary(&self) -> &str {
        self.0.split('-').next().unwrap_or_default()
    }

    /// What a track says of it: nothing for an unknown language.
    pub fn known(&self) -> Option<&str> {
        (self.primary() != UNDETERMINED).then_some(&self.0)
    }

    /// Its English name, with what distinguishes it from the language at large: `German`, `Portuguese (BR)`.
    pub fn name(&self) -> Option<String> {
        let name = name(self.known()?.split('-').next()?)?;
        let rest = self.0.split_once('-').map(|(_, rest)| format!(" ({rest})"));
        Some(format!("{name}{}", rest.unwrap_or_default()))
    }
}

impl fmt::Display for LanguageTag {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::str::FromStr for LanguageTag {
    type Err = InvalidLanguageTag;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// The text is no language tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a language: expected a BCP 47 tag such as de, pt-BR or zh-Hant, or und")]
pub struct InvalidLanguageTag;

/// Longest tag in bytes; the longest in use take half of it.
const TAG_BYTES_MAX: usize = 35;
const UNDETERMINED: &str = "und";

/// What a subtag is, by where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Language,
    Script,
    Region,
    Variant,
    Singleton,
    Extension,
    PrivateSingleton,
    Private,
}

impl Place {
    /// What `part` is after a subtag in this place; absent when it may not stand there.
    fn after(self, part: &str) -> Option<Self> {
        let alphabetic = part.bytes().all(|byte| byte.is_ascii_alphabetic());
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        if part.is_empty() || part.len() > 8 || !part.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        match (self, part.len()) {
            (Self::PrivateSingleton | Self::Private, _) => Some(Self::Private),
            (Self::Singleton, 2..) => Some(Self::Extension),
            (Self::Extension, 2..) => Some(Self::Extension),
            (Self::Singleton, _) => None,
            (_, 1) if part.eq_ignore_ascii_case("x") => Some(Self::PrivateSingleton),
            (_, 1) => Some(Self::Singleton),
            (Self::Language, 4) if alphabetic => Some(Self::Script),
            (Self::Language | Self::Script, 2) if alphabetic => Some(Self::Region),
            (Self::Language | Self::Script, 3) if digits => Some(Self::Region),
            (Self::Extension, _) => None,
            (_, 5..) => Some(Self::Variant),
            (_, 4) if part.as_bytes()[0].is_ascii_digit() => Some(Self::Variant),
            _ => None,
        }
    }
}

/// The BCP 47 tag of a language tagged by ISO 639-2 (both kinds) or already by BCP 47, with its script and region. Several
/// languages are `mul`, sound without words is `zxx`; absent for `und` and nonsense.
pub fn bcp47(tag: &str) -> Option<String> {
    let mut parts = tag.trim().split(['-', '_']);
    let primary = parts.next().unwrap_or_default().to_ascii_lowercase();
    let mut written = match primary.as_bytes() {
        // For local use (ISO 639-2): broadcasters mean the original language by `qaa`.
        [b'q', b'a'..=b't', b'a'..=b'z'] => primary,
        _ => {
            let language = known(&primary)?;
            language.to_639_1().unwrap_or_else(|| language.to_639_3()).to_owned()
        }
    };
    if written == "und" {
        return None;
    }
    for part in parts.map(str::as_bytes) {
        let (letters, digits) = (part.iter().all(u8::is_ascii_alphabetic), part.iter().all(u8::is_ascii_digit));
        let part = String::from_utf8_lossy(part).to_ascii_lowercase();
        match part.len() {
            4 if letters => written.extend(["-", &part[..1].to_ascii_uppercase(), &part[1..]]),
            2 if letters => written.extend(["-", &part.to_ascii_uppercase()]),
            3 if digits => written.extend(["-", &part]),
            _ => break,
        }
    }
    Some(written)
}

/// The English name of a language by its BCP 47 tag, its region left out.
pub fn name(tag: &str) -> Option<&'static str> {
    let primary = tag.split('-').next().unwrap_or_default();
    match primary {
        "mul" => Some("Several languages"),
        "zxx" => Some("No speech"),
        "qaa" => Some("Original"),
        // Without the centuries that some names carry: "Modern Greek (1453-)".
        _ => known(primary).map(|language| language.to_name().split(" (").next().unwrap_or_default()),
    }
}

/// The English name with its region, as in `Portuguese (BR)`.
pub fn label(tag: &str) -> Option<String> {
    let region = tag.split('-').skip(1).find(|part| matches!(part.len(), 2 | 3));
    name(tag).map(|name| region.map_or_else(|| name.to_owned(), |region| format!("{name} ({region})")))
}

fn known(tag: &str) -> Option<isolang::Language> {
    // ISO 639-2 has two codes for some languages; containers use the bibliographic ones, ISO 639-3 the others.
    let tag = BIBLIOGRAPHIC.iter().find(|(bibliographic, _)| *bibliographic == tag).map_or(tag, |(_, code)| code);
    match tag.len() {
        2 => isolang::Language::from_639_1(tag),
        3 => isolang::Language::from_639_3(tag),
        _ => None,
    }
}

const BIBLIOGRAPHIC: [(&str, &str); 20] = [
    ("alb", "sqi"),
    ("arm", "hye"),
    ("baq", "eus"),
    ("bur", "mya"),
    ("chi", "zho"),
    ("cze", "ces"),
    ("dut", "nld"),
    ("fre", "fra"),
    ("geo", "kat"),
    ("ger", "deu"),
    ("gre", "ell"),
    ("ice", "isl"),
    ("mac", "mkd"),
    ("mao", "mri"),
    ("may", "msa"),
    ("per", "fas"),
    ("rum", "ron"),
    ("slo", "slk"),
    ("tib", "bod"),
    ("wel", "cym"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_normalised() {
        for (text, expect) in [
            ("de", Some("de")),
            ("DE", Some("de")),
            ("ger", Some("de")),
            ("eng-us", Some("en-US")),
            ("pt-br", Some("pt-BR")),
            ("ZH-HANT-TW", Some("zh-Hant-TW")),
            ("es-419", Some("es-419")),
            ("sl-rozaj", Some("sl-rozaj")),
            ("de-1996", Some("de-1996")),
            ("en-x-Mine", Some("en-x-mine")),
            ("en-u-ca-gregory", Some("en-u-ca-gregory")),
            ("und", Some("und")),
            ("gsw", Some("gsw")),
            ("", None),
            ("-", None),
            ("de-", None),
            ("-de", None),
            ("de--AT", None),
            ("de_AT", None),
            ("de-AT-AT", None),
            ("de-x", None),
            ("de-u", None),
            ("xx", None),
            ("x-mine", None),
            ("english", None),
            ("de/../en", None),
            ("dé", None),
            ("de\n", None),
            ("de-abcdefghi", None),
            ("de-12345678-12345678-12345678-12345678", None),
        ] {
            assert_eq!(LanguageTag::parse(text).ok().as_ref().map(LanguageTag::as_str), expect, "{text:?}");
        }
        let name = |text: &str| LanguageTag::parse(text).ok().and_then(|tag| tag.name());
        assert_eq!((name("de").as_deref(), name("pt-br").as_deref(), name("und")), (Some("German"), Some("Portuguese (BR)"), None));
        assert_eq!(LanguageTag::parse("und").ok().as_ref().and_then(LanguageTag::known), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_tags_stay(text in "([a-zA-Z0-9]{0,9}-?|\\PC){0,6}") {
            if let Ok(tag) = LanguageTag::parse(&text) {
                proptest::prop_assert_eq!(LanguageTag::parse(tag.as_str()), Ok(tag.clone()));
                proptest::prop_assert!(tag.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
            }
        }
    }

    #[test]
    fn tags_become_bcp_47() {
        for (tag, expect) in [
            ("eng", Some("en")),
            ("ger", Some("de")),
            ("deu", Some("de")),
            ("fre", Some("fr")),
            ("chi", Some("zh")),
            ("en-US", Some("en-US")),
            ("EN_us", Some("en-US")),
            ("zho-hant-tw", Some("zh-Hant-TW")),
            ("es-419", Some("es-419")),
            ("de-1996", Some("de")),
            ("sr-Latn", Some("sr-Latn")),
            ("scr", None),
            ("mul", Some("mul")),
            ("zxx", Some("zxx")),
            ("mis", Some("mis")),
            ("qaa", Some("qaa")),
            ("qzz", None),
            ("gsw", Some("gsw")),
            ("und", None),
            ("", None),
            ("xx", None),
            ("klingonisch", None),
        ] {
            assert_eq!(bcp47(tag).as_deref(), expect, "{tag}");
        }
    }

    #[test]
    fn tags_have_names() {
        for (tag, expect) in [
            ("de", Some("German")),
            ("pt-BR", Some("Portuguese (BR)")),
            ("es-419", Some("Spanish (419)")),
            ("zh-Hant", Some("Chinese")),
            ("el", Some("Modern Greek")),
            ("mul", Some("Several languages")),
            ("zxx", Some("No speech")),
            ("qaa", Some("Original")),
            ("xx", None),
        ] {
            assert_eq!(label(tag).as_deref(), expect, "{tag}");
        }
    }
}
