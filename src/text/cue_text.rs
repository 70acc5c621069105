//! The text of a cue in the form of WebVTT (3.3): tags closed in order, `&`, `<` and `>` escaped, no blank line in it.

use super::CUE_TEXT_BYTES_MAX;

/// Tags open at once; more are passed over.
const DEPTH_MAX: usize = 16;
/// Bytes within a tag's brackets; what is longer is no tag.
const TAG_BYTES_MAX: usize = 512;

/// A tag that cue texts keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// `i`, `b`, `u`, `c`, `v`, `lang`, `ruby` or `rt`.
    name: &'static str,
    /// Classes with their points, and an annotation with the space before it; escaped.
    rest: String,
}

impl Tag {
    pub(super) const ITALIC: Self = Self::plain("i");
    pub(super) const BOLD: Self = Self::plain("b");
    pub(super) const UNDERLINE: Self = Self::plain("u");

    const fn plain(name: &'static str) -> Self {
        Self { name, rest: String::new() }
    }
}

/// Writes the text of a cue piece by piece. Tags and line ends are only written once text follows them.
#[derive(Default)]
pub(super) struct CueText {
    out: String,
    /// Tags that what comes next stands in.
    wanted: Vec<Tag>,
    /// Tags open in `out`.
    open: Vec<Tag>,
    /// White space since the last visible letter of the line.
    space: String,
    line_ends: bool,
    too_long: bool,
}

impl CueText {
    /// Adds plain text; a line feed in it ends the line.
    pub(super) fn push(&mut self, text: &str) {
        for (index, line) in text.split('\n').enumerate() {
            self.line_ends |= index > 0 && !self.out.is_empty();
            if index > 0 {
                self.space.clear();
            }
            self.push_line(line);
        }
    }

    fn push_line(&mut self, text: &str) {
        for letter in text.chars() {
            if letter.is_whitespace() {
                self.space.push(if letter == '\t' || letter.is_control() { ' ' } else { letter });
                continue;
            }
            // U+FEFF in the middle is a byte order mark that somebody pasted.
            if letter.is_control() || letter == '\u{feff}' {
                continue;
            }
            if self.out.len() > CUE_TEXT_BYTES_MAX {
                self.too_long = true;
                return;
            }
            self.settle();
            match letter {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                letter => self.out.push(letter),
            }
        }
    }

    /// Opens a tag, or ends the innermost one of its name.
    pub(super) fn set(&mut self, tag: Tag, on: bool) {
        let place = self.wanted.iter().rposition(|other| other.name == tag.name);
        let nests = matches!(tag.name, "c" | "v" | "lang");
        match (on, place) {
            (true, place) if (place.is_none() || nests) && self.wanted.len() < DEPTH_MAX => self.wanted.push(tag),
            (false, Some(place)) => drop(self.wanted.remove(place)),
            _ => {}
        }
    }

    /// Ends every tag.
    pub(super) fn clear_tags(&mut self) {
        self.wanted.clear();
    }

    /// Writes what stands between the last letter and the next: ends of tags, the line's end or space, new tags.
    fn settle(&mut self) {
        let same = self.open.iter().zip(&self.wanted).take_while(|(open, wanted)| open == wanted).count();
        while self.open.len() > same {
            if let Some(tag) = self.open.pop() {
                self.out.push_str(&format!("</{}>", tag.name));
            }
        }
        if self.line_ends {
            self.out.push('\n');
        } else if !self.out.is_empty() {
            self.out.push_str(&self.space);
        }
        self.line_ends = false;
        self.space.clear();
        for tag in &self.wanted[same..] {
            self.out.push_str(&format!("<{}{}>", tag.name, tag.rest));
            self.open.push(tag.clone());
        }
    }

    /// The text; absent when nothing in it is visible.
    pub(super) fn finish(mut self) -> Result<Option<String>, TooLong> {
        self.wanted.clear();
        while let Some(tag) = self.open.pop() {
            self.out.push_str(&format!("</{}>", tag.name));
        }
        if self.too_long || self.out.len() > CUE_TEXT_BYTES_MAX {
            return Err(TooLong);
        }
        Ok((!self.out.is_empty()).then_some(self.out))
    }
}

/// The text has more than [`CUE_TEXT_BYTES_MAX`] bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// How tags and escapes in a text are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// SubRip: some HTML, what is no known tag is text.
    SubRip,
    /// WebVTT: what is no known tag is passed over.
    WebVtt,
}

/// Adds text with tags, as `dialect` has them.
pub(super) fn push_marked(out: &mut CueText, dialect: Dialect, text: &str) {
    let mut rest = text;
    let mut plain = String::new();
    while let Some(at) = rest.find(['<', '&']) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((letter, length)) = escape(rest) {
            plain.push(letter);
            rest = &rest[length..];
        } else if let Some((inner, length)) = tag_at(rest, dialect) {
            out.push(&std::mem::take(&mut plain));
            apply(out, inner);
            rest = &rest[length..];
        } else {
            plain.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    plain.push_str(rest);
    out.push(&plain);
}

/// The letter of an escape at the start, and how many bytes it takes.
fn escape(text: &str) -> Option<(char, usize)> {
    let end = text.bytes().take(12).position(|byte| byte == b';')?;
    let name = text.get(1..end).filter(|_| text.starts_with('&'))?;
    let letter = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "lrm" => '\u{200e}',
        "rlm" => '\u{200f}',
        _ => {
            let number = name.strip_prefix('#')?;
            let value = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(value)?
        }
    };
    Some((letter, end + 1))
}

/// What is between the brackets of a tag at the start, and how many bytes the whole takes.
fn tag_at(text: &str, dialect: Dialect) -> Option<(&str, usize)> {
    let inner = text.strip_prefix('<')?;
    let end =
        inner.bytes().take(TAG_BYTES_MAX).position(|byte| byte == b'>' || byte == b'<').filter(|end| inner.as_bytes()[*end] == b'>')?;
    let inner = &inner[..end];
    let known = match dialect {
        Dialect::WebVtt => true,
        Dialect::SubRip => HTML.contains(&name_of(inner).to_ascii_lowercase().as_str()),
    };
    known.then_some((inner, end + 2))
}

/// Tags that are seen in SubRip files.
const HTML: [&str; 14] = ["i", "b", "u", "em", "strong", "font", "span", "s", "strike", "br", "p", "div", "c", "v"];

fn name_of(inner: &str) -> &str {
    let inner = inner.trim_start_matches('/');
    let end = inner.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(inner.len());
    &inner[..end]
}

fn apply(out: &mut CueText, inner: &str) {
    let (is_end, name) = (inner.starts_with('/'), name_of(inner).to_ascii_lowercase());
    let name = match name.as_str() {
        "i" | "em" => "i",
        "b" | "strong" => "b",
        "u" => "u",
        "c" => "c",
        "v" => "v",
        "lang" => "lang",
        "ruby" => "ruby",
        "rt" => "rt",
        "br" => return out.push("\n"),
        _ => return,
    };
    let rest = if is_end { "" } else { inner.get(name_of(inner).len()..).unwrap_or_default() };
    let (classes, annotation) = rest.split_once([' ', '\t', '\n']).unwrap_or((rest, ""));
    let mut kept: String = classes.split('.').filter(|class| is_class(class)).map(|class| format!(".{class}")).collect();
    let annotation = escaped(annotation).split_whitespace().collect::<Vec<_>>().join(" ");
    if matches!(name, "v" | "lang") && !annotation.is_empty() {
        kept.push(' ');
        kept.push_str(&annotation);
    }
    // With the bracket behind them, hyphens would be an arrow; and a point without a class behind it says nothing.
    kept.truncate(kept.trim_end_matches(['-', ' ', '.']).len());
    // Without what it says, it says nothing.
    if !is_end && matches!(name, "c" | "v" | "lang") && kept.is_empty() {
        return out.set(Tag::plain(name), false);
    }
    out.set(Tag { name, rest: kept }, !is_end);
}

fn is_class(class: &str) -> bool {
    (1..=32).contains(&class.len()) && class.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// An annotation, unescaped if it was escaped, escaped again.
fn escaped(annotation: &str) -> String {
    let mut out = String::new();
    let mut rest = annotation;
    while let Some(first) = rest.chars().next() {
        let (letter, length) = escape(rest).unwrap_or((first, first.len_utf8()));
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            letter if letter.is_control() || letter.is_whitespace() => out.push(' '),
            letter => out.push(letter),
        }
        rest = &rest[length..];
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn marked(dialect: Dialect, text: &str) -> Option<String> {
        let mut out = CueText::default();
        push_marked(&mut out, dialect, text);
        out.finish().expect("short enough")
    }

    #[test]
    fn html_of_subrip() {
        for (text, expect) in [
            ("<i>Hello</i> world", Some("<i>Hello</i> world")),
            ("<I>upper</I> <EM>em</EM>", Some("<i>upper em</i>")),
            ("<font color=\"#ff0000\">red</font>", Some("red")),
            ("<b><i>crossed</b></i>", Some("<b><i>crossed</i></b>")),
            ("<b>one<i>two</b>three</i>", Some("<b>one<i>two</i></b><i>three</i>")),
            ("<i>open\nstill", Some("<i>open\nstill</i>")),
            ("</i>stray</b>", Some("stray")),
            ("<i>\nlines\n</i>", Some("<i>lines</i>")),
            ("1 < 2 & 3 > 2", Some("1 &lt; 2 &amp; 3 &gt; 2")),
            ("I <3 you --> me", Some("I &lt;3 you --&gt; me")),
            ("<shouting> no", Some("&lt;shouting&gt; no")),
            ("&lt;i&gt; &amp;amp; &nbsp;x &#233; &bogus;", Some("&lt;i&gt; &amp;amp; \u{a0}x é &amp;bogus;")),
            ("one<br/>two<BR>three", Some("one\ntwo\nthree")),
            ("a\n\n \nb", Some("a\nb")),
            ("  padded  ", Some("padded")),
            ("nul\0 bell\u{7} tab\there", Some("nul bell tab here")),
            ("<i> </i>", None),
            ("\u{feff}", None),
            ("", None),
        ] {
            assert_eq!(marked(Dialect::SubRip, text).as_deref(), expect, "{text:?}");
        }
    }

    #[test]
    fn tags_of_webvtt() {
        for (text, expect) in [
            ("<v Roger Bingham>We are", Some("<v Roger Bingham>We are</v>")),
            ("<v.loud Mary>hi</v>", Some("<v.loud Mary>hi</v>")),
            ("<v -->x</v> <v A&amp;B>y", Some("x <v A&amp;B>y</v>")),
            ("<c.yellow.bg_blue>y</c> <c>plain</c>", Some("<c.yellow.bg_blue>y</c> plain")),
            ("<00:00:01.000>ka<00:00:02.000>ra", Some("kara")),
            ("<lang en-GB>colour</lang>", Some("<lang en-GB>colour</lang>")),
            ("<ruby>漢<rt>kan</rt></ruby>", Some("<ruby>漢<rt>kan</rt></ruby>")),
            ("<bogus>x</bogus>", Some("x")),
            ("<i.foo>x</i>", Some("<i.foo>x</i>")),
            ("a < b", Some("a &lt; b")),
        ] {
            assert_eq!(marked(Dialect::WebVtt, text).as_deref(), expect, "{text:?}");
        }
    }

    #[test]
    fn endless_text_is_refused() {
        let mut out = CueText::default();
        out.push(&"x".repeat(CUE_TEXT_BYTES_MAX * 4));
        assert_eq!(out.finish(), Err(TooLong));
        let mut out = CueText::default();
        push_marked(&mut out, Dialect::WebVtt, &"<c.x>y".repeat(200));
        assert!(out.finish().is_ok_and(|text| text.is_some_and(|text| text.matches("<c.x>").count() == DEPTH_MAX)));
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_valid_one_that_stays(text in "(<[/ibuvc.]{0,3}[ a>]|[&<>]|amp;|-->|\\PC|\n| |\0|\t|\r){0,60}") {
            for dialect in [Dialect::SubRip, Dialect::WebVtt] {
                let Some(first) = marked(dialect, &text) else { continue };
                prop_assert!(!first.contains("-->"), "{first:?}");
                prop_assert!(first.lines().all(|line| !line.trim().is_empty()), "{first:?}");
                prop_assert!(first.chars().all(|letter| letter == '\n' || !letter.is_control()), "{first:?}");
                prop_assert_eq!(marked(Dialect::WebVtt, &first), Some(first.clone()), "from {:?}", text);
            }
        }
    }
}
