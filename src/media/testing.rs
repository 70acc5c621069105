//! Facts for the tests of this module.

use headwater::title::{ColourFacts, CopyDoubt, FieldOrder, LightFacts, Orientation, TimeBase, VideoFacts};

/// A stream of square BT.709 pictures of that size, with nothing in it.
pub fn video_facts(width: u32, height: u32) -> VideoFacts {
    VideoFacts {
        stream: 0,
        codec: "h264".into(),
        profile: None,
        width,
        height,
        sample_aspect: (1, 1),
        orientation: Orientation::default(),
        pixel_format: "yuv420p".into(),
        bit_depth: 8,
        colour: ColourFacts::STANDARD,
        light: LightFacts::default(),
        dolby_vision: None,
        coded_aspect: (1, 1),
        size_change_count: 0,
        field_order: FieldOrder::Progressive,
        scan: None,
        time_base: TimeBase { num: 1, den: 25 },
        first_pts: 0,
        last_pts: 0,
        end_pts: 0,
        frame_count: 0,
        interval_median: 0,
        interval_quick: 0,
        interval_paired_count: 0,
        interval_paired_ticks: 0,
        interval_max: 0,
        interval_regular_count: 0,
        interval_regular_ticks: 0,
        declared_rate: None,
        key_frames: Vec::new(),
        undecodable_lead_count: 0,
        avc: Err(CopyDoubt::Codec),
        holes: Vec::new(),
        missing_count: 0,
    }
}
