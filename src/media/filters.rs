//! Graphs of FFmpeg's filters, each of one thread: pictures go into `in`, and come out of the sinks that are named.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::filter::Graph;
use ffmpeg_next::frame::Video;

use super::shape::Shape;

/// A graph that takes pictures of that size and pixel format; `spec` says in FFmpeg's language how they get from `in` to the
/// sinks.
///
/// # Errors
/// When FFmpeg lacks one of the filters, or they do not fit together.
pub fn graph(shape: &Shape, spec: &str, sinks: &[String]) -> Result<Graph, ffmpeg::Error> {
    let mut graph = Graph::new();
    // SAFETY: the graph is freshly made and not configured yet.
    unsafe { (*graph.as_mut_ptr()).nb_threads = 1 };
    let filter = |name: &str| ffmpeg::filter::find(name).ok_or(ffmpeg::Error::FilterNotFound);
    let arguments = format!("video_size={}x{}:pix_fmt={}:time_base=1/1000:pixel_aspect=1/1", shape.width, shape.height, shape.format);
    graph.add(&filter("buffer")?, "in", &arguments)?;
    for sink in sinks {
        graph.add(&filter("buffersink")?, sink, "")?;
    }
    let mut parser = graph.output("in", 0)?;
    for sink in sinks {
        parser = parser.input(sink, 0)?;
    }
    // Chains are parted by a semicolon; none follows the last.
    parser.parse(spec.trim_end_matches(';'))?;
    graph.validate()?;
    Ok(graph)
}

/// A graph from `in` through one filter to `out`.
///
/// # Errors
/// As [`graph`].
pub fn single(shape: &Shape, filter: &str) -> Result<Graph, ffmpeg::Error> {
    graph(shape, &format!("[in]{filter}[out]"), &["out".to_owned()])
}

/// Puts a picture in, which the graph takes over.
///
/// # Errors
/// When a filter fails.
pub fn push(graph: &mut Graph, picture: Video) -> Result<(), ffmpeg::Error> {
    push_at(graph, picture, 0)
}

/// The same with a time, for filters that look at more than one picture.
///
/// # Errors
/// When a filter fails.
pub fn push_at(graph: &mut Graph, mut picture: Video, pts: i64) -> Result<(), ffmpeg::Error> {
    picture.set_pts(Some(pts));
    graph.get("in").ok_or(ffmpeg::Error::FilterNotFound)?.source().add(&picture)
}

/// Takes the next picture out of a sink.
///
/// # Errors
/// When there is none yet, or a filter fails.
pub fn pull(graph: &mut Graph, sink: &str) -> Result<Video, ffmpeg::Error> {
    let mut picture = Video::empty();
    graph.get(sink).ok_or(ffmpeg::Error::FilterNotFound)?.sink().frame(&mut picture)?;
    Ok(picture)
}
