//! The survey of one audio stream: where on its sample clock each packet lies.
//!
//! Container timestamps are often rounded to milliseconds, so adding up what packets hold is the only exact clock. Now and
//! then a position is kept as an anchor; making a segment starts from one and counts on, so two segments agree on the
//! position of every sample however they were made.

use std::collections::VecDeque;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use ffmpeg_next::format::stream::Stream;
use headwater::title::{AudioAnchor, AudioFacts, TimeBase};

use super::decoder::{Decoder, Step};
use super::source::Source;
use super::stream_facts;

/// What the packets of an audio stream have told so far.
pub struct AudioSurvey {
    facts: AudioFacts,
    length: PacketLength,
    /// Position after the last packet.
    at: Option<i64>,
    discard_end: i64,
    /// Samples that the decoder makes before the first audible one, where the container tells them for the whole stream.
    delay: i64,
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
            language: stream_facts::tag(stream, "language"),
            label: stream_facts::tag(stream, "title"),
            default: stream_facts::is_default(stream),
            time_base,
            first_sample: 0,
            end_sample: 0,
            anchors: Vec::new(),
            discontinuity_count: 0,
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
        Self { facts, length, at: None, discard_end: 0, delay: codec_delay(source, parameters) }
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
        let stamped = packet.pts().or(packet.dts()).map(to_samples);
        let (start, jumped) = match (self.at, stamped) {
            (None, None) => (0, true),
            (None, Some(stamped)) => (stamped, true),
            (Some(at), Some(stamped)) if (stamped - at).abs() > rate * JUMP_MS / 1000 => {
                self.facts.discontinuity_count += 1;
                (stamped, true)
            }
            (Some(at), _) => (at, false),
        };
        let [skip, discard] = skipped_samples(packet);
        if self.at.is_none() {
            self.facts.first_sample = start + if skip > 0 { skip } else { self.delay };
        }
        let spaced = self.facts.anchors.last().is_none_or(|last| start - last.sample >= rate * ANCHOR_SPACING_S);
        if let Some(pts) = packet.pts().or(packet.dts())
            && (jumped || spaced)
        {
            self.facts.anchors.push(AudioAnchor { pts, position: u64::try_from(packet.position()).ok(), sample: start });
        }
        let length = match &mut self.length {
            PacketLength::Told { last, .. } => {
                let length = told_length(packet, parameters).unwrap_or_else(|| to_samples(packet.duration()));
                if last.len() >= LAST_PACKETS {
                    last.pop_front();
                }
                last.push_back((packet.clone(), start));
                length
            }
            PacketLength::Decoded(decoder) => decoder.as_mut().map_or(0, |decoder| decoded_length(decoder, packet)),
        };
        // The first packet of a stream may only prepare for the second, which says itself where its sound lies.
        if self.at.is_none() && length == 0 && packet.pts().is_some() {
            return;
        }
        self.discard_end = discard;
        self.at = Some(start + length.max(0));
        self.facts.end_sample = self.facts.end_sample.max(start + length.max(0) - discard);
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
    let bytes = packet.size() as libc::c_int;
    // SAFETY: the function only reads the parameters, which live in the open context.
    let samples = unsafe { ffi::av_get_audio_frame_duration2(std::ptr::from_ref(parameters).cast_mut(), bytes) };
    (samples > 0).then_some(i64::from(samples))
}

fn decoded_length(decoder: &mut Decoder, packet: &ffmpeg::Packet) -> i64 {
    decoder.send(Some(packet));
    let mut frame = ffmpeg::frame::Audio::empty();
    let mut samples = 0;
    while decoder.receive(&mut frame) == Step::Frame {
        samples += frame.samples() as i64;
    }
    samples
}

/// Samples to leave off at the start and at the end of a packet (encoder delay and padding).
fn skipped_samples(packet: &ffmpeg::Packet) -> [i64; 2] {
    let side = packet.side_data().find(|side| side.kind() == ffmpeg::packet::side_data::Type::SkipSamples);
    let number = |bytes: Option<&[u8]>| bytes.map_or(0, |bytes| i64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])));
    side.map_or([0, 0], |side| [number(side.data().get(0..4)), number(side.data().get(4..8))])
}
