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

use super::reference::refer;

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
    shape: (u32, u32, i32),
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
        let shape = shape_of(picture);
        if self.weaver.as_ref().is_some_and(|weaver| weaver.shape != shape) {
            // Pictures of two sizes have nothing to do with each other.
            self.end();
        }
        if self.weaver.is_none() {
            let mode = if self.way.fields { "send_field" } else { "send_frame" };
            self.weaver = Some(Weaver::open(shape, &format!("bwdif=mode={mode}:parity={}:deint=all", parity(self.way)))?);
        }
        self.waiting.push_back(Woven { pts, damaged, lonely: std::mem::take(&mut self.lonely) });
        let mut shared = Video::empty();
        refer(&mut shared, picture)?;
        shared.set_pts(Some(pts));
        if let Some(weaver) = &mut self.weaver {
            weaver.graph.get("in").ok_or(ffmpeg::Error::FilterNotFound)?.source().add(&shared)?;
        }
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
        loop {
            let mut picture = Video::empty();
            let out = weaver.graph.get("out").map(|mut out| out.sink().frame(&mut picture));
            if !matches!(out, Some(Ok(()))) {
                return;
            }
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
        let shape = shape_of(picture);
        let lone = match kept.take().filter(|known| known.0.shape == shape) {
            Some(known) => known,
            None => Self(Weaver::open(shape, &format!("estdif=mode=frame:parity={}:deint=all", parity(way)))?),
        };
        let Self(weaver) = kept.insert(lone);
        // The filter gives a picture when the next comes.
        for pts in 0..2 {
            let mut shared = Video::empty();
            refer(&mut shared, picture)?;
            shared.set_pts(Some(pts));
            weaver.graph.get("in").ok_or(ffmpeg::Error::FilterNotFound)?.source().add(&shared)?;
        }
        let mut sink = weaver.graph.get("out").ok_or(ffmpeg::Error::FilterNotFound)?;
        // The last to come out is this one, whatever was there before.
        let mut whole = None;
        loop {
            let mut picture = Video::empty();
            match sink.sink().frame(&mut picture) {
                Ok(()) => whole = Some(picture),
                Err(_) => return whole.ok_or(ffmpeg::Error::InvalidData),
            }
        }
    }
}

fn parity(way: Deinterlace) -> &'static str {
    if way.top_first { "tff" } else { "bff" }
}

fn shape_of(picture: &Video) -> (u32, u32, i32) {
    // SAFETY: reads one integer of a frame that is alive.
    (picture.width(), picture.height(), unsafe { (*picture.as_ptr()).format })
}

impl Weaver {
    fn open(shape: (u32, u32, i32), spec: &str) -> Result<Self, ffmpeg::Error> {
        let mut graph = Graph::new();
        // SAFETY: the graph is freshly made and not configured yet.
        unsafe { (*graph.as_mut_ptr()).nb_threads = 1 };
        let filter = |name: &str| ffmpeg::filter::find(name).ok_or(ffmpeg::Error::FilterNotFound);
        let (width, height, format) = shape;
        let arguments = format!("video_size={width}x{height}:pix_fmt={format}:time_base=1/1000:pixel_aspect=1/1");
        graph.add(&filter("buffer")?, "in", &arguments)?;
        graph.add(&filter("buffersink")?, "out", "")?;
        graph.output("in", 0)?.input("out", 0)?.parse(&format!("[in]{spec}[out]"))?;
        graph.validate()?;
        Ok(Self { graph, shape })
    }
}
