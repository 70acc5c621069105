//! Media playlists: the segments of one track in order. They follow from the plan alone and never change.

use std::collections::HashMap;

use m3u8_rs::{Map, MediaPlaylist, MediaPlaylistType, MediaSegment};

use super::durations::Durations;
use super::{Error, VERSION, names};
use crate::title::{Plan, TrackId, TrackKind};

/// `EXT-X-VERSION` of a playlist without `EXT-X-MAP`: fractions in `EXTINF` need 3 (RFC 8216bis 8).
const VERSION_OF_TEXT: usize = 3;

/// What the segments of a playlist are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Pictures or sound.
    Media,
    /// Pictures, of which the key frames alone are named.
    KeyFrames,
    /// Subtitles.
    Text,
}

/// The media playlist of a text track: cut where the pictures are, or the sound when there are none. It is the same for every
/// text track, as they differ in the segments that it names relative to itself.
///
/// # Errors
/// [`Error::Write`], [`Error::Text`].
pub fn text(plan: &Plan) -> Result<String, Error> {
    let durations = Durations::of(plan);
    let numbers = plan.timeline.segments().zip(durations.seconds(TrackId::text(0)));
    let segments = numbers.map(|(number, duration)| MediaSegment { uri: names::text_segment(number), duration, ..MediaSegment::empty() });
    write(Of::Text, &durations, segments.collect())
}

/// The media playlist of a track of pictures or sound. That segments are independent is said once, in the multivariant playlist.
///
/// # Errors
/// [`Error::NoSuchTrack`] when the plan lacks it.
pub fn media(plan: &Plan, track: TrackId) -> Result<String, Error> {
    if !plan.has(track) || track.kind == TrackKind::Text {
        return Err(Error::NoSuchTrack(track));
    }
    let durations = Durations::of(plan);
    let numbers = plan.timeline.segments().zip(durations.seconds(track));
    let segments = numbers.map(|(number, duration)| MediaSegment { uri: names::segment(number), duration, ..MediaSegment::empty() });
    write(Of::Media, &durations, segments.collect())
}

/// A playlist of these segments. What needs an init segment names it before the first.
pub(super) fn write(of: Of, durations: &Durations, mut segments: Vec<MediaSegment>) -> Result<String, Error> {
    if let Some(first) = segments.first_mut().filter(|_| of != Of::Text) {
        first.map = Some(Map { uri: names::INIT.to_owned(), byte_range: None, other_attributes: HashMap::new() });
    }
    let playlist = MediaPlaylist {
        version: Some(if of == Of::Text { VERSION_OF_TEXT } else { VERSION }),
        target_duration: durations.target_s(),
        playlist_type: Some(MediaPlaylistType::Vod),
        i_frames_only: of == Of::KeyFrames,
        segments,
        end_list: true,
        ..MediaPlaylist::default()
    };
    let mut text = Vec::new();
    playlist.write_to(&mut text)?;
    Ok(String::from_utf8(text)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::playlist::testing::plan;
    use crate::title::{Ratio, SegmentNumber};

    #[test]
    fn golden_pictures() {
        let plan = plan((30_000, 1001), 300, 4000);
        let expect = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n\
            #EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4.004,\n0.m4s\n#EXTINF:4.004,\n1.m4s\n#EXTINF:2.002,\n2.m4s\n#EXT-X-ENDLIST\n";
        assert_eq!(media(&plan, TrackId::video(0)).expect("a playlist"), expect);
        assert_eq!(media(&plan, TrackId::video(1)).expect("a playlist"), expect);
    }

    #[test]
    fn golden_sound() {
        let plan = plan((30_000, 1001), 300, 4000);
        let expect = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n\
            #EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4.01067,\n0.m4s\n#EXTINF:3.98933,\n1.m4s\n#EXTINF:2.00533,\n2.m4s\n#EXT-X-ENDLIST\n";
        // 187.7, 375.4 and 469.2 frames of sound: 188, 375 and 469 of them, which end at 4.01067, 8 and 10.00533 s.
        assert_eq!(media(&plan, TrackId::audio(0)).expect("a playlist"), expect);
    }

    #[test]
    fn golden_text() {
        let mut plan = plan((30_000, 1001), 300, 4000);
        let expect = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n\
            #EXTINF:4.004,\n0.vtt\n#EXTINF:4.004,\n1.vtt\n#EXTINF:2.002,\n2.vtt\n#EXT-X-ENDLIST\n";
        assert_eq!(text(&plan).expect("a playlist"), expect);
        plan.video.clear();
        assert!(text(&plan).expect("a playlist").contains("#EXTINF:4.01067,\n0.vtt\n"), "with the sound");
    }

    #[test]
    fn a_track_that_was_not_planned_is_refused() {
        assert!(matches!(media(&plan((25, 1), 100, 4000), TrackId::audio(5)), Err(Error::NoSuchTrack(_))));
    }

    proptest! {
        #[test]
        fn it_reads_back_and_never_drifts(rate in 0_usize..6, frames in 1_u64..4000, segment_ms in 1000_u32..13_000) {
            let rate = [(24, 1), (25, 1), (30_000, 1001), (24_000, 1001), (60, 1), (8797, 1000)][rate];
            let plan = plan(rate, frames, segment_ms);
            let grid = plan.timeline.frame_rate();
            let mut targets = Vec::new();
            for track in plan.tracks() {
                let text = media(&plan, track).expect("a playlist");
                let (rest, playlist) = m3u8_rs::parse_media_playlist(text.as_bytes()).expect("it parses");
                prop_assert!(rest.is_empty());
                prop_assert!(playlist.end_list && playlist.playlist_type == Some(MediaPlaylistType::Vod));
                prop_assert_eq!(playlist.segments.len(), plan.timeline.segment_count() as usize);
                prop_assert!(playlist.segments[0].map.is_some());
                targets.push(playlist.target_duration);
                // A run's error is the difference of two running totals': each within a quarter of a frame.
                let (mut total, mut units_total) = (Ratio::from_integer(0), 0_u64);
                let printed = text.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.strip_suffix(','));
                for (number, seconds) in (0..).map(SegmentNumber).zip(printed) {
                    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, ""));
                    let units: u64 = format!("{whole}{part:0<6}").parse().expect("a decimal number");
                    prop_assert!((units + 500_000) / 1_000_000 <= playlist.target_duration);
                    units_total += units;
                    total = match track.kind {
                        crate::title::TrackKind::Video => grid.time_of(plan.timeline.frames(number).expect("a segment").end),
                        _ => {
                            let frames = plan.timeline.audio_frames(number, 48_000, 1024).expect("a segment");
                            Ratio::new(i128::from(frames.end) * 1024, 48_000)
                        }
                    };
                    let off = Ratio::new(i128::from(units_total), 1_000_000) - total;
                    let quarter = grid.time_of(1) / 4;
                    prop_assert!(off <= quarter && -off <= quarter);
                }
                prop_assert!(total > Ratio::from_integer(0));
            }
            targets.dedup();
            prop_assert_eq!(targets.len(), 1, "one target duration for all");
        }
    }
}
