//! Events of ASS, the form in which every decoder of text subtitles hands out cues, become plain cue text: italic, bold,
//! underline and the place are kept; colours, fonts, moves and drawings are not.

use super::cue_text::{CueText, Tag, TooLong};
use super::positions;

/// Fields before the text of an event: ReadOrder, Layer, Style, Name, MarginL, MarginR, MarginV, Effect.
const FIELDS_BEFORE: usize = 8;

/// Settings and text of an event; absent when nothing in it can be read.
pub(super) fn cue_of_event(event: &str) -> Result<Option<(String, String)>, TooLong> {
    let Some(text) = event.splitn(FIELDS_BEFORE + 1, ',').nth(FIELDS_BEFORE) else { return Ok(None) };
    let mut out = CueText::default();
    let mut overrides = Overrides::default();
    push(&mut out, &mut overrides, text);
    Ok(out.finish()?.map(|text| (overrides.settings(), text)))
}

/// What override blocks have said so far.
#[derive(Default)]
pub(super) struct Overrides {
    place: Option<u8>,
    drawing: bool,
}

impl Overrides {
    /// Where the cue stands, as settings of WebVTT.
    pub(super) fn settings(&self) -> String {
        self.place.map(positions::of_pad).unwrap_or_default()
    }

    /// Takes in a block: what stands between braces.
    pub(super) fn apply(&mut self, out: &mut CueText, block: &str) {
        for tag in block.split('\\').skip(1) {
            let tag = tag.trim();
            let number = |name: &str| tag.strip_prefix(name).and_then(|rest| rest.parse::<u32>().ok());
            if let Some(place) = number("an").filter(|place| (1..=9).contains(place)) {
                self.place.get_or_insert(place as u8);
            } else if let Some(place) = number("a").and_then(legacy_place) {
                self.place.get_or_insert(place);
            } else if let Some(level) = number("p") {
                self.drawing = level > 0;
            } else if let Some(on) = number("i") {
                out.set(Tag::ITALIC, on > 0);
            } else if let Some(weight) = number("b") {
                out.set(Tag::BOLD, weight == 1 || weight >= 600);
            } else if let Some(on) = number("u") {
                out.set(Tag::UNDERLINE, on > 0);
            } else if tag.starts_with('r') {
                out.clear_tags();
            } else {
                // Without a number: back to the style, which has none of them.
                match tag {
                    "i" => out.set(Tag::ITALIC, false),
                    "b" => out.set(Tag::BOLD, false),
                    "u" => out.set(Tag::UNDERLINE, false),
                    _ => {}
                }
            }
        }
    }
}

/// SSA counts 1 to 3 below, adds 4 above and 8 in the middle.
fn legacy_place(place: u32) -> Option<u8> {
    match place {
        1..=3 => Some(place as u8),
        5..=7 => Some(place as u8 + 2),
        9..=11 => Some(place as u8 - 5),
        _ => None,
    }
}

fn push(out: &mut CueText, overrides: &mut Overrides, text: &str) {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        match first {
            '{' => {
                if let Some(end) = rest.find('}') {
                    if !overrides.drawing {
                        out.push(&plain);
                    }
                    plain.clear();
                    overrides.apply(out, &rest[1..end]);
                    length = end + 1;
                } else {
                    plain.push('{');
                }
            }
            '\\' => {
                let next = rest.chars().nth(1);
                length += next.map_or(0, char::len_utf8);
                match next {
                    Some('N' | 'n') => plain.push('\n'),
                    Some('h') => plain.push('\u{a0}'),
                    Some(brace @ ('{' | '}')) => plain.push(brace),
                    // A word joiner keeps a backslash from meaning anything.
                    Some('\u{2060}') | None => plain.push('\\'),
                    Some(other) => plain.extend(['\\', other]),
                }
            }
            '\r' => {}
            letter => plain.push(letter),
        }
        rest = &rest[length..];
    }
    if !overrides.drawing {
        out.push(&plain);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    #[test]
    fn events_become_plain() {
        for (text, expect) in [
            ("Hello, world", Some(("", "Hello, world"))),
            (r"{\i1}one{\i0}\Ntwo, {\b1}three{\b0}", Some(("", "<i>one</i>\ntwo, <b>three</b>"))),
            (r"{\an8}above", Some(("line:0", "above"))),
            (r"{\a6\c&H0000FF&\fs20}above", Some(("line:0", "above"))),
            (r"{\pos(100,200)\an7\fad(200,200)}corner", Some(("line:0 align:left", "corner"))),
            (r"{\p1}m 0 0 l 100 0 100 100{\p0}", None),
            (r"{\p1}m 0 0 l 9 9{\p0}sign", Some(("", "sign"))),
            (r"{\k20}ka{\k30}ra{\kf10}oke", Some(("", "karaoke"))),
            (r"{a comment}said", Some(("", "said"))),
            (r"{\i1}open", Some(("", "<i>open</i>"))),
            (r"{\i1}a{\r}b", Some(("", "<i>a</i>b"))),
            (r"{\b700}bold{\b400}not", Some(("", "<b>bold</b>not"))),
            (r"hard\hspace \{brace\} C:\dir", Some(("", "hard\u{a0}space {brace} C:\\dir"))),
            (r"a < b & c", Some(("", "a &lt; b &amp; c"))),
            ("unclosed {brace", Some(("", "unclosed {brace"))),
            ("", None),
        ] {
            let found = cue_of_event(&format!("0,0,Default,,0,0,0,,{text}")).expect("short");
            assert_eq!(found.as_ref().map(|(settings, text)| (settings.as_str(), text.as_str())), expect, "{text}");
        }
        assert_eq!(cue_of_event("too,few,fields"), Ok(None));
    }

    proptest! {
        #[test]
        fn no_event_panics(text in "(\\{|\\}|\\\\[a-zN0-9]{0,3}|\\PC|,|<|>){0,40}") {
            if let Ok(Some((_, text))) = cue_of_event(&format!("0,0,Default,,0,0,0,,{text}")) {
                prop_assert!(!text.contains("-->") && text.lines().all(|line| !line.trim().is_empty()));
            }
        }
    }
}
