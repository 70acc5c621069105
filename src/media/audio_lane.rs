//! The sound of the source laid on the presentation's sample clock.

use std::ops::Range;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::frame::Audio;
use headwater::title::{AAC_FRAME_SAMPLES, AudioFacts, Plan, Ratio};

use super::audio_encoder::{POST_ROLL_FRAMES, PRE_ROLL_FRAMES};
use super::decoder::{Decoder, Step};
use super::pulse::Pulse;
use super::resample::{Downmix, Phase, Stereo};
use super::source::Source;

/// Decodes one audio stream; each stretch starts afresh at an anchor, so it is the same however it was come by.
pub struct AudioLane {
    source: Source,
    downmix: Downmix,
    audio: AudioFacts,
    /// The stream's sample that falls on presentation zero.
    zero: i64,
    phase: Phase,
    pulse: Pulse,
}

/// Sound for a range of AAC frames, with what the encoder needs before and after it.
pub struct Stretch {
    /// The samples at 48 kHz.
    pub sound: Stereo,
    /// Samples of the source, within the segment, that were missing and are silence.
    pub concealed: u64,
}

impl AudioLane {
    /// Opens the decoder for `audio`.
    pub fn open(mut source: Source, audio: &AudioFacts, plan: &Plan, pulse: Pulse) -> Option<Self> {
        source.only(audio.stream);
        Decoder::open(&source, audio.stream)?;
        let zero = (plan.origin * Ratio::from_integer(i128::from(audio.sample_rate))).round().to_integer();
        let zero = i64::try_from(zero).ok()?;
        let phase = Phase::new(audio.sample_rate);
        Some(Self { source, downmix: Downmix::default(), audio: audio.clone(), zero, phase, pulse })
    }

    /// The sound of AAC frames `frames` of the presentation.
    pub fn stretch(&mut self, frames: &Range<u64>) -> Result<Stretch, ffmpeg::Error> {
        let length = i64::from(AAC_FRAME_SAMPLES);
        let start = (frames.start as i64 - PRE_ROLL_FRAMES as i64) * length;
        let end = (frames.end as i64 + POST_ROLL_FRAMES as i64) * length;
        let (first, last, at) = self.phase.stretch(start, end);
        let (inner_first, inner_last, _) = self.phase.stretch(frames.start as i64 * length, frames.end as i64 * length);
        let gathered = self.gather(first + self.zero..last + self.zero);
        let inner = inner_first + self.zero..inner_last + self.zero;
        let concealed = gathered.missing_within(inner.start.max(self.audio.first_sample)..inner.end.min(self.audio.end_sample));
        let resampled = self.phase.resample(&gathered.sound)?;
        let skip = (start - at) as usize;
        let cut = |samples: &[f32]| {
            let mut cut: Vec<f32> = samples.iter().skip(skip).take((end - start) as usize).copied().collect();
            cut.resize((end - start) as usize, 0.0);
            cut
        };
        Ok(Stretch { sound: Stereo { left: cut(&resampled.left), right: cut(&resampled.right) }, concealed })
    }

    /// Decodes the stream's samples `range`; what it has not is silence.
    fn gather(&mut self, range: Range<i64>) -> Gathered {
        let mut gathered = Gathered::new(range.clone());
        let audible = range.start.max(self.audio.first_sample)..range.end.min(self.audio.end_sample);
        if audible.is_empty() {
            return gathered;
        }
        let anchor = self.anchor_before(audible.start);
        // A decoder that makes nothing of its first packet leaves the first sound without a place. It begins an anchor
        // earlier then, and counts from the next one.
        if !self.decode(anchor, &audible, &mut gathered, anchor > 0) {
            self.decode(anchor - 1, &audible, &mut gathered, false);
        }
        gathered
    }

    /// Decodes from that anchor on, until `audible` is filled. False, with nothing done, when the first sound has no known
    /// place although it `must`.
    fn decode(&mut self, anchor: usize, audible: &Range<i64>, gathered: &mut Gathered, must: bool) -> bool {
        let Some(anchor) = self.audio.anchors.get(anchor).copied() else { return true };
        // A decoder of its own for each stretch: some keep the state of their noise generator when they are flushed.
        let Some(mut decoder) = Decoder::open(&self.source, self.audio.stream) else { return true };
        let mut packet = self.source.find_packet(self.audio.stream, anchor.pts, anchor.position);
        // Where the next decoded sample lies; packets that are anchors say so themselves.
        let mut at = None;
        let mut usual_length = 0;
        loop {
            let ended = packet.is_none();
            if let Some(packet) = &mut packet {
                let known = packet.pts().or(packet.dts()).and_then(|pts| self.anchor_at(pts, packet));
                packet.set_pts(known);
                packet.set_dts(known);
            }
            if decoder.send(packet.as_ref()) == Step::Damaged {
                at = at.map(|at| at + usual_length);
            }
            let mut frame = Audio::empty();
            loop {
                match decoder.receive(&mut frame) {
                    Step::Frame => {}
                    Step::Damaged => {
                        at = at.map(|at| at + usual_length);
                        continue;
                    }
                    Step::Hungry | Step::Finished => break,
                }
                at = frame.pts().or(at);
                usual_length = frame.samples() as i64;
                let Some(here) = at else {
                    if must {
                        return false;
                    }
                    continue;
                };
                if here + usual_length > audible.start
                    && frame.rate() == self.audio.sample_rate
                    && let Ok(sound) = self.downmix.convert(&frame)
                {
                    gathered.place(&sound, here, audible);
                }
                at = Some(here + usual_length);
                self.pulse.advance(1);
            }
            if ended || at.is_some_and(|at| at >= audible.end) {
                return true;
            }
            packet = loop {
                match self.source.read() {
                    Some(packet) if packet.stream() == self.audio.stream as usize => break Some(packet),
                    Some(_) => {}
                    None => break None,
                }
            };
        }
    }

    /// The index of the anchor to decode from so that the decoder is warm at `sample`: transforms overlap, and some codecs
    /// borrow bits from packets before.
    fn anchor_before(&self, sample: i64) -> usize {
        let warm = sample - i64::from(self.audio.sample_rate) / 4;
        self.audio.anchors.partition_point(|anchor| anchor.sample <= warm).saturating_sub(1)
    }

    fn anchor_at(&self, pts: i64, packet: &ffmpeg::Packet) -> Option<i64> {
        let position = u64::try_from(packet.position()).ok();
        let rate = i128::from(self.audio.sample_rate);
        // Anchors are sorted by sample; the timestamp tells within the survey's tolerance where to look.
        let near = (self.audio.time_base.seconds(pts) * Ratio::from_integer(rate)).round().to_integer();
        let near = i64::try_from(near).ok()? - i64::from(self.audio.sample_rate);
        let from = self.audio.anchors.partition_point(|anchor| anchor.sample < near);
        let candidates = self.audio.anchors.iter().skip(from).take(4);
        candidates
            .into_iter()
            .find(|anchor| anchor.pts == pts && (anchor.position == position || position.is_none()))
            .map(|anchor| anchor.sample)
    }
}

/// Samples of a range of the stream's clock, with a note of which are really there.
struct Gathered {
    first: i64,
    sound: Stereo,
    present: Vec<bool>,
}

impl Gathered {
    fn new(range: Range<i64>) -> Self {
        let length = usize::try_from(range.end - range.start).unwrap_or(0);
        Self { first: range.start, sound: Stereo::silence(length), present: vec![false; length] }
    }

    /// Puts `sound` at sample `at`, so far as it lies within `audible`.
    fn place(&mut self, sound: &Stereo, at: i64, audible: &Range<i64>) {
        let from = at.max(audible.start);
        let to = (at + sound.len() as i64).min(audible.end);
        if from >= to {
            return;
        }
        let source = (from - at) as usize..(to - at) as usize;
        let target = (from - self.first) as usize..(to - self.first) as usize;
        self.sound.left[target.clone()].copy_from_slice(&sound.left[source.clone()]);
        self.sound.right[target.clone()].copy_from_slice(&sound.right[source]);
        self.present[target].fill(true);
    }

    fn missing_within(&self, range: Range<i64>) -> u64 {
        let clamp = |sample: i64| (sample - self.first).clamp(0, self.present.len() as i64) as usize;
        let (from, to) = (clamp(range.start), clamp(range.end));
        self.present.get(from..to).map_or(0, |present| present.iter().filter(|present| !**present).count() as u64)
    }
}
