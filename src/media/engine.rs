//! The worker's loop: takes requests, keeps the decoders of its one source open between them, and answers.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use ffmpeg_next::frame::Video;
use headwater::cmaf;
use headwater::title::{
    AudioFacts, AudioMethod, CodecHeader, Plan, Problem, ProblemCode, Seam, SegmentNumber, SourceFacts, TrackId, TrackKind, VideoFacts,
    VideoMethod, VideoTrack, memory,
};
use headwater::worker::protocol::{MadeSegment, Reply, Request, read_message};

use super::aac_copy::{self, AacCopy};
use super::audio_encoder;
use super::audio_lane::AudioLane;
use super::avc_copy::{self, AvcCopy};
use super::black::black;
use super::downmix::Target;
use super::listen::listen;
use super::pulse::Pulse;
use super::scaler::{Recolours, Scaler};
use super::source::Source;
use super::stills::look;
use super::survey::survey;
use super::video_encoder::{VideoEncoder, encoder_format};
use super::video_lane::{Shown, VideoLane};

/// Answers requests until there are no more.
///
/// # Errors
/// When the server says something that is no message, or is gone.
pub fn serve(source: File, mut requests: impl Read, pulse: &Pulse, memory_max_bytes: u64) -> std::io::Result<()> {
    let file = Arc::new(source);
    let mut engine = None;
    while let Some(request) = read_message::<Request>(&mut requests)? {
        let answer = match request {
            Request::Survey => survey(&file, pulse).map(|survey| Reply::Surveyed(Box::new(survey))),
            Request::Open { facts, plan } => {
                Engine::open(Arc::clone(&file), *facts, *plan, pulse.clone(), memory_max_bytes).map(|opened| {
                    let headers = opened.headers.clone();
                    engine = Some(opened);
                    Reply::Opened(headers)
                })
            }
            Request::Make { number, tracks } => match &mut engine {
                Some(engine) => engine.make(number, &tracks).map(|()| Reply::Done),
                None => Err(failed("no plan was opened")),
            },
            Request::Look => match &engine {
                Some(engine) => look(&file, &engine.facts, &engine.plan, pulse).map(Reply::Stills),
                None => Err(failed("no plan was opened")),
            },
            Request::Listen { stream } => listen(&file, stream, pulse).map(Reply::Heard),
        };
        pulse.reply(&answer.unwrap_or_else(|problem| Reply::Refused(or_short_of_memory(problem))))?;
    }
    Ok(())
}

/// One source being worked on after one plan.
struct Engine {
    file: Arc<File>,
    facts: SourceFacts,
    plan: Plan,
    headers: Vec<(TrackId, CodecHeader)>,
    video: Option<VideoLane>,
    scaler: Option<Scaler>,
    recolours: Recolours,
    avc: Option<AvcCopy>,
    aac: Vec<(TrackId, AacCopy)>,
    /// By stream: the renditions of one sound come out of one decode.
    audio: Vec<(u32, AudioLane)>,
    pulse: Pulse,
    /// Address space there is; it decides what is made at once, and no byte of what is made.
    memory_max_bytes: u64,
}

impl Engine {
    fn open(file: Arc<File>, facts: SourceFacts, plan: Plan, pulse: Pulse, memory_max_bytes: u64) -> Result<Self, Problem> {
        let picture = plan.video_stream.and_then(|stream| facts.video(stream));
        let mut headers = Vec::new();
        for id in plan.tracks() {
            let header = match (id.kind, picture) {
                (TrackKind::Video, Some(video)) if is_copied(&plan, id) => avc_copy::header(video)?,
                (TrackKind::Audio, _) if is_copied(&plan, id) => aac_copy::header(sound(&facts, &plan, id)?)?,
                (TrackKind::Video, Some(video)) => VideoEncoder::open(&plan.video[usize::from(id.index)], &plan, video)?.header()?,
                (TrackKind::Video, None) => return Err(failed("the plan's video stream is not in the source")),
                (TrackKind::Audio | TrackKind::Text, _) => audio_encoder::header(&plan.audio[usize::from(id.index)])?,
            };
            headers.push((id, header));
        }
        Ok(Self {
            file,
            facts,
            plan,
            headers,
            video: None,
            scaler: None,
            recolours: Recolours::default(),
            avc: None,
            aac: Vec::new(),
            audio: Vec::new(),
            pulse,
            memory_max_bytes,
        })
    }

    fn make(&mut self, number: SegmentNumber, tracks: &[TrackId]) -> Result<(), Problem> {
        if tracks.iter().any(|track| !self.plan.has(*track)) {
            return Err(failed("no such track"));
        }
        let mut videos: Vec<usize> =
            tracks.iter().filter(|track| track.kind == TrackKind::Video).map(|track| usize::from(track.index)).collect();
        videos.sort_unstable();
        videos.dedup();
        let (copied, encoded): (Vec<usize>, Vec<usize>) =
            videos.into_iter().partition(|index| is_copied(&self.plan, TrackId::video(*index as u8)));
        for index in copied {
            self.copy_video(number, TrackId::video(index as u8))?;
        }
        // Decoding again costs little beside encoding, and running out of memory costs the title.
        for run in self.runs(&encoded)? {
            self.make_video(number, &run)?;
        }
        for track in tracks.iter().filter(|track| track.kind == TrackKind::Audio) {
            self.make_audio(number, *track)?;
        }
        Ok(())
    }

    /// The wanted tracks in runs that can be made at once.
    fn runs(&self, wanted: &[usize]) -> Result<Vec<Vec<usize>>, Problem> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let video = picture(&self.facts, &self.plan)?;
        let tracks: Vec<_> = wanted.iter().map(|index| &self.plan.video[*index]).collect();
        let mut rest = wanted.iter().copied();
        let runs = memory::runs(video, &tracks, self.memory_max_bytes);
        Ok(runs.iter().map(|run| rest.by_ref().take(run.len()).collect()).collect())
    }

    fn make_video(&mut self, number: SegmentNumber, wanted: &[usize]) -> Result<(), Problem> {
        let frames = self.plan.timeline.frames(number).ok_or_else(|| failed("no such segment"))?;
        let mut fresh = self.video_lane()?.start(frames.start).map_err(failed)?;
        let (encoders, concealed) = loop {
            let made = self.encode_video(frames.clone(), wanted)?;
            // In a damaged source, what a decoder makes of it depends on where it began. The key frame before the segment
            // is where it is defined to begin.
            let lane = self.video_lane()?;
            if fresh || !lane.is_damaged() {
                break made;
            }
            lane.restart(frames.start).map_err(failed)?;
            fresh = true;
        };
        let dropped = self.video_lane()?.dropped();
        for (index, encoder) in wanted.iter().zip(encoders) {
            let track = TrackId::video(*index as u8);
            let samples = encoder.finish()?;
            self.send(track, number, &samples, concealed, dropped)?;
        }
        Ok(())
    }

    fn encode_video(&mut self, frames: std::ops::Range<u64>, wanted: &[usize]) -> Result<(Vec<VideoEncoder>, u64), Problem> {
        let Self { plan, facts, scaler, recolours, video: Some(lane), headers, pulse, .. } = self else {
            return Err(failed("there is no picture"));
        };
        let video = picture(facts, plan)?;
        let mut encoders = Vec::with_capacity(wanted.len());
        for index in wanted {
            let encoder = VideoEncoder::open(&plan.video[*index], plan, video)?;
            let track = TrackId::video(*index as u8);
            if headers.iter().all(|(id, header)| *id != track || Some(header) != encoder.header().ok().as_ref()) {
                return Err(failed("the encoder changed its parameter sets"));
            }
            encoders.push(encoder);
        }
        let mut pictures: Vec<Video> = Vec::new();
        let mut concealed = 0;
        for (index, slot) in frames.enumerate() {
            let missing = match lane.show(slot) {
                Shown::New { picture, missing } => {
                    if !scaler.as_ref().is_some_and(|scaler| scaler.fits(picture, wanted)) {
                        *scaler = Some(Scaler::new(picture, video, plan, wanted, recolours).map_err(failed)?);
                    }
                    let Some(scaler) = scaler else { return Err(failed("no scaler")) };
                    pictures = scaler.scale(picture).map_err(failed)?;
                    missing
                }
                Shown::Again { missing } => missing,
                Shown::Nothing => {
                    let picture = |track: &VideoTrack| black(encoder_format(track), track.width, track.height);
                    pictures = wanted.iter().map(|index| picture(&plan.video[*index])).collect();
                    true
                }
            };
            concealed += u64::from(missing);
            for (encoder, picture) in encoders.iter_mut().zip(&pictures) {
                encoder.encode(picture, index as u64)?;
            }
            pulse.advance(1);
        }
        Ok((encoders, concealed))
    }

    fn copy_video(&mut self, number: SegmentNumber, id: TrackId) -> Result<(), Problem> {
        let slots = self.plan.timeline.frames(number).ok_or_else(|| failed("no such segment"))?;
        if self.avc.is_none() {
            let source = self.source()?;
            self.avc = Some(AvcCopy::open(source, picture(&self.facts, &self.plan)?, &self.plan, self.pulse.clone())?);
        }
        let copied = self.avc.as_mut().ok_or_else(|| failed("there is no picture"))?.segment(&slots)?;
        self.send(id, number, &copied.samples, copied.concealed, 0)
    }

    fn copy_audio(&mut self, number: SegmentNumber, id: TrackId) -> Result<(), Problem> {
        let frames = self.plan.audio_frames(id.index, number).ok_or_else(|| failed("no such segment"))?;
        let at = match self.aac.iter().position(|(known, _)| *known == id) {
            Some(at) => at,
            None => {
                let source = self.source()?;
                let copy = AacCopy::open(source, sound(&self.facts, &self.plan, id)?, &self.plan, self.pulse.clone())?;
                self.aac.push((id, copy));
                self.aac.len() - 1
            }
        };
        let samples = self.aac[at].1.segment(&frames)?;
        self.send(id, number, &samples, 0, 0)
    }

    fn make_audio(&mut self, number: SegmentNumber, id: TrackId) -> Result<(), Problem> {
        if is_copied(&self.plan, id) {
            return self.copy_audio(number, id);
        }
        let frames = self.plan.audio_frames(id.index, number).ok_or_else(|| failed("no such segment"))?;
        let track = self.plan.audio[usize::from(id.index)].clone();
        let stretch = self.audio_lane(track.stream)?.stretch(&frames, Target::of_channels(track.channels)).map_err(failed)?;
        let samples = audio_encoder::encode(&track, &stretch.sound, frames.end - frames.start)?;
        self.send(id, number, &samples, stretch.concealed, 0)
    }

    fn send(&self, track: TrackId, number: SegmentNumber, samples: &[cmaf::Sample], concealed: u64, dropped: u64) -> Result<(), Problem> {
        let bytes = cmaf::media_segment(&self.plan, track, number, samples).map_err(failed)?;
        let segment = MadeSegment { track, number, bytes, concealed, dropped };
        self.pulse.reply(&Reply::Segment(segment)).map_err(failed)
    }

    /// The source, opened once more; whoever reads it goes his own ways in it.
    fn source(&self) -> Result<Source, Problem> {
        Source::open(Arc::clone(&self.file), &self.facts.seams, self.pulse.clone())
    }

    fn video_lane(&mut self) -> Result<&mut VideoLane, Problem> {
        if self.video.is_none() {
            let (source, video) = (self.source()?, picture(&self.facts, &self.plan)?);
            // Metadata of Dolby Vision may refer to that of earlier pictures.
            let may_run_on = !self.facts.seams.iter().any(Seam::is_leap) && self.facts.corrupt_packet_count == 0 && !video.is_ipt();
            self.video = VideoLane::open(source, video, &self.plan, may_run_on);
        }
        self.video.as_mut().ok_or_else(|| Problem::new(ProblemCode::UnsupportedCodec))
    }

    fn audio_lane(&mut self, stream: u32) -> Result<&mut AudioLane, Problem> {
        let at = match self.audio.iter().position(|(known, _)| *known == stream) {
            Some(at) => at,
            None => {
                let audio = self.facts.audio(stream).ok_or_else(|| failed("there is no such sound"))?;
                let source = self.source()?;
                let lane = AudioLane::open(source, audio, &self.plan, self.pulse.clone());
                self.audio.push((stream, lane.ok_or_else(|| Problem::new(ProblemCode::UnsupportedCodec))?));
                self.audio.len() - 1
            }
        };
        Ok(&mut self.audio[at].1)
    }
}

fn is_copied(plan: &Plan, track: TrackId) -> bool {
    let index = usize::from(track.index);
    match track.kind {
        TrackKind::Video => plan.video.get(index).is_some_and(|video| matches!(video.method, VideoMethod::Copy { .. })),
        TrackKind::Audio => plan.audio.get(index).is_some_and(|audio| matches!(audio.method, AudioMethod::Copy { .. })),
        TrackKind::Text => false,
    }
}

fn picture<'a>(facts: &'a SourceFacts, plan: &Plan) -> Result<&'a VideoFacts, Problem> {
    plan.video_stream.and_then(|stream| facts.video(stream)).ok_or_else(|| failed("there is no picture"))
}

fn sound<'a>(facts: &'a SourceFacts, plan: &Plan, id: TrackId) -> Result<&'a AudioFacts, Problem> {
    let track = plan.audio.get(usize::from(id.index));
    track.and_then(|track| facts.audio(track.stream)).ok_or_else(|| failed("there is no such sound"))
}

/// Address space without which a failure is put down to want of memory; encoders that could not get theirs say only that
/// they failed, and have freed the rest by then.
const MEMORY_LEFT_BYTES: usize = 256 << 20;

fn or_short_of_memory(problem: Problem) -> Problem {
    let short = problem.code == ProblemCode::WorkerFailed && Vec::<u8>::new().try_reserve_exact(MEMORY_LEFT_BYTES).is_err();
    if short { failed(ffmpeg_next::Error::Other { errno: libc::ENOMEM }) } else { problem }
}

fn failed(what: impl std::fmt::Display) -> Problem {
    Problem::with_detail(ProblemCode::WorkerFailed, what.to_string())
}
