//! One decoded picture becomes the pictures of all rungs: made upright, brought to 8-bit 4:2:0, scaled in cascade.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use ffmpeg_next::filter::Graph;
use ffmpeg_next::frame::Video;
use headwater::title::{Orientation, Plan, VideoFacts};

use super::colour;
use super::reference::refer;

/// A filter graph from a source picture to the wanted rungs. It keeps no state from picture to picture.
pub struct Scaler {
    graph: Graph,
    wanted: Vec<usize>,
    shape: Shape,
}

/// What a graph is built for; a picture of another shape needs another graph.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    width: u32,
    height: u32,
    format: i32,
}

impl Shape {
    fn of(frame: &Video) -> Self {
        // SAFETY: reads one integer of a frame that is alive.
        let format = unsafe { (*frame.as_ptr()).format };
        Self { width: frame.width(), height: frame.height(), format }
    }
}

impl Scaler {
    /// Builds the graph for pictures like `frame`. `wanted` are indices into the plan's video tracks, rising; each is scaled
    /// from the one above it whether or not that one is wanted, so the outcome does not depend on who asks.
    pub fn new(frame: &Video, video: &VideoFacts, plan: &Plan, wanted: &[usize]) -> Result<Self, ffmpeg::Error> {
        let shape = Shape::of(frame);
        let mut graph = Graph::new();
        // SAFETY: the graph is freshly made and not configured yet.
        unsafe { (*graph.as_mut_ptr()).nb_threads = 1 };
        let filter = |name: &str| ffmpeg::filter::find(name).ok_or(ffmpeg::Error::FilterNotFound);
        let arguments = format!("video_size={}x{}:pix_fmt={}:time_base=1/1000:pixel_aspect=1/1", shape.width, shape.height, shape.format);
        graph.add(&filter("buffer")?, "in", &arguments)?;
        for index in wanted {
            graph.add(&filter("buffersink")?, &sink_name(*index), "")?;
        }
        let spec = specification(shape.format, video, plan, wanted);
        let mut parser = graph.output("in", 0)?;
        for index in wanted {
            parser = parser.input(&sink_name(*index), 0)?;
        }
        parser.parse(&spec)?;
        graph.validate()?;
        Ok(Self { graph, wanted: wanted.to_vec(), shape })
    }

    /// Whether this graph takes pictures like `frame` to `wanted`.
    pub fn fits(&self, frame: &Video, wanted: &[usize]) -> bool {
        self.shape == Shape::of(frame) && self.wanted == wanted
    }

    /// The picture at each wanted rung, in the order of `wanted`.
    pub fn scale(&mut self, frame: &Video) -> Result<Vec<Video>, ffmpeg::Error> {
        // The graph takes what it is given, so it gets a reference of its own.
        let mut shared = Video::empty();
        refer(&mut shared, frame)?;
        // Picture types of the source must not steer the encoders.
        shared.set_kind(ffmpeg::picture::Type::None);
        shared.set_pts(Some(0));
        self.graph.get("in").ok_or(ffmpeg::Error::FilterNotFound)?.source().add(&shared)?;
        let mut pictures = Vec::with_capacity(self.wanted.len());
        for index in &self.wanted {
            let mut picture = Video::empty();
            self.graph.get(&sink_name(*index)).ok_or(ffmpeg::Error::FilterNotFound)?.sink().frame(&mut picture)?;
            pictures.push(picture);
        }
        Ok(pictures)
    }
}

fn sink_name(index: usize) -> String {
    format!("out{index}")
}

/// The graph in FFmpeg's filter language.
fn specification(format: i32, video: &VideoFacts, plan: &Plan, wanted: &[usize]) -> String {
    let mut spec = String::from("[in]");
    let last = wanted.iter().copied().max().unwrap_or(0);
    for (index, track) in plan.video.iter().enumerate().take(last + 1) {
        if index == 0 {
            let turned = plan.orientation.swaps_sides();
            let (width, height) = if turned { (track.height, track.width) } else { (track.width, track.height) };
            spec += &conversion(format, video, width, height);
            spec += &turn(plan.orientation);
            spec += "setsar=1";
        } else {
            spec += &format!("[c{index}]scale=w={}:h={}:flags=bicubic", track.width, track.height);
        }
        let (here, further) = (wanted.contains(&index), index < last);
        match (here, further) {
            (true, true) => spec += &format!(",split=2[out{index}][c{}];", index + 1),
            (true, false) => spec += &format!("[out{index}]"),
            (false, _) => spec += &format!("[c{}];", index + 1),
        }
    }
    spec
}

/// From whatever the decoder gives to limited-range 8-bit 4:2:0 of the largest rung's stored size.
fn conversion(format: i32, video: &VideoFacts, width: u32, height: u32) -> String {
    let scale = format!("scale=w={width}:h={height}:flags=bicubic");
    if colour::is_hdr(video) {
        let facts = video.colour;
        let known = |code: u8, usual: u8| if code == 2 { usual } else { code };
        // Light is brought to linear, into the smaller gamut, then under the brightness that a standard display has.
        return format!(
            "setparams=color_primaries={}:color_trc={}:colorspace={},{scale},zscale=t=linear:npl=203,format=gbrpf32le,\
             zscale=p=bt709,tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv,format=yuv420p,",
            known(facts.primaries, 9),
            facts.transfer,
            known(facts.matrix, 9)
        );
    }
    let matrix = if is_rgb(format) { format!(":out_color_matrix={}", colour::matrix_name(colour::output(video))) } else { String::new() };
    format!("{scale}:out_range=tv{matrix},format=yuv420p,")
}

fn is_rgb(format: i32) -> bool {
    // SAFETY: the number comes from a decoded frame, so it is one of the enumeration; the result is null or static.
    unsafe {
        let format: ffi::AVPixelFormat = std::mem::transmute(format);
        let rgb = u64::from(ffi::AV_PIX_FMT_FLAG_RGB as u32 | ffi::AV_PIX_FMT_FLAG_PAL as u32);
        ffi::av_pix_fmt_desc_get(format).as_ref().is_some_and(|descriptor| descriptor.flags & rgb != 0)
    }
}

fn turn(orientation: Orientation) -> String {
    let mirror = if orientation.mirror { "hflip," } else { "" };
    let turn = match orientation.quarter_turns {
        1 => "transpose=clock,",
        2 => "hflip,vflip,",
        3 => "transpose=cclock,",
        _ => "",
    };
    format!("{mirror}{turn}")
}
