//! Facts for the tests of this module.

use headwater::title::{ColourFacts, TimeBase, VideoFacts};

/// A stream of square BT.709 pictures of that size, with nothing in it.
pub fn video_facts(width: u32, height: u32) -> VideoFacts {
    VideoFacts { colour: ColourFacts::STANDARD, coded_aspect: (1, 1), ..VideoFacts::bare(width, height, TimeBase { num: 1, den: 25 }) }
}
