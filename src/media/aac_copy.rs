//! The source's own frames of sound as the samples of a copied rendition. Where the source has none, there is silence.
//!
//! A decoder makes the first frame it is given sound wrong, for transforms overlap (ISO 14496-3 4.6.11). So the frame before
//! the first audible one is kept where the presentation has a place for it. At the very beginning it has none, and the first
//! frame fades in over 20 ms, as it does in what is encoded here.

use std::ops::Range;

use headwater::cmaf::Sample;
use headwater::cmaf::aac_packet::AacReader;
use headwater::title::{AAC_FRAME_SAMPLES, AacFacts, AudioFacts, CodecHeader, Plan, Problem, ProblemCode, sound_placement};

use super::pulse::Pulse;
use super::silence::silent_frame;
use super::source::Source;
use super::stream_facts;

/// Copies segments of one audio stream.
pub struct AacCopy {
    source: Source,
    extradata: Vec<u8>,
    audio: AudioFacts,
    aac: AacFacts,
    /// The presentation's frame 0 is this frame of the source.
    first_frame: i64,
    silence: bytes::Bytes,
    pulse: Pulse,
}

/// The configuration of a copied rendition.
pub fn header(audio: &AudioFacts) -> Result<CodecHeader, Problem> {
    let aac = audio.aac.as_ref().map_err(failed)?;
    Ok(CodecHeader::Aac { config: aac.config.clone() })
}

const FRAME: i64 = AAC_FRAME_SAMPLES as i64;

impl AacCopy {
    /// Gets ready to copy `audio`.
    pub fn open(mut source: Source, audio: &AudioFacts, plan: &Plan, pulse: Pulse) -> Result<Self, Problem> {
        let aac = audio.aac.as_ref().map_err(failed)?.clone();
        let stream = source.input().stream(audio.stream as usize).ok_or_else(|| failed("the stream is gone"))?;
        let extradata = stream_facts::extradata(stream_facts::parameters(&stream)).to_vec();
        source.only(audio.stream);
        let first_frame = sound_placement(plan, audio, &aac).first_frame;
        let silence = silent_frame(audio.sample_rate, audio.channels)?;
        Ok(Self { source, extradata, audio: audio.clone(), aac, first_frame, silence, pulse })
    }

    /// The frames `frames` of the presentation.
    pub fn segment(&mut self, frames: &Range<u64>) -> Result<Vec<Sample>, Problem> {
        let whole = |frame: u64| i64::try_from(frame).map(|frame| frame + self.first_frame).map_err(failed);
        let wanted = whole(frames.start)?..whole(frames.end)?;
        let audible = self.audible();
        let there = wanted.start.max(audible.start)..wanted.end.min(audible.end);
        let mut copied = if there.is_empty() { Vec::new() } else { self.read(&there)? }.into_iter();
        let samples = wanted.map(|frame| {
            let data = if there.contains(&frame) { copied.next() } else { None };
            let data = data.unwrap_or_else(|| self.silence.clone());
            Sample { duration_ticks: AAC_FRAME_SAMPLES, composition_offset_ticks: 0, sync: true, data }
        });
        Ok(samples.collect())
    }

    /// The source's frames that are heard, and the one before them.
    fn audible(&self) -> Range<i64> {
        let frame_of = |sample: i64| (sample - self.aac.first_sample).div_euclid(FRAME);
        let count = i64::try_from(self.aac.frame_count).unwrap_or(i64::MAX);
        let first = (frame_of(self.audio.first_sample) - 1).max(0);
        first..(frame_of(self.audio.end_sample - 1) + 1).clamp(first, count)
    }

    /// Reads those frames of the source.
    fn read(&mut self, frames: &Range<i64>) -> Result<Vec<bytes::Bytes>, Problem> {
        let first_sample = self.aac.first_sample + frames.start * FRAME;
        let at = self.audio.anchors.partition_point(|anchor| anchor.sample <= first_sample).checked_sub(1);
        let anchor = at.and_then(|at| self.audio.anchors.get(at)).ok_or_else(|| failed("there is no known place before it"))?;
        let mut skipped = (first_sample - anchor.sample).div_euclid(FRAME);
        let mut reader = AacReader::new(&self.extradata).map_err(failed)?;
        let mut packet = self.source.find_packet(self.audio.stream, anchor.pts, anchor.position);
        let mut read = Vec::with_capacity((frames.end - frames.start) as usize);
        loop {
            let here = packet.as_ref().ok_or_else(|| failed("a frame that the survey found is not there"))?;
            if skipped > 0 {
                skipped -= 1;
            } else {
                let frame = reader.take(here.data().unwrap_or_default()).map_err(failed)?;
                read.push(bytes::Bytes::copy_from_slice(frame));
                self.pulse.advance(1);
            }
            if read.len() as i64 == frames.end - frames.start {
                break;
            }
            packet = self.source.read_of(self.audio.stream);
        }
        if reader.config().as_ref() == Some(&self.aac.config) { Ok(read) } else { Err(failed("its configuration changed")) }
    }
}

fn failed(what: impl std::fmt::Display) -> Problem {
    Problem::with_detail(ProblemCode::WorkerFailed, format!("copying sound: {what}"))
}
