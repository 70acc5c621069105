//! The pictures of the source laid on the plan's frame grid.
//!
//! Each source picture belongs to the grid slot nearest to its time; a slot shows the last picture that belongs to it or to
//! an earlier one. That rule needs nothing from before the key frame at or before a slot, so decoding may start there or run
//! on from earlier: both give the same pictures, unless the source is damaged, in which case the start is what counts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::frame::Video;
use headwater::title::{Deinterlace, Plan, Ratio, VideoFacts, pictures_a_slot};

use super::decoder::{Decoder, Step};
use super::deinterlace::{Deinterlacer, Whole};
use super::source::Source;
use super::stream_facts::parameters;

/// Decodes one video stream, forwards.
pub struct VideoLane {
    source: Source,
    decoder: Decoder,
    video: VideoFacts,
    origin: Ratio,
    frames_per_second: Ratio,
    lead_slots: Ratio,
    deinterlace: Option<Deinterlace>,
    times: Times,
    /// What a demuxer makes of damaged packets depends on what it read before them, and on long after: decoding of a source
    /// that has any never runs on. Nor does it where a decoder keeps more than pictures from before a key frame.
    may_run_on: bool,
    state: Run,
}

/// So many slots before its time a picture is taken to come: where an even number of pictures shares a slot, some lie just between
/// two slots, and rounded times would toss them to and fro. Half a picture earlier, none does.
fn lead_slots(video: &VideoFacts, plan: &Plan) -> Ratio {
    let shared = pictures_a_slot(video, plan.timeline.frame_rate());
    if shared.is_multiple_of(2) { Ratio::new(1, 2 * i128::from(shared)) } else { Ratio::from_integer(0) }
}

/// How pictures come by their times.
#[derive(Clone, Copy)]
enum Times {
    /// The decoder's are right.
    Told,
    /// Packets have decoding times only. Pictures come out in the order in which they are shown, so the earliest time left
    /// is that of the next one.
    InOrder,
    /// Packets have decoding times only, and the decoder takes that at which a picture came out: so many ticks late.
    Late(i64),
}

impl Times {
    fn of(source: &Source, video: &VideoFacts) -> Self {
        let order_only = matches!(source.input().format().name(), "avi" | "mpegvideo");
        match video.codec.as_str() {
            // For these two the decoder works out nothing.
            "h264" | "hevc" => Self::InOrder,
            _ if order_only => {
                let held_back = source.input().stream(video.stream as usize).map_or(0, |stream| parameters(&stream).video_delay);
                Self::Late(i64::from(held_back.max(0)) * video.interval_median)
            }
            _ => Self::Told,
        }
    }
}

/// One run of decoding from a key frame on.
#[derive(Default)]
struct Run {
    /// The slot that the next picture asked for will be at least, or none before the first start.
    at: Option<u64>,
    /// The picture on show.
    held: Option<Slotted>,
    /// The one after it.
    ahead: Option<Slotted>,
    first_pts: i64,
    deinterlacer: Option<Deinterlacer>,
    /// Decoding times of packets sent without a presentation time, of pictures that have not come out yet.
    untimed: BinaryHeap<Reverse<i64>>,
    /// Decoding time of the last packet sent without a presentation time.
    last_dts: Option<i64>,
    draining: bool,
    ended: bool,
    damaged: bool,
    dropped: u64,
}

struct Slotted {
    slot: i128,
    picture: Video,
    damaged: bool,
    shown: bool,
}

/// A picture as the decoder gives it.
struct Decoded {
    pts: i64,
    picture: Video,
    damaged: bool,
}

/// What to show in a slot.
pub enum Shown<'a> {
    /// Another picture than in the slot before, or the first since the start; `missing` when the source lacks one here.
    New { picture: &'a Video, missing: bool },
    /// The same as in the slot before; `missing` when the source lacks one here.
    Again { missing: bool },
    /// There is nothing to show.
    Nothing,
}

impl VideoLane {
    /// Opens the decoder for the plan's video stream. It `may_run_on` from one segment to the next when the survey found no
    /// damage, no leap of the clock, and nothing that refers further back than its pictures do.
    pub fn open(mut source: Source, video: &VideoFacts, plan: &Plan, may_run_on: bool) -> Option<Self> {
        source.only(video.stream);
        let decoder = Decoder::open(&source, video.stream)?;
        let frames_per_second = plan.timeline.frame_rate().per_second();
        let (video, origin, deinterlace) = (video.clone(), plan.origin, plan.deinterlace);
        let times = Times::of(&source, &video);
        let lead_slots = lead_slots(&video, plan);
        Some(Self { source, decoder, video, origin, frames_per_second, lead_slots, deinterlace, times, may_run_on, state: Run::default() })
    }

    /// Gets ready to show `slot` and what follows it. True when decoding started anew at the key frame before it, false
    /// when it runs on.
    ///
    /// # Errors
    /// When the decoder cannot be opened again.
    pub fn start(&mut self, slot: u64) -> Result<bool, ffmpeg::Error> {
        if self.state.at == Some(slot) && !self.state.damaged && self.may_run_on {
            self.state.dropped = 0;
            if let Some(held) = &mut self.state.held {
                held.shown = false;
            }
            return Ok(false);
        }
        self.restart(slot)?;
        Ok(true)
    }

    /// Starts anew at the key frame before `slot`, or at one still earlier when nothing comes out in time for `slot`: some
    /// key frames are only where pictures begin to heal.
    ///
    /// # Errors
    /// When the decoder cannot be opened again.
    pub fn restart(&mut self, slot: u64) -> Result<(), ffmpeg::Error> {
        let nearest = self.key_frame_before(slot);
        let mut back = 0;
        loop {
            let index = nearest.saturating_sub(back);
            self.begin_at(index, slot)?;
            if index == 0 || self.state.ahead.as_ref().is_some_and(|first| first.slot <= i128::from(slot)) {
                return Ok(());
            }
            back = (back * 2).max(1);
        }
    }

    fn begin_at(&mut self, index: usize, slot: u64) -> Result<(), ffmpeg::Error> {
        // A decoder of its own for each start: one that met damage keeps traces of it, even when it is flushed.
        self.decoder = Decoder::open(&self.source, self.video.stream).ok_or(ffmpeg::Error::DecoderNotFound)?;
        let first = self.video.key_frames.get(index).copied();
        let packet = first.and_then(|key| self.source.find_packet(self.video.stream, key.pts, key.position));
        let deinterlacer = self.deinterlace.map(|way| Deinterlacer::new(way, self.video.interval_median, index > 0));
        self.state = Run { at: Some(slot), first_pts: first.map_or(i64::MIN, |key| key.pts), deinterlacer, ..Run::default() };
        match packet {
            Some(packet) => self.send(&packet),
            None => self.state.ended = true,
        }
        self.state.ahead = self.decode();
        Ok(())
    }

    /// Whether the source turned out to be damaged in this run.
    pub fn is_damaged(&self) -> bool {
        self.state.damaged
    }

    /// Pictures since the last start that no slot shows.
    pub fn dropped(&self) -> u64 {
        self.state.dropped
    }

    /// The picture for `slot`; slots are asked for in order.
    pub fn show(&mut self, slot: u64) -> Shown<'_> {
        let wanted = i128::from(slot);
        while self.state.ahead.as_ref().is_some_and(|ahead| ahead.slot <= wanted) {
            let next = self.decode();
            let state = &mut self.state;
            let passed = std::mem::replace(&mut state.held, std::mem::replace(&mut state.ahead, next));
            let start = state.at.map_or(0, i128::from);
            state.dropped += u64::from(passed.is_some_and(|passed| !passed.shown && passed.slot >= start));
        }
        self.state.at = Some(slot + 1);
        if self.state.held.is_none() {
            // Before the first picture the first picture is shown.
            self.state.held = self.state.ahead.take();
            self.state.ahead = self.decode();
        }
        let expected = self.expected_gap();
        // After the last picture none is missing: the stream has ended.
        let due = wanted.min(self.slot(self.video.last_pts));
        match &mut self.state.held {
            None => Shown::Nothing,
            Some(held) => {
                let missing = held.damaged || due - held.slot >= expected;
                if std::mem::replace(&mut held.shown, true) {
                    Shown::Again { missing }
                } else {
                    Shown::New { picture: &held.picture, missing }
                }
            }
        }
    }

    /// Slots that a picture of this source usually fills.
    fn expected_gap(&self) -> i128 {
        let usual = self.video.time_base.seconds(self.video.interval_max) * self.frames_per_second;
        let median = self.video.time_base.seconds(self.video.interval_median) * self.frames_per_second;
        if self.video.interval_regular_count * 100 >= self.video.frame_count * 95 {
            median.round().to_integer().max(1)
        } else {
            usual.ceil().to_integer() + 1
        }
    }

    fn key_frame_before(&self, slot: u64) -> usize {
        self.video.key_frames.partition_point(|key| self.slot(key.pts) <= i128::from(slot)).saturating_sub(1)
    }

    fn slot(&self, pts: i64) -> i128 {
        self.slot_at(self.video.time_base.seconds(pts))
    }

    fn slot_at(&self, seconds: Ratio) -> i128 {
        ((seconds - self.origin) * self.frames_per_second + Ratio::new(1, 2) + self.lead_slots).floor().to_integer()
    }

    /// The next picture to show; absent at the end.
    fn decode(&mut self) -> Option<Slotted> {
        if self.state.deinterlacer.is_none() {
            let Decoded { pts, picture, damaged } = self.decode_stored()?;
            return Some(Slotted { slot: self.slot(pts), picture, damaged, shown: false });
        }
        let mut all_are_in = false;
        loop {
            if let Some(Whole { half_ticks, picture, damaged }) = self.state.deinterlacer.as_mut()?.take() {
                let slot = self.slot_at(self.video.time_base.seconds(half_ticks) / 2);
                return Some(Slotted { slot, picture, damaged, shown: false });
            }
            if all_are_in {
                return None;
            }
            let stored = self.decode_stored();
            let first_pts = self.state.first_pts;
            let deinterlacer = self.state.deinterlacer.as_mut()?;
            match stored {
                // Pictures before the key frame may lack what they refer to: they are no neighbours.
                Some(decoded) if decoded.pts < first_pts => {}
                Some(Decoded { pts, picture, damaged }) => {
                    if deinterlacer.put(&picture, pts, damaged).is_err() {
                        self.state.damaged = true;
                    }
                }
                None => {
                    deinterlacer.end();
                    all_are_in = true;
                }
            }
        }
    }

    /// The next picture as it is stored, in the order of presentation; absent at the end.
    fn decode_stored(&mut self) -> Option<Decoded> {
        loop {
            let mut picture = Video::empty();
            match self.decoder.receive(&mut picture) {
                Step::Frame => {
                    let next_time = if picture.pts().is_none() { self.next_untimed() } else { None };
                    let Some(pts) = next_time.map(|Reverse(dts)| dts).or(picture.timestamp()) else { continue };
                    let pts = if let Times::Late(ticks) = self.times { pts.saturating_sub(ticks) } else { pts };
                    let damaged = pts >= self.state.first_pts && (picture.is_corrupt() || picture.has_decode_errors());
                    self.state.damaged |= damaged;
                    return Some(Decoded { pts, picture, damaged });
                }
                Step::Finished => return None,
                Step::Damaged => self.state.damaged = true,
                Step::Hungry if self.state.draining => return None,
                Step::Hungry => match self.next_packet() {
                    Some(packet) => self.send(&packet),
                    None => {
                        self.state.draining = true;
                        self.decoder.send(None);
                    }
                },
            }
        }
    }

    /// The earliest time left, and with it that of the second field, if it has one of its own.
    fn next_untimed(&mut self) -> Option<Reverse<i64>> {
        let Reverse(time) = self.state.untimed.pop()?;
        if self.video.scan.is_some_and(|seen| seen.split)
            && self.state.untimed.peek().is_some_and(|Reverse(next)| (next - time) * 4 < self.video.interval_median * 3)
        {
            self.state.untimed.pop();
        }
        Some(Reverse(time))
    }

    fn next_packet(&mut self) -> Option<ffmpeg::Packet> {
        let packet = if self.state.ended { None } else { self.source.read_of(self.video.stream) };
        self.state.ended = packet.is_none();
        packet
    }

    fn send(&mut self, packet: &ffmpeg::Packet) {
        if packet.pts().is_none() && matches!(self.times, Times::InOrder) {
            // After a seek some demuxers do not know the time of the second packet.
            let dts = packet.dts().or(self.state.last_dts.map(|last| last.saturating_add(self.video.interval_median)));
            self.state.untimed.extend(dts.map(Reverse));
            self.state.last_dts = dts;
        }
        if self.decoder.send(Some(packet)) == Step::Damaged {
            self.state.damaged = true;
        }
        self.state.damaged |= packet.is_corrupt();
    }
}
