//! Files of subtitles that people add to a title: SubRip or WebVTT in any usual encoding. Read as forgivingly as can be without
//! guessing; where nothing can be made of it, the fault names the line.

use super::cue_text::Dialect;
use super::document::Document;
use super::scan::{self, shown};
use super::{CUES_MAX, Fault, FaultKind, clock, encoding};

/// What is taken of one file at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes_max: usize,
    /// Its lines.
    pub lines_max: usize,
    /// Its cues.
    pub cues_max: usize,
}

impl Limits {
    /// Limits for files of `bytes_max` bytes.
    pub fn of_bytes(bytes_max: usize) -> Self {
        Self { bytes_max, lines_max: CUES_MAX * 12, cues_max: CUES_MAX }
    }
}

/// Reads a side-car for a title that lasts `duration_ms`. Its times are those of the presentation. `language` is a primary
/// language subtag, which helps to tell old encodings apart.
///
/// # Errors
/// A [`Fault`] with the line, where there is one.
pub fn read(bytes: &[u8], language: Option<&str>, duration_ms: u64, limits: &Limits) -> Result<Document, Fault> {
    if bytes.len() > limits.bytes_max {
        return Err(Fault::whole(FaultKind::TooLarge, format!("at most {} bytes are taken", limits.bytes_max)));
    }
    let text = encoding::decode(bytes, language)?;
    // Some editors end a file with Ctrl-Z.
    let text = text.trim_start_matches('\u{feff}').trim_end_matches('\u{1a}');
    let lines = lines(text, limits)?;
    let Some(first) = lines.iter().position(|line| !line.trim().is_empty()) else {
        return Err(Fault::whole(FaultKind::NoCues, "the file is empty"));
    };
    let dialect = dialect(lines[first], first)?;
    let cues = scan::cues(&lines, dialect, limits)?;
    if cues.is_empty() && dialect == Dialect::SubRip {
        let message = format!("there is no cue from '{}' on: expected a time such as {}", shown(lines[first]), clock::EXAMPLE);
        return Err(Fault::at(FaultKind::NoCues, first, message));
    }
    let had_cues = !cues.is_empty();
    let document = Document::new(cues).within(duration_ms);
    if had_cues && document.cues().is_empty() {
        let message = format!("no cue lies within the title, which lasts {}", clock::write(duration_ms));
        return Err(Fault::whole(FaultKind::BeyondTheEnd, message));
    }
    Ok(document)
}

/// Lines ended by CR LF, LF or CR.
fn lines<'a>(text: &'a str, limits: &Limits) -> Result<Vec<&'a str>, Fault> {
    let mut lines = Vec::new();
    let mut rest = text;
    loop {
        if lines.len() >= limits.lines_max {
            return Err(Fault::at(FaultKind::TooManyLines, lines.len(), format!("at most {} lines are taken", limits.lines_max)));
        }
        let Some(end) = rest.find(['\r', '\n']) else {
            lines.push(rest);
            return Ok(lines);
        };
        lines.push(&rest[..end]);
        rest = &rest[end..];
        rest = rest.strip_prefix("\r\n").unwrap_or(rest.get(1..).unwrap_or_default());
    }
}

/// Which format a file is in whose first line with anything in it is `line`.
fn dialect(line: &str, index: usize) -> Result<Dialect, Fault> {
    let line = line.trim_start();
    if line.strip_prefix("WEBVTT").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return Ok(Dialect::WebVtt);
    }
    let lower = line.to_ascii_lowercase();
    let other = [
        ("[script info]", "an ASS script"),
        ("<?xml", "XML, perhaps TTML"),
        ("<tt", "TTML"),
        ("<sami", "SAMI"),
        ("<!doctype", "a web page"),
        ("<html", "a web page"),
        ("{\\rtf", "RTF"),
        ("{1}", "MicroDVD"),
        ("{0}", "MicroDVD"),
        ("#extm3u", "a playlist"),
        ("scenarist_scc", "SCC captions"),
        ("%pdf", "PDF"),
    ];
    match other.iter().find(|(start, _)| lower.starts_with(start)) {
        Some((_, what)) => {
            let message = format!("this is {what}: expected a SubRip (.srt) or WebVTT (.vtt) file; most editors can save as one");
            Err(Fault::at(FaultKind::OtherFormat, index, message))
        }
        None => Ok(Dialect::SubRip),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn limits() -> Limits {
        Limits::of_bytes(4 << 20)
    }

    /// Start, end, settings and text.
    type Row = (u64, u64, String, String);

    fn parse(text: &str) -> Result<Vec<Row>, (FaultKind, Option<u32>)> {
        let document = read(text.as_bytes(), None, 36_000_000, &limits()).map_err(|fault| (fault.kind, fault.line))?;
        Ok(document.cues().iter().map(|cue| (cue.start_ms, cue.end_ms, cue.settings.clone(), cue.text.clone())).collect())
    }

    fn check(text: &str, expect: &[(u64, u64, &str, &str)]) {
        let expect: Vec<_> =
            expect.iter().map(|(start, end, settings, text)| (*start, *end, (*settings).to_owned(), (*text).to_owned())).collect();
        assert_eq!(parse(text), Ok(expect), "{text:?}");
    }

    const ONE: (u64, u64, &str, &str) = (1000, 2000, "", "One");
    const TWO: (u64, u64, &str, &str) = (3000, 4000, "", "Two");

    #[test]
    fn sloppy_subrip_is_read() {
        for text in [
            "1\n00:00:01,000 --> 00:00:02,000\nOne\n\n2\n00:00:03,000 --> 00:00:04,000\nTwo\n\n",
            "1\r\n00:00:01,000 --> 00:00:02,000\r\nOne\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\nTwo",
            "1\r00:00:01,000 --> 00:00:02,000\rOne\r\r2\r00:00:03,000 --> 00:00:04,000\rTwo",
            "00:00:01,000 --> 00:00:02,000\nOne\n\n00:00:03,000 --> 00:00:04,000\nTwo\n",
            "00:01.000 --> 00:02.000\nOne\n00:03.000 --> 00:04.000\nTwo\n",
            "7\n0:00:01,0-->0:00:02,0\nOne\n7\n0:00:03->0:00:04\nTwo\n",
            "\u{feff}\n\n\n1\n\n00:00:01,000 --> 00:00:02,000\n\nOne\n\n\n2\n\n00:00:03,000 --> 00:00:04,000   \n Two \n",
            "2\n00:00:03,000 --> 00:00:04,000\nTwo\n\n1\n00:00:01,000 --> 00:00:02,000\nOne\n",
            "1\n00:00:01,000 --> 00:00:02,000  X1:40 X2:600 Y1:20 Y2:50\nO\0ne\n\n2\n00:00:03,000 --> 00:00:04,000\nTwo\n\n\u{1a}",
            "Subtitles by somebody\n\n1\n00:00:01,000 --> 00:00:02,000\nOne\n\n2\n00:00:03,000 --> 00:00:04,000\nTwo\n\nthe end of the file, not of the film\n",
            "1\n00:00:01,000 --> 00:00:02,000\nOne\n\n2\n00:00:03,000 --> 00:00:04,000\nTwo\n\n3\n00:00:05,000 --> 00:00:06,000\n\n",
            "1\n00:00:01,000 --> 00:00:02,000\nOne\n\n2\n00:00:03,000 --> 00:00:04,000\nTwo\n\n3\n00:00:05,000 --> 00:00:05,000\nnever seen\n",
        ] {
            check(text, &[ONE, TWO]);
        }
    }

    #[test]
    fn texts_of_subrip() {
        check("1\n00:00:01,000 --> 00:00:02,000\n{\\an8}<i>One\nmore</i>\n", &[(1000, 2000, "line:0", "<i>One\nmore</i>")]);
        check(
            "1\n00:00:01,000 --> 00:00:02,000\nfirst\n\nsecond\n\n2\n00:00:03,000 --> 00:00:04,000\nTwo",
            &[(1000, 2000, "", "first\nsecond"), TWO],
        );
        check("1\n00:00:01,000 --> 00:00:02,000\n-->\n42\n\n2\n00:00:03,000 --> 00:00:04,000\nTwo", &[(1000, 2000, "", "--&gt;\n42"), TWO]);
        check("1\n00:00:01,000 --> 00:00:02,000\nfrom 3 --> 4 and 5 -> 6\n", &[(1000, 2000, "", "from 3 --&gt; 4 and 5 -&gt; 6")]);
        check("1\n00:00:01,000 --> 00:00:03,500\nOne\n\n2\n00:00:03,000 --> 00:00:04,000\nTwo", &[(1000, 3500, "", "One"), TWO]);
    }

    #[test]
    fn webvtt_is_read() {
        let text = "\u{feff}WEBVTT - a title\nKind: captions\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\n\
            NOTE a comment\n00:00:09.000 --> 00:00:10.000\nstill a comment\n\n\
            STYLE\n::cue { color: red }\n\nREGION\nid:fred width:40%\n\n\
            intro\n00:01.000 --> 00:02.000 align:start region:fred\n<v Ann>One &amp; <b>all\n\n\
            NOTE again\n\n00:00:03.000 --> 00:00:04.000\nTwo\n";
        check(text, &[(1000, 2000, "align:start", "<v Ann>One &amp; <b>all</b></v>"), TWO]);
        check("WEBVTT\n00:01.000 --> 00:02.000\nOne\n00:03.000 --> 00:04.000\nTwo\n\nNOTE the end", &[ONE, TWO]);
        check("WEBVTT\n\n1\n00:00:01,000 --> 00:00:02,000\nOne\n\nsecond\n00:03.000 --> 00:04.000\nTwo", &[ONE, TWO]);
        check("WEBVTT", &[]);
    }

    #[test]
    fn faults_name_their_line() {
        use FaultKind::{BadTime, BeyondTheEnd, EndsBeforeStart, NoCues, OtherFormat};
        for (text, expect) in [
            ("", (NoCues, None)),
            ("\n \n", (NoCues, None)),
            ("\nhello\nworld\n", (NoCues, Some(2))),
            ("1\n00:00:01,000 --> 00:00:0x,000\nOne\n", (BadTime, Some(2))),
            ("1\n00:00:01,000 --> 00:00:02,000\nOne\n\n2\n00:00:71,000 --> 00:00:72,000\nTwo", (BadTime, Some(6))),
            (
                "1\r\n00:00:01,000 --> 00:00:02,000\r\nOne\r\n\r\n2\r\n00:00:03,000\r\nTwo\r\n\r\n3\r\n00:00:05,000 --> 00:00:06,000\r\nx",
                (BadTime, Some(6)),
            ),
            ("1\n00:00:03,000 --> 00:00:02,000\nOne\n", (EndsBeforeStart, Some(2))),
            ("WEBVTT\n\n00:03.000 --> 00:02.000\nOne\n", (EndsBeforeStart, Some(3))),
            ("1\n11:00:03,000 --> 11:00:04,000\nOne\n", (BeyondTheEnd, None)),
            ("[Script Info]\nTitle: x\n", (OtherFormat, Some(1))),
            ("<?xml version=\"1.0\"?><tt/>", (OtherFormat, Some(1))),
            ("{1}{25}Hello", (OtherFormat, Some(1))),
        ] {
            assert_eq!(parse(text), Err(expect), "{text:?}");
        }
        let fault = read(b"1\n00:00:01,000 --> 00:00:0x,000\nOne\n", None, 9000, &limits()).expect_err("a fault");
        assert_eq!(
            fault.to_string(),
            "line 2: '00:00:01,000 --> 00:00:0x,000' is no time of a cue: expected one such as 00:01:02,500 --> 00:01:04,000"
        );
    }

    #[test]
    fn limits_have_names() {
        let many = |count: usize| "1\n00:00:01,000 --> 00:00:02,000\nx\n\n".repeat(count);
        let small = Limits { bytes_max: 1000, lines_max: 40, cues_max: 3 };
        let kind = |text: &str, limits: &Limits| read(text.as_bytes(), None, 9000, limits).map_err(|fault| (fault.kind, fault.line)).err();
        assert_eq!(kind(&many(3), &small), None);
        assert_eq!(kind(&many(4), &small), Some((FaultKind::TooManyCues, Some(14))));
        assert_eq!(kind(&"\n".repeat(41), &small), Some((FaultKind::TooManyLines, Some(41))));
        assert_eq!(kind(&"x".repeat(1001), &small), Some((FaultKind::TooLarge, None)));
        let long = format!("\n00:00:01,000 --> 00:00:02,000\n{}\n", "é".repeat(5000));
        assert_eq!(kind(&long, &limits()), Some((FaultKind::CueTooLong, Some(2))));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes, None, 60_000, &limits());
        }

        #[test]
        fn whatever_is_read_is_written_and_read_back(text in "(WEBVTT\n)?((\n|\r\n|\r|[0-9]{1,2}\n|0:0[0-9](:0[0-9])?[,.][0-9]{1,3} ?--?> ?00:1[0-9],5[ a-z:]{0,9}|<[/ibv .]{1,4}>|\\{\\\\an[0-9]\\}|NOTE|\\PC|-->|\0|&amp;|\u{feff})){0,60}") {
            if let Ok(document) = read(text.as_bytes(), None, 60_000, &limits()) {
                let written = document.write();
                prop_assert_eq!(Document::read(&written), Some(document.clone()), "{}", &written);
                prop_assert!(document.cues().iter().all(|cue| cue.end_ms <= 60_000 && cue.start_ms < cue.end_ms));
                prop_assert_eq!(read(written.as_bytes(), None, 60_000, &limits()), Ok(document), "{}", written);
            }
        }
    }
}
