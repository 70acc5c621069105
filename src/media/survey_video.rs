//! The survey of one video stream: when its pictures are shown and where decoding can begin.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::stream::Stream;
use ffmpeg_next::frame::Video;
use headwater::title::colour::UNSPECIFIED;
use headwater::title::{KeyFrame, VideoFacts};

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
        let facts = VideoFacts {
            stream: 0,
            codec: String::new(),
            profile: stream_facts::profile_name(parameters),
            width: u32::try_from(parameters.width).unwrap_or(0),
            height: u32::try_from(parameters.height).unwrap_or(0),
            sample_aspect: stream_facts::sample_aspect(stream),
            orientation: stream_facts::orientation(stream),
            pixel_format,
            bit_depth,
            colour: stream_facts::colour(parameters),
            light: light::of_stream(stream),
            dolby_vision: light::dolby_vision(stream),
            coded_aspect: (0, 1),
            size_change_count: 0,
            field_order: stream_facts::field_order(parameters),
            time_base,
            first_pts: 0,
            last_pts: 0,
            end_pts: 0,
            frame_count: 0,
            interval_median: 0,
            interval_max: 0,
            interval_regular_count: 0,
            interval_regular_ticks: 0,
            declared_rate: stream_facts::declared_rate(stream),
            key_frames: Vec::new(),
            undecodable_lead_count: 0,
        };
        let key_spacing = (KEY_SPACING_S * f64::from(time_base.den) / f64::from(time_base.num)) as i64;
        Self { facts, times: Vec::new(), last_duration: None, key_seen: false, key_spacing, sizes: SizeWatch::begin(stream) }
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
    }

    /// Notes a packet.
    pub fn take(&mut self, packet: &ffmpeg::Packet) {
        let Some(pts) = packet.pts().or(packet.dts()) else { return };
        if packet.is_key() {
            self.sizes.take(packet);
            self.key_seen = true;
            let far = self.facts.key_frames.last().is_none_or(|last| pts - last.pts >= self.key_spacing);
            if far {
                let position = u64::try_from(packet.position()).ok();
                self.facts.key_frames.push(KeyFrame { pts, dts: packet.dts(), position });
            }
        }
        // Outside the edit list: decoded because others need it, never shown.
        if packet.flags().bits() & ffmpeg::ffi::AV_PKT_FLAG_DISCARD != 0 {
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
    pub fn finish(mut self, stream: u32, codec: String) -> VideoFacts {
        let facts = &mut self.facts;
        facts.stream = stream;
        facts.codec = codec;
        facts.size_change_count = self.sizes.change_count();
        self.times.sort_unstable();
        self.times.dedup();
        let (Some(&first), Some(&last)) = (self.times.first(), self.times.last()) else { return self.facts };
        facts.first_pts = first;
        facts.last_pts = last;
        facts.frame_count = self.times.len() as u64;
        let mut intervals: Vec<i64> = self.times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        if !intervals.is_empty() {
            let middle = intervals.len() / 2;
            facts.interval_median = *intervals.select_nth_unstable(middle).1;
            facts.interval_max = intervals.iter().copied().max().unwrap_or(0);
            // One tick either way is rounding, unless ticks are about as long as pictures.
            let slack = if facts.interval_median > 4 { (facts.interval_median / 8).max(1) } else { 0 };
            for interval in intervals.iter().filter(|interval| (**interval - facts.interval_median).abs() <= slack) {
                facts.interval_regular_count += 1;
                facts.interval_regular_ticks += interval;
            }
        }
        // The last picture lasts as long as its packet says, unless that is plainly a slip.
        let usual = facts.interval_median.max(1);
        let duration = self.last_duration.filter(|duration| *duration <= usual * 4 || facts.interval_median == 0).unwrap_or(usual);
        facts.end_pts = last.saturating_add(duration);
        self.facts
    }
}
