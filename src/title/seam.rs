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

/// A clock that goes back by more than this leaps; less is the slack of muxers.
const BACK_MAX_US: i64 = 500_000;
/// A stream is asked whether it leaps with another one when it is off by more than this.
const OFF_MIN_US: i64 = 500_000;
/// Streams that leap within this time of each other may have leapt together.
const TOGETHER_MAX_US: u64 = 5_000_000;
/// Seams at most; a source with more has no clock at all, and is left from there on as it is.
const SEAMS_MAX: usize = 4096;

/// Finds the seams of a source from its packets in the order of the file.
#[derive(Debug)]
pub struct SeamFinder {
    gap_max_us: i64,
    streams: BTreeMap<u32, Running>,
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
        let gap_max_s =
            if written.iter().any(|name| container.starts_with(name)) { FILE_GAP_KEPT_MAX_S } else { LIVE_GAP_KEPT_MAX_S };
        Self { gap_max_us: gap_max_s * 1_000_000, streams: BTreeMap::new(), leaps: Vec::new(), found: Vec::new(), front_us: None }
    }

    /// Notes a packet.
    pub fn take(&mut self, packet: &PacketTime) {
        let raw = packet.time_base.seconds(packet.ticks);
        let raw_us = microseconds(raw);
        let lasts_us = microseconds(packet.time_base.seconds(packet.duration_ticks.max(0)));
        let known = self.streams.get(&packet.stream).copied();
        let leap = match known {
            Some(stream) => self.judge(&stream, packet, raw),
            None => self.begin(packet, raw_us),
        };
        let at_us = raw_us.saturating_add(self.shift_us(leap));
        let interval_us = match known {
            Some(stream) if lasts_us == 0 => (at_us - (stream.due_us - stream.interval_us)).clamp(0, 1_000_000),
            _ => lasts_us,
        };
        if let Some(position) = packet.position
            && known.map_or(leap.is_some(), |stream| stream.leap != leap)
            && self.found.len() < SEAMS_MAX
        {
            self.found.push(Found { stream: packet.stream, position, leap });
        }
        let due_us = at_us.saturating_add(interval_us);
        self.front_us = Some(self.front_us.map_or(due_us, |front| front.max(due_us)));
        let running = Running { time_base: packet.time_base, due_us, leap, interval_us };
        self.streams.insert(packet.stream, running);
    }

    /// The seams, by rising position.
    pub fn finish(self) -> Vec<Seam> {
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
    fn begin(&self, packet: &PacketTime, raw_us: i64) -> Option<usize> {
        let last = self.leaps.len().checked_sub(1)?;
        let front = self.front_us?;
        packet.position?;
        let off = |leap: Option<usize>| raw_us.saturating_add(self.shift_us(leap)).abs_diff(front);
        (off(Some(last)) < off(None)).then_some(last)
    }

    /// Which leap's shift holds for the packet.
    fn judge(&mut self, stream: &Running, packet: &PacketTime, raw: Ratio) -> Option<usize> {
        let raw_us = microseconds(raw);
        let off = |leap: Option<usize>| raw_us.saturating_add(self.shift_us(leap)).saturating_sub(stream.due_us);
        let here = off(stream.leap);
        if packet.position.is_none() || self.found.len() >= SEAMS_MAX {
            return stream.leap;
        }
        // Another stream has just leapt: this one leaps with it if that brings it nearer to where it should be.
        let recent = (0..self.leaps.len()).filter(|leap| self.leaps[*leap].at_us.abs_diff(stream.due_us) <= TOGETHER_MAX_US);
        if here.abs() > OFF_MIN_US
            && let Some(with) = recent.min_by_key(|leap| off(Some(*leap)).abs())
            && off(Some(with)).abs() < here.abs()
            && self.goes_on(stream, off(Some(with)))
        {
            self.set_by_picture(stream, packet, raw, with);
            return Some(with);
        }
        if self.goes_on(stream, here) {
            return stream.leap;
        }
        // Back to an earlier clock, as after a single packet with a slip.
        let earlier = std::iter::once(None).chain((0..self.leaps.len()).map(Some)).rev().find(|leap| off(*leap).abs() <= BACK_MAX_US);
        if let Some(earlier) = earlier {
            return earlier;
        }
        let shift = Ratio::new(i128::from(stream.due_us), 1_000_000) - raw;
        self.leaps.push(Leap { shift, at_us: stream.due_us, by_picture: packet.picture });
        Some(self.leaps.len() - 1)
    }

    /// Whether a packet that far from when it was due is one that follows.
    fn goes_on(&self, stream: &Running, off_us: i64) -> bool {
        let ahead_of_all = stream.due_us.saturating_add(off_us).saturating_sub(self.front_us.unwrap_or(stream.due_us).max(stream.due_us));
        off_us >= -BACK_MAX_US.max(stream.interval_us.saturating_mul(8)) && ahead_of_all <= self.gap_max_us
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
            ("pictures alone leap", "mpegts", &[(20.0, 3600.0)], &[], (0, 0, 1)),
            ("a slack muxer", "mpegts", &[(20.0, -0.3)], &[], (300, 300, 0)),
        ] {
            assert_eq!(mend(container, picture, sound), expect, "{what}");
        }
    }
}
