//! The poster of a title that is sound alone: the picture attached to it, decoded and encoded anew.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use ffmpeg_next::frame::Video;
use headwater::title::{Plan, Problem, SourceFacts, StreamFacts, display_size, poster_size};

use super::decoder::{Decoder, Step};
use super::jpeg;
use super::pulse::Pulse;
use super::source::Source;
use super::stills::{POSTER_QUALITY, Shrink};
use super::stream_facts;
use super::survey_video::VideoSurvey;

/// Most pixels of an attached picture.
const PIXELS_MAX: u64 = 7680 * 4320;
/// Packets looked at for it; demuxers give it first.
const PACKETS_MAX: u32 = 2000;

/// The first attached picture that can be decoded, as a poster; absent when there is none.
///
/// # Errors
/// A [`Problem`] when it cannot be encoded.
pub fn poster(file: &Arc<File>, facts: &SourceFacts, plan: &Plan, pulse: &Pulse) -> Result<Option<Bytes>, Problem> {
    for stream in facts.streams.iter().filter_map(|stream| match stream {
        StreamFacts::Other(other) if other.kind == "picture" => Some(other.stream),
        _ => None,
    }) {
        let mut source = Source::open(Arc::clone(file), &facts.seams, pulse.clone())?;
        let Some(picture) = decode(&mut source, stream) else { continue };
        let Some(attached) = source.input().stream(stream as usize).filter(stream_facts::is_attached_picture) else { continue };
        let mut survey = VideoSurvey::begin(&attached);
        // What was decoded is what counts.
        survey.look_at(&picture);
        let mut video = survey.finish(stream, String::new(), |_| None);
        (video.width, video.height) = (picture.width(), picture.height());
        let (width, height) = display_size(&video);
        let (width, height) = poster_size(width, height);
        let upright = Plan { orientation: video.orientation, ..plan.clone() };
        let picture = Shrink::to(&upright, &video, width, height).shrink(&picture)?;
        return jpeg::encode(&picture, video.standard_colour(), POSTER_QUALITY).map(Some);
    }
    Ok(None)
}

fn decode(source: &mut Source, stream: u32) -> Option<Video> {
    let attached = source.input().stream(stream as usize)?;
    let parameters = stream_facts::parameters(&attached);
    let side = |pixels: i32| u64::try_from(pixels).unwrap_or(0);
    if side(parameters.width) * side(parameters.height) > PIXELS_MAX {
        return None;
    }
    let mut decoder = Decoder::open(source, stream)?;
    for _ in 0..PACKETS_MAX {
        let packet = source.read()?;
        if packet.stream() != stream as usize {
            continue;
        }
        decoder.send(Some(&packet));
        decoder.send(None);
        let mut picture = Video::empty();
        return (decoder.receive(&mut picture) == Step::Frame).then_some(picture);
    }
    None
}
