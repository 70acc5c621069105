//! From bytes to text: what people's subtitle files are encoded in, told by a mark at the start or by their looks.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{BIG5, Encoding, GBK, UTF_8, UTF_16BE, UTF_16LE};

use super::{Fault, FaultKind};

/// Bytes that are looked at to tell UTF-16 without a mark and what is no text.
const LOOK_BYTES: usize = 64 << 10;

/// Decodes a file. `language` (a primary language subtag) helps where several encodings look alike. Letters that cannot be
/// decoded are replaced; zero bytes are dropped.
pub(super) fn decode(bytes: &[u8], language: Option<&str>) -> Result<String, Fault> {
    let (encoding, marked) = match Encoding::for_bom(bytes) {
        Some((encoding, _)) => (encoding, true),
        None => (guess(bytes, language), false),
    };
    if !marked && encoding != UTF_16LE && encoding != UTF_16BE && !looks_like_text(bytes) {
        return Err(Fault::whole(FaultKind::NotText, "these bytes are no text: expected a SubRip (.srt) or WebVTT (.vtt) file"));
    }
    let (text, _) = encoding.decode_with_bom_removal(bytes);
    Ok(if text.contains('\0') { text.replace('\0', "") } else { text.into_owned() })
}

fn guess(bytes: &[u8], language: Option<&str>) -> &'static Encoding {
    if is_utf_8(bytes) {
        return UTF_8;
    }
    if let Some(encoding) = utf_16(&bytes[..bytes.len().min(LOOK_BYTES)]) {
        return encoding;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    let domain = language.and_then(domain);
    let guessed = detector.guess(domain.as_ref().map(|domain| domain.as_bytes()), Utf8Detection::Deny);
    let is_chinese = [GBK, BIG5].contains(&guessed) && is_written_in(bytes, guessed);
    if language == Some("zh") && !is_chinese {
        // A few lines are too little to go by for the detector.
        return [BIG5, GBK].into_iter().find(|encoding| is_written_in(bytes, encoding)).unwrap_or(guessed);
    }
    guessed
}

/// Whether the bytes are text in this encoding, all of it letters that everybody knows.
fn is_written_in(bytes: &[u8], encoding: &'static Encoding) -> bool {
    let private = |letter: char| ('\u{e000}'..='\u{f8ff}').contains(&letter);
    encoding.decode_without_bom_handling_and_without_replacement(bytes).is_some_and(|text| !text.contains(private))
}

/// Whether it is UTF-8 but for a letter cut off at the end and a few wrong bytes. Text in another encoding has hardly any
/// valid letter of several bytes.
fn is_utf_8(bytes: &[u8]) -> bool {
    let (mut letters, mut wrong) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        letters += chunk.valid().chars().filter(|letter| letter.len_utf8() > 1).count();
        wrong += usize::from(!chunk.invalid().is_empty());
    }
    wrong == 0 || letters >= 10 * wrong
}

/// UTF-16 without a mark: its spaces and digits show as zero bytes, all on one side.
fn utf_16(bytes: &[u8]) -> Option<&'static Encoding> {
    let pairs = bytes.chunks_exact(2);
    let total = pairs.len();
    let (high_first, low_first) =
        pairs.fold((0, 0), |(high, low), pair| (high + usize::from(pair[0] == 0), low + usize::from(pair[1] == 0)));
    let many = total / 10;
    match (high_first > many, low_first > many) {
        (true, false) => Some(UTF_16BE),
        (false, true) => Some(UTF_16LE),
        _ => None,
    }
}

/// Text has next to no control characters; some files are padded with zeros.
fn looks_like_text(bytes: &[u8]) -> bool {
    let look = &bytes[..bytes.len().min(LOOK_BYTES)];
    let controls = look.iter().filter(|byte| matches!(byte, 1..=8 | 11 | 14..=25 | 27..=31 | 127)).count();
    controls * 50 <= look.len()
}

/// The top-level domain where a language is mostly written, as the detector wants it.
fn domain(language: &str) -> Option<String> {
    let domain = match language {
        "cs" => "cz",
        "da" => "dk",
        "el" => "gr",
        "et" => "ee",
        "fa" => "ir",
        "he" => "il",
        "ja" => "jp",
        "ko" => "kr",
        "nb" | "nn" => "no",
        "sl" => "si",
        "sr" => "rs",
        "sv" => "se",
        "uk" => "ua",
        "vi" => "vn",
        "zh" => "cn",
        "ar" => "sa",
        "en" => "com",
        other => other,
    };
    (domain.len() <= 3 && domain.bytes().all(|byte| byte.is_ascii_lowercase())).then(|| domain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GERMAN: &str = "1\n00:00:01,000 --> 00:00:02,000\nGrüße aus Köln, schöne Straße!\n";

    fn latin_1(text: &str) -> Vec<u8> {
        text.chars().map(|letter| u8::try_from(u32::from(letter)).expect("Latin-1")).collect()
    }

    fn utf_16(text: &str, little: bool) -> Vec<u8> {
        text.encode_utf16().flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
    }

    #[test]
    fn encodings_are_told_apart() {
        let marked = |mark: &[u8], bytes: Vec<u8>| [mark, &bytes].concat();
        for (name, bytes) in [
            ("UTF-8", GERMAN.as_bytes().to_vec()),
            ("UTF-8 with a mark", marked(b"\xef\xbb\xbf", GERMAN.into())),
            ("Latin-1", latin_1(GERMAN)),
            ("UTF-16 LE with a mark", marked(b"\xff\xfe", utf_16(GERMAN, true))),
            ("UTF-16 BE with a mark", marked(b"\xfe\xff", utf_16(GERMAN, false))),
            ("UTF-16 LE", utf_16(GERMAN, true)),
            ("UTF-16 BE", utf_16(GERMAN, false)),
            ("UTF-8 with zeros behind", marked(GERMAN.as_bytes(), vec![0; 3])),
        ] {
            for language in [None, Some("de"), Some("gsw")] {
                assert_eq!(decode(&bytes, language).as_deref(), Ok(GERMAN), "{name} {language:?}");
            }
        }
    }

    #[test]
    fn letters_of_windows_1252_and_others() {
        let with_quotes = b"1\n00:00:01,000 --> 00:00:02,000\n\x93It\x92s 5 \x80\x94 \x97 caf\xe9\n";
        assert!(decode(with_quotes, Some("en")).is_ok_and(|text| text.contains("“It’s 5 €” — café")));
        let russian = "Привет, как дела? Это хороший фильм о любви и дружбе.";
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode(russian);
        assert_eq!(decode(&bytes, Some("ru")).as_deref(), Ok(russian));
        let chinese = "1\n00:00:01,000 --> 00:00:02,000\n你好，世界。今天天氣很好\n";
        for encoding in [BIG5, GBK] {
            let (bytes, _, _) = encoding.encode(chinese);
            assert_eq!(decode(&bytes, Some("zh")).as_deref(), Ok(chinese), "{}", encoding.name());
        }
        let broken = "Grüße, schöne Straße, Äpfel, Öl, Übung, größer, süßer, blöd, für".as_bytes();
        let broken = [broken, b" \xff ", "später".as_bytes()].concat();
        assert!(decode(&broken, None).is_ok_and(|text| text.contains("Grüße") && text.contains("\u{fffd}")));
    }

    #[test]
    fn what_is_no_text() {
        let noise: Vec<u8> = (0..4096_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert_eq!(decode(&noise, None).expect_err("noise").kind, FaultKind::NotText);
        assert_eq!(decode(b"", None).as_deref(), Ok(""));
    }
}
