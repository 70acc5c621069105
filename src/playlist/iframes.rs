//! I-frame playlists: the key frame of every segment of a track, for fast motion and for pictures on a seek bar.
//!
//! They name byte ranges of the media segments ([`KeyFrameSpan`]), which only the segments themselves tell; so they can be
//! written once all are made, and then never change.

use m3u8_rs::{ByteRange, MediaSegment};

use super::durations::Durations;
use super::media::{Of, write};
use super::{Error, names};
use crate::title::{KeyFrameSpan, Plan, TrackId, TrackKind};

/// The I-frame playlist of a track of pictures. `key_frames` are those of its segments, in order.
///
/// Each lasts until the next (RFC 8216bis 4.4.3.6), which is as long as its segment.
///
/// # Errors
/// [`Error::NoSuchTrack`] when the plan lacks it or it is not of pictures, [`Error::KeyFrames`] when there is not one for
/// each segment.
pub fn i_frames(plan: &Plan, track: TrackId, key_frames: &[KeyFrameSpan]) -> Result<String, Error> {
    if !plan.has(track) || track.kind != TrackKind::Video {
        return Err(Error::NoSuchTrack(track));
    }
    if key_frames.len() != plan.timeline.segment_count() as usize {
        return Err(Error::KeyFrames(track));
    }
    let durations = Durations::of(plan);
    let entries = plan.timeline.segments().zip(durations.seconds(track)).zip(key_frames);
    let segments = entries.map(|((number, duration), span)| MediaSegment {
        uri: names::segment(number),
        duration,
        byte_range: Some(ByteRange { length: span.length_bytes, offset: Some(span.offset_bytes) }),
        ..MediaSegment::empty()
    });
    write(Of::KeyFrames, &durations, segments.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playlist::testing::plan;

    fn spans(count: u64) -> Vec<KeyFrameSpan> {
        (0..count).map(|index| KeyFrameSpan { offset_bytes: 28, length_bytes: 1000 + index }).collect()
    }

    #[test]
    fn golden() {
        let plan = plan((30_000, 1001), 300, 4000);
        let expect = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-I-FRAMES-ONLY\n\
            #EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-BYTERANGE:1000@28\n#EXTINF:4.004,\n0.m4s\n\
            #EXT-X-BYTERANGE:1001@28\n#EXTINF:4.004,\n1.m4s\n#EXT-X-BYTERANGE:1002@28\n#EXTINF:2.002,\n2.m4s\n#EXT-X-ENDLIST\n";
        assert_eq!(i_frames(&plan, TrackId::video(1), &spans(3)).expect("a playlist"), expect);
    }

    #[test]
    fn there_is_one_for_each_segment_of_pictures() {
        let plan = plan((25, 1), 300, 4000);
        assert!(i_frames(&plan, TrackId::video(0), &spans(3)).is_ok());
        assert!(matches!(i_frames(&plan, TrackId::video(0), &spans(2)), Err(Error::KeyFrames(_))));
        assert!(matches!(i_frames(&plan, TrackId::video(3), &spans(3)), Err(Error::NoSuchTrack(_))));
        assert!(matches!(i_frames(&plan, TrackId::audio(0), &spans(3)), Err(Error::NoSuchTrack(_))));
    }
}
