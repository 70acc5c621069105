//! Stills: the poster of a title and the small pictures along its time, what they are called and how they are laid out.

use std::fmt;

use super::{Plan, Ratio};

/// A still of a title, named as its file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Still {
    /// One good picture, `poster.jpg`.
    Poster,
    /// Which part of which sprite shows what time, `storyboard.vtt`.
    Storyboard,
    /// A sheet of small pictures, `sprite-3.jpg`.
    Sprite(u16),
}

impl Still {
    /// Reads a file's name; one canonical spelling each.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "poster.jpg" => Some(Self::Poster),
            "storyboard.vtt" => Some(Self::Storyboard),
            _ => {
                let digits = name.strip_prefix("sprite-")?.strip_suffix(".jpg")?;
                let sheet: u16 = digits.parse().ok()?;
                (sheet.to_string() == digits).then_some(Self::Sprite(sheet))
            }
        }
    }
}

impl fmt::Display for Still {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Poster => out.write_str("poster.jpg"),
            Self::Storyboard => out.write_str("storyboard.vtt"),
            Self::Sprite(sheet) => write!(out, "sprite-{sheet}.jpg"),
        }
    }
}

/// How the small pictures of a title are laid out: tiles of one size, one every so often, row by row on sheets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storyboard {
    /// Time from one tile to the next in milliseconds.
    pub interval_ms: u64,
    /// Number of tiles; at least one, at most [`TILES_MAX`].
    pub tiles: u32,
    /// Width of a tile in pixels, even.
    pub tile_width: u32,
    /// Height of a tile in pixels, even.
    pub tile_height: u32,
    /// Length of the title in milliseconds.
    pub duration_ms: u64,
}

/// Tiles of a title at most.
pub const TILES_MAX: u32 = 1000;
/// Tiles in a row of a sheet, and rows.
const COLUMNS: u32 = 5;
const ROWS: u32 = 5;
/// Longer side of a tile.
const TILE_SIDE: u32 = 160;
/// A seek bar has room for about so many pictures; more often than the shorter of these nobody looks, and beyond the longer
/// one a scene is missed.
const TILES_AIMED: u64 = 120;
const INTERVAL_MS: std::ops::RangeInclusive<u64> = 2000..=10_000;
/// Longest side of a poster.
const POSTER_SIDE_MAX: u32 = 1280;

impl Storyboard {
    /// The layout for a title; absent without pictures.
    pub fn of(plan: &Plan) -> Option<Self> {
        let largest = plan.video.first()?;
        let (tile_width, tile_height) = within(largest.width, largest.height, TILE_SIDE);
        let duration_ms = plan.timeline.duration_ms().max(1);
        let aimed_ms = duration_ms.div_ceil(TILES_AIMED).next_multiple_of(1000).clamp(*INTERVAL_MS.start(), *INTERVAL_MS.end());
        let interval_ms = aimed_ms.max(duration_ms.div_ceil(u64::from(TILES_MAX)));
        let tiles = u32::try_from(duration_ms.div_ceil(interval_ms)).unwrap_or(TILES_MAX).min(TILES_MAX);
        Some(Self { interval_ms, tiles, tile_width, tile_height, duration_ms })
    }

    /// Number of sheets.
    pub fn sheets(&self) -> u16 {
        u16::try_from(self.tiles.div_ceil(COLUMNS * ROWS)).unwrap_or(u16::MAX)
    }

    /// Width and height of a sheet; the last one may be lower.
    pub fn sheet_size(&self, sheet: u16) -> (u32, u32) {
        let left = self.tiles.saturating_sub(u32::from(sheet) * COLUMNS * ROWS);
        let columns = if self.tiles < COLUMNS { self.tiles } else { COLUMNS };
        (columns * self.tile_width, left.div_ceil(COLUMNS).clamp(1, ROWS) * self.tile_height)
    }

    /// The sheet of a tile, and its left upper corner there.
    pub fn place(&self, tile: u32) -> (u16, u32, u32) {
        let (sheet, rest) = (tile / (COLUMNS * ROWS), tile % (COLUMNS * ROWS));
        let sheet = u16::try_from(sheet).unwrap_or(u16::MAX);
        (sheet, rest % COLUMNS * self.tile_width, rest / COLUMNS * self.tile_height)
    }

    /// When a tile's time begins, in seconds of the title.
    pub fn time_of(&self, tile: u32) -> Ratio {
        Ratio::new(i128::from(tile) * i128::from(self.interval_ms), 1000)
    }
}

/// Width and height of a title's poster: its largest rendition, or as much of its size as a poster may have.
pub fn poster_size(width: u32, height: u32) -> (u32, u32) {
    within(width, height, POSTER_SIDE_MAX)
}

/// The size with the longer side brought down to `side` at most, in even numbers.
fn within(width: u32, height: u32, side: u32) -> (u32, u32) {
    let longer = u64::from(width.max(height).max(1));
    let side = u64::from(side).min(longer);
    // Rounded to the nearest even number, which is at least two.
    let scaled = |length: u32| u32::try_from((u64::from(length) * side + longer) / (2 * longer) * 2).unwrap_or(2).max(2);
    (scaled(width), scaled(height))
}

/// Width and height of a whole JPEG file (ITU-T T.81 B.2), read without trust in any length; absent for anything else.
pub fn jpeg_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8])?.strip_suffix(&[0xff, 0xd9])?;
    loop {
        let (marker, after) = rest.split_first_chunk::<4>()?;
        let [0xff, kind, high, low] = *marker else { return None };
        let length = usize::from(u16::from_be_bytes([high, low])).checked_sub(2)?;
        let (body, after) = after.split_at_checked(length)?;
        match (kind, body) {
            // A frame header, baseline to progressive: precision, lines, samples a line.
            (0xc0..=0xc2, [_, a, b, c, d, ..]) => {
                return Some((u32::from(u16::from_be_bytes([*c, *d])), u32::from(u16::from_be_bytes([*a, *b]))));
            }
            // Data begins, and there was no frame header.
            (0xda, _) => return None,
            _ => rest = after,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::title::sample;

    #[test]
    fn names_have_one_spelling() {
        for still in [Still::Poster, Still::Storyboard, Still::Sprite(0), Still::Sprite(65535)] {
            assert_eq!(Still::parse(&still.to_string()), Some(still));
        }
        for other in ["", "poster.jpeg", "sprite-.jpg", "sprite-01.jpg", "sprite-+1.jpg", "sprite-65536.jpg", "sprite-1.jpg/"] {
            assert_eq!(Still::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_longer_title_has_tiles_less_often_but_never_too_many() {
        for (duration_s, interval_ms, tiles) in
            [(1, 2000, 1), (24, 2000, 12), (240, 2000, 120), (600, 5000, 120), (7200, 10_000, 720), (86_400, 86_400, 1000)]
        {
            let board = Storyboard::of(&sample::plan((25, 1), duration_s * 25, 4000)).expect("a layout");
            assert_eq!((board.interval_ms, board.tiles), (interval_ms, tiles), "{duration_s} s");
        }
    }

    #[test]
    fn sizes_keep_the_shape() {
        for ((width, height), expect) in
            [((1280, 720), (160, 90)), ((720, 1280), (90, 160)), ((2, 2), (2, 2)), ((1920, 2), (160, 2)), ((100, 80), (100, 80))]
        {
            assert_eq!(within(width, height, TILE_SIDE), expect);
        }
        assert_eq!(poster_size(3840, 2160), (1280, 720));
        assert_eq!(poster_size(426, 240), (426, 240));
    }

    #[test]
    fn only_a_jpeg_has_a_size() {
        let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x0b\x08\0\x5a\0\xa0\x01\x01\x11\0\xff\xda\0\x02\0\xff\xd9";
        assert_eq!(jpeg_size(jpeg), Some((160, 90)));
        assert_eq!(jpeg_size(&jpeg[..jpeg.len() - 1]), None);
        assert_eq!(jpeg_size(b"\xff\xd8\xff\xda\0\x02\xff\xd9"), None);
    }

    proptest! {
        #[test]
        fn every_tile_has_a_place_of_its_own(duration_ms in 1_u64..100_000_000, width in 2_u32..4000, height in 2_u32..4000) {
            let mut plan = sample::plan((25, 1), (duration_ms / 40).max(1), 4000);
            (plan.video[0].width, plan.video[0].height) = (width, height);
            let board = Storyboard::of(&plan).expect("a layout");
            prop_assert!((1..=TILES_MAX).contains(&board.tiles));
            prop_assert!(u64::from(board.tiles) * board.interval_ms >= board.duration_ms);
            prop_assert!(board.tile_width.is_multiple_of(2) && board.tile_height.is_multiple_of(2));
            prop_assert!(board.tile_width.max(board.tile_height) <= 160);
            let mut last = None;
            for tile in 0..board.tiles {
                let (sheet, x, y) = board.place(tile);
                let (width, height) = board.sheet_size(sheet);
                prop_assert!(sheet < board.sheets() && x + board.tile_width <= width && y + board.tile_height <= height);
                prop_assert!(last < Some((sheet, y, x)));
                last = Some((sheet, y, x));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let whole = [b"\xff\xd8".as_slice(), &bytes, b"\xff\xd9"].concat();
            let _ = jpeg_size(&bytes);
            prop_assert_eq!(jpeg_size(&whole[1..]), None);
            let _ = jpeg_size(&whole);
        }
    }
}
