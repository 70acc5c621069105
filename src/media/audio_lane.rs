//! The sound of the source laid on the presentation's sample clock.

use std::ops::Range;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::frame::Audio;
use headwater::title::{AAC_FRAME_SAMPLES, AudioFacts, Plan, Ratio};

use super::audio_encoder::{POST_ROLL_FRAMES, PRE_ROLL_FRAMES};
use super::decoder::{Decoder, Step};
use super::downmix::{Downmix, Target};
use super::pulse::Pulse;
use super::resample::Phase;
use super::retune::Retune;
use super::sound::Sound;
use super::source::Source;
use super::speakers;

/// Decodes one audio stream; each stretch starts afresh at an anchor, so it is the same however it was come by.
pub struct AudioLane {
    source: Source,
    audio: AudioFacts,
    /// What is mixed to; the renditions of all tiers come out of one decode.
    targets: Vec<Target>,
    mixes: Vec<Downmix>,
    mix_level: f32,
    gain: f32,
    /// The stream's sample that falls on presentation zero.
    zero: i64,
    phase: Phase,
    pulse: Pulse,
    /// The last stretch that was asked for.
    last: Option<(Range<u64>, Gathered)>,
}

/// Sound for a range of AAC frames, with what the encoder needs before and after it.
pub struct Stretch {
    /// The samples at 48 kHz.
    pub sound: Sound,
    /// Samples of the source, within the segment, that were missing and are silence.
    pub concealed: u64,
}

impl AudioLane {
    /// Opens the decoder for `audio`.
    pub fn open(mut source: Source, audio: &AudioFacts, plan: &Plan, pulse: Pulse) -> Option<Self> {
        source.only(audio.stream);
        Decoder::open(&source, audio.stream)?;
        let zero = (plan.origin * Ratio::from_integer(i128::from(audio.sample_rate))).round().to_integer();
        let mut targets = Vec::new();
        for track in plan.audio.iter().filter(|track| track.stream == audio.stream) {
            let target = Target::of_channels(track.channels);
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        Some(Self {
            source,
            audio: audio.clone(),
            targets,
            mixes: Vec::new(),
            mix_level: factor(plan.mix_hundredths_db),
            gain: factor(plan.gain_hundredths_db),
            zero: i64::try_from(zero).ok()?,
            phase: Phase::new(audio.sample_rate),
            pulse,
            last: None,
        })
    }

    /// The sound of AAC frames `frames` of the presentation.
    pub fn stretch(&mut self, frames: &Range<u64>, target: Target) -> Result<Stretch, ffmpeg::Error> {
        let length = i64::from(AAC_FRAME_SAMPLES);
        let start = (frames.start as i64 - PRE_ROLL_FRAMES as i64) * length;
        let end = (frames.end as i64 + POST_ROLL_FRAMES as i64) * length;
        let (first, last, at) = self.phase.stretch(start, end);
        let (inner_first, inner_last, _) = self.phase.stretch(frames.start as i64 * length, frames.end as i64 * length);
        let gathered = match self.last.take() {
            Some((known, gathered)) if known == *frames => gathered,
            _ => self.gather(first + self.zero..last + self.zero)?,
        };
        let inner = inner_first + self.zero..inner_last + self.zero;
        let concealed = gathered.missing_within(inner.start.max(self.audio.first_sample)..inner.end.min(self.audio.end_sample));
        let index = self.targets.iter().position(|known| *known == target).ok_or(ffmpeg::Error::Bug)?;
        let resampled = self.phase.resample(&gathered.sounds[index])?;
        let mut sound = resampled.cut((start - at) as usize, (end - start) as usize);
        sound.amplify(self.gain);
        self.last = Some((frames.clone(), gathered));
        Ok(Stretch { sound, concealed })
    }

    /// Decodes the stream's samples `range`; what it has not is silence.
    fn gather(&mut self, range: Range<i64>) -> Result<Gathered, ffmpeg::Error> {
        let mut gathered = Gathered::new(range.clone(), &self.targets);
        let audible = range.start.max(self.audio.first_sample)..range.end.min(self.audio.end_sample);
        if audible.is_empty() {
            return Ok(gathered);
        }
        let anchor = self.anchor_before(audible.start);
        // A decoder that makes nothing of its first packet leaves the first sound without a place. It begins an anchor
        // earlier then, and counts from the next one.
        if !self.decode(anchor, &audible, &mut gathered, anchor > 0)? {
            self.decode(anchor - 1, &audible, &mut gathered, false)?;
        }
        Ok(gathered)
    }

    /// Decodes from that anchor on, until `audible` is filled. False, with nothing done, when the first sound has no known
    /// place although it `must`.
    fn decode(&mut self, anchor: usize, audible: &Range<i64>, gathered: &mut Gathered, must: bool) -> Result<bool, ffmpeg::Error> {
        let Some(anchor) = self.audio.anchors.get(anchor).copied() else { return Ok(true) };
        // A decoder of its own for each stretch: some keep the state of their noise generator when they are flushed. There was
        // one before, so without one now it is memory that lacks, and silence would be no answer.
        let mut decoder = Decoder::open(&self.source, self.audio.stream).ok_or(ffmpeg::Error::DecoderNotFound)?;
        let mut packet = self.source.find_packet(self.audio.stream, anchor.pts, anchor.position);
        if self.audio.form_change_count > 0 {
            accustom(&mut decoder, packet.as_ref());
        }
        let mut place = Place::default();
        let mut retune = Retune::new(self.audio.sample_rate);
        loop {
            let ended = packet.is_none();
            if let Some(packet) = &mut packet {
                let known = packet.pts().or(packet.dts()).and_then(|pts| self.anchor_at(pts, packet));
                packet.set_pts(known);
                packet.set_dts(known);
            }
            if decoder.send(packet.as_ref()) == Step::Damaged {
                place.skip();
            }
            let mut frame = Audio::empty();
            loop {
                match decoder.receive(&mut frame) {
                    Step::Frame => {}
                    Step::Damaged => {
                        place.skip();
                        continue;
                    }
                    Step::Hungry | Step::Finished => break,
                }
                let Some(here) = place.take(&frame, &self.audio) else {
                    if must {
                        return Ok(false);
                    }
                    continue;
                };
                self.put(&frame, &here, audible, gathered, &mut retune);
                self.pulse.advance(1);
            }
            if ended || place.at.is_some_and(|at| at >= audible.end) {
                retune.finish(|sounds, at| gathered.place(sounds, at, audible));
                return Ok(true);
            }
            packet = self.source.read_of(self.audio.stream);
        }
    }

    /// Puts a frame where it belongs.
    fn put(&mut self, frame: &Audio, here: &Here, audible: &Range<i64>, gathered: &mut Gathered, retune: &mut Retune) {
        let same_rate = frame.rate() == self.audio.sample_rate;
        if same_rate && here.at + frame.samples() as i64 <= audible.start {
            return;
        }
        let Some(sounds) = self.mixed(frame) else { return };
        if same_rate {
            retune.finish(|sounds, at| gathered.place(sounds, at, audible));
            gathered.place(&sounds, here.at, audible);
        } else {
            retune.take(&sounds, frame.rate(), (here.base, here.offset), |sounds, at| gathered.place(sounds, at, audible));
        }
    }

    /// The frame's sound for every target.
    fn mixed(&mut self, frame: &Audio) -> Option<Vec<Sound>> {
        let speakers = speakers::of_frame(frame);
        let sound = Sound::decoded(frame).filter(|sound| sound.channels().len() == speakers.len() && !speakers.is_empty())?;
        if self.mixes.first().is_none_or(|mix| mix.speakers() != speakers) {
            self.mixes = self.targets.iter().map(|target| Downmix::new(&speakers, *target, self.mix_level)).collect();
        }
        Some(self.mixes.iter().map(|mix| mix.mix(&sound)).collect())
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

/// Lets a decoder learn the form of what it is going to decode. Some say of the first frame that it has the rate that the
/// header of the source tells, or that they met last.
fn accustom(decoder: &mut Decoder, packet: Option<&ffmpeg::Packet>) {
    if packet.is_some() {
        decoder.send(packet);
        while decoder.receive(&mut Audio::empty()) == Step::Frame {}
        decoder.flush();
    }
}

/// What so many hundredths of a decibel multiply a sample by.
fn factor(hundredths_db: i32) -> f32 {
    10_f64.powf(f64::from(hundredths_db) / 2000.0) as f32
}

/// Where a frame lies on the stream's clock.
struct Here {
    at: i64,
    /// Where counting began, and the samples of the frame's own rate since.
    base: i64,
    offset: i64,
}

/// Where the next decoded sample lies on the stream's clock. Packets that are anchors say so themselves; in between, samples
/// are counted, exactly also where they come at another rate.
#[derive(Default)]
struct Place {
    at: Option<i64>,
    /// Where counting began, and what was counted since: samples at `rate`.
    base: i64,
    counted: i64,
    rate: u32,
    /// Length of the last frame on the stream's clock.
    usual_length: i64,
}

impl Place {
    /// The place of the frame; the next one follows it.
    fn take(&mut self, frame: &Audio, audio: &AudioFacts) -> Option<Here> {
        let clock = i64::from(audio.sample_rate);
        if let Some(sample) = frame.pts() {
            let anchor = audio.anchors.binary_search_by_key(&sample, |anchor| anchor.sample).ok();
            (self.base, self.counted) = anchor.and_then(|index| audio.anchors[index].retuned).unwrap_or((sample, 0));
            (self.at, self.rate) = (Some(sample), frame.rate());
        }
        let at = self.at?;
        if frame.rate() != self.rate {
            (self.base, self.counted, self.rate) = (at, 0, frame.rate());
        }
        let here = Here { at, base: self.base, offset: self.counted };
        self.counted += frame.samples() as i64;
        let next = self.base + self.counted * clock / i64::from(self.rate.max(1));
        self.usual_length = next - at;
        self.at = Some(next);
        Some(here)
    }

    /// Passes over a frame that could not be decoded.
    fn skip(&mut self) {
        self.at = self.at.map(|at| at + self.usual_length);
        (self.base, self.counted) = (self.at.unwrap_or(0), 0);
    }
}

/// Samples of a range of the stream's clock for every target, with a note of which are really there.
struct Gathered {
    first: i64,
    sounds: Vec<Sound>,
    present: Vec<bool>,
}

impl Gathered {
    fn new(range: Range<i64>, targets: &[Target]) -> Self {
        let length = usize::try_from(range.end - range.start).unwrap_or(0);
        let sounds = targets.iter().map(|target| Sound::silence(target.channels(), length)).collect();
        Self { first: range.start, sounds, present: vec![false; length] }
    }

    /// Puts `sounds`, one a target, at sample `at`, so far as they lie within `audible`.
    fn place(&mut self, sounds: &[Sound], at: i64, audible: &Range<i64>) {
        let length = sounds.first().map_or(0, Sound::len);
        let from = at.max(audible.start);
        let to = (at + length as i64).min(audible.end);
        if from >= to {
            return;
        }
        let source = (from - at) as usize..(to - at) as usize;
        let target = (from - self.first) as usize;
        for (into, sound) in self.sounds.iter_mut().zip(sounds) {
            into.place(target, sound, source.clone());
        }
        self.present[target..target + source.len()].fill(true);
    }

    fn missing_within(&self, range: Range<i64>) -> u64 {
        let clamp = |sample: i64| (sample - self.first).clamp(0, self.present.len() as i64) as usize;
        let (from, to) = (clamp(range.start), clamp(range.end));
        self.present.get(from..to).map_or(0, |present| present.iter().filter(|present| !**present).count() as u64)
    }
}
