//! The survey of one audio stream: where on its sample clock each packet lies.
//!
//! Container timestamps are often rounded to milliseconds, so adding up what packets hold is the only exact clock. Now and
//! then a position is kept as an anchor; making a segment starts from one and counts on, so two segments agree on the
//! position of every sample however they were made.

use std::collections::VecDeque;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use ffmpeg_next::format::stream::Stream;
use headwater::title::{AudioAnchor, AudioFacts, CopyDoubt, TimeBase};

use super::aac_survey::AacSurvey;
use super::audio_header::{self, Form};
use super::decoder::{Decoder, Step};
use super::source::Source;
use super::speakers;
use super::stream_facts;

/// What the packets of an audio stream have told so far.
pub struct AudioSurvey {
    facts: AudioFacts,
    length: PacketLength,
    /// Position after the last packet.
    at: Option<i64>,
    discard_end: i64,
    /// Whether the source is a bare stream, whose demuxer makes up the times from the first packet's rate.
    is_bare: bool,
    /// The timestamp of the packet before.
    last_stamp: Option<i64>,
    clock: Clock,
    /// Samples that the decoder makes before the first audible one, where the container tells them for the whole stream.
    delay: i64,
    aac: AacSurvey,
}

/// Counts samples on the stream's clock, exactly also where they come at another rate.
#[derive(Default)]
struct Clock {
    first: Option<Form>,
    now: Option<Form>,
    base: i64,
    counted: i64,
    rate: i64,
}

impl Clock {
    /// A packet at `rate` begins at `at`, and follows the one before unless it `jumped`.
    fn enter(&mut self, at: i64, rate: i64, jumped: bool) {
        if jumped || rate != self.rate {
            (self.base, self.counted, self.rate) = (at, 0, rate);
        }
    }

    /// Where sound at another rate than `clock` goes on.
    fn retuned(&self, clock: i64) -> Option<(i64, i64)> {
        (self.rate != clock).then_some((self.base, self.counted))
    }

    /// The place after `count` more samples, of a stream whose clock has the rate `clock`.
    fn pass(&mut self, count: i64, clock: i64) -> i64 {
        self.counted += count;
        self.base + self.counted * clock / self.rate.max(1)
    }
}

/// How the number of samples in a packet is known.
enum PacketLength {
    /// The codec's packets tell it, or the stream's ticks are samples. The last packets are kept, for they may be cut off.
    Told { at_end: Option<Decoder>, last: VecDeque<(ffmpeg::Packet, i64)> },
    /// Only decoding tells it.
    Decoded(Option<Decoder>),
}

/// Timestamps this far off the count are a gap or jump, not rounding.
const JUMP_MS: i64 = 20;
/// Packets at the end of a stream that are decoded to see whether they are whole.
const LAST_PACKETS: usize = 8;
/// Anchors are kept this far apart in seconds.
const ANCHOR_SPACING_S: i64 = 1;

impl AudioSurvey {
    /// Starts with what the header says.
    pub fn begin(source: &Source, stream: &Stream<'_>) -> Self {
        let parameters = stream_facts::parameters(stream);
        let sample_rate = u32::try_from(parameters.sample_rate).unwrap_or(0);
        let time_base = stream_facts::time_base(stream);
        let facts = AudioFacts {
            stream: 0,
            codec: String::new(),
            profile: stream_facts::profile_name(parameters),
            sample_rate,
            channels: u32::try_from(parameters.ch_layout.nb_channels).unwrap_or(0),
            layout: speakers::name(&parameters.ch_layout),
            language: stream_facts::tag(stream, "language"),
            label: stream_facts::tag(stream, "title"),
            default: stream_facts::is_default(stream),
            roles: stream_facts::audio_roles(stream),
            time_base,
            first_sample: 0,
            end_sample: 0,
            anchors: Vec::new(),
            discontinuity_count: 0,
            aac: Err(CopyDoubt::Codec),
            form_change_count: 0,
        };
        let ticks_are_samples = time_base.num == 1 && time_base.den == sample_rate;
        let length = if !has_doubled_rate(parameters)
            && !is_vorbis(parameters)
            && (is_pcm(parameters) || parameters.frame_size > 0 || ticks_are_samples)
        {
            PacketLength::Told { at_end: Decoder::open(source, stream.index() as u32), last: VecDeque::new() }
        } else {
            PacketLength::Decoded(Decoder::open(source, stream.index() as u32))
        };
        Self {
            facts,
            length,
            at: None,
            discard_end: 0,
            last_stamp: None,
            is_bare: is_bare(source),
            clock: Clock::default(),
            delay: codec_delay(source, parameters),
            aac: AacSurvey::begin(parameters),
        }
    }

    /// Length of a tick of the stream.
    pub fn time_base(&self) -> TimeBase {
        self.facts.time_base
    }

    /// Notes a packet.
    pub fn take(&mut self, packet: &ffmpeg::Packet, parameters: &ffi::AVCodecParameters) {
        if self.facts.sample_rate == 0 {
            return;
        }
        let rate = i64::from(self.facts.sample_rate);
        let base = self.facts.time_base;
        let to_samples = |ticks: i64| {
            let samples = i128::from(ticks) * i128::from(base.num) * i128::from(rate);
            i64::try_from((samples + i128::from(base.den) / 2).div_euclid(i128::from(base.den))).unwrap_or(0)
        };
        // A time that stands still is none, and where the demuxer counts by itself, ours is the better count.
        let stamp = packet.pts().or(packet.dts());
        let tells = self.last_stamp != stamp && !(self.is_bare && self.at.is_some());
        let stamped = stamp.filter(|_| tells).map(to_samples);
        self.last_stamp = stamp;
        let (start, jumped) = match (self.at, stamped) {
            (None, None) => (0, true),
            (None, Some(stamped)) => (stamped, true),
            (Some(at), Some(stamped)) if (stamped - at).abs() > rate * JUMP_MS / 1000 => {
                self.facts.discontinuity_count += 1;
                (stamped, true)
            }
            (Some(at), _) => (at, false),
        };
        let [skip, _] = skipped_samples(packet);
        if self.at.is_none() {
            self.facts.first_sample = start + if skip > 0 { skip } else { self.delay };
        }
        let counted = match &mut self.length {
            PacketLength::Told { last, at_end } => {
                let length = told_length(packet, parameters).unwrap_or_else(|| to_samples(packet.duration()));
                if length == 0 && at_end.is_some() {
                    // Nothing tells it after all, so decoding must.
                    let mut decoder = at_end.take();
                    let decoded = decoder.as_mut().map_or((0, None), |decoder| decoded_length(decoder, packet));
                    self.length = PacketLength::Decoded(decoder);
                    decoded
                } else {
                    if last.len() >= LAST_PACKETS {
                        last.pop_front();
                    }
                    last.push_back((packet.clone(), start));
                    (length, None)
                }
            }
            PacketLength::Decoded(decoder) => decoder.as_mut().map_or((0, None), |decoder| decoded_length(decoder, packet)),
        };
        self.aac.take(packet, start, stamped, counted.0);
        self.count(packet, parameters, (start, jumped), counted);
    }

    /// Notes that a packet begins at `start`, having jumped there or not, and holds so many samples, at that rate if it was decoded.
    fn count(
        &mut self,
        packet: &ffmpeg::Packet,
        parameters: &ffi::AVCodecParameters,
        (start, jumped): (i64, bool),
        (length, decoded_rate): (i64, Option<i64>),
    ) {
        let rate = i64::from(self.facts.sample_rate);
        let [_, discard] = skipped_samples(packet);
        let (count, own_rate) = match (decoded_rate, self.form(packet, parameters)) {
            (Some(decoded), _) => (length, decoded),
            // What the parameters tell holds for the form of the first packet.
            (None, Some((first, now))) => (
                length * i64::from(now.samples) / i64::from(first.samples.max(1)),
                rate * i64::from(now.rate) / i64::from(first.rate.max(1)),
            ),
            (None, None) => (length, rate),
        };
        self.clock.enter(start, own_rate, jumped);
        let spaced = self.facts.anchors.last().is_none_or(|last| start - last.sample >= rate * ANCHOR_SPACING_S);
        if let Some(pts) = packet.pts().or(packet.dts())
            && (jumped || spaced)
        {
            let position = u64::try_from(packet.position()).ok();
            self.facts.anchors.push(AudioAnchor { pts, position, sample: start, retuned: self.clock.retuned(rate) });
        }
        // The first packet of a stream may only prepare for the second, which says itself where its sound lies.
        if self.at.is_none() && length == 0 && packet.pts().is_some() {
            return;
        }
        let end = self.clock.pass(count.max(0), rate);
        self.discard_end = discard;
        self.at = Some(end);
        self.facts.end_sample = self.facts.end_sample.max(end - discard);
    }

    /// The forms of the stream's first packet and of this one, where packets tell; counts the changes.
    fn form(&mut self, packet: &ffmpeg::Packet, parameters: &ffi::AVCodecParameters) -> Option<(Form, Form)> {
        let now = packet.data().and_then(|data| audio_header::form(parameters.codec_id, data)).or(self.clock.now)?;
        let first = *self.clock.first.get_or_insert(now);
        let before = self.clock.now.replace(now);
        let changed = before.is_some_and(|before| (before.rate, before.channels) != (now.rate, now.channels));
        self.facts.form_change_count += u64::from(changed);
        Some((first, now))
    }

    /// What the stream turned out to be.
    pub fn finish(mut self, stream: u32, codec: String) -> AudioFacts {
        if let PacketLength::Told { at_end: Some(decoder), last } = &mut self.length
            && let Some(cut_off) = cut_off_at(decoder, last)
        {
            self.facts.end_sample = self.facts.end_sample.min(cut_off);
        }
        self.facts.stream = stream;
        self.facts.codec = codec;
        // A jump backwards leaves anchors out of order; the later one of the source stands for what follows it.
        self.facts.anchors.sort_by_key(|anchor| anchor.sample);
        self.facts.first_sample = self.facts.first_sample.min(self.facts.end_sample);
        self.facts.aac = self.aac.finish(&self.facts);
        self.facts
    }
}

/// The position of the packet from which on, to the end, none can be decoded.
fn cut_off_at(decoder: &mut Decoder, last: &VecDeque<(ffmpeg::Packet, i64)>) -> Option<i64> {
    let mut frame = ffmpeg::frame::Audio::empty();
    let mut cut_off = None;
    let mut any_whole = false;
    for (packet, start) in last {
        let mut damaged = decoder.send(Some(packet)) == Step::Damaged;
        loop {
            match decoder.receive(&mut frame) {
                Step::Frame => {}
                Step::Damaged => damaged = true,
                Step::Hungry | Step::Finished => break,
            }
        }
        any_whole |= !damaged;
        cut_off = if damaged { cut_off.or(Some(*start)) } else { None };
    }
    cut_off.filter(|_| any_whole)
}

fn is_bare(source: &Source) -> bool {
    matches!(source.input().format().name(), "aac" | "ac3" | "eac3" | "mp3" | "dts" | "dtshd" | "truehd")
}

/// Matroska's CodecDelay (RFC 9559 5.1.4.1.28), which the demuxer takes off the timestamps and leaves at that.
fn codec_delay(source: &Source, parameters: &ffi::AVCodecParameters) -> i64 {
    if source.input().format().name().starts_with("matroska") { i64::from(parameters.initial_padding.max(0)) } else { 0 }
}

/// The lengths of windows that containers and parsers tell are not those that the decoder gives.
fn is_vorbis(parameters: &ffi::AVCodecParameters) -> bool {
    parameters.codec_id == ffi::AVCodecID::AV_CODEC_ID_VORBIS
}

fn is_pcm(parameters: &ffi::AVCodecParameters) -> bool {
    // SAFETY: a pure look-up by number.
    unsafe { ffi::av_get_bits_per_sample(parameters.codec_id) > 0 }
}

/// HE-AAC: the decoder gives twice the samples that the packets tell of.
fn has_doubled_rate(parameters: &ffi::AVCodecParameters) -> bool {
    parameters.codec_id == ffi::AVCodecID::AV_CODEC_ID_AAC && matches!(parameters.profile, HE_AAC | HE_AAC_V2)
}

/// FFmpeg's number of the profile (ISO 14496-3 object type less one).
const HE_AAC: i32 = 4;
/// FFmpeg's number of the profile.
const HE_AAC_V2: i32 = 28;

fn told_length(packet: &ffmpeg::Packet, parameters: &ffi::AVCodecParameters) -> Option<i64> {
    if parameters.codec_id == ffi::AVCodecID::AV_CODEC_ID_OPUS && skipped_samples(packet)[1] > 0 {
        // The duration of the last packet in Ogg is what is heard of it already; what to leave off is told beside it.
        return packet.data().and_then(audio_header::opus_length);
    }
    let bytes = packet.size() as libc::c_int;
    // SAFETY: the function only reads the parameters, which live in the open context.
    let samples = unsafe { ffi::av_get_audio_frame_duration2(std::ptr::from_ref(parameters).cast_mut(), bytes) };
    (samples > 0).then_some(i64::from(samples))
}

/// Samples that come out of the decoder for the packet, and their rate.
fn decoded_length(decoder: &mut Decoder, packet: &ffmpeg::Packet) -> (i64, Option<i64>) {
    decoder.send(Some(packet));
    let mut frame = ffmpeg::frame::Audio::empty();
    let (mut samples, mut rate) = (0, None);
    while decoder.receive(&mut frame) == Step::Frame {
        samples += frame.samples() as i64;
        rate = Some(i64::from(frame.rate())).filter(|rate| *rate > 0).or(rate);
    }
    (samples, rate)
}

/// Samples to leave off at the start and at the end of a packet (encoder delay and padding).
fn skipped_samples(packet: &ffmpeg::Packet) -> [i64; 2] {
    let side = packet.side_data().find(|side| side.kind() == ffmpeg::packet::side_data::Type::SkipSamples);
    let number = |bytes: Option<&[u8]>| bytes.map_or(0, |bytes| i64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])));
    side.map_or([0, 0], |side| [number(side.data().get(0..4)), number(side.data().get(4..8))])
}
