//! The times of packets: those of the demuxer, mended at the seams of the source, and counted where there are none.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::context::Input;
use headwater::title::Seam;

/// The clocks of a source's streams.
pub struct Clocks {
    /// All seams, by rising position.
    seams: Vec<Seam>,
    streams: Vec<Clock>,
    /// Whether the format has no timestamps at all, such as a bare H.264 stream.
    timeless: bool,
}

/// What is known of one stream from its last packet.
#[derive(Clone, Copy, Default)]
struct Clock {
    /// Ticks that the seams add here; packets whose place is unknown follow the one before.
    shift_ticks: i64,
    /// The time of the next packet where there are none.
    next_ticks: i64,
    /// The time of the last packet since reading began here.
    last_ticks: Option<i64>,
    /// How far presentation and decoding time may lie apart; beyond that, one of them is damaged.
    apart_max_ticks: i64,
    /// Length of a picture by the stream's declared rate.
    usual_ticks: i64,
}

/// A picture of a broadcast waits at most so many seconds between being decoded and being shown.
const APART_MAX_S: f64 = 4.0;
/// Demuxers of streams without a container, which give no times at all for some or all packets.
const TIMELESS: [&str; 7] = ["h264", "hevc", "m4v", "mpegvideo", "vc1", "cavsvideo", "dirac"];

impl Clocks {
    /// Clocks that are mended by these seams.
    pub fn of(input: &Input, seams: &[Seam]) -> Self {
        let usual = |index: u32| {
            let stream = input.stream(index as usize)?;
            let (rate, base) = (stream.avg_frame_rate(), stream.time_base());
            let ticks = f64::from(rate) * f64::from(base);
            (ticks > 0.0 && ticks.is_finite()).then(|| (1.0 / ticks).round() as i64)
        };
        // Elsewhere an index or a header holds both, and some writers shift one against the other on purpose.
        let fragile = matches!(input.format().name(), "mpegts" | "mpeg" | "flv");
        let apart_max = |index: u32| {
            let base = input.stream(index as usize).map_or(0.0, |stream| f64::from(stream.time_base()));
            if fragile && base > 0.0 { (APART_MAX_S / base) as i64 } else { i64::MAX }
        };
        let clock = |index: u32| {
            let usual_ticks = usual(index).unwrap_or(1).max(1);
            Clock { usual_ticks, apart_max_ticks: apart_max(index), ..Clock::default() }
        };
        let streams = (0..input.nb_streams()).map(clock).collect();
        let timeless = TIMELESS.contains(&input.format().name());
        let mut seams = seams.to_vec();
        seams.sort_by_key(|seam| seam.position);
        Self { seams, streams, timeless }
    }

    /// The seams that are mended.
    pub fn seams(&self) -> &[Seam] {
        &self.seams
    }

    /// Gives a packet just read its time.
    pub fn set(&mut self, packet: &mut ffmpeg::Packet) {
        let index = packet.stream();
        if let Ok(position) = u64::try_from(packet.position())
            && !self.seams.is_empty()
        {
            let shift_ticks = self.shift(index as u32, position);
            if let Some(clock) = self.streams.get_mut(index) {
                clock.shift_ticks = shift_ticks;
            }
        }
        let Some(clock) = self.streams.get_mut(index) else { return };
        let moved = |ticks: Option<i64>| ticks.map(|ticks| ticks.saturating_add(clock.shift_ticks));
        if self.timeless && packet.pts().is_none() && packet.dts().is_none() {
            // Only the order in which they are decoded is known.
            let lasts = if packet.duration() > 0 { packet.duration() } else { clock.usual_ticks };
            packet.set_dts(Some(clock.next_ticks));
            clock.next_ticks = clock.next_ticks.saturating_add(lasts);
            return;
        }
        packet.set_pts(moved(packet.pts()));
        packet.set_dts(moved(packet.dts()));
        if let (Some(pts), Some(dts)) = (packet.pts(), packet.dts())
            && pts.abs_diff(dts) > clock.apart_max_ticks.unsigned_abs()
        {
            // The one that follows the packet before is the right one.
            let last = clock.last_ticks.unwrap_or(dts);
            if pts.abs_diff(last) < dts.abs_diff(last) { packet.set_dts(None) } else { packet.set_pts(None) }
        }
        // A packet with neither a place nor a presentation time of its own goes on from the one before; what the demuxer makes
        // of a damaged time is no time.
        if let (Some(last), Some(ticks), None) = (clock.last_ticks, packet.dts(), packet.pts())
            && packet.position() < 0
            && ticks.abs_diff(last) > clock.apart_max_ticks.unsigned_abs()
        {
            let lasts = if packet.duration() > 0 { packet.duration() } else { clock.usual_ticks };
            packet.set_pts(None);
            packet.set_dts(Some(last.saturating_add(lasts)));
        }
        clock.last_ticks = packet.dts().or(packet.pts()).or(clock.last_ticks);
    }

    /// Reading goes on elsewhere.
    pub fn leave(&mut self) {
        self.streams.iter_mut().for_each(|clock| clock.last_ticks = None);
    }

    /// Says that `packet`, just read, has the time `ticks`: where times are counted, a leap within the file loses count.
    pub fn count_from(&mut self, packet: &mut ffmpeg::Packet, ticks: i64) {
        if !self.timeless || packet.pts().is_some() {
            return;
        }
        let (Some(counted), Some(clock)) = (packet.dts(), self.streams.get_mut(packet.stream())) else { return };
        clock.next_ticks = clock.next_ticks.saturating_add(ticks.saturating_sub(counted));
        packet.set_dts(Some(ticks));
    }

    /// The demuxer's own time for a mended one at that place.
    pub fn raw(&self, stream: u32, ticks: i64, position: Option<u64>) -> i64 {
        ticks.saturating_sub(position.map_or(0, |position| self.shift(stream, position)))
    }

    fn shift(&self, stream: u32, position: u64) -> i64 {
        let known = self.seams.partition_point(|seam| seam.position <= position);
        self.seams.iter().take(known).rev().find(|seam| seam.stream == stream).map_or(0, |seam| seam.shift_ticks)
    }
}
