//! Progressive files over real sockets.

use std::collections::BTreeMap;

use super::*;
use crate::cmaf::testing::{aac_header, avc_header, pictures, plan, sounds};
use crate::cmaf::{self, Piece};
use crate::title::{Plan, TrackKind};

/// A made title of pictures and sound.
pub(super) struct Film {
    plan: Arc<Plan>,
    segments: BTreeMap<(TrackId, SegmentNumber), Bytes>,
    /// A segment that is not made, or cannot be read.
    pub missing: Mutex<Option<(TrackId, SegmentNumber)>>,
    pub unreadable: Mutex<Option<ContentHash>>,
    pub called: Mutex<&'static str>,
    /// Parts that were read.
    pub reads: AtomicUsize,
}

const PICTURES: TrackId = TrackId::video(0);
const SOUND: TrackId = TrackId::audio(0);

impl Default for Film {
    fn default() -> Self {
        let plan = plan((25, 1), 500);
        let mut segments = BTreeMap::new();
        for number in plan.timeline.segments() {
            let mut shown = pictures(&plan, number, &[0, 3, 1, 2]);
            // Larger than what is read at once.
            let slice_bytes: u32 = 300_000;
            shown[0].data = [&slice_bytes.to_be_bytes()[..], &[0x65], &vec![number.0 as u8; slice_bytes as usize - 1]].concat().into();
            for (track, samples) in [(PICTURES, shown), (SOUND, sounds(&plan, number))] {
                segments.insert((track, number), cmaf::media_segment(&plan, track, number, &samples).expect("a segment"));
            }
        }
        Self {
            plan: Arc::new(plan),
            segments,
            missing: Mutex::default(),
            unreadable: Mutex::default(),
            called: Mutex::new("film.mov"),
            reads: AtomicUsize::new(0),
        }
    }
}

impl Film {
    pub const GENERATION: Generation = Generation(5);

    pub fn init(&self, track: TrackId) -> Bytes {
        let header = if track.kind == TrackKind::Video { avc_header() } else { aac_header() };
        cmaf::init_segment(&self.plan, track, &header).expect("an init segment")
    }

    pub fn name(&self) -> Arc<str> {
        Arc::from(*self.called.lock().expect("no panic"))
    }

    pub fn object(&self, hash: ContentHash) -> Result<Bytes, Miss> {
        self.segments.values().find(|segment| ContentHash::of(segment) == hash).cloned().ok_or(Miss::Unknown)
    }

    pub fn facts(&self, segment: SegmentAddress) -> Result<SegmentFacts, Miss> {
        let bytes = self.segments.get(&(segment.track, segment.number)).ok_or(Miss::Unknown)?;
        Ok(SegmentFacts { hash: ContentHash::of(bytes), size_bytes: bytes.len() as u64, finished_at_ms: CHANGED_AT_MS })
    }

    pub fn ingredients(&self, file: Download) -> Result<Ingredients, Miss> {
        let missing = *self.missing.lock().expect("no panic");
        let tracks = file.tracks(&self.plan).ok_or(Miss::Unknown)?.into_iter().map(|track| {
            let parts = self.plan.timeline.segments().map(|number| {
                let bytes = self.segments.get(&(track, number)).filter(|_| missing != Some((track, number))).ok_or(Miss::Unknown)?;
                let key_frame = cmaf::verify(&self.plan, track, number, bytes).expect("verified").key_frame;
                Ok(SegmentPart { hash: ContentHash::of(bytes), size_bytes: bytes.len() as u64, key_frame })
            });
            Ok((track, parts.collect::<Result<_, Miss>>()?))
        });
        Ok(Ingredients { plan: Arc::clone(&self.plan), tracks: tracks.collect::<Result<_, Miss>>()?, changed_at_ms: CHANGED_AT_MS })
    }

    pub fn parts(&self, hash: ContentHash, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, Miss> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if *self.unreadable.lock().expect("no panic") == Some(hash) {
            return Err(Miss::Unavailable { retry_after: Duration::from_secs(5) });
        }
        let object = self.object(hash)?;
        Ok(ranges.into_iter().map(|range| object.slice(range.start as usize..range.end as usize)).collect())
    }
}

impl Origin {
    fn film(&self, file: &str) -> String {
        format!("/t/{}/{}/download/{file}", self.title, Film::GENERATION)
    }

    fn reads(&self) -> usize {
        self.fake.film.reads.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_file_is_described_and_its_ranges_are_parts_of_the_whole() {
    let origin = Origin::usual().await;
    let path = origin.film("720p.mp4");
    let whole = origin.ask("GET", &format!("{path}?dl=1&CMCD=br%3D1"), &[]).await;
    assert_eq!(whole.status, StatusCode::OK);
    let length = whole.body.len();
    assert!(length > 5 * 300_000);
    for (name, expect) in [
        ("content-type", "video/mp4"),
        ("content-length", length.to_string().as_str()),
        ("last-modified", DATE),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("accept-ranges", "bytes"),
        ("access-control-allow-origin", "*"),
        ("content-disposition", "attachment; filename=\"film 720p.mp4\""),
    ] {
        assert_eq!(whole.field(name), Some(expect), "{name}");
    }
    let etag = whole.field("etag").expect("a tag").to_owned();
    let mut head = origin.ask("HEAD", &path, &[("range", "bytes=0-9")]).await;
    let mut fields = whole.headers.clone();
    for name in ["date", "cache-status", "server-timing"] {
        head.headers.remove(name);
        fields.remove(name);
    }
    assert_eq!((head.status, head.headers, head.body.len()), (StatusCode::OK, fields, 0));

    // Over every join between header and segments, and in steps that meet all of them.
    let mut ranges: Vec<_> = (0..length).step_by(77_777).map(|start| start..length.min(start + 77_777)).collect();
    ranges.extend([0..1, length - 1..length, 0..length]);
    for range in ranges {
        let asked = format!("bytes={}-{}", range.start, range.end - 1);
        let part = origin.ask("GET", &path, &[("range", &asked), ("if-range", &etag)]).await;
        assert_eq!(part.status, StatusCode::PARTIAL_CONTENT, "{asked}");
        assert_eq!(part.field("content-range"), Some(format!("bytes {}-{}/{length}", range.start, range.end - 1).as_str()));
        assert_eq!((part.field("etag"), part.field("content-length")), (Some(etag.as_str()), Some(range.len().to_string().as_str())));
        assert!(part.field("content-disposition").is_some());
        assert!(part.body == whole.body[range], "{asked}");
    }
    let beyond = origin.ask("GET", &path, &[("range", &format!("bytes={length}-"))]).await;
    assert_eq!(
        (beyond.status, beyond.field("content-range")),
        (StatusCode::RANGE_NOT_SATISFIABLE, Some(format!("bytes */{length}").as_str()))
    );
    let same = origin.ask("GET", &path, &[("if-none-match", &etag)]).await;
    assert_eq!((same.status, same.field("etag"), same.body.len()), (StatusCode::NOT_MODIFIED, Some(etag.as_str()), 0));
    let other = origin.ask("GET", &path, &[("if-match", "\"other\"")]).await;
    assert_eq!(other.status, StatusCode::PRECONDITION_FAILED);
    let changed = origin.ask("GET", &path, &[("if-range", "\"other\""), ("range", "bytes=0-1")]).await;
    assert_eq!((changed.status, changed.body.len()), (StatusCode::OK, length));
    assert_eq!(origin.metrics.requests(Class::Download, Outcome::NotModified), 1);

    let sound = origin.ask("GET", &origin.film("a0.m4a"), &[]).await;
    assert_eq!((sound.status, sound.field("content-type")), (StatusCode::OK, Some("audio/mp4")));
    assert_eq!(sound.field("content-disposition"), Some("attachment; filename=\"film.m4a\""));
    assert_ne!(sound.field("etag"), Some(etag.as_str()));
}

#[tokio::test]
async fn another_node_gives_the_same_bytes() {
    let (origin, twin) = (Origin::usual().await, Origin::usual().await);
    let [ours, theirs] = [origin.ask("GET", &origin.film("720p.mp4"), &[]).await, twin.ask("GET", &twin.film("720p.mp4"), &[]).await];
    assert_eq!((ours.field("etag"), &ours.body), (theirs.field("etag"), &theirs.body));
}

#[tokio::test]
async fn a_file_is_put_together_once_and_its_bytes_pass_by_the_cache() {
    let origin = Origin::usual().await;
    let path = origin.film("720p.mp4");
    let segments = origin.fake.film.segments.len();
    let (one, other) = tokio::join!(origin.ask("HEAD", &path, &[]), origin.ask("HEAD", &path, &[]));
    assert_eq!((one.status, other.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!((origin.reads(), origin.fake.asked.load(Ordering::SeqCst)), (segments, 1), "the tables of each segment, once");
    let weighed = origin.delivery.shared.cache.weighed_bytes();
    let first = origin.ask("GET", &path, &[]).await;
    let after_first = origin.reads();
    // Twice more a segment at most, but for the five key frames of 300 kB.
    assert!((2 * segments..=3 * segments + 5 * 5).contains(&after_first), "{after_first}");
    assert_eq!(origin.delivery.shared.cache.weighed_bytes(), weighed, "nothing was kept");

    // What viewers brought into the cache is not read again.
    for number in origin.fake.film.plan.timeline.segments() {
        for track in [PICTURES, SOUND] {
            let path = format!("/t/{}/{}/{track}/{number}.m4s", origin.title, Film::GENERATION);
            assert_eq!(origin.ask("GET", &path, &[]).await.status, StatusCode::OK);
        }
    }
    let second = origin.ask("GET", &path, &[]).await;
    assert_eq!((origin.reads(), second.body), (after_first, first.body));
}

#[tokio::test]
async fn what_is_not_made_yet_is_not_there_and_not_made_for_it() {
    let origin = Origin::usual().await;
    *origin.fake.film.missing.lock().expect("no panic") = Some((SOUND, SegmentNumber(4)));
    for file in ["720p.mp4", "a0.m4a", "1080p.mp4", "a1.m4a"] {
        let answer = origin.ask("GET", &origin.film(file), &[]).await;
        assert_eq!((answer.status, answer.field("cache-control")), (StatusCode::NOT_FOUND, Some("public, max-age=2")), "{file}");
    }
    assert_eq!(origin.reads(), 0);
    *origin.fake.film.missing.lock().expect("no panic") = None;
    origin.delivery.invalidate(origin.title);
    assert_eq!(origin.ask("GET", &origin.film("720p.mp4"), &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_cannot_be_read_breaks_the_answer_off() {
    let origin = Origin::usual().await;
    let path = origin.film("720p.mp4");
    let whole = origin.ask("GET", &path, &[]).await;
    let lost = ContentHash::of(&origin.fake.film.segments[&(PICTURES, SegmentNumber(3))]);
    *origin.fake.film.unreadable.lock().expect("no panic") = Some(lost);
    let broken = origin.delivery.answer(&Method::GET, &path, &HeaderMap::new()).await;
    assert_eq!(broken.headers()[CONTENT_LENGTH], whole.body.len().to_string().as_str());
    let mut body = broken.into_body();
    let error = loop {
        if let Err(error) = body.frame().await.expect("not the end") {
            break error;
        }
    };
    assert_eq!(error, BodyError::Unreadable);
    // Before the file is put together it is told by the status.
    let twin = Origin::usual().await;
    *twin.fake.film.unreadable.lock().expect("no panic") = Some(lost);
    let answer = twin.ask("GET", &twin.film("720p.mp4"), &[]).await;
    assert_eq!((answer.status, answer.field("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("5")));
}

#[tokio::test]
async fn a_new_name_changes_nothing_but_the_name() {
    let origin = Origin::usual().await;
    let path = origin.film("720p.mp4");
    let before = origin.ask("HEAD", &path, &[]).await;
    *origin.fake.film.called.lock().expect("no panic") = "Zürich.mov";
    let after = origin.ask("HEAD", &path, &[]).await;
    assert_eq!(before.field("etag"), after.field("etag"));
    assert_eq!(
        after.field("content-disposition"),
        Some("attachment; filename=\"Z_rich 720p.mp4\"; filename*=UTF-8''Z%C3%BCrich%20720p.mp4")
    );
    origin.delivery.forget(origin.title);
    origin.fake.titles.lock().expect("no panic").clear();
    assert_eq!(origin.ask("HEAD", &path, &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_body_holds_little_of_what_is_not_in_the_cache() {
    let origin = Origin::usual().await;
    let response = origin.delivery.answer(&Method::GET, &origin.film("720p.mp4"), &HeaderMap::new()).await;
    let object = origin.delivery.shared.cache.peek(&Route::parse(&origin.film("720p.mp4")).expect("a route")).expect("cached");
    let Some(Piece::Header(header)) = object.file().expect("a file").piece_at(0) else { panic!("no header") };
    let mut body = response.into_body();
    let mut first = true;
    while let Some(frame) = body.frame().await {
        let piece = frame.expect("a frame").into_data().expect("data");
        assert!(piece.len() <= if first { header.len() } else { 64 << 10 }, "{} bytes", piece.len());
        first = false;
    }
}
