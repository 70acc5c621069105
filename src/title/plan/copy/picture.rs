//! Whether the source's pictures are copied, and along which cuts.

use super::CopyRefusal;
use crate::title::colour::{BT709, UNSPECIFIED};
use crate::title::plan::picture::{display_size, encoded};
use crate::title::plan::{Plan, PlanPolicy, SAMPLE_ROW_BYTES, SEGMENT_BOXES_BYTES, VideoMethod, VideoRange, VideoTrack};
use crate::title::{
    AvcFacts, COPY_CUT_SPACING_MAX_MS, ColourFacts, CopyDoubt, CutAim, FrameRate, Orientation, Ratio, Seam, SourceFacts, TimeBase,
    Timeline, VideoFacts, own_size,
};

/// Highest rate that pictures are copied at, for a rate that is a little above by rounding.
const RATE_MAX: u32 = 60;
/// How long one picture may be shown where others are missing.
const HELD_MAX_MS: u32 = 2000;
/// Slots between the first and the last picture that may lack a picture of their own.
const HOLES_MAX_PERCENT: u64 = 5;
/// A source of next to no bits leaves the other renditions a quarter of their own limits.
const LIMIT_DIVISOR_MAX: u32 = 4;

/// Has the plan copy the source's pictures for its largest rendition, where that can be done; returns that rendition's name.
///
/// # Errors
/// [`CopyRefusal`], and the plan stays as it is.
pub fn copy_picture(plan: &mut Plan, facts: &SourceFacts, policy: &PlanPolicy) -> Result<String, CopyRefusal> {
    let video = plan.video_stream.and_then(|stream| facts.video(stream)).filter(|_| policy.video_copy).ok_or(CopyRefusal::Off)?;
    let place = plan.video.iter().position(|track| track.range == VideoRange::Sdr).ok_or(CopyRefusal::Off)?;
    let avc = video.avc.as_ref().map_err(|doubt| *doubt)?;
    if facts.corrupt_packet_count > 0 || video.undecodable_lead_count > 0 {
        return Err(CopyDoubt::Damaged.into());
    }
    if facts.seams.iter().any(Seam::is_leap) {
        return Err(CopyDoubt::Timestamps.into());
    }
    if plan.deinterlace.is_some() {
        return Err(CopyRefusal::Interlaced);
    }
    check_look(video, avc)?;
    let grid = plan.timeline.frame_rate();
    if grid != avc.grid || grid.per_second() > Ratio::from_integer(i128::from(RATE_MAX)) {
        return Err(CopyRefusal::FrameRate);
    }
    let places = CopyGrid::of(plan, video).ok_or(CopyRefusal::Holes)?;
    check_holes(plan, video, avc, places.lead())?;
    let cuts = places.piece_slots(avc).ok_or(CopyDoubt::Timestamps)?;
    let longest_ms = COPY_CUT_SPACING_MAX_MS.max(policy.segment_ms / 2 * 3);
    let aim = CutAim { target_ms: policy.segment_ms, least_ms: policy.segment_ms / 2, most_ms: policy.segment_ms / 2 * 3, longest_ms };
    let timeline = Timeline::at(grid, plan.timeline.frame_count(), &cuts, aim).ok_or(CopyRefusal::Cuts)?;
    let size = own_size(&policy.ladder, video.width, video.height).ok_or(CopyRefusal::Size)?;
    let mut track = encoded(&size, VideoRange::Sdr, grid, policy);
    if (track.width, track.height) != (video.width, video.height) {
        return Err(CopyRefusal::Shape);
    }
    let (peak_bps, average_bps) = rates(&timeline, &cuts, avc, &track)?;
    track.method = VideoMethod::Copy { peak_bps, average_bps };
    let name = track.name.clone();
    plan.video[place] = track;
    plan.timeline = timeline;
    limit_others(&mut plan.video, place, peak_bps);
    Ok(name)
}

/// Where copied pictures lie on the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyGrid {
    rate: FrameRate,
    base: TimeBase,
    first_pts: i64,
    lead: u64,
}

impl CopyGrid {
    /// The pictures of `video` on the plan's timeline; absent when they begin before it.
    pub fn of(plan: &Plan, video: &VideoFacts) -> Option<Self> {
        let rate = plan.timeline.frame_rate();
        let lead = (video.time_base.seconds(video.first_pts) - plan.origin) * rate.per_second();
        let lead = u64::try_from(lead.round().to_integer()).ok()?;
        Some(Self { rate, base: video.time_base, first_pts: video.first_pts, lead })
    }

    /// Slots that the first picture takes besides its own, for it is shown from slot 0.
    pub fn lead(&self) -> u64 {
        self.lead
    }

    /// The slot at which the picture with this presentation time begins to be shown; absent for one before the first.
    pub fn slot(&self, pts: i64) -> Option<u64> {
        if pts == self.first_pts {
            return Some(0);
        }
        let after_first = self.rate.frame_near(pts.checked_sub(self.first_pts)?, self.base);
        u64::try_from(after_first).ok()?.checked_add(self.lead)
    }

    /// The slots at which the pieces begin.
    pub fn piece_slots(&self, avc: &AvcFacts) -> Option<Vec<u64>> {
        avc.pieces.iter().map(|piece| self.slot(piece.pts)).collect()
    }
}

/// Upright, square, and in colours that every player shows as they are meant.
fn check_look(video: &VideoFacts, avc: &AvcFacts) -> Result<(), CopyRefusal> {
    if video.orientation != Orientation::default() {
        return Err(CopyRefusal::Turned);
    }
    let square = avc.sample_aspect.is_none_or(|(wide, high)| wide == high);
    let size = (video.width, video.height);
    if !square || (avc.width, avc.height) != size || display_size(video) != size {
        return Err(CopyRefusal::Shape);
    }
    let full_range = [avc.full_range, video.colour.full_range].contains(&Some(true));
    if full_range || video.colour.range() != VideoRange::Sdr || !colours_agree(video, avc.colour) {
        return Err(CopyRefusal::Colours);
    }
    Ok(())
}

/// Whether a player, which sees the stream alone, takes the colours as whoever sees the container does: where the stream says
/// nothing it goes by the size.
fn colours_agree(video: &VideoFacts, of_stream: Option<[u8; 3]>) -> bool {
    let of_container = [video.colour.primaries, video.colour.transfer, video.colour.matrix];
    let untagged = ColourFacts { full_range: None, primaries: UNSPECIFIED, transfer: UNSPECIFIED, matrix: UNSPECIFIED };
    let by_size = untagged.completed(video.width.min(video.height)).matrix;
    // BT.709; BT.601 with 625 and with 525 lines. The transfer is the same function in all of them.
    let usual = |code: u8| if by_size == BT709 { code == BT709 } else { matches!(code, 5 | 6) };
    let agrees = |place: usize| {
        let (container, stream) = (of_container[place], of_stream.map_or(UNSPECIFIED, |codes| codes[place]));
        match (container, stream) {
            (UNSPECIFIED, _) => true,
            (container, UNSPECIFIED) => usual(container) || (place == 1 && matches!(container, 1 | 6)),
            (container, stream) => container == stream,
        }
    };
    (0..3).all(agrees)
}

fn check_holes(plan: &Plan, video: &VideoFacts, avc: &AvcFacts, lead: u64) -> Result<(), CopyRefusal> {
    let tail = plan.timeline.frame_count().checked_sub(lead + avc.slot_count).ok_or(CopyRefusal::Holes)?;
    let held_max = (plan.timeline.frame_rate().per_second() * Ratio::new(i128::from(HELD_MAX_MS), 1000)).to_integer();
    let held = lead.max(tail).max(avc.slot_step_max);
    let missing = avc.slot_count.saturating_sub(video.frame_count);
    if i128::from(held) > held_max || missing * 100 > avc.slot_count * HOLES_MAX_PERCENT {
        return Err(CopyRefusal::Holes);
    }
    Ok(())
}

/// Peak and average rate of the segments with their boxes, after holding each against the rung's limits: what its buffer
/// may hold beyond the rate.
fn rates(timeline: &Timeline, cuts: &[u64], avc: &AvcFacts, track: &VideoTrack) -> Result<(u32, u32), CopyRefusal> {
    let (mut peak, mut bits_total) = (Ratio::from_integer(0), 0_u64);
    for frames in timeline.segments().filter_map(|number| timeline.frames(number)) {
        let within = cuts.iter().zip(&avc.pieces).filter(|(slot, _)| frames.contains(slot)).map(|(_, piece)| piece);
        let (bytes, pictures) =
            within.fold((0, 0), |(bytes, pictures), piece| (bytes + piece.bytes, pictures + u64::from(piece.picture_count)));
        let duration = timeline.frame_rate().time_of(frames.end - frames.start);
        let allowed = duration * i128::from(track.cap_bps()) + i128::from(track.buffer_bits());
        if Ratio::from_integer(i128::from(bytes) * 8) > allowed {
            return Err(CopyRefusal::BitRate);
        }
        let bits = 8 * (bytes + SEGMENT_BOXES_BYTES + SAMPLE_ROW_BYTES * pictures);
        peak = peak.max(Ratio::from_integer(i128::from(bits)) / duration);
        bits_total += bits;
    }
    let average = Ratio::from_integer(i128::from(bits_total)) / timeline.duration();
    let whole = |rate: Ratio| u32::try_from(rate.ceil().to_integer()).map_err(|_| CopyRefusal::BitRate);
    Ok((whole(peak)?, whole(average)?))
}

/// Keeps the encoded renditions below the copied one: the source may be coded better than the encoder here does in its time, and
/// a smaller picture that takes more bits is of no use. Equal quality takes about the 3/4 power of the pixels, which also keeps
/// neighbours 1.5 to 2 times apart.
fn limit_others(tracks: &mut [VideoTrack], copied: usize, peak_bps: u32) {
    let pixels = |track: &VideoTrack| f64::from(track.width) * f64::from(track.height);
    let Some(whole) = tracks.get(copied).map(pixels) else { return };
    for track in tracks.iter_mut().filter(|track| track.range == VideoRange::Sdr) {
        // Square roots are exact on every machine, other powers are not.
        let side = (pixels(track) / whole).sqrt();
        let share_bps = (f64::from(peak_bps) * side * side.sqrt()) as u32;
        if let VideoMethod::Encode(encoding) = &mut track.method {
            let maxrate_bps = encoding.maxrate_bps.min(share_bps.max(encoding.maxrate_bps / LIMIT_DIVISOR_MAX));
            let bufsize_bits = u64::from(encoding.bufsize_bits) * u64::from(maxrate_bps) / u64::from(encoding.maxrate_bps.max(1));
            encoding.bufsize_bits = u32::try_from(bufsize_bits).unwrap_or(encoding.bufsize_bits);
            encoding.maxrate_bps = maxrate_bps;
        }
    }
}
