//! The cues of a track in presentation time: one WebVTT file as it is stored, and the segments that are cut out of it.

use std::ops::Range;

use super::clock;

/// A piece of text and when it is shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cue {
    /// When it appears, in milliseconds of presentation time.
    pub start_ms: u64,
    /// When it goes; later than `start_ms`.
    pub end_ms: u64,
    /// Where it stands: settings as WebVTT writes them (3.4), or nothing.
    pub settings: String,
    /// What is shown: cue text as WebVTT writes it (3.3), without blank lines.
    pub text: String,
}

/// All cues of a track. They are sorted by start, then by end; no two are alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    cues: Vec<Cue>,
}

impl Document {
    /// A document of these cues in any order. Those that are never shown, and doubles, are left out.
    pub fn new(mut cues: Vec<Cue>) -> Self {
        cues.retain(|cue| cue.start_ms < cue.end_ms && !cue.text.is_empty());
        // Stable, so that cues of one time keep their order.
        cues.sort_by_key(|cue| (cue.start_ms, cue.end_ms));
        let mut kept: Vec<Cue> = Vec::with_capacity(cues.len());
        for cue in cues {
            let same_time = kept.iter().rev().take_while(|other| (other.start_ms, other.end_ms) == (cue.start_ms, cue.end_ms)).take(16);
            if same_time.clone().all(|other| *other != cue) {
                kept.push(cue);
            }
        }
        Self { cues: kept }
    }

    /// Without what lies after `duration_ms`.
    #[must_use]
    pub fn within(mut self, duration_ms: u64) -> Self {
        self.cues.retain(|cue| cue.start_ms < duration_ms);
        self.cues.iter_mut().for_each(|cue| cue.end_ms = cue.end_ms.min(duration_ms));
        Self::new(self.cues)
    }

    /// The cues.
    pub fn cues(&self) -> &[Cue] {
        &self.cues
    }

    /// The whole as one WebVTT file. One form: equal documents give equal bytes.
    pub fn write(&self) -> String {
        let mut out = String::from("WEBVTT\n");
        self.cues.iter().for_each(|cue| write_cue(&mut out, cue));
        out
    }

    /// Reads back what [`Document::write`] wrote; absent for anything else.
    pub fn read(text: &str) -> Option<Self> {
        let mut cues = Vec::new();
        let mut blocks = text.strip_prefix("WEBVTT\n")?.split("\n\n");
        // Each cue has a line feed before it and one at its end, so the first block starts with one.
        let first = blocks.next()?;
        for block in std::iter::once(first.strip_prefix('\n').unwrap_or(first)).chain(blocks) {
            let block = block.strip_suffix('\n').unwrap_or(block);
            if block.is_empty() {
                continue;
            }
            let (timing, text) = block.split_once('\n')?;
            let (start, rest) = timing.split_once(" --> ")?;
            let (end, settings) = rest.split_once(' ').unwrap_or((rest, ""));
            let (start_ms, end_ms) = (clock::read(start)?, clock::read(end)?);
            cues.push(Cue { start_ms, end_ms, settings: settings.to_owned(), text: text.to_owned() });
        }
        let document = Self { cues };
        (document.write() == text).then_some(document)
    }

    /// The segment for a period in milliseconds: every cue that is shown in it, with its full times (RFC 8216bis 3.1.4). Media
    /// starts at zero, and so does the clock of the cues. A period without cues has a valid segment too.
    pub fn segment(&self, period_ms: Range<u64>) -> String {
        let mut out = String::from("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n");
        let shown = self.cues.iter().take_while(|cue| cue.start_ms < period_ms.end).filter(|cue| cue.end_ms > period_ms.start);
        shown.for_each(|cue| write_cue(&mut out, cue));
        // Some readers join segments before they read them.
        out.push('\n');
        out
    }
}

fn write_cue(out: &mut String, cue: &Cue) {
    let (start, end) = (clock::write(cue.start_ms), clock::write(cue.end_ms));
    let space = if cue.settings.is_empty() { "" } else { " " };
    out.push_str(&format!("\n{start} --> {end}{space}{}\n{}\n", cue.settings, cue.text));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn cue(start_ms: u64, end_ms: u64, text: &str) -> Cue {
        Cue { start_ms, end_ms, settings: String::new(), text: text.into() }
    }

    #[test]
    fn golden_segments() {
        let cues = vec![
            Cue { settings: "line:0".into(), ..cue(3500, 4500, "over the cut\ntwo lines") },
            cue(500, 1000, "first"),
            cue(9000, 9500, "late"),
        ];
        let document = Document::new(cues);
        let head = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n";
        let over = "\n00:00:03.500 --> 00:00:04.500 line:0\nover the cut\ntwo lines\n";
        assert_eq!(document.segment(0..4000), format!("{head}\n00:00:00.500 --> 00:00:01.000\nfirst\n{over}\n"));
        assert_eq!(document.segment(4000..8000), format!("{head}{over}\n"));
        assert_eq!(document.segment(4500..8000), format!("{head}\n"), "a cue that ends where the period starts is not in it");
        assert_eq!(document.segment(8000..9000), format!("{head}\n"), "nor one that starts where it ends");
    }

    #[test]
    fn what_is_after_the_end_is_cut_off() {
        let document =
            Document::new(vec![cue(0, 1000, "a"), cue(900, 5000, "b"), cue(2000, 3000, "c"), cue(2000, 2000, "never")]).within(2000);
        assert_eq!(document.cues(), [cue(0, 1000, "a"), cue(900, 2000, "b")]);
    }

    #[test]
    fn doubles_are_shown_once() {
        assert_eq!(Document::new(vec![cue(0, 9, "a"), cue(0, 9, "b"), cue(0, 9, "a")]).cues(), [cue(0, 9, "a"), cue(0, 9, "b")]);
    }

    #[test]
    fn only_its_own_form_is_read() {
        assert_eq!(Document::read("WEBVTT\n"), Some(Document::default()));
        for text in
            ["", "WEBVTT", "WEBVTT\n\n", "WEBVTT\n\nx\n", "WEBVTT\n\n00:01.000 --> 00:02.000\nx\n", "WEBVTT\n\n00:00:02.000 --> x\nx\n"]
        {
            assert_eq!(Document::read(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_document_is_read_back(times in proptest::collection::vec((0_u64..100_000, 0_u64..20_000), 0..40), cut in 1_u64..9000) {
            let cues = times.iter().map(|(start, length)| cue(*start, start + length, &format!("{start}\n{length}")));
            let document = Document::new(cues.collect());
            prop_assert_eq!(Document::read(&document.write()), Some(document.clone()));
            // Every cue is in exactly the periods that it touches.
            for number in 0..130_000 / cut {
                let period = number * cut..(number + 1) * cut;
                let text = document.segment(period.clone());
                let expect = document.cues().iter().filter(|cue| cue.start_ms < period.end && period.start < cue.end_ms);
                prop_assert_eq!(text.matches(" --> ").count(), expect.count());
                prop_assert!(text.starts_with("WEBVTT\nX-TIMESTAMP-MAP="));
            }
        }
    }
}
