//! The survey of one video stream: when its pictures are shown and where decoding can begin.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use ffmpeg_next::format::stream::Stream;
use ffmpeg_next::frame::Video;
use headwater::cmaf::nal;
use headwater::title::colour::UNSPECIFIED;
use headwater::title::{DolbyVision, Hole, KeyFrame, ScanFacts, TimeBase, VideoFacts, is_worth_a_look};

use super::avc_survey::AvcSurvey;
use super::dolby_vision::Metadata;
use super::shape::Shape;
use super::size_watch::SizeWatch;
use super::{light, stream_facts};

/// What the packets of a video stream have told so far.
pub struct VideoSurvey {
    facts: VideoFacts,
    /// Presentation times of pictures that are shown.
    times: Vec<i64>,
    last_duration: Option<i64>,
    key_seen: bool,
    key_spacing: i64,
    avc: AvcSurvey,
    codec: ffi::AVCodecID,
    sizes: SizeWatch,
}

/// Key frames are kept this far apart in seconds; nearer ones save nothing when seeking.
const KEY_SPACING_S: f64 = 0.5;

impl VideoSurvey {
    /// Starts with what the header says.
    pub fn begin(stream: &Stream<'_>) -> Self {
        let parameters = stream_facts::parameters(stream);
        let (pixel_format, bit_depth) = stream_facts::pixel_format(parameters);
        let time_base = stream_facts::time_base(stream);
        let side = |pixels: i32| u32::try_from(pixels).unwrap_or(0);
        let facts = VideoFacts {
            profile: stream_facts::profile_name(parameters),
            sample_aspect: stream_facts::sample_aspect(stream),
            orientation: stream_facts::orientation(stream),
            pixel_format,
            bit_depth,
            colour: stream_facts::colour(parameters),
            light: light::of_stream(stream),
            dolby_vision: light::dolby_vision(stream),
            field_order: stream_facts::field_order(parameters),
            declared_rate: stream_facts::declared_rate(stream),
            ..VideoFacts::bare(side(parameters.width), side(parameters.height), time_base)
        };
        let key_spacing = (KEY_SPACING_S * f64::from(time_base.den) / f64::from(time_base.num)) as i64;
        let avc = AvcSurvey::begin(parameters, key_spacing);
        let sizes = SizeWatch::begin(stream);
        Self { facts, times: Vec::new(), last_duration: None, key_seen: false, key_spacing, avc, codec: parameters.codec_id, sizes }
    }

    /// Length of a tick of the stream.
    pub fn time_base(&self) -> TimeBase {
        self.facts.time_base
    }

    /// Notes what the first picture that came out of the decoder says of itself, which counts for more than the header.
    pub fn look_at(&mut self, picture: &Video) {
        let shape = Shape::of(picture);
        let facts = &mut self.facts;
        facts.coded_aspect = shape.aspect;
        facts.colour.full_range = shape.colour.full_range.or(facts.colour.full_range);
        let told = |own: u8, fact: &mut u8| {
            if own != UNSPECIFIED {
                *fact = own;
            }
        };
        told(shape.colour.primaries, &mut facts.colour.primaries);
        told(shape.colour.transfer, &mut facts.colour.transfer);
        told(shape.colour.matrix, &mut facts.colour.matrix);
        if let Some(name) = shape.format_name() {
            (facts.pixel_format, facts.bit_depth) = (name, shape.bit_depth());
        }
        let light = light::of_picture(picture);
        facts.light.mastering = facts.light.mastering.or(light.mastering);
        facts.light.content = facts.light.content.or(light.content);
        if let Some(metadata) = Metadata::of(picture) {
            let shown = metadata.is_alone.then_some(DolbyVision { profile: 5, compatibility: 0, with_metadata: true });
            // Where a record says another kind of it, the pictures are right.
            let declared = facts.dolby_vision.filter(|declared| declared.is_alone() || !metadata.is_alone).or(shown);
            facts.dolby_vision = declared.map(|declared| DolbyVision { with_metadata: true, ..declared });
        }
    }

    /// Notes a packet.
    pub fn take(&mut self, packet: &ffmpeg::Packet) {
        self.avc.take(packet);
        let Some(pts) = packet.pts().or(packet.dts()) else { return };
        // Without presentation times it must not matter which pictures a decoder leaves out at its start: it may begin only
        // where none refers back.
        let begins = packet.pts().is_some() || self.facts.key_frames.is_empty() || !refers_back(self.codec, packet);
        if packet.is_key() {
            self.sizes.take(packet);
            self.key_seen = true;
        }
        if packet.is_key() && begins {
            let far = self.facts.key_frames.last().is_none_or(|last| pts - last.pts >= self.key_spacing);
            if far {
                let position = u64::try_from(packet.position()).ok();
                self.facts.key_frames.push(KeyFrame { pts, dts: packet.dts(), position });
            }
        }
        // Outside the edit list: decoded because others need it, never shown.
        if stream_facts::is_discarded(packet) {
            return;
        }
        if !self.key_seen {
            self.facts.undecodable_lead_count += 1;
            return;
        }
        self.last_duration = Some(packet.duration()).filter(|duration| *duration > 0).or(self.last_duration);
        self.times.push(pts);
    }

    /// What the stream turned out to be.
    ///
    /// `look` is asked to look at the pictures of a stream that may be interlaced.
    pub fn finish(mut self, stream: u32, codec: String, look: impl FnOnce(&VideoFacts) -> Option<ScanFacts>) -> VideoFacts {
        self.facts.stream = stream;
        self.facts.codec = codec;
        self.facts.size_change_count = self.sizes.change_count();
        self.times.sort_unstable();
        self.times.dedup();
        self.measure();
        if is_worth_a_look(&self.facts) {
            self.facts.scan = look(&self.facts);
            if self.facts.scan.is_some_and(|seen| seen.split) {
                pair_fields(&mut self.times, self.facts.interval_median);
                self.measure();
            }
        }
        self.facts.avc = self.avc.finish(&self.facts, &self.times);
        self.facts
    }

    /// What the times tell.
    fn measure(&mut self) {
        let facts = &mut self.facts;
        let (Some(&first), Some(&last)) = (self.times.first(), self.times.last()) else { return };
        facts.first_pts = first;
        facts.last_pts = last;
        facts.frame_count = self.times.len() as u64;
        measure_intervals(facts, &self.times);
        // The last picture lasts as long as its packet says, unless that is plainly a slip.
        let usual = facts.interval_median.max(1);
        let duration = self.last_duration.filter(|duration| *duration <= usual * 4 || facts.interval_median == 0).unwrap_or(usual);
        facts.end_pts = last.saturating_add(duration);
    }
}

/// Leaves the first field's time of each picture; fields are `field_ticks` apart.
fn pair_fields(times: &mut Vec<i64>, field_ticks: i64) {
    let mut last = i64::MIN;
    times.retain(|time| {
        let first = time.saturating_sub(last) > field_ticks * 3 / 2;
        if first {
            last = *time;
        }
        first
    });
}

/// Whether pictures that follow a key frame may refer to some before it: H.264 and HEVC tell by its kind (ITU-T H.264 table
/// 7-1, H.265 table 7-1).
fn refers_back(codec: ffi::AVCodecID, packet: &ffmpeg::Packet) -> bool {
    let data = packet.data().unwrap_or_default();
    let mut units = nal::units(data).filter_map(|unit| unit.first().copied());
    match codec {
        ffi::AVCodecID::AV_CODEC_ID_H264 => !units.any(|head| head & 0x1f == 5),
        ffi::AVCodecID::AV_CODEC_ID_HEVC => !units.any(|head| matches!(head >> 1 & 0x3f, 19 | 20)),
        _ => false,
    }
}

/// Missing pictures are told one by one for so many places.
const HOLES_MAX: usize = 16;

/// What the distances between pictures tell; `times` are rising.
fn measure_intervals(facts: &mut VideoFacts, times: &[i64]) {
    let intervals: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mut sorted = intervals.clone();
    if sorted.is_empty() {
        return;
    }
    sorted.sort_unstable();
    facts.interval_median = sorted[sorted.len() / 2];
    facts.interval_quick = sorted[sorted.len() / 4];
    facts.interval_max = sorted[sorted.len() - 1];
    (facts.interval_regular_count, facts.interval_regular_ticks) = (0, 0);
    (facts.interval_paired_count, facts.interval_paired_ticks) = (0, 0);
    facts.holes.clear();
    facts.missing_count = 0;
    // One tick either way is rounding, unless ticks are about as long as pictures.
    let slack = if facts.interval_median > 4 { (facts.interval_median / 8).max(1) } else { 0 };
    for interval in intervals.iter().filter(|interval| (**interval - facts.interval_median).abs() <= slack) {
        facts.interval_regular_count += 1;
        facts.interval_regular_ticks += interval;
    }
    for pair in intervals.windows(2) {
        let (short, long) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
        if (13..=17).contains(&(long * 10 / short.max(1))) {
            facts.interval_paired_count += 1;
            facts.interval_paired_ticks += short + long;
        }
    }
    if facts.interval_regular_count * 100 >= intervals.len() as u64 * 95 && facts.interval_median > 0 {
        for (pts, interval) in times.iter().zip(&intervals) {
            let count = (interval + facts.interval_median / 2) / facts.interval_median - 1;
            if let Ok(count @ 1..) = u64::try_from(count) {
                facts.missing_count += count;
                if facts.holes.len() < HOLES_MAX {
                    facts.holes.push(Hole { pts: *pts, count });
                }
            }
        }
    }
}
