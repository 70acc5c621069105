//! Languages: from what containers tag to what playlists and menus say.

/// The BCP 47 tag of a language tagged by ISO 639-2 or already by BCP 47; absent for `und` and nonsense.
pub fn bcp47(tag: &str) -> Option<String> {
    let primary = tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    let language = known(&primary)?;
    let short = language.to_639_1().unwrap_or_else(|| language.to_639_3());
    (short != "und").then(|| short.to_owned())
}

/// The English name of a language.
pub fn name(tag: &str) -> Option<&'static str> {
    known(tag).map(|language| language.to_name())
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
            ("en-US", Some("en")),
            ("EN_us", Some("en")),
            ("gsw", Some("gsw")),
            ("und", None),
            ("", None),
            ("xx", None),
            ("klingonisch", None),
        ] {
            assert_eq!(bcp47(tag).as_deref(), expect, "{tag}");
        }
        assert_eq!(name("de"), Some("German"));
    }
}
