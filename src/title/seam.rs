//! Where a source's clock leaps, and what puts its timestamps in order again.
//!
//! Recordings that were joined, or had a piece cut out, carry timestamps that leap by hours or run backwards. A [`Seam`]
//! says that from a place in the file on, a stream's timestamps are moved by so much; with all seams applied, time goes on
//! where it was. The first stream that meets a leap decides by how much, and the others adopt that when it makes them go on
//! too, so that sound and picture stay together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Ratio, TimeBase};

/// From a place on, a stream's timestamps are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seam {
    /// Index of the stream in the container.
    pub stream: u32,
    /// Byte offset of the first packet that it holds for.
    pub position: u64,
    /// Ticks of the stream to add, in place of what an earlier seam added.
    pub shift_ticks: i64,
    /// Which leap of the source it mends, from 0; streams that leapt together share it.
    pub leap: u32,
}

impl Seam {
    /// Whether it mends a leap, rather than moving a whole stream from the start of the file on.
    pub fn is_leap(&self) -> bool {
        self.position > 0
    }

    /// All seams, where `leaps` were found in streams already moved by `whole`.
    pub fn after(whole: Vec<Self>, mut leaps: Vec<Self>) -> Vec<Self> {
        for leap in &mut leaps {
            let moved = whole.iter().find(|seam| seam.stream == leap.stream).map_or(0, |seam| seam.shift_ticks);
            leap.shift_ticks = leap.shift_ticks.saturating_add(moved);
        }
        [whole, leaps].concat()
    }
}

/// One packet as the demuxer gives it.
#[derive(Clone, Copy, Debug)]
pub struct PacketTime {
    /// Index of the stream in the container.
    pub stream: u32,
    /// Whether the stream holds pictures: their pace decides what going on means.
    pub picture: bool,
    /// Length of a tick.
    pub time_base: TimeBase,
    /// Decoding time in ticks, or else presentation time.
    pub ticks: i64,
    /// How long it lasts in ticks; 0 when unknown.
    pub duration_ticks: i64,
    /// Byte offset, where the demuxer tells it.
    pub position: Option<u64>,
}

/// How long a clock may stand still in a recording of a broadcast or a live stream before that counts as a leap.
pub const LIVE_GAP_KEPT_MAX_S: i64 = 10;
/// The same in a file whose timestamps were all written on purpose: a screen recording may show one picture for minutes.
pub const FILE_GAP_KEPT_MAX_S: i64 = 600;

/// A clock that goes back by more than this leaps; less is the slack of muxers, or of demuxers that guess the times of packets
/// after damage.
const BACK_MAX_US: i64 = 2_000_000;
/// A stream is asked whether it leaps with another one when it is off by more than this.
const OFF_MIN_US: i64 = 500_000;
/// Streams that leap within this time of each other may have leapt together.
const TOGETHER_MAX_US: u64 = 5_000_000;
/// So many packets that follow each other are no slip.
const CONFIRMED: usize = 8;
/// Packets in doubt at most.
const DOUBTS_MAX: usize = 256;
/// Seams at most; a source with more has no clock at all, and is left from there on as it is.
const SEAMS_MAX: usize = 4096;

/// Finds the seams of a source from its packets in the order of the file.
#[derive(Debug)]
pub struct SeamFinder {
    gap_max_us: i64,
    streams: BTreeMap<u32, Running>,
    doubts: BTreeMap<u32, Doubts>,
    leaps: Vec<Leap>,
    found: Vec<Found>,
    /// The latest time that any stream has come to.
    front_us: Option<i64>,
}

/// A stream as far as it was read.
#[derive(Clone, Copy, Debug)]
struct Running {
    time_base: TimeBase,
    /// When its next packet is due, in mended time.
    due_us: i64,
    /// The leap whose shift holds.
    leap: Option<usize>,
    /// How long its last packet lasts.
    interval_us: i64,
    /// The packet before had a slip: the clock must be told again.
    slipped: bool,
}

impl Running {
    /// How far its clock may go back without a leap.
    fn back_max_us(&self) -> i64 {
        BACK_MAX_US.max(self.interval_us.saturating_mul(8))
    }
}

/// Packets of a stream that do not follow the one before. Only when a few have followed each other is it a leap or a gap;
/// before that it may be damage, which has no say in what the clock is.
#[derive(Clone, Debug, Default)]
struct Doubts {
    packets: Vec<PacketTime>,
    /// From here on they follow each other.
    run: usize,
}

#[derive(Clone, Copy, Debug)]
struct Leap {
    shift: Ratio,
    /// When it was met, in mended time.
    at_us: i64,
    by_picture: bool,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    stream: u32,
    position: u64,
    leap: Option<usize>,
}

impl SeamFinder {
    /// A finder for a demuxer, by FFmpeg's name of it.
    pub fn new(container: &str) -> Self {
        let written = ["mov", "matroska", "webm", "ogg", "avi", "asf", "mxf", "nut"];
        let gap_max_s = if written.iter().any(|name| container.starts_with(name)) { FILE_GAP_KEPT_MAX_S } else { LIVE_GAP_KEPT_MAX_S };
        Self {
            gap_max_us: gap_max_s * 1_000_000,
            streams: BTreeMap::new(),
            doubts: BTreeMap::new(),
            leaps: Vec::new(),
            found: Vec::new(),
            front_us: None,
        }
    }

    /// Notes a packet.
    pub fn take(&mut self, packet: &PacketTime) {
        let Some(stream) = self.streams.get(&packet.stream).copied() else {
            let leap = self.begin(packet);
            self.put(packet, None, leap);
            return;
        };
        let mut doubts = self.doubts.remove(&packet.stream).unwrap_or_default();
        let off = self.off(&stream, packet, stream.leap);
        let waited = stream.interval_us.saturating_mul(doubts.packets.len() as i64);
        let back_max_us = stream.back_max_us();
        if off >= -back_max_us && off <= waited.saturating_add(OFF_MIN_US) {
            self.slips(&doubts.packets);
            self.put(packet, self.streams.get(&packet.stream).copied(), stream.leap);
            return;
        }
        let follows = doubts.packets.last().zip(doubts.packets.get(doubts.run)).is_some_and(|(last, first)| {
            let apart_us = microseconds(packet.time_base.seconds(packet.ticks) - last.time_base.seconds(last.ticks));
            // After a gap pictures may come seconds apart, as those of a slide show; after a leap that would be another slip.
            let gaps = self.goes_on(&stream, self.off(&stream, first, stream.leap));
            (-back_max_us..=if gaps { self.gap_max_us } else { back_max_us }).contains(&apart_us)
        });
        if !follows {
            doubts.run = doubts.packets.len();
        }
        doubts.packets.push(*packet);
        if doubts.packets.len() - doubts.run >= CONFIRMED || doubts.packets.len() >= DOUBTS_MAX {
            self.resolve(&doubts);
        } else {
            self.doubts.insert(packet.stream, doubts);
        }
    }

    /// The run of packets that follow each other is the stream's clock from now on; those before it were slips.
    fn resolve(&mut self, doubts: &Doubts) {
        let (before, run) = doubts.packets.split_at(doubts.run);
        self.slips(before);
        let Some(stream) = run.first().and_then(|first| self.streams.get(&first.stream)).copied() else { return };
        let leap = self.judge(&stream, &run[0]);
        for packet in run {
            self.put(packet, self.streams.get(&packet.stream).copied(), leap);
        }
    }

    /// Packets that are each put where the stream should have been; its clock stays as it was.
    fn slips(&mut self, packets: &[PacketTime]) {
        let clock = packets.first().and_then(|first| self.streams.get(&first.stream)).map(|stream| stream.leap);
        for packet in packets {
            let Some(stream) = self.streams.get(&packet.stream).copied() else { return };
            if packet.position.is_some() && self.found.len() < SEAMS_MAX {
                let shift = Ratio::new(i128::from(stream.due_us), 1_000_000) - packet.time_base.seconds(packet.ticks);
                self.leaps.push(Leap { shift, at_us: i64::MIN, by_picture: true });
                self.put(packet, Some(stream), Some(self.leaps.len() - 1));
            }
        }
        // Whoever comes next says where the old clock goes on.
        let back = packets.first().and_then(|first| self.streams.get_mut(&first.stream));
        if let (Some(stream), Some(clock)) = (back, clock) {
            stream.slipped = stream.leap != clock;
            stream.leap = clock;
        }
    }

    /// The packet is where that leap's shift has it.
    fn put(&mut self, packet: &PacketTime, known: Option<Running>, leap: Option<usize>) {
        let at_us = microseconds(packet.time_base.seconds(packet.ticks)).saturating_add(self.shift_us(leap));
        let lasts_us = microseconds(packet.time_base.seconds(packet.duration_ticks.max(0)));
        let interval_us = match known {
            Some(stream) if lasts_us == 0 => (at_us - (stream.due_us - stream.interval_us)).clamp(0, 1_000_000),
            _ => lasts_us,
        };
        let changes = known.map_or(leap.is_some(), |stream| stream.slipped || stream.leap != leap);
        let mut slipped = known.is_some_and(|stream| stream.slipped);
        if changes && let Some(position) = packet.position.filter(|_| self.found.len() < SEAMS_MAX) {
            self.found.push(Found { stream: packet.stream, position, leap });
            slipped = false;
        }
        let due_us = at_us.saturating_add(interval_us);
        self.front_us = Some(self.front_us.map_or(due_us, |front| front.max(due_us)));
        self.streams.insert(packet.stream, Running { time_base: packet.time_base, due_us, leap, interval_us, slipped });
    }

    /// The seams, by rising position.
    pub fn finish(mut self) -> Vec<Seam> {
        for doubts in std::mem::take(&mut self.doubts).into_values() {
            self.resolve(&doubts);
        }
        let shift = |stream: u32, leap: Option<usize>| {
            let shift = leap.and_then(|leap| self.leaps.get(leap)).map_or(Ratio::from_integer(0), |leap| leap.shift);
            let base = self.streams.get(&stream).map_or(TimeBase { num: 1, den: 1 }, |stream| stream.time_base);
            let ticks = (shift * Ratio::new(i128::from(base.den), i128::from(base.num))).round().to_integer();
            i64::try_from(ticks).unwrap_or(0)
        };
        let mut seams: Vec<Seam> = self
            .found
            .iter()
            .map(|found| Seam {
                stream: found.stream,
                position: found.position,
                shift_ticks: shift(found.stream, found.leap),
                leap: found.leap.map_or(0, |leap| leap as u32),
            })
            .collect();
        seams.sort_by_key(|seam| seam.position);
        seams
    }

    /// A stream that begins after a leap of the others begins with them, if that is nearer to where they are.
    fn begin(&self, packet: &PacketTime) -> Option<usize> {
        let raw_us = microseconds(packet.time_base.seconds(packet.ticks));
        let last = self.leaps.len().checked_sub(1)?;
        let front = self.front_us?;
        packet.position?;
        let off = |leap: Option<usize>| raw_us.saturating_add(self.shift_us(leap)).abs_diff(front);
        (off(Some(last)) < off(None)).then_some(last)
    }

    /// Which leap's shift holds for the packet.
    fn judge(&mut self, stream: &Running, packet: &PacketTime) -> Option<usize> {
        let raw = packet.time_base.seconds(packet.ticks);
        let off = |leap: Option<usize>| self.off(stream, packet, leap);
        let here = off(stream.leap);
        if packet.position.is_none() || self.found.len() >= SEAMS_MAX {
            return stream.leap;
        }
        let goes_on = self.goes_on(stream, here);
        let recent = |leap: usize| self.leaps[leap].at_us.abs_diff(stream.due_us) <= TOGETHER_MAX_US;
        // Another stream has just leapt: this one leaps with it if that brings it nearer to where it should be. Or it is back
        // at a clock that it knows, as after a packet with a slip.
        let may_return = !goes_on || here > OFF_MIN_US && stream.leap.is_some_and(recent);
        let fits = |leap: &Option<usize>| {
            let returns = may_return && off(*leap).abs() <= BACK_MAX_US;
            returns || leap.is_some_and(recent) && self.goes_on(stream, off(*leap))
        };
        let all = std::iter::once(None).chain((0..self.leaps.len()).map(Some));
        if here.abs() > OFF_MIN_US
            && let Some(with) = all.filter(fits).min_by_key(|leap| off(*leap).abs())
            && off(with).abs() < here.abs()
        {
            if let Some(index) = with {
                self.set_by_picture(stream, packet, raw, index);
            }
            return with;
        }
        if goes_on {
            return stream.leap;
        }
        let shift = Ratio::new(i128::from(stream.due_us), 1_000_000) - raw;
        self.leaps.push(Leap { shift, at_us: stream.due_us, by_picture: packet.picture });
        Some(self.leaps.len() - 1)
    }

    /// Whether a packet that far from when it was due is one that follows.
    fn goes_on(&self, stream: &Running, off_us: i64) -> bool {
        let ahead_of_all = stream.due_us.saturating_add(off_us).saturating_sub(self.front_us.unwrap_or(stream.due_us).max(stream.due_us));
        off_us >= -stream.back_max_us() && ahead_of_all <= self.gap_max_us
    }

    /// Sound that met a leap first has guessed by how much; pictures know to a picture, and stay on their grid.
    fn set_by_picture(&mut self, stream: &Running, packet: &PacketTime, raw: Ratio, index: usize) {
        let leap = &mut self.leaps[index];
        if !packet.picture || leap.by_picture {
            return;
        }
        let shift = Ratio::new(i128::from(stream.due_us), 1_000_000) - raw;
        let moved_us = microseconds(shift - leap.shift);
        *leap = Leap { shift, by_picture: true, ..*leap };
        for other in self.streams.values_mut().filter(|other| other.leap == Some(index)) {
            other.due_us = other.due_us.saturating_add(moved_us);
        }
    }

    /// How late the packet comes with that leap's shift.
    fn off(&self, stream: &Running, packet: &PacketTime, leap: Option<usize>) -> i64 {
        microseconds(packet.time_base.seconds(packet.ticks)).saturating_add(self.shift_us(leap)).saturating_sub(stream.due_us)
    }

    fn shift_us(&self, leap: Option<usize>) -> i64 {
        leap.and_then(|leap| self.leaps.get(leap)).map_or(0, |leap| microseconds(leap.shift))
    }
}

fn microseconds(seconds: Ratio) -> i64 {
    i64::try_from((seconds * 1_000_000).round().to_integer()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: u32 = 0;
    const SOUND: u32 = 1;

    /// Feeds packets of 40 ms and 20 ms, in order of mended time, whose clock is off by `(from, hours)` from a time on, pictures
    /// and sound each by their own list; seconds. Gives what is left to complain of: the worst step from one packet's mended
    /// time to the next beyond its length, and the worst sway of sound against picture, in milliseconds; and the leaps.
    fn mend(container: &str, picture_off: &[(f64, f64)], sound_off: &[(f64, f64)]) -> (i64, i64, usize) {
        let off = |list: &[(f64, f64)], at_ms: i64| {
            list.iter().rev().find(|(from, _)| at_ms >= (from * 1000.0) as i64).map_or(0, |(_, by)| (by * 1000.0) as i64)
        };
        let mut packets = Vec::new();
        for index in 0..3000_i64 {
            packets.push((index * 20, SOUND, index * 20 + off(sound_off, index * 20)));
            if index % 2 == 0 {
                packets.push((index * 20, PICTURE, index * 20 + off(picture_off, index * 20)));
            }
        }
        let mut finder = SeamFinder::new(container);
        let base = TimeBase { num: 1, den: 1000 };
        for (position, (_, stream, ticks)) in (0..).zip(&packets) {
            let duration_ticks = if *stream == PICTURE { 40 } else { 20 };
            finder.take(&PacketTime {
                stream: *stream,
                picture: *stream == PICTURE,
                time_base: base,
                ticks: *ticks,
                duration_ticks,
                position: Some(position),
            });
        }
        let seams = finder.finish();
        let mut last: BTreeMap<u32, i64> = BTreeMap::new();
        let (mut step, mut sway) = (0, 0);
        let mut apart: BTreeMap<u32, i64> = BTreeMap::new();
        for (position, (at_ms, stream, ticks)) in (0..).zip(&packets) {
            let seam = seams.iter().rev().find(|seam| seam.stream == *stream && seam.position <= position);
            let mended = ticks + seam.map_or(0, |seam| seam.shift_ticks);
            let due = last.insert(*stream, mended).map_or(mended, |last| last + if *stream == PICTURE { 40 } else { 20 });
            step = step.max((mended - due).abs());
            apart.insert(*stream, mended - at_ms);
            sway = sway.max((apart.get(&PICTURE).unwrap_or(&0) - apart.get(&SOUND).unwrap_or(&0)).abs());
        }
        let leaps: std::collections::BTreeSet<u32> = seams.iter().map(|seam| seam.leap).collect();
        (step, sway, leaps.len())
    }

    #[test]
    fn time_goes_on_where_it_was_and_both_stay_together() {
        for (what, container, picture, sound, expect) in [
            ("a steady clock", "mpegts", [].as_slice(), [].as_slice(), (0, 0, 0)),
            ("an hour left out", "mpegts", &[(20.0, 3600.0)], &[(20.0, 3600.0)], (0, 0, 1)),
            ("a clock that starts again", "mpegts", &[(20.0, -3600.0)], &[(20.0, -3600.0)], (0, 0, 1)),
            ("sound first", "mpegts", &[(20.0, 3600.0)], &[(19.9, 3600.0)], (0, 0, 1)),
            ("pictures first", "mpegts", &[(20.0, 3600.0)], &[(20.1, 3600.0)], (0, 0, 1)),
            ("a piece cut out, not quite together", "mpegts", &[(20.0, 30.0)], &[(20.0, 29.7)], (300, 300, 1)),
            ("a gap that is kept", "mpegts", &[(20.0, 8.0)], &[(20.0, 8.0)], (8000, 8000, 0)),
            ("one above the limit, one below", "mpegts", &[(20.0, 9.98)], &[(20.0, 10.02)], (40, 40, 1)),
            ("the other way round", "mpegts", &[(20.0, 10.02)], &[(20.0, 9.98)], (10_020, 9980, 0)),
            ("a long still, written so", "matroska,webm", &[(20.0, 60.0)], &[(20.0, 60.0)], (60_000, 60_000, 0)),
            ("an hour in a file", "matroska,webm", &[(20.0, 3600.0)], &[(20.0, 3600.0)], (0, 0, 1)),
            ("three recordings", "mpegts", &[(20.0, 5000.0), (40.0, -100.0)], &[(20.0, 5000.0), (40.0, -100.0)], (0, 0, 2)),
            ("a single slip", "mpegts", &[], &[(20.0, 3600.0), (20.02, 0.0)], (0, 0, 1)),
            ("a slip within what is kept", "mpegts", &[(20.0, 6.0), (20.04, 0.0)], &[], (0, 0, 1)),
            ("a slip backwards", "mpegts", &[(20.0, -6.0), (20.04, 0.0)], &[], (0, 0, 1)),
            ("pictures alone leap", "mpegts", &[(20.0, 3600.0)], &[], (0, 0, 1)),
            ("a slack muxer", "mpegts", &[(20.0, -0.3)], &[], (300, 300, 0)),
        ] {
            assert_eq!(mend(container, picture, sound), expect, "{what}");
        }
    }

    #[test]
    fn slides_without_durations_are_no_leaps() {
        for (container, apart) in [("matroska,webm", 5000), ("mpegts", 5000), ("matroska,webm", 120_000)] {
            let mut finder = SeamFinder::new(container);
            for index in 0..600_i64 {
                // Every tenth slide is a short film.
                let ticks = index / 10 * apart + index % 10 * 40;
                let time_base = TimeBase { num: 1, den: 1000 };
                let position = u64::try_from(index).ok();
                finder.take(&PacketTime { stream: 0, picture: true, time_base, ticks, duration_ticks: 0, position });
            }
            assert_eq!(finder.finish(), [], "{container} {apart}");
        }
        let mut finder = SeamFinder::new("mpegts");
        for index in 0..600 {
            let time_base = TimeBase { num: 1, den: 1 };
            finder.take(&PacketTime {
                stream: 0,
                picture: true,
                time_base,
                ticks: index * 5,
                duration_ticks: 0,
                position: Some(index as u64),
            });
        }
        assert_eq!(finder.finish(), []);
    }
}
