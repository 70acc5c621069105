//! One decoded picture becomes the pictures of all rungs: laid over black where it is transparent, fitted into the plan's
//! frame, made upright, brought to the colours and bits of the rungs, scaled in cascade.

use std::rc::Rc;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use ffmpeg_next::filter::Graph;
use ffmpeg_next::frame::Video;
use headwater::title::{ColourFacts, LightFacts, Orientation, Plan, VideoFacts, VideoRange};

use super::filters::{graph, pull, push};
use super::recolour::{self, Recolour};
use super::reference::refer;
use super::reshape::Reshape;
use super::shape::{Shape, Siting};
use super::tone::Conversion;

/// A way from a source picture to the wanted rungs. It keeps no state from picture to picture.
pub struct Scaler {
    graph: Graph,
    /// Where the colours need more than the filters do.
    converted: Vec<Converted>,
    wanted: Vec<usize>,
    shape: Shape,
}

/// Rungs of one range whose colours are converted on the way.
struct Converted {
    /// Where in the first graph the pictures to convert come out.
    sink: &'static str,
    colours: Colours,
    /// The way from there to the rungs.
    graph: Graph,
    wanted: Vec<usize>,
}

/// How colours are converted.
enum Colours {
    /// All pictures alike.
    Alike(Rc<Recolour>),
    /// Each by its own metadata.
    Each(Box<Reshape>),
}

/// Conversions that were sampled before, for sampling takes as long as scaling a picture.
#[derive(Default)]
pub struct Recolours(Vec<(ColourFacts, ColourFacts, Rc<Recolour>)>);

/// Conversions kept; sources that change their colours more often than this sample them again.
const RECOLOURS_MAX: usize = 4;

impl Recolours {
    fn get(&mut self, from: ColourFacts, to: ColourFacts, light: &LightFacts) -> Rc<Recolour> {
        if let Some((.., recolour)) = self.0.iter().find(|known| (known.0, known.1) == (from, to)) {
            return Rc::clone(recolour);
        }
        let recolour = Rc::new(Recolour::new(&Conversion::new(from, to, light)));
        if self.0.len() >= RECOLOURS_MAX {
            self.0.remove(0);
        }
        self.0.push((from, to, Rc::clone(&recolour)));
        recolour
    }
}

impl Scaler {
    /// Prepares the way for pictures like `frame`. `wanted` are indices into the plan's video tracks, rising; each is scaled
    /// from the one above it whether or not that one is wanted, so the outcome does not depend on who asks.
    pub fn new(frame: &Video, video: &VideoFacts, plan: &Plan, wanted: &[usize], recolours: &mut Recolours) -> Result<Self, ffmpeg::Error> {
        let shape = Shape::of(frame);
        let meant = shape.meant_colour(video);
        let of_range = |standard: bool| -> Rungs {
            let is_here = |index: &usize| (plan.video[*index].range == VideoRange::Sdr) == standard;
            Rungs { plan, all: (0..plan.video.len()).filter(is_here).collect(), wanted: wanted.iter().copied().filter(is_here).collect() }
        };
        let (standard, high) = (of_range(true), of_range(false));
        let target = video.standard_colour();
        let to_standard = match video.is_ipt() {
            _ if standard.wanted.is_empty() => None,
            true => Some(Colours::Each(Box::new(Reshape::new(target, video.light)))),
            false if meant.standard() == Some(target) => None,
            false => Some(Colours::Alike(recolours.get(ColourFacts { full_range: Some(false), ..meant }, target, &video.light))),
        };
        let is_reshaped = video.is_ipt() && !high.wanted.is_empty();
        let to_high = is_reshaped.then(|| Colours::Each(Box::new(Reshape::new(ColourFacts::HDR10, video.light))));
        let mut spec = String::from("[in]");
        spec += &over_black(&shape);
        let both = !standard.wanted.is_empty() && !high.wanted.is_empty();
        spec += if both { "split=2[standard][high];" } else { "null" };
        let (mut sinks, mut converted) = (Vec::new(), Vec::new());
        for (rungs, label, sink, colours) in
            [(&standard, "[standard]", "standard_form", to_standard), (&high, "[high]", "high_form", to_high)]
        {
            let Some(top) = rungs.top() else { continue };
            spec += if both { label } else { "," };
            let frame = Frame::of(&shape, video, plan, top);
            let rung_sinks = rungs.wanted.iter().map(|index| sink_name(*index));
            if let Some(colours) = colours {
                spec += &format!("{},setsar=1[{sink}];", frame.scaled(&shape, meant, FORM_NAME));
                sinks.push(sink.to_owned());
                let (width, height) = frame.inner;
                let shape = Shape { width, height, format: ffi::AVPixelFormat::from(recolour::FORM) as i32, ..shape };
                let rest = format!("[in]null{},scale=flags={FLAGS}:{LEFT_OUT},format={}{}", frame.upright(), rungs.form(), rungs.cascade());
                let graph = self::graph(&shape, &rest, &rung_sinks.collect::<Vec<_>>())?;
                converted.push(Converted { sink, colours, graph, wanted: rungs.wanted.clone() });
            } else {
                spec += &(frame.scaled(&shape, meant, rungs.form()) + &frame.upright() + &rungs.cascade());
                sinks.extend(rung_sinks);
            }
        }
        let graph = graph(&shape, &spec, &sinks)?;
        Ok(Self { graph, converted, wanted: wanted.to_vec(), shape })
    }

    /// Whether this takes pictures like `frame` to `wanted`.
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
        let is_reshaped = self.converted.iter().any(|way| matches!(way.colours, Colours::Each(_)));
        if is_reshaped {
            // Metadata is about codes as they are stored, so the filters must take them for what they make.
            shared.set_color_range(ffmpeg::color::Range::MPEG);
        }
        push(&mut self.graph, shared)?;
        for way in &mut self.converted {
            let picture = pull(&mut self.graph, way.sink)?;
            let picture = match &mut way.colours {
                Colours::Alike(recolour) => recolour.convert(&picture)?,
                Colours::Each(reshape) => {
                    reshape.follow(frame);
                    reshape.convert(&picture)?
                }
            };
            push(&mut way.graph, picture)?;
        }
        let mut pictures = Vec::with_capacity(self.wanted.len());
        for index in &self.wanted {
            let way = self.converted.iter_mut().find(|way| way.wanted.contains(index));
            let graph = way.map_or(&mut self.graph, |way| &mut way.graph);
            pictures.push(pull(graph, &sink_name(*index))?);
        }
        Ok(pictures)
    }
}

/// How FFmpeg's scaler works: exact, so that every processor gives the same.
const FLAGS: &str = "bicubic+accurate_rnd+bitexact";
/// The name of [`recolour::FORM`].
const FORM_NAME: &str = "yuv444p10le";
/// Chroma of the rungs lies where players expect it, level with the left sample.
const LEFT_OUT: &str = "out_h_chr_pos=0:out_v_chr_pos=128";
const LEFT_IN: &str = "in_h_chr_pos=0:in_v_chr_pos=128";

fn sink_name(index: usize) -> String {
    format!("out{index}")
}

/// The rungs of one range, largest first, and those of them that are wanted.
struct Rungs<'a> {
    plan: &'a Plan,
    all: Vec<usize>,
    wanted: Vec<usize>,
}

impl Rungs<'_> {
    /// The largest, when any is wanted.
    fn top(&self) -> Option<usize> {
        self.all.first().copied().filter(|_| !self.wanted.is_empty())
    }

    /// Name of the pixel format of their pictures.
    fn form(&self) -> &'static str {
        match self.top().map(|top| self.plan.video[top].range) {
            Some(VideoRange::Pq | VideoRange::Hlg) => "yuv420p10le",
            Some(VideoRange::Sdr) | None => "yuv420p",
        }
    }

    /// From the picture of the largest to the sinks, as far down as is wanted.
    fn cascade(&self) -> String {
        let mut spec = String::new();
        let Some(last) = self.wanted.last() else { return spec };
        for (place, index) in self.all.iter().enumerate().take_while(|(_, index)| *index <= last) {
            let track = &self.plan.video[*index];
            if place > 0 {
                spec += &format!("[c{index}]scale=w={}:h={}:flags={FLAGS}:{LEFT_IN}:{LEFT_OUT}", track.width, track.height);
            }
            let next = self.all.get(place + 1).filter(|_| index < last);
            match (self.wanted.contains(index), next) {
                (true, Some(next)) => spec += &format!(",split=2[out{index}][c{next}];"),
                (true, None) => spec += &format!("[out{index}];"),
                (false, Some(next)) => spec += &format!("[c{next}];"),
                (false, None) => {}
            }
        }
        spec
    }
}

/// Lays a transparent picture over black; nothing for others.
fn over_black(shape: &Shape) -> String {
    if !shape.has_alpha() {
        return String::new();
    }
    let form = match (shape.is_rgb(), shape.bit_depth() > 8) {
        (true, false) => "gbrap",
        (true, true) => "gbrap16le",
        (false, false) => "yuva444p",
        (false, true) => "yuva444p16le",
    };
    format!("scale=flags={FLAGS}:{},format={form},premultiply=inplace=1,", siting_in(shape.siting))
}

/// The largest rung's frame, and the place of a picture in it.
struct Frame {
    /// The frame before it is turned.
    outer: (u32, u32),
    /// The part of it that the picture fills.
    inner: (u32, u32),
    orientation: Orientation,
}

impl Frame {
    fn of(shape: &Shape, video: &VideoFacts, plan: &Plan, top: usize) -> Self {
        let track = &plan.video[top];
        let turned = plan.orientation.swaps_sides();
        let outer = if turned { (track.height, track.width) } else { (track.width, track.height) };
        Self { outer, inner: inner_size(shape, video, outer), orientation: plan.orientation }
    }

    /// Scaled to its place. The range becomes limited; red, green and blue become luma and chroma.
    fn scaled(&self, shape: &Shape, meant: ColourFacts, form: &str) -> String {
        let mut spec = format!("scale=w={}:h={}:flags={FLAGS}", self.inner.0, self.inner.1);
        if shape.is_rgb() {
            spec += "+full_chroma_inp";
        }
        spec += &format!(":{}:{LEFT_OUT}:out_range=tv", siting_in(shape.siting));
        if shape.is_rgb() {
            spec += &format!(":out_color_matrix={}", matrix_name(meant.matrix));
        }
        spec + &format!(",format={form}")
    }

    /// Between black bars where it has another shape than the frame; then made upright.
    fn upright(&self) -> String {
        let (outer, inner) = (self.outer, self.inner);
        let mut spec = String::new();
        if inner != outer {
            // Chroma has no half places.
            let (left, above) = ((outer.0 - inner.0) / 4 * 2, (outer.1 - inner.1) / 4 * 2);
            spec += &format!(",pad=w={}:h={}:x={left}:y={above}:color=black", outer.0, outer.1);
        }
        spec + &turn(self.orientation) + ",setsar=1"
    }
}

fn siting_in(siting: Siting) -> String {
    format!("in_h_chr_pos={}:in_v_chr_pos={}", siting.right, siting.down)
}

/// The size, even, that a picture gets within a frame of the plan, both not turned yet. Pictures like those that were
/// surveyed fill it.
fn inner_size(shape: &Shape, video: &VideoFacts, frame: (u32, u32)) -> (u32, u32) {
    let usual_aspect = shape.aspect == video.coded_aspect || shape.aspect.0 == 0;
    if usual_aspect && (shape.width, shape.height) == (video.width, video.height) {
        return frame;
    }
    let aspect = if usual_aspect { video.sample_aspect } else { shape.aspect };
    let (wide, high) = match aspect {
        (0, _) | (_, 0) => (1, 1),
        aspect => aspect,
    };
    // Compared across, so that nothing is rounded before the end.
    let across = u128::from(shape.width) * u128::from(wide) * u128::from(frame.1);
    let down = u128::from(shape.height) * u128::from(high) * u128::from(frame.0);
    let part = |side: u32, of: u128, whole: u128| {
        let even = (u128::from(side) * of + whole) / (2 * whole) * 2;
        u32::try_from(even).unwrap_or(side).clamp(2, side)
    };
    if across >= down { (frame.0, part(frame.1, down, across)) } else { (part(frame.0, across, down), frame.1) }
}

/// FFmpeg's name for a matrix that RGB sources are converted with.
fn matrix_name(matrix: u8) -> &'static str {
    match matrix {
        1 => "bt709",
        9 => "bt2020",
        _ => "bt601",
    }
}

fn turn(orientation: Orientation) -> String {
    let mirror = if orientation.mirror { ",hflip" } else { "" };
    let turn = match orientation.quarter_turns {
        1 => ",transpose=clock",
        2 => ",hflip,vflip",
        3 => ",transpose=cclock",
        _ => "",
    };
    format!("{mirror}{turn}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, aspect: (u32, u32)) -> Shape {
        let colour = ColourFacts::STANDARD;
        Shape { width, height, format: 0, aspect, colour, siting: Siting::LEFT }
    }

    #[test]
    fn pictures_of_another_shape_are_fitted_uncropped() {
        let mut video = super::super::testing::video_facts(720, 576);
        video.sample_aspect = (64, 45);
        video.coded_aspect = (64, 45);
        // (size, pixel shape, frame, inner)
        for (size, aspect, frame, expect) in [
            ((720, 576), (64, 45), (1024, 576), (1024, 576)),
            ((720, 576), (0, 1), (1024, 576), (1024, 576)),
            ((720, 576), (16, 15), (1024, 576), (768, 576)),
            ((360, 288), (64, 45), (1024, 576), (1024, 576)),
            ((1920, 1080), (1, 1), (1024, 576), (1024, 576)),
            ((1080, 1920), (1, 1), (1024, 576), (324, 576)),
            ((2000, 500), (1, 1), (1024, 576), (1024, 256)),
            ((16_000, 2), (1, 1), (16, 16), (16, 2)),
        ] {
            assert_eq!(inner_size(&picture(size.0, size.1, aspect), &video, frame), expect, "{size:?} of {aspect:?}");
        }
    }
}
