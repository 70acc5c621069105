//! Looks at some pictures of a stream to see whether they are whole, or woven of fields.
//!
//! A few pictures at a few places spread over the source are decoded and shown to FFmpeg's `idet`, which compares the lines of
//! each with those of its neighbours. Flags are read on the way.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::filter::Graph;
use ffmpeg_next::frame::Video;
use headwater::title::{KeyFrame, ScanFacts, Seam, VideoFacts};

use super::comb::is_torn;
use super::decoder::{Decoder, Step};
use super::filters::{pull, push, single};
use super::pulse::Pulse;
use super::reference::refer;
use super::shape::Shape;
use super::source::Source;

/// Places looked at.
const PLACES: usize = 4;
/// Pictures compared with their neighbours at each place.
const PICTURES: u32 = 12;
/// Packets read for them at a place at most; fields may have packets of their own, and some give no picture.
const PACKETS_MAX: u32 = 60;
/// So many whole pictures and not a combed one among two places: there are no fields.
const WHOLE_ENOUGH: u32 = 12;

/// Looks at the stream's pictures; absent when none of them can be seen.
pub fn look(file: &Arc<File>, pulse: &Pulse, seams: &[Seam], video: &VideoFacts) -> Option<ScanFacts> {
    let mut source = Source::open(Arc::clone(file), seams, pulse.clone()).ok()?;
    source.only(video.stream);
    let mut seen = ScanFacts::default();
    let mut pace = Pace::default();
    for (visited, key) in places(&video.key_frames).into_iter().enumerate() {
        look_at(&mut source, video, key, &mut seen, &mut pace);
        let combed = seen.top_first + seen.bottom_first;
        if visited > 0 && combed == 0 && seen.flagged == 0 && seen.flagged_repeat == 0 && seen.progressive >= WHOLE_ENOUGH {
            break;
        }
    }
    seen.split = seen.flagged * 2 > seen.pictures && pace.is_split(video);
    (seen.pictures > 0).then_some(seen)
}

/// Key frames spread over the source, each once.
fn places(keys: &[KeyFrame]) -> Vec<KeyFrame> {
    let mut indices: Vec<usize> = (0..PLACES).map(|place| keys.len() * (2 * place + 1) / (2 * PLACES)).collect();
    indices.dedup();
    indices.into_iter().filter_map(|index| keys.get(index).copied()).collect()
}

/// How packets and pictures go together.
#[derive(Default)]
struct Pace {
    packets: u32,
    pictures: u32,
    /// Distances of pictures in ticks, where they have times.
    intervals: Vec<i64>,
}

impl Pace {
    /// Whether pictures come clearly slower than packets.
    fn is_split(&mut self, video: &VideoFacts) -> bool {
        if self.intervals.is_empty() {
            return self.packets * 10 > self.pictures * 16;
        }
        let middle = self.intervals.len() / 2;
        *self.intervals.select_nth_unstable(middle).1 * 10 > video.interval_median * 16
    }
}

fn look_at(source: &mut Source, video: &VideoFacts, key: KeyFrame, seen: &mut ScanFacts, pace: &mut Pace) {
    // A decoder of its own for each place: nothing of the one before is left in it.
    let Some(mut decoder) = Decoder::open(source, video.stream) else { return };
    let mut packet = source.find_packet(video.stream, key.pts, key.position);
    let mut eye = None;
    let mut compared = 0;
    let mut last_pts = None;
    for _ in 0..PACKETS_MAX {
        match &packet {
            Some(packet) => {
                pace.packets += 1;
                decoder.send(Some(packet))
            }
            None => decoder.send(None),
        };
        let mut picture = Video::empty();
        while compared < PICTURES && decoder.receive(&mut picture) == Step::Frame {
            pace.pictures += 1;
            let last = std::mem::replace(&mut last_pts, picture.pts());
            pace.intervals.extend(last.zip(last_pts).map(|(last, pts)| pts - last));
            if !picture.is_corrupt() && !picture.has_decode_errors() {
                // Another size would need another graph; one place is then as good as seen.
                if eye.is_none() {
                    eye = Eye::open(&picture).ok();
                }
                let Some(eye) = &mut eye else { return };
                let Ok(judged) = eye.show(&picture, seen) else { return };
                compared += judged;
            }
        }
        if compared >= PICTURES || packet.is_none() {
            return;
        }
        packet = source.read_of(video.stream);
    }
}

/// A filter graph that compares pictures with their neighbours.
struct Eye {
    graph: Graph,
    /// Flags of the pictures that were shown and not judged yet.
    waiting: VecDeque<Flags>,
    before: Option<Video>,
}

#[derive(Clone, Copy)]
struct Flags {
    interlaced: bool,
    top_first: bool,
    repeat: bool,
}

impl Eye {
    fn open(like: &Video) -> Result<Self, ffmpeg::Error> {
        Ok(Self { graph: single(&Shape::of(like), "idet")?, waiting: VecDeque::new(), before: None })
    }

    /// Shows the next picture, and notes what is found out about earlier ones; gives how many these are. The first of all
    /// lacks a neighbour and does not count.
    fn show(&mut self, picture: &Video, seen: &mut ScanFacts) -> Result<u32, ffmpeg::Error> {
        let flags = Flags {
            interlaced: picture.is_interlaced(),
            top_first: picture.is_top_first(),
            repeat: (0.5..1.5).contains(&picture.repeat()),
        };
        self.waiting.push_back(flags);
        let mut shared = Video::empty();
        refer(&mut shared, picture)?;
        push(&mut self.graph, shared)?;
        let mut count = 0;
        while let Ok(judged) = pull(&mut self.graph, "out") {
            let flags = self.waiting.pop_front();
            let mut shown = Video::empty();
            refer(&mut shown, &judged)?;
            let Some(before) = self.before.replace(shown) else { continue };
            count += 1;
            seen.torn += u32::from(is_torn(&before, &judged) != Some(false));
            let told = |key: &str| judged.metadata().get(key).unwrap_or_default().to_owned();
            match told("lavfi.idet.single.current_frame").as_str() {
                "tff" => seen.top_first += 1,
                "bff" => seen.bottom_first += 1,
                "progressive" => seen.progressive += 1,
                _ => {}
            }
            seen.repeated += u32::from(matches!(told("lavfi.idet.repeated.current_frame").as_str(), "top" | "bottom"));
            seen.flagged += u32::from(flags.is_some_and(|flags| flags.interlaced));
            seen.flagged_top_first += u32::from(flags.is_some_and(|flags| flags.interlaced && flags.top_first));
            seen.flagged_repeat += u32::from(flags.is_some_and(|flags| flags.repeat));
        }
        seen.pictures += count;
        Ok(count)
    }
}
