//! What is refused first when there is too much to do: what costs its viewer least.

use super::Route;
use crate::title::SegmentNumber;

/// A session begins with these segments.
const FIRST_SEGMENTS: u32 = 3;

/// What a refusal would cost whoever asked, cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Worth {
    /// Nothing that plays: a file to take away, a picture, a playlist for fast motion.
    Extra,
    /// A segment that a player asks for while it has others to show.
    Onward,
    /// What a session cannot begin without.
    Start,
}

impl Worth {
    /// What a refusal of `route` would cost.
    pub fn of(route: &Route) -> Self {
        match route {
            Route::Download { .. } | Route::Still { .. } | Route::IFramePlaylist { .. } => Self::Extra,
            Route::Segment { number: SegmentNumber(number), .. } if *number >= FIRST_SEGMENTS => Self::Onward,
            Route::Segment { .. } | Route::Multivariant { .. } | Route::MediaPlaylist { .. } | Route::Init { .. } => Self::Start,
        }
    }

    /// Whether one more may be taken up while `in_use` of `most` are: up to half for an extra, up to seven eighths for what goes
    /// on, all for what begins.
    pub fn is_admitted(self, in_use: usize, most: usize) -> bool {
        in_use
            < match self {
                Self::Extra => most.div_ceil(2),
                Self::Onward => most - most / 8,
                Self::Start => most,
            }
    }

    /// After how many seconds to ask again. It is short, and others are told other times: `turn` counts those who are refused.
    pub fn retry_after_s(self, turn: u64) -> u64 {
        match self {
            Self::Extra => 4 + turn % 8,
            Self::Onward => 1 + turn % 3,
            Self::Start => 1 + turn % 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title::{Download, Generation, Still, TitleId, TrackId};

    #[test]
    fn routes_are_worth_what_their_loss_costs() {
        let (title, generation, track) = (TitleId::new(1, 1), Generation(1), TrackId::video(0));
        let segment = |number| Route::Segment { title, generation, track, number: SegmentNumber(number) };
        for (route, worth) in [
            (Route::Multivariant { title }, Worth::Start),
            (Route::MediaPlaylist { title, generation, track }, Worth::Start),
            (Route::Init { title, generation, track }, Worth::Start),
            (segment(0), Worth::Start),
            (segment(2), Worth::Start),
            (segment(3), Worth::Onward),
            (segment(4000), Worth::Onward),
            (Route::IFramePlaylist { title, generation, track }, Worth::Extra),
            (Route::Still { title, generation, still: Still::Poster }, Worth::Extra),
            (Route::Download { title, generation, file: Download::Sound(0) }, Worth::Extra),
        ] {
            assert_eq!(Worth::of(&route), worth, "{route}");
        }
    }

    #[test]
    fn the_cheapest_loss_comes_first() {
        for (in_use, most, admitted) in [
            (0, 4096, [true, true, true]),
            (2047, 4096, [true, true, true]),
            (2048, 4096, [false, true, true]),
            (3583, 4096, [false, true, true]),
            (3584, 4096, [false, false, true]),
            (4095, 4096, [false, false, true]),
            (4096, 4096, [false, false, false]),
            (5000, 4096, [false, false, false]),
            (0, 1, [true, true, true]),
            (1, 1, [false, false, false]),
            (1, 2, [false, true, true]),
            (4, 7, [false, true, true]),
            (7, 8, [false, false, true]),
            (0, 0, [false, false, false]),
        ] {
            let found = [Worth::Extra, Worth::Onward, Worth::Start].map(|worth| worth.is_admitted(in_use, most));
            assert_eq!(found, admitted, "{in_use} of {most}");
        }
    }

    #[test]
    fn not_all_come_back_at_once() {
        for (worth, least, most) in [(Worth::Start, 1, 2), (Worth::Onward, 1, 3), (Worth::Extra, 4, 11)] {
            let told: std::collections::BTreeSet<u64> = (0..100).map(|turn| worth.retry_after_s(turn)).collect();
            assert_eq!((told.first(), told.last(), told.len() as u64), (Some(&least), Some(&most), most - least + 1));
        }
    }
}
