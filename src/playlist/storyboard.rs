//! The index of a storyboard: WebVTT whose cues name rectangles of the sprites by media fragments
//! (`sprite-0.jpg#xywh=160,90,160,90`), as players take it.

use std::fmt::Write;

use crate::title::{Still, Storyboard};

/// The index. Its cues cover the title from start to end without a gap.
pub fn storyboard(board: &Storyboard) -> String {
    let mut text = String::from("WEBVTT\n");
    for tile in 0..board.tiles {
        let start_ms = u64::from(tile) * board.interval_ms;
        let end_ms = if tile + 1 == board.tiles { board.duration_ms } else { start_ms + board.interval_ms };
        let (sheet, x, y) = board.place(tile);
        let (width, height) = (board.tile_width, board.tile_height);
        // Writing into a string cannot fail.
        let _ = write!(
            text,
            "\n{} --> {}\n{}#xywh={x},{y},{width},{height}\n",
            Clock(start_ms),
            Clock(end_ms.max(start_ms + 1)),
            Still::Sprite(sheet)
        );
    }
    text
}

/// A time as WebVTT writes it (WebVTT 4.1): `00:01:02.003`.
struct Clock(u64);

impl std::fmt::Display for Clock {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, ms) = (self.0 / 1000, self.0 % 1000);
        write!(out, "{:02}:{:02}:{:02}.{ms:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playlist::testing::plan;

    #[test]
    fn golden() {
        // 13.6 s of 1280×720: seven tiles of two seconds, the last one shorter.
        let board = Storyboard::of(&plan((25, 1), 340, 4000)).expect("a layout");
        let expect = "WEBVTT\n\
            \n00:00:00.000 --> 00:00:02.000\nsprite-0.jpg#xywh=0,0,160,90\n\
            \n00:00:02.000 --> 00:00:04.000\nsprite-0.jpg#xywh=160,0,160,90\n\
            \n00:00:04.000 --> 00:00:06.000\nsprite-0.jpg#xywh=320,0,160,90\n\
            \n00:00:06.000 --> 00:00:08.000\nsprite-0.jpg#xywh=480,0,160,90\n\
            \n00:00:08.000 --> 00:00:10.000\nsprite-0.jpg#xywh=640,0,160,90\n\
            \n00:00:10.000 --> 00:00:12.000\nsprite-0.jpg#xywh=0,90,160,90\n\
            \n00:00:12.000 --> 00:00:13.600\nsprite-0.jpg#xywh=160,90,160,90\n";
        assert_eq!(storyboard(&board), expect);
    }

    #[test]
    fn a_day_is_covered_without_a_gap() {
        let board = Storyboard::of(&plan((25, 1), 25 * 86_399, 4000)).expect("a layout");
        let text = storyboard(&board);
        let times: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(" --> ")).collect();
        assert_eq!(times.len(), 1000);
        assert!(times.windows(2).all(|pair| pair[0].1 == pair[1].0));
        assert_eq!((times[0].0, times[999].1), ("00:00:00.000", "23:59:59.000"));
        assert!(text.contains("\nsprite-39.jpg#xywh=640,360,160,90\n"));
    }
}
