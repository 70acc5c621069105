//! `Content-Disposition` of files to take away: under which name they are kept (RFC 6266, RFC 8187).

use std::fmt::Write;

use crate::title::{Download, TrackId};

/// Most bytes of a title's name in a file's name; file systems take 255 in all.
const STEM_BYTES_MAX: usize = 180;

/// Ends of names that people give uploads, which say nothing of what is taken away.
const EXTENSIONS: [&str; 28] = [
    "3gp", "aac", "ac3", "aif", "aiff", "asf", "avi", "caf", "flac", "flv", "m2ts", "m4a", "m4v", "mkv", "mov", "mp3", "mp4", "mpeg",
    "mpg", "mts", "mxf", "ogg", "ogv", "opus", "ts", "wav", "webm", "wmv",
];

/// The field's value for a file of a title of that name: always to be kept, under the title's name and what is in it.
///
/// The name in quotes is for those who know no other: ASCII alone, with `_` for the rest. That it holds no `%` and no `\` keeps
/// browsers from reading it each in their own way (RFC 6266 D).
pub fn attachment(title_name: &str, file: Download) -> String {
    let (part, extension) = match file {
        Download::Film(name) => (Some(name.as_str().to_owned()), "mp4"),
        Download::Sound(0) => (None, "m4a"),
        Download::Sound(index) => (Some(TrackId::audio(index).to_string()), "m4a"),
    };
    let mut name = stem(title_name);
    if let Some(part) = part {
        if !name.is_empty() {
            name.push(' ');
        }
        name.push_str(&part);
    }
    if name.is_empty() {
        name.push_str("sound");
    }
    name.push('.');
    name.push_str(extension);
    let plain: String = name.chars().map(|c| if c.is_ascii() && c != '%' { c } else { '_' }).collect();
    if plain == name {
        return format!("attachment; filename=\"{plain}\"");
    }
    let mut extended = String::with_capacity(name.len() * 3);
    for byte in name.bytes() {
        if is_attribute_char(byte) {
            extended.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(extended, "%{byte:02X}");
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{extended}")
}

/// `attr-char` of RFC 8187 3.2.1.
fn is_attribute_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte)
}

/// A title's name as the beginning of a file's name on any system: without the extension of an upload; nothing that separates
/// paths, is reserved, or cannot be seen; not hidden, not too long. May be empty.
fn stem(title_name: &str) -> String {
    let trimmed = title_name.trim();
    let bare = match trimmed.rsplit_once('.') {
        Some((stem, end)) if EXTENSIONS.contains(&end.to_ascii_lowercase().as_str()) => stem,
        _ => trimmed,
    };
    let safe = bare.chars().map(|c| match c {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
        c if c.is_control() || is_unseen(c) => '_',
        c if c.is_whitespace() => ' ',
        c => c,
    });
    let mut name = String::new();
    for c in safe {
        if name.len() + c.len_utf8() > STEM_BYTES_MAX {
            break;
        }
        name.push(c);
    }
    name.trim_matches(|c: char| c == '.' || c == ' ').to_owned()
}

/// Marks that are not seen, among them those that turn the direction of what follows, so that a name looks like another one.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use percent_encoding::percent_decode_str;
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    fn film() -> Download {
        Download::parse("720p.mp4").expect("a file")
    }

    #[test]
    fn names() {
        for (title, expect) in [
            ("film.mov", "attachment; filename=\"film 720p.mp4\""),
            ("Dr. No", "attachment; filename=\"Dr. No 720p.mp4\""),
            ("Mr.Bean", "attachment; filename=\"Mr.Bean 720p.mp4\""),
            ("a/b\\c:\"d\"\r\n.MP4", "attachment; filename=\"a_b_c__d___ 720p.mp4\""),
            ("../../etc/passwd", "attachment; filename=\"_.._etc_passwd 720p.mp4\""),
            (" .. ", "attachment; filename=\"720p.mp4\""),
            ("", "attachment; filename=\"720p.mp4\""),
            ("50% off; x=y", "attachment; filename=\"50_ off; x=y 720p.mp4\"; filename*=UTF-8''50%25%20off%3B%20x%3Dy%20720p.mp4"),
            ("Ängste €", "attachment; filename=\"_ngste _ 720p.mp4\"; filename*=UTF-8''%C3%84ngste%20%E2%82%AC%20720p.mp4"),
            ("evil\u{202e}4pm.exe", "attachment; filename=\"evil_4pm.exe 720p.mp4\""),
        ] {
            assert_eq!(attachment(title, film()), expect);
        }
        assert_eq!(attachment("song.flac", Download::Sound(0)), "attachment; filename=\"song.m4a\"");
        assert_eq!(attachment("song.flac", Download::Sound(2)), "attachment; filename=\"song a2.m4a\"");
        assert_eq!(attachment("", Download::Sound(0)), "attachment; filename=\"sound.m4a\"");
    }

    proptest! {
        #[test]
        fn any_name_gives_a_field_and_a_file_s_name(title in "\\PC{0,300}|[\\x00-\\x7f]{0,300}") {
            let value = attachment(&title, film());
            prop_assert!(HeaderValue::from_str(&value).is_ok() && value.is_ascii(), "{value}");
            let quoted = value.strip_prefix("attachment; filename=\"").and_then(|rest| rest.split_once('"')).map(|(name, _)| name);
            let extended = value.split_once("filename*=UTF-8''").map(|(_, name)| percent_decode_str(name).decode_utf8_lossy().into_owned());
            for name in quoted.map(str::to_owned).into_iter().chain(extended) {
                prop_assert!(name.ends_with("720p.mp4") && name.len() <= 255 && !name.starts_with('.'), "{name}");
                prop_assert!(!name.contains(['/', '\\', '\0', '\r', '\n']), "{name}");
            }
            prop_assert!(quoted.is_some());
        }
    }
}
