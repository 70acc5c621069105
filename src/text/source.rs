//! The subtitles in a source become text tracks: what the survey decoded is brought to presentation time and to WebVTT.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::ass;
use super::document::{Cue, Document};
use super::tracks::{TEXT_TRACKS_MAX, free_name, placed, usual_name};
use crate::title::{
    ContentHash, Generation, LanguageTag, Plan, Ratio, Remark, RemarkCode, SourceFacts, SubtitleFacts, SubtitleForm, TextKind, TextOrigin,
    TextTrack, TimeBase,
};

/// The text of one subtitle stream, in the time of the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceText {
    /// Index of the stream in the container.
    pub stream: u32,
    /// Length of a tick.
    pub time_base: TimeBase,
    /// Its cues as they came.
    pub cues: Vec<SourceCue>,
}

/// A cue as a decoder gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCue {
    /// When it appears, in ticks.
    pub start_ticks: i64,
    /// How long it stays, in ticks; absent when the source does not say.
    pub duration_ticks: Option<i64>,
    /// An event of ASS without its times, the form in which all decoders of text give it.
    pub event: String,
}

/// A cue without an end stays until the next one, but not longer than this.
const ENDLESS_MS: i128 = 6000;

/// The text tracks of a title's first generation, each with its document, and what is to be told of them.
pub fn convert(facts: &SourceFacts, texts: &[SourceText], plan: &Plan) -> (Vec<TextTrack>, Vec<(ContentHash, Bytes)>, Vec<Remark>) {
    let mut converted = Converted::default();
    for subtitle in facts.subtitles() {
        let text = texts.iter().find(|text| text.stream == subtitle.stream);
        converted.take(subtitle, text, plan);
    }
    let Converted { mut tracks, documents, mut remarks, left_out, pictures } = converted;
    if pictures > 0 {
        let message = format!(
            "The source has {} of subtitles that are pictures, which players of HLS do not show. Add them as text files instead.",
            counted(pictures as u64, "track")
        );
        remarks.push(Remark::new(RemarkCode::BitmapSubtitles, message));
    }
    if left_out > 0 {
        let message = format!(
            "The source has {} of subtitles beyond the limit or without anything that can be shown. What is there was left out.",
            counted(left_out as u64, "track")
        );
        remarks.push(Remark::new(RemarkCode::StreamIgnored, message));
    }
    one_default(&mut tracks);
    (placed(tracks, Generation::FIRST), documents, remarks)
}

#[derive(Default)]
struct Converted {
    tracks: Vec<TextTrack>,
    documents: Vec<(ContentHash, Bytes)>,
    remarks: Vec<Remark>,
    left_out: usize,
    pictures: usize,
}

impl Converted {
    fn take(&mut self, facts: &SubtitleFacts, text: Option<&SourceText>, plan: &Plan) {
        if facts.form == SubtitleForm::Bitmap {
            self.pictures += 1;
            return;
        }
        let (document, too_long) = text.map(|text| document(text, plan)).unwrap_or_default();
        let kind = kind(facts);
        let language = facts.language.as_deref().and_then(language);
        let label = facts.label.clone().filter(|label| !label.contains(char::is_control));
        let wanted = label.unwrap_or_else(|| usual_name(language.as_ref(), kind, self.tracks.len() + 1));
        let name = free_name(&wanted, &self.tracks);
        let damaged = facts.damaged_count + too_long;
        if damaged > 0 {
            let message = format!(
                "In the subtitles '{name}', {} cannot be read or taken whole. What is missing was left out.",
                counted(damaged, "cue")
            );
            self.remarks.push(Remark::new(RemarkCode::SubtitlesDamaged, message));
        }
        if document.cues().is_empty() || self.tracks.len() >= TEXT_TRACKS_MAX {
            self.left_out += 1;
            return;
        }
        let cues = counted(document.cues().len() as u64, "cue");
        let message = format!("The subtitles '{name}' ({}, {cues}) became WebVTT, without their styling.", facts.codec);
        self.remarks.push(Remark::new(RemarkCode::SubtitlesConverted, message));
        let bytes = Bytes::from(document.write());
        let hash = ContentHash::of(&bytes);
        self.tracks.push(TextTrack {
            name,
            language: language.as_ref().and_then(LanguageTag::known).map(str::to_owned),
            kind,
            default: facts.default && kind != TextKind::Forced,
            origin: TextOrigin::Source(facts.stream),
            document: hash,
            document_bytes: bytes.len() as u64,
            since: Generation::FIRST,
            index: 0,
        });
        self.documents.push((hash, bytes));
    }
}

/// The language of a tag as containers have it; what is odd behind the primary language does not count.
fn language(tag: &str) -> Option<LanguageTag> {
    let tag = tag.replace('_', "-");
    LanguageTag::parse(&tag).or_else(|_| LanguageTag::parse(tag.split('-').next().unwrap_or_default())).ok()
}

/// What a track is for, by what its container marks and its title says.
fn kind(facts: &SubtitleFacts) -> TextKind {
    let label = facts.label.as_deref().unwrap_or_default().to_lowercase();
    let word = |wanted: &str| label.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == wanted);
    if facts.forced || word("forced") {
        TextKind::Forced
    } else if facts.hearing_impaired || word("sdh") || word("cc") || label.contains("hearing impaired") {
        TextKind::Captions
    } else {
        TextKind::Subtitles
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A mark that several tracks bear says nothing: many programs mark all they write. One at most is the default.
fn one_default(tracks: &mut [TextTrack]) {
    if tracks.iter().filter(|track| track.default).count() > 1 {
        tracks.iter_mut().for_each(|track| track.default = false);
    }
}

/// The cues in presentation time, and how many are too long.
fn document(text: &SourceText, plan: &Plan) -> (Document, u64) {
    let mut starts: Vec<i64> = text.cues.iter().map(|cue| cue.start_ticks).collect();
    starts.sort_unstable();
    let presented_ms = |ticks: i64| ((text.time_base.seconds(ticks) - plan.origin) * Ratio::from_integer(1000)).round().to_integer();
    let mut too_long = 0;
    let mut cues = Vec::with_capacity(text.cues.len());
    for cue in &text.cues {
        let start_ms = presented_ms(cue.start_ticks);
        let end_ms = match cue.duration_ticks {
            Some(duration) => presented_ms(cue.start_ticks.saturating_add(duration)),
            None => {
                let next = starts.get(starts.partition_point(|start| *start <= cue.start_ticks));
                next.map_or(start_ms + ENDLESS_MS, |next| presented_ms(*next).min(start_ms + ENDLESS_MS))
            }
        };
        let (Ok(start_ms), Ok(end_ms)) = (u64::try_from(start_ms.max(0)), u64::try_from(end_ms)) else { continue };
        match ass::cue_of_event(&cue.event) {
            Ok(Some((settings, text))) => cues.push(Cue { start_ms, end_ms, settings, text }),
            Ok(None) => {}
            Err(super::cue_text::TooLong) => too_long += 1,
        }
    }
    (Document::new(cues).within(plan.timeline.duration_ms()), too_long)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title::{StreamFacts, sample};

    fn facts(stream: u32, codec: &str, language: &str, label: Option<&str>) -> SubtitleFacts {
        SubtitleFacts {
            stream,
            codec: codec.into(),
            language: Some(language.into()),
            label: label.map(str::to_owned),
            form: SubtitleForm::Text,
            default: true,
            forced: false,
            hearing_impaired: false,
            cue_count: 1,
            damaged_count: 0,
        }
    }

    fn text(stream: u32, cues: &[(i64, Option<i64>, &str)]) -> SourceText {
        let cue = |(start_ticks, duration_ticks, text): &(i64, Option<i64>, &str)| SourceCue {
            start_ticks: *start_ticks,
            duration_ticks: *duration_ticks,
            event: format!("0,0,Default,,0,0,0,,{text}"),
        };
        SourceText { stream, time_base: TimeBase { num: 1, den: 1000 }, cues: cues.iter().map(cue).collect() }
    }

    #[test]
    fn cues_move_with_the_origin_and_end_with_the_title() {
        let mut plan = sample::plan((25, 1), 250, 4000);
        plan.origin = Ratio::new(10_021, 1000);
        let source = sample::facts(vec![StreamFacts::Subtitle(facts(2, "subrip", "eng", None))]);
        let cues = [
            (9000, Some(500), "before"),
            (9500, Some(1000), "over the start"),
            (11_000, None, "until the next"),
            (12_000, None, "for a while"),
            (19_000, Some(9000), "over the end"),
            (30_000, Some(1), "after"),
        ];
        let (tracks, documents, remarks) = convert(&source, &[text(2, &cues)], &plan);
        let document = Document::read(std::str::from_utf8(&documents[0].1).expect("UTF-8")).expect("a document");
        let found: Vec<_> = document.cues().iter().map(|cue| (cue.start_ms, cue.end_ms, cue.text.as_str())).collect();
        assert_eq!(
            found,
            [(0, 479, "over the start"), (979, 1979, "until the next"), (1979, 7979, "for a while"), (8979, 10_000, "over the end")]
        );
        let track = &tracks[0];
        assert_eq!((track.name.as_str(), track.language.as_deref(), track.default), ("English", Some("en"), true));
        assert_eq!((track.document, track.document_bytes), (documents[0].0, documents[0].1.len() as u64));
        assert_eq!((track.origin, track.since, track.id().to_string()), (TextOrigin::Source(2), Generation::FIRST, "s0".to_owned()));
        assert_eq!(remarks[0].message, "The subtitles 'English' (subrip, 4 cues) became WebVTT, without their styling.");
    }

    #[test]
    fn kinds_and_names_follow_from_marks_and_titles() {
        let plan = sample::plan((25, 1), 250, 4000);
        let mut streams = vec![
            facts(2, "ass", "ger", Some("German SDH")),
            facts(3, "subrip", "ger", None),
            facts(4, "subrip", "ger", None),
            facts(5, "mov_text", "und", None),
            facts(6, "subrip", "fre", Some("Signs (forced)")),
            facts(7, "hdmv_pgs_subtitle", "eng", None),
            facts(8, "subrip", "eng", None),
        ];
        streams[5].form = SubtitleForm::Bitmap;
        streams[6].damaged_count = 3;
        let source = sample::facts(streams.into_iter().map(StreamFacts::Subtitle).collect());
        let texts: Vec<SourceText> = (2..=6).map(|stream| text(stream, &[(0, Some(1000), "x")])).collect();
        let (tracks, documents, remarks) = convert(&source, &texts, &plan);
        let found: Vec<_> = tracks.iter().map(|track| (track.name.as_str(), track.language.as_deref(), track.kind)).collect();
        let expect = [
            ("German SDH", Some("de"), TextKind::Captions),
            ("German", Some("de"), TextKind::Subtitles),
            ("German (2)", Some("de"), TextKind::Subtitles),
            ("Subtitles 4", None, TextKind::Subtitles),
            ("Signs (forced)", Some("fr"), TextKind::Forced),
        ];
        assert_eq!(found, expect);
        assert!(tracks.iter().all(|track| !track.default), "all were marked, which says nothing");
        assert_eq!(documents.len(), 5);
        let codes: Vec<_> = remarks.iter().map(|remark| remark.code).collect();
        let told = [RemarkCode::SubtitlesDamaged, RemarkCode::BitmapSubtitles, RemarkCode::StreamIgnored];
        assert_eq!(codes[5..], told, "{remarks:?}");
    }
}
