//! Single pictures of a video stream for little work: key frames alone where they are near enough, else pictures on the way
//! from one, those that no other picture needs left out.
//!
//! What comes out is for looking at, not for publishing; it depends on the order of the questions, which the pass over the
//! stills keeps the same.

use ffmpeg_next::frame::Video;
use headwater::title::VideoFacts;

use super::decoder::{Decoder, Step};
use super::source::Source;

/// Looks into one video stream.
pub struct Glance {
    source: Source,
    decoder: Decoder,
    video: VideoFacts,
    run: Option<Run>,
}

/// Decoding that goes on from a key frame.
struct Run {
    /// Which key frame it began at.
    key: usize,
    rough: bool,
    held: Option<(i64, Video)>,
    ahead: Option<(i64, Video)>,
    draining: bool,
}

/// Packets without any picture after which a run is given up.
const PACKETS_BARREN: u32 = 600;

impl Glance {
    /// Opens the decoder of a video stream.
    pub fn open(mut source: Source, video: &VideoFacts) -> Option<Self> {
        source.only(video.stream);
        let decoder = Decoder::open(&source, video.stream)?;
        Some(Self { source, decoder, video: video.clone(), run: None })
    }

    /// The key frame at or before `pts`, or the first.
    pub fn key_before(&self, pts: i64) -> usize {
        self.video.key_frames.partition_point(|key| key.pts <= pts).saturating_sub(1)
    }

    /// The picture of a key frame, from its packet alone; absent when that gives none.
    pub fn key_frame(&mut self, key: usize) -> Option<Video> {
        self.run = None;
        self.decoder.flush();
        self.decoder.skim(false);
        let at = self.video.key_frames.get(key)?;
        let packet = self.source.find_packet(self.video.stream, at.pts, at.position)?;
        self.decoder.send(Some(&packet));
        self.decoder.send(None);
        let mut found = None;
        loop {
            let mut picture = Video::empty();
            match self.decoder.receive(&mut picture) {
                Step::Frame => found = found.or(Some(picture)),
                Step::Finished | Step::Hungry => return found,
                Step::Damaged => {}
            }
        }
    }

    /// The last picture shown at or before `pts`, of those that others need; the first one when all come later. Asked for in
    /// rising order, each goes on from the one before. `rough` is for small pictures.
    pub fn picture(&mut self, pts: i64, rough: bool) -> Option<&Video> {
        let key = self.key_before(pts);
        let goes_on = self.run.as_ref().is_some_and(|run| {
            let at = run.held.as_ref().or(run.ahead.as_ref()).map(|(at, _)| *at);
            run.rough == rough && at.is_some_and(|at| at <= pts && !self.is_nearer(key, at))
        });
        if !goes_on {
            self.begin(key, rough);
        }
        while self.run.as_ref()?.ahead.as_ref().is_some_and(|(at, _)| *at <= pts) {
            let next = self.decode();
            let run = self.run.as_mut()?;
            run.held = std::mem::replace(&mut run.ahead, next);
        }
        let run = self.run.as_ref()?;
        run.held.as_ref().or(run.ahead.as_ref()).map(|(_, picture)| picture)
    }

    /// Whether a key frame is nearer than where a run stands.
    fn is_nearer(&self, key: usize, at: i64) -> bool {
        self.video.key_frames.get(key).is_some_and(|key| key.pts > at)
    }

    fn begin(&mut self, key: usize, rough: bool) {
        self.decoder.flush();
        self.decoder.skim(rough);
        let at = self.video.key_frames.get(key).copied();
        let packet = at.and_then(|at| self.source.find_packet(self.video.stream, at.pts, at.position));
        self.run = Some(Run { key, rough, held: None, ahead: None, draining: packet.is_none() });
        self.decoder.send(packet.as_ref());
        let first = self.decode();
        if let Some(run) = &mut self.run {
            run.ahead = first;
        }
    }

    fn decode(&mut self) -> Option<(i64, Video)> {
        let run = self.run.as_mut()?;
        let mut barren = 0;
        loop {
            let mut picture = Video::empty();
            match self.decoder.receive(&mut picture) {
                Step::Frame => {
                    // Where not even the decoder can tell, pictures follow the one before.
                    let before = run.ahead.as_ref().map(|(at, _)| at + self.video.interval_median);
                    let first = self.video.key_frames.get(run.key).map(|key| key.pts);
                    let at = picture.timestamp().or(before).or(first)?;
                    return Some((at, picture));
                }
                Step::Finished => return None,
                Step::Damaged => {}
                Step::Hungry if run.draining || barren >= PACKETS_BARREN => return None,
                Step::Hungry => {
                    barren += 1;
                    let packet = self.source.read_of(self.video.stream);
                    run.draining = packet.is_none();
                    self.decoder.send(packet.as_ref());
                }
            }
        }
    }
}
