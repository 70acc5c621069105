//! Key frames that I-frame playlists name: each decodes alone, and all after one another are the title in fast motion.

use headwater::cmaf;
use headwater::title::TrackKind;
use headwater::worker::protocol::MadeSegment;

use crate::clips::clip;
use crate::harness::{Opened, quick_policy};
use crate::rendition::Rendition;

#[tokio::test]
async fn each_key_frame_decodes_alone() {
    let path = clip("mp4", &["-f", "lavfi", "-i", "testsrc2=s=640x360:r=25:d=8", "-c:v", "libx264", "-bf", "2", "-g", "40"]);
    let mut opened = Opened::new(&path, &quick_policy()).await.expect("opened");
    for (track, segments) in opened.make_all().await {
        assert_eq!(track.kind, TrackKind::Video);
        let key_frame = |segment: &MadeSegment| {
            let facts = cmaf::verify(&opened.plan, track, segment.number, &segment.bytes).expect("verified");
            let span = facts.key_frame.expect("a key frame");
            let start = span.offset_bytes as usize;
            MadeSegment { bytes: segment.bytes.slice(start..start + span.length_bytes as usize), ..segment.clone() }
        };
        let key_frames: Vec<MadeSegment> = segments.iter().map(key_frame).collect();
        let whole = Rendition::new(&opened, track, &segments).pictures();
        for (segment, number) in key_frames.iter().zip(opened.plan.timeline.segments()) {
            let alone = Rendition::new(&opened, track, std::slice::from_ref(segment));
            let first = opened.plan.timeline.frames(number).expect("a segment").start as usize;
            assert_eq!(alone.packets().len(), 1, "{track} {number}");
            assert!(alone.pictures()[0] == whole[first], "{track} {number}: it is the segment's first picture");
        }
        assert_eq!(Rendition::new(&opened, track, &key_frames).packets().len(), key_frames.len());
    }
}
