//! Languages: from what containers tag to what playlists and menus say.

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
