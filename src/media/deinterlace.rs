//! Whole pictures out of pictures that are woven of two fields: FFmpeg's `bwdif`, which looks at one picture before and one
//! after.
//!
//! What comes out for a picture depends on its neighbours alone, so decoding may begin anywhere before them. The first
//! picture of a run has no neighbour before it; what comes out for it counts only where the stream itself begins.

use std::collections::VecDeque;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::filter::Graph;
use ffmpeg_next::frame::Video;
use headwater::title::Deinterlace;

use super::filters::{pull, push_at, single};
use super::reference::refer;
use super::shape::Shape;

/// Takes woven pictures in the order of presentation, gives whole ones.
pub struct Deinterlacer {
    way: Deinterlace,
    /// The usual distance of pictures in the ticks of the stream.
    usual_ticks: i64,
    weaver: Option<Weaver>,
    /// Pictures put in whose whole ones have not come out yet.
    waiting: VecDeque<Woven>,
    /// The next one to come out is the second of its picture.
    second: bool,
    /// Whether the next picture put in has no neighbour before it.
    lonely: bool,
    ready: VecDeque<Whole>,
}

#[derive(Clone, Copy)]
struct Woven {
    pts: i64,
    damaged: bool,
    /// It had no neighbour before it.
    lonely: bool,
}

/// A whole picture.
pub struct Whole {
    /// When it is shown, in half ticks of the stream.
    pub half_ticks: i64,
    /// The picture.
    pub picture: Video,
    /// Whether what it was made of was damaged.
    pub damaged: bool,
}

/// The filter graph for pictures of one size and format.
struct Weaver {
    graph: Graph,
    /// Width, height, and FFmpeg's number of the pixel format.
    form: (u32, u32, i32),
}

impl Deinterlacer {
    /// For a stream whose pictures are usually `usual_ticks` apart. `lonely_first` when the first picture's outcome does not
    /// count, because the stream has pictures before it.
    pub fn new(way: Deinterlace, usual_ticks: i64, lonely_first: bool) -> Self {
        Self {
            way,
            usual_ticks: usual_ticks.max(1),
            weaver: None,
            waiting: VecDeque::new(),
            second: false,
            lonely: lonely_first,
            ready: VecDeque::new(),
        }
    }

    /// Puts in the next picture.
    ///
    /// # Errors
    /// When no filter graph can be made for it.
    pub fn put(&mut self, picture: &Video, pts: i64, damaged: bool) -> Result<(), ffmpeg::Error> {
        if self.weaver.as_ref().is_some_and(|weaver| weaver.form != form_of(picture)) {
            // Pictures of two sizes have nothing to do with each other.
            self.end();
        }
        let weaver = match &mut self.weaver {
            Some(weaver) => weaver,
            none => {
                let mode = if self.way.fields { "send_field" } else { "send_frame" };
                none.insert(Weaver::open(picture, &format!("bwdif=mode={mode}:parity={}:deint=all", parity(self.way)))?)
            }
        };
        self.waiting.push_back(Woven { pts, damaged, lonely: std::mem::take(&mut self.lonely) });
        weaver.put(picture, pts)?;
        self.collect();
        Ok(())
    }

    /// There are no more pictures, or none that belong to those before.
    pub fn end(&mut self) {
        if let Some(weaver) = &mut self.weaver
            && let Some(mut input) = weaver.graph.get("in")
            && input.source().flush().is_ok()
        {
            self.collect();
        }
        self.weaver = None;
        self.waiting.clear();
        self.second = false;
    }

    /// The next whole picture.
    pub fn take(&mut self) -> Option<Whole> {
        self.ready.pop_front()
    }

    fn collect(&mut self) {
        let Some(weaver) = &mut self.weaver else { return };
        while let Ok(picture) = pull(&mut weaver.graph, "out") {
            let Some(from) = self.waiting.front().copied() else { return };
            let next = self.waiting.get(1).copied();
            let apart = next.map_or(self.usual_ticks, |next| (next.pts - from.pts).clamp(0, self.usual_ticks * 3 / 2));
            let half_ticks = from.pts.saturating_mul(2) + if self.second { apart } else { 0 };
            let damaged = from.damaged || next.is_some_and(|next| next.damaged);
            let done = !self.way.fields || self.second;
            self.second = !done;
            if done {
                self.waiting.pop_front();
            }
            if !from.lonely {
                self.ready.push_back(Whole { half_ticks, picture, damaged });
            }
        }
    }
}

/// A whole picture out of a woven one alone, for stills: FFmpeg's `estdif`, which keeps the earlier field and looks at no
/// neighbour.
pub struct LonePicture(Weaver);

impl LonePicture {
    /// The whole picture; `kept` is for pictures of the same shape to come.
    ///
    /// # Errors
    /// When no filter graph can be made for it.
    pub fn whole(kept: &mut Option<Self>, way: Deinterlace, picture: &Video) -> Result<Video, ffmpeg::Error> {
        let lone = match kept.take().filter(|known| known.0.form == form_of(picture)) {
            Some(known) => known,
            None => Self(Weaver::open(picture, &format!("estdif=mode=frame:parity={}:deint=all", parity(way)))?),
        };
        let Self(weaver) = kept.insert(lone);
        // The filter gives a picture when the next comes.
        for pts in 0..2 {
            weaver.put(picture, pts)?;
        }
        // The last to come out is this one, whatever was there before.
        let mut whole = None;
        while let Ok(picture) = pull(&mut weaver.graph, "out") {
            whole = Some(picture);
        }
        whole.ok_or(ffmpeg::Error::InvalidData)
    }
}

fn parity(way: Deinterlace) -> &'static str {
    if way.top_first { "tff" } else { "bff" }
}

impl Weaver {
    fn open(like: &Video, filter: &str) -> Result<Self, ffmpeg::Error> {
        Ok(Self { graph: single(&Shape::of(like), filter)?, form: form_of(like) })
    }

    /// Puts in the next picture.
    fn put(&mut self, picture: &Video, pts: i64) -> Result<(), ffmpeg::Error> {
        let mut shared = Video::empty();
        refer(&mut shared, picture)?;
        push_at(&mut self.graph, shared, pts)
    }
}

fn form_of(picture: &Video) -> (u32, u32, i32) {
    let Shape { width, height, format, .. } = Shape::of(picture);
    (width, height, format)
}
