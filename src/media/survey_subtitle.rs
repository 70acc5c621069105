//! The survey of one subtitle stream: text is decoded as its packets come by, for there is little of it; pictures are not.

use std::ffi::CStr;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use ffmpeg_next::format::stream::Stream;
use headwater::text::{CUE_TEXT_BYTES_MAX, CUES_MAX, SourceCue, SourceText};
use headwater::title::{SubtitleFacts, SubtitleForm};

use super::source::Source;
use super::stream_facts;

/// Text of one stream in bytes, at most; an opera on one page is a tenth of it.
const TEXT_BYTES_MAX: usize = 16 << 20;
/// Override tags make an event longer than what is shown of it.
const EVENT_BYTES_MAX: usize = CUE_TEXT_BYTES_MAX * 4;

/// What the packets of a subtitle stream have told so far.
pub struct SubtitleSurvey {
    facts: SubtitleFacts,
    text: SourceText,
    text_bytes: usize,
    decoder: Option<ffmpeg::decoder::Subtitle>,
}

impl SubtitleSurvey {
    /// Starts with what the header says.
    pub fn begin(source: &Source, stream: &Stream<'_>) -> Self {
        let index = stream.index() as u32;
        let form = stream_facts::subtitle_form(stream_facts::parameters(stream));
        let decoder = if form == SubtitleForm::Text { open(stream) } else { None };
        let marks = stream.disposition();
        let facts = SubtitleFacts {
            stream: index,
            codec: String::new(),
            language: stream_facts::tag(stream, "language"),
            label: stream_facts::tag(stream, "title").or_else(|| handler_name(source, stream)),
            form: if form == SubtitleForm::Text && decoder.is_none() { SubtitleForm::Unknown } else { form },
            default: stream_facts::is_default(stream),
            forced: marks.contains(ffmpeg::format::stream::Disposition::FORCED),
            hearing_impaired: marks.contains(ffmpeg::format::stream::Disposition::HEARING_IMPAIRED),
            cue_count: 0,
            damaged_count: 0,
        };
        let text = SourceText { stream: index, time_base: stream_facts::time_base(stream), cues: Vec::new() };
        Self { facts, text, text_bytes: 0, decoder }
    }

    /// Decodes a packet.
    pub fn take(&mut self, packet: &ffmpeg::Packet) {
        let Some(decoder) = &mut self.decoder else { return };
        let Some(start_ticks) = packet.pts().or(packet.dts()) else {
            self.facts.damaged_count += 1;
            return;
        };
        let duration_ticks = Some(packet.duration()).filter(|duration| *duration > 0);
        match decode(decoder, packet) {
            Ok(events) => events.into_iter().for_each(|event| self.keep(SourceCue { start_ticks, duration_ticks, event })),
            Err(Damaged) => self.facts.damaged_count += 1,
        }
    }

    fn keep(&mut self, cue: SourceCue) {
        let fits =
            self.text.cues.len() < CUES_MAX && cue.event.len() <= EVENT_BYTES_MAX && self.text_bytes + cue.event.len() <= TEXT_BYTES_MAX;
        if fits {
            self.facts.cue_count += 1;
            self.text_bytes += cue.event.len();
            self.text.cues.push(cue);
        } else {
            self.facts.damaged_count += 1;
        }
    }

    /// What the stream turned out to be, and its text.
    pub fn finish(mut self, codec: String) -> (SubtitleFacts, SourceText) {
        self.facts.codec = codec;
        (self.facts, self.text)
    }
}

/// MP4 has no title for a track; some programs put it into the name of its handler, where others leave their own.
fn handler_name(source: &Source, stream: &Stream<'_>) -> Option<String> {
    let name = stream_facts::tag(stream, "handler_name")?;
    let is_mp4 = source.input().format().name().contains("mp4");
    let says_nothing = ["handler", "handle", "apple", "gpac", "l-smash", "mainconcept", "isomedia", "subtitle", "text", "mp4"];
    let lower = name.to_lowercase();
    (is_mp4 && !says_nothing.iter().any(|word| lower.contains(word))).then_some(name)
}

fn open(stream: &Stream<'_>) -> Option<ffmpeg::decoder::Subtitle> {
    let mut context = ffmpeg::codec::Context::from_parameters(stream.parameters()).ok()?;
    // SAFETY: the context is freshly made and owned here; the field is a plain pair of integers.
    unsafe { (*context.as_mut_ptr()).pkt_timebase = stream.time_base().into() };
    context.decoder().subtitle().ok()
}

/// The packet cannot be decoded.
struct Damaged;

/// The events in a packet, each without its times; none in one that only ends what came before.
fn decode(decoder: &mut ffmpeg::decoder::Subtitle, packet: &ffmpeg::Packet) -> Result<Vec<String>, Damaged> {
    use ffmpeg::packet::Ref;
    if packet.size() == 0 {
        return Ok(Vec::new());
    }
    let mut out = Decoded::empty();
    let mut got: libc::c_int = 0;
    // SAFETY: the decoder is open for subtitles, `out` is an empty subtitle that frees what it is given, and the decoder only
    // reads the packet.
    let result = unsafe { ffi::avcodec_decode_subtitle2(decoder.as_mut_ptr(), &mut out.0, &mut got, packet.as_ptr().cast_mut()) };
    if result < 0 {
        return Err(Damaged);
    }
    Ok(if got == 0 { Vec::new() } else { out.events() })
}

/// A decoded subtitle, freed when dropped.
struct Decoded(ffi::AVSubtitle);

impl Decoded {
    fn empty() -> Self {
        // SAFETY: the structure is numbers and pointers, for which zero means none.
        Self(unsafe { std::mem::zeroed() })
    }

    fn events(&self) -> Vec<String> {
        let mut events = Vec::new();
        for index in 0..self.0.num_rects as usize {
            // SAFETY: the decoder filled `rects` with `num_rects` valid pointers.
            let rect = unsafe { &**self.0.rects.add(index) };
            if !rect.ass.is_null() {
                // SAFETY: not null, so it is a C string that lives as long as the subtitle.
                let event = unsafe { CStr::from_ptr(rect.ass) };
                events.push(event.to_string_lossy().into_owned());
            }
        }
        events
    }
}

impl Drop for Decoded {
    fn drop(&mut self) {
        // SAFETY: empty, or filled by the decoder; freed once.
        unsafe { ffi::avsubtitle_free(&mut self.0) };
    }
}
