//! The survey: one pass over a source's packets that finds what is really there. Only the first frame of each stream is
//! decoded, to know that it can be; sound whose packets do not tell their length is decoded to count its samples, and text
//! subtitles are decoded whole.

use std::fs::File;
use std::sync::Arc;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use ffmpeg_next::frame::Video;
use ffmpeg_next::media::Type;
use headwater::text::SourceText;
use headwater::title::{
    DolbyVision, OtherStream, PacketTime, Problem, ProblemCode, ScanFacts, Seam, SeamFinder, SourceFacts, StreamFacts, VideoFacts,
};
use headwater::worker::protocol::Survey;

use super::cut_off;
use super::decoder::{Decoder, Step};
use super::dolby_vision;
use super::edit_start;
use super::look::look;
use super::pulse::Pulse;
use super::sniff::{begins_like_media, sniff};
use super::source::Source;
use super::stream_facts;
use super::survey_audio::AudioSurvey;
use super::survey_subtitle::SubtitleSurvey;
use super::survey_video::VideoSurvey;

/// Packets of a stream within which a first frame must come out for the stream to count as decodable.
const TRIAL_PACKETS: u32 = 300;

/// Surveys the file.
///
/// # Errors
/// The [`Problem`] that the uploader is told when nothing in it can become a title.
pub fn survey(file: &Arc<File>, pulse: &Pulse) -> Result<Survey, Problem> {
    match sniff(file) {
        Ok(None) => {}
        Ok(Some(problem)) => return Err(problem),
        Err(error) => return Err(Problem::with_detail(ProblemCode::SourceLost, error.to_string())),
    }
    let mut source = Source::open(Arc::clone(file), &[], pulse.clone()).map_err(|problem| match problem.code {
        ProblemCode::NotMedia if begins_like_media(file) => Problem::with_detail(ProblemCode::Corrupt, "no demuxer can open it"),
        _ => problem,
    })?;
    let trimmed = edit_start::of_trimmed(&source, file, pulse);
    if !trimmed.is_empty() {
        source = Source::open(Arc::clone(file), &trimmed, pulse.clone())?;
    }
    let mut pass = Pass::over(&mut source);
    let leaps = std::mem::take(&mut pass.seams);
    let leapt = !leaps.is_empty();
    let seams = Seam::after(trimmed, leaps);
    if leapt {
        // Everything is told in mended time, so it is read once more.
        source = Source::open(Arc::clone(file), &seams, pulse.clone())?;
        pass = Pass::over(&mut source);
    }
    let Pass { streams, encrypted, .. } = pass;
    let undecodable = streams.iter().any(Stream::has_packets_but_no_frame);
    let guess = source.input().probe_score() <= ffi::AVPROBE_SCORE_MAX / 4;
    let look = |video: &VideoFacts| look(file, pulse, &seams, video);
    let mut texts = Vec::new();
    let mut streams: Vec<StreamFacts> = streams.into_iter().map(|stream| stream.finish(&mut texts, &look)).collect();
    for stream in &mut streams {
        if let StreamFacts::Video(video) = stream
            && video.lacks_metadata()
        {
            let found = dolby_vision::is_found(Source::open(Arc::clone(file), &seams, pulse.clone())?, video);
            video.dolby_vision = video.dolby_vision.map(|declared| DolbyVision { with_metadata: found, ..declared });
        }
    }
    let playable = streams.iter().any(|stream| matches!(stream, StreamFacts::Video(_) | StreamFacts::Audio(_)));
    if encrypted {
        return Err(Problem::new(ProblemCode::Encrypted));
    }
    if !playable && undecodable {
        return Err(Problem::new(if guess { ProblemCode::NotMedia } else { undecodable_code(&streams) }));
    }
    if !playable && guess {
        return Err(Problem::new(ProblemCode::NotMedia));
    }
    let facts = SourceFacts {
        container: source.input().format().name().to_owned(),
        bytes: source.bytes(),
        declared_duration_ms: declared_duration_ms(&source),
        corrupt_packet_count: source.corrupt_count(),
        cut_off: cut_off::is_cut_off(&source, file),
        streams,
        seams,
    };
    Ok(Survey { facts, texts })
}

/// Containers whose headers or indexes tell a duration.
const DECLARES_DURATION: [&str; 13] = ["mov", "matroska", "avi", "flv", "live_flv", "asf", "wav", "w64", "mxf", "aiff", "caf", "nut", "rm"];

/// One pass over all packets.
struct Pass {
    streams: Vec<Stream>,
    encrypted: bool,
    /// Where clocks leap that were not mended in this pass.
    seams: Vec<Seam>,
}

impl Pass {
    fn over(source: &mut Source) -> Self {
        let mut streams: Vec<Stream> = (0..source.input().nb_streams()).map(|index| Stream::begin(source, index)).collect();
        let mut finder = SeamFinder::new(source.input().format().name());
        let mut encrypted = streams.iter().any(|stream| stream.encrypted);
        while let Some(packet) = source.read() {
            encrypted |= packet.side_data().any(|side| side.kind() == ffmpeg::packet::side_data::Type::EncryptionInfo);
            if let Some(stream) = streams.get_mut(packet.stream()) {
                stream.take(&packet, source);
                if let Some(time) = stream.time_of(&packet) {
                    finder.take(&time);
                }
            }
        }
        Self { streams, encrypted, seams: finder.finish() }
    }
}

/// Without a decoder for any stream the codec is the trouble; with one, the bytes are.
fn undecodable_code(streams: &[StreamFacts]) -> ProblemCode {
    let known = streams.iter().any(|stream| match stream {
        StreamFacts::Other(other) => other.kind != "unsupported",
        _ => true,
    });
    if known { ProblemCode::Corrupt } else { ProblemCode::UnsupportedCodec }
}

/// What the container's header says; where it has no place for that, the demuxer only guesses from timestamps or the bit rate.
fn declared_duration_ms(source: &Source) -> Option<i64> {
    if !DECLARES_DURATION.iter().any(|name| source.input().format().name().starts_with(name)) {
        return None;
    }
    let duration = source.input().duration();
    (duration > 0).then_some(duration / (i64::from(ffi::AV_TIME_BASE) / 1000))
}

/// What the pass over the packets knows of one stream so far.
struct Stream {
    index: u32,
    codec: String,
    encrypted: bool,
    trial: Trial,
    kind: Kind,
}

enum Kind {
    Video(Box<VideoSurvey>),
    Audio(Box<AudioSurvey>),
    Subtitle(Box<SubtitleSurvey>),
    Other(&'static str),
}

/// Whether the stream's packets can be decoded at all.
enum Trial {
    Running { decoder: Decoder, sent: u32 },
    Passed,
    Failed { sent: u32 },
    Unsupported,
}

impl Stream {
    fn begin(source: &Source, index: u32) -> Self {
        let Some(stream) = source.input().stream(index as usize) else {
            return Self { index, codec: "unknown".into(), encrypted: false, trial: Trial::Unsupported, kind: Kind::Other("data") };
        };
        let parameters = stream_facts::parameters(&stream);
        let codec = stream_facts::codec_name(parameters);
        let encrypted = parameters.codec_tag == u32::from_le_bytes(*b"encv") || parameters.codec_tag == u32::from_le_bytes(*b"enca");
        let kind = match stream.parameters().medium() {
            Type::Video if stream_facts::is_attached_picture(&stream) => Kind::Other("picture"),
            Type::Video => Kind::Video(Box::new(VideoSurvey::begin(&stream))),
            Type::Audio => Kind::Audio(Box::new(AudioSurvey::begin(source, &stream))),
            Type::Subtitle => Kind::Subtitle(Box::new(SubtitleSurvey::begin(source, &stream))),
            Type::Attachment => Kind::Other("attachment"),
            _ => Kind::Other("data"),
        };
        let trial = match kind {
            Kind::Video(_) | Kind::Audio(_) => match Decoder::open(source, index) {
                Some(decoder) => Trial::Running { decoder, sent: 0 },
                None => Trial::Unsupported,
            },
            _ => Trial::Passed,
        };
        Self { index, codec, encrypted, trial, kind }
    }

    fn take(&mut self, packet: &ffmpeg::Packet, source: &Source) {
        if let Some(first) = self.trial.take(packet) {
            self.look_at(first);
        }
        match &mut self.kind {
            Kind::Video(video) => video.take(packet),
            Kind::Audio(audio) => {
                if let Some(stream) = source.input().stream(self.index as usize) {
                    audio.take(packet, stream_facts::parameters(&stream));
                }
            }
            Kind::Subtitle(subtitle) => subtitle.take(packet),
            Kind::Other(_) => {}
        }
    }

    /// What tells the clock's pace; absent for streams that come now and then.
    fn time_of(&self, packet: &ffmpeg::Packet) -> Option<PacketTime> {
        let (picture, time_base) = match &self.kind {
            Kind::Video(video) => (true, video.time_base()),
            Kind::Audio(audio) => (false, audio.time_base()),
            Kind::Subtitle { .. } | Kind::Other(_) => return None,
        };
        Some(PacketTime {
            stream: self.index,
            picture,
            time_base,
            ticks: packet.dts().or(packet.pts())?,
            duration_ticks: packet.duration(),
            position: u64::try_from(packet.position()).ok(),
        })
    }

    fn look_at(&mut self, first: ffmpeg::Frame) {
        if let Kind::Video(video) = &mut self.kind {
            video.look_at(&Video::from(first));
        }
    }

    fn has_packets_but_no_frame(&self) -> bool {
        matches!(self.trial, Trial::Failed { sent: 1.. } | Trial::Running { sent: 1.., .. } | Trial::Unsupported)
    }

    /// What the stream turned out to be; its text, if it has any, goes to `texts`.
    fn finish(mut self, texts: &mut Vec<SourceText>, look: &dyn Fn(&VideoFacts) -> Option<ScanFacts>) -> StreamFacts {
        if let Some(first) = self.trial.finish() {
            self.look_at(first);
        }
        let other = |kind: &str, codec: String| StreamFacts::Other(OtherStream { stream: self.index, kind: kind.into(), codec });
        match (self.kind, self.trial) {
            (Kind::Video(_) | Kind::Audio(_), Trial::Unsupported) => other("unsupported", self.codec),
            (Kind::Video(_) | Kind::Audio(_), Trial::Failed { sent: 1.. }) => other("undecodable", self.codec),
            (Kind::Video(video), _) => StreamFacts::Video(video.finish(self.index, self.codec, look)),
            (Kind::Audio(audio), _) => StreamFacts::Audio(audio.finish(self.index, self.codec)),
            (Kind::Subtitle(subtitle), _) => {
                let (facts, text) = subtitle.finish(self.codec);
                if !text.cues.is_empty() {
                    texts.push(text);
                }
                StreamFacts::Subtitle(facts)
            }
            (Kind::Other(kind), _) => other(kind, self.codec),
        }
    }
}

impl Trial {
    /// Sends a packet; gives the first frame when it comes out.
    fn take(&mut self, packet: &ffmpeg::Packet) -> Option<ffmpeg::Frame> {
        let Self::Running { decoder, sent } = self else { return None };
        *sent += 1;
        decoder.send(Some(packet));
        let sent = *sent;
        let mut frame = ffmpeg::Frame::from_empty();
        if decoder.receive(&mut frame) == Step::Frame {
            *self = Self::Passed;
            return Some(frame);
        }
        if sent >= TRIAL_PACKETS {
            *self = Self::Failed { sent };
        }
        None
    }

    /// A short stream gives its only frame at the end.
    fn finish(&mut self) -> Option<ffmpeg::Frame> {
        let Self::Running { decoder, sent } = self else { return None };
        decoder.send(None);
        let mut frame = ffmpeg::Frame::from_empty();
        let came = decoder.receive(&mut frame) == Step::Frame;
        *self = if came { Self::Passed } else { Self::Failed { sent: *sent } };
        came.then_some(frame)
    }
}

/// An empty frame to receive into.
trait FromEmpty {
    fn from_empty() -> Self;
}

impl FromEmpty for ffmpeg::Frame {
    fn from_empty() -> Self {
        // SAFETY: an empty frame of its own, freed when dropped.
        unsafe { ffmpeg::Frame::empty() }
    }
}
