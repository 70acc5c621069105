//! Progressive files read back, sample by sample, and beyond 4 GiB.

use std::collections::BTreeMap;

use mp4_atom::{Decode, Ftyp, Moov, Stbl, Trak};
use proptest::prelude::{any, prop, prop_assert_eq, proptest};

use super::samples::Sample;
use super::*;
use crate::cmaf::boxes::split_first;
use crate::cmaf::testing::{aac_header, avc_header, pictures, plan, sounds};
use crate::cmaf::{Sample as Encoded, init_segment, media_segment, verify};
use crate::title::KeyFrameSpan;

const PICTURES: TrackId = TrackId::video(0);
const SOUND: TrackId = TrackId::audio(0);

/// Segments by track and number, and the file that is made of them.
struct Film {
    segments: BTreeMap<(TrackId, SegmentNumber), Bytes>,
    file: Progressive,
}

impl Film {
    fn of(plan: &Plan, tracks: &[TrackId]) -> Self {
        let header = |track: TrackId| if track.kind == TrackKind::Video { avc_header() } else { aac_header() };
        let inits: Vec<Bytes> = tracks.iter().map(|track| init_segment(plan, *track, &header(*track)).expect("an init segment")).collect();
        let mut builder = ProgressiveBuilder::new(inits.iter().map(|init| &init[..])).expect("a builder");
        let mut segments = BTreeMap::new();
        for number in plan.timeline.segments() {
            let mut row = Vec::new();
            for track in tracks.iter().copied() {
                let segment = media_segment(plan, track, number, &samples_of(plan, track, number)).expect("a segment");
                let facts = verify(plan, track, number, &segment).expect("verified");
                let tables = SegmentTables::new(plan, track, number, segment.len() as u64, facts.key_frame).expect("planned");
                let parts: Vec<Bytes> = tables.ranges().iter().map(|range| slice(&segment, range)).collect();
                let source = SegmentSource { track, number, hash: ContentHash::of(&segment), size_bytes: segment.len() as u64 };
                row.push((source, tables.read(&parts).expect("read")));
                segments.insert((track, number), segment);
            }
            builder.push(&row).expect("pushed");
        }
        Self { segments, file: builder.finish().expect("finished") }
    }

    fn bytes(&self, range: Range<u64>) -> Vec<u8> {
        let mut found = Vec::new();
        let mut position = range.start;
        while position < range.end {
            let mut piece = match self.file.piece_at(position).expect("inside") {
                Piece::Header(bytes) => bytes,
                Piece::Segment(source, range) => slice(&self.segments[&(source.track, source.number)], &range),
            };
            assert!(!piece.is_empty());
            piece.truncate((range.end - position) as usize);
            position += piece.len() as u64;
            found.extend_from_slice(&piece);
        }
        found
    }

    fn whole(&self) -> Vec<u8> {
        self.bytes(0..self.file.length_bytes())
    }
}

fn samples_of(plan: &Plan, track: TrackId, number: SegmentNumber) -> Vec<Encoded> {
    match track.kind {
        TrackKind::Video => pictures(plan, number, &[0, 3, 1, 2]),
        _ => sounds(plan, number),
    }
}

fn slice(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    bytes.slice(range.start as usize..range.end as usize)
}

fn movie(file: &[u8]) -> Moov {
    let mut rest = file;
    assert_eq!(Ftyp::decode(&mut rest).expect("ftyp").minor_version, 0);
    let moov = Moov::decode(&mut rest).expect("moov");
    let (kind, _, after) = split_first(rest).expect("mdat");
    assert_eq!((kind, after.len()), (*b"mdat", 0));
    moov
}

/// What a player finds: decode time, composition offset, whether it is a sync sample, and where in the file.
fn found(trak: &Trak) -> Vec<(u64, i64, bool, Range<u64>)> {
    let Stbl { stts, ctts, stss, stsc, stsz, stco, co64, .. } = &trak.mdia.minf.stbl;
    let mp4_atom::StszSamples::Different { sizes } = &stsz.samples else { panic!("no sizes") };
    let places: Vec<u64> = match (stco, co64) {
        (Some(stco), None) => stco.entries.iter().copied().map(u64::from).collect(),
        (None, Some(co64)) => co64.entries.clone(),
        other => panic!("{other:?}"),
    };
    let durations = stts.entries.iter().flat_map(|run| std::iter::repeat_n(run.sample_delta, run.sample_count as usize));
    let offsets: Vec<i64> = match ctts {
        Some(ctts) => ctts.entries.iter().flat_map(|run| std::iter::repeat_n(run.sample_offset, run.sample_count as usize)).collect(),
        None => vec![0; sizes.len()],
    };
    let samples_of_chunk = |chunk: u32| stsc.entries.iter().rev().find(|run| run.first_chunk <= chunk).expect("a run").samples_per_chunk;
    let chunks = places.iter().zip(1..).flat_map(|(place, chunk)| {
        std::iter::repeat_n(*place, samples_of_chunk(chunk) as usize).enumerate().map(|(index, place)| (index == 0).then_some(place))
    });
    let (mut time, mut at) = (0, 0);
    let samples = sizes.iter().zip(durations).zip(offsets).zip(chunks).zip(1_u32..);
    let samples: Vec<_> = samples
        .map(|((((size, duration), offset), chunk), number)| {
            let start = chunk.unwrap_or(at);
            at = start + u64::from(*size);
            let sync = stss.as_ref().is_none_or(|stss| stss.entries.contains(&number));
            let sample = (time, offset, sync, start..at);
            time += u64::from(duration);
            sample
        })
        .collect();
    assert_eq!((samples.len(), time), (sizes.len(), trak.mdia.mdhd.duration));
    samples
}

#[test]
fn every_sample_is_where_the_tables_say() {
    // 29.97 a second: no cut falls on a frame of sound.
    let plan = plan((30_000, 1001), 700);
    let film = Film::of(&plan, &[PICTURES, SOUND]);
    let whole = film.whole();
    let moov = movie(&whole);
    assert_eq!((moov.mvhd.timescale, moov.mvhd.next_track_id, moov.trak.len()), (30_000, 3, 2));
    assert!(moov.mvex.is_none());
    for ((trak, track), id) in moov.trak.iter().zip([PICTURES, SOUND]).zip(1..) {
        assert_eq!(trak.tkhd.track_id, id);
        let found = found(trak);
        let encoded: Vec<Encoded> = plan.timeline.segments().flat_map(|number| samples_of(&plan, track, number)).collect();
        assert_eq!(found.len(), encoded.len());
        let edits = &trak.edts.as_ref().expect("edits").elst.as_ref().expect("a list").entries;
        assert_eq!(edits.len(), 1);
        let delay = edits[0].media_time.expect("a time") as i64;
        // Two pictures are decoded before the second that is shown.
        assert_eq!(delay, if track == PICTURES { 1001 } else { 0 });
        assert_eq!(edits[0].segment_duration, trak.tkhd.duration);
        let mut decoded = 0;
        for ((time, offset, sync, range), sample) in found.into_iter().zip(&encoded) {
            assert_eq!((time, offset - delay, sync), (decoded, i64::from(sample.composition_offset_ticks), sample.sync));
            assert!(whole[range.start as usize..range.end as usize] == sample.data, "at {time} of {track}");
            decoded += u64::from(sample.duration_ticks);
        }
    }
    assert_eq!(moov.trak[0].tkhd.duration, 700 * 1001);
    assert_eq!(moov.mvhd.duration, moov.trak.iter().map(|trak| trak.tkhd.duration).max().expect("a track"));
    let samples: usize =
        film.segments.keys().flat_map(|(track, number)| samples_of(&plan, *track, *number)).map(|sample| sample.data.len()).sum();
    assert_eq!(whole.len(), film.file.header.len() + samples, "nothing else is in it");
    assert!(room_bytes(&plan, &[PICTURES, SOUND]) > 2 * film.file.memory_bytes(), "what is reserved is enough");
}

#[test]
fn tracks_take_turns() {
    let plan = plan((25, 1), 1000);
    let film = Film::of(&plan, &[PICTURES, SOUND]);
    let moov = movie(&film.whole());
    let [pictures, sound] = [0, 1].map(|track| found(&moov.trak[track]));
    // Whoever reads on has as much of the one as of the other, to within what a player holds without asking elsewhere.
    for (time, _, _, range) in &pictures {
        let seconds = *time as f64 / f64::from(moov.trak[0].mdia.mdhd.timescale);
        let (heard, ..) = sound.iter().rfind(|(.., sound)| sound.end <= range.start).unwrap_or(&sound[0]);
        let heard = *heard as f64 / 48_000.0;
        assert!((seconds - heard).abs() < 1.0, "a picture at {seconds} s, sound until {heard} s");
    }
}

#[test]
fn sound_alone_is_one_run_a_segment() {
    let plan = plan((25, 1), 500);
    let film = Film::of(&plan, &[SOUND]);
    assert_eq!(film.file.slices.len(), 5);
    let whole = film.whole();
    let moov = movie(&whole);
    assert_eq!((&whole[8..12], moov.trak.len(), moov.mvhd.timescale), (b"M4A ".as_slice(), 1, 48_000));
    let stbl = &moov.trak[0].mdia.minf.stbl;
    assert!(stbl.stss.is_none() && stbl.ctts.is_none());
    assert!(whole.windows(4).any(|window| window == b"sgpd"), "priming is told");
}

#[test]
fn the_same_segments_make_the_same_file_and_others_another() {
    let (first, longer) = (plan((25, 1), 300), plan((25, 1), 301));
    let film = Film::of(&first, &[PICTURES, SOUND]);
    let again = Film::of(&first, &[PICTURES, SOUND]);
    assert_eq!((film.whole(), film.file.hash()), (again.whole(), again.file.hash()));
    for other in [Film::of(&first, &[PICTURES]), Film::of(&first, &[SOUND]), Film::of(&longer, &[PICTURES, SOUND])] {
        assert_ne!(film.file.hash(), other.file.hash());
    }
    let mut changed = film.file.clone();
    changed.segments[2].hash = ContentHash::of(b"another segment of the same sizes");
    assert_ne!(changed.hash(), film.file.hash());
}

/// A film of one picture and one frame of sound a second, in segments of 4 s, whose pictures have that many bytes.
fn heavy(picture_bytes: u32, seconds: u32) -> Progressive {
    let plan = plan((1, 1), u64::from(seconds));
    let init = |track, header| init_segment(&plan, track, &header).expect("an init segment");
    let inits = [init(PICTURES, avc_header()), init(SOUND, aac_header())];
    let mut builder = ProgressiveBuilder::new(inits.iter().map(|init| &init[..])).expect("a builder");
    let sample = |index: u32, size_bytes, duration_ticks, sync| Sample {
        offset_bytes: u64::from(index) * u64::from(size_bytes) + 36,
        size_bytes,
        duration_ticks,
        composition_offset_ticks: 0,
        sync,
    };
    for number in 0..seconds / 4 {
        let source = |track| SegmentSource {
            track,
            number: SegmentNumber(number),
            hash: ContentHash::of(&number.to_be_bytes()),
            size_bytes: 1 << 31,
        };
        let table = |samples: Vec<Sample>| SegmentTable { samples };
        let pictures = (0..4).map(|index| sample(index, picture_bytes, 16_384, index == 0)).collect();
        let sounds = (0..4).map(|index| sample(index, 100, 48_000, true)).collect();
        builder.push(&[(source(PICTURES), table(pictures)), (source(SOUND), table(sounds))]).expect("pushed");
    }
    builder.finish().expect("finished")
}

#[test]
fn files_beyond_4_gib_have_wide_fields() {
    // 400 pictures: just below 2^32 bytes in all, and just above.
    let limit = u64::from(u32::MAX);
    for (picture_bytes, is_wide) in [(10_737_200, false), (10_737_400, true), (200_000_000, true)] {
        let file = heavy(picture_bytes, 400);
        assert_eq!(file.length_bytes() > limit, is_wide, "{} bytes", file.length_bytes());
        let mut rest = &file.header[..];
        Ftyp::decode(&mut rest).expect("ftyp");
        let moov = Moov::decode(&mut rest).expect("moov");
        let media_bytes = 400 * (u64::from(picture_bytes) + 100);
        match is_wide {
            false => assert_eq!(rest, [&u32::try_from(media_bytes + 8).expect("narrow").to_be_bytes()[..], b"mdat"].concat()),
            true => assert_eq!(rest, [&[0, 0, 0, 1][..], b"mdat", &(media_bytes + 16).to_be_bytes()].concat()),
        }
        for (trak, size) in moov.trak.iter().zip([u64::from(picture_bytes), 100]) {
            assert_eq!(trak.mdia.minf.stbl.co64.is_some(), is_wide);
            for (index, (.., range)) in found(trak).into_iter().enumerate() {
                assert_eq!(range.end - range.start, size);
                let Some(Piece::Segment(source, bytes)) = file.piece_at(range.start) else { panic!("no piece") };
                assert_eq!((source.number.0 as usize, bytes.start), (index / 4, (index % 4) as u64 * size + 36));
                assert!(bytes.end - bytes.start >= size);
            }
        }
        assert_eq!(file.piece_at(file.length_bytes()), None);
        let Some(Piece::Segment(_, last)) = file.piece_at(file.length_bytes() - 1) else { panic!("no piece") };
        assert_eq!(last.end - last.start, 1);
    }
}

#[test]
fn days_of_film_have_wide_times() {
    let mut tables = samples::SampleTables::default();
    let sample = Sample { offset_bytes: 0, size_bytes: 1, duration_ticks: u32::MAX, composition_offset_ticks: 0, sync: true };
    tables.push(0, &[sample, sample]).expect("pushed");
    let plan = plan((25, 1), 100);
    let init = init_segment(&plan, PICTURES, &avc_header()).expect("an init segment");
    let track = Track { description: Description::read(&init).expect("a description"), tables };
    let header = movie::header(&[track], 2).expect("a header");
    let mut rest = &header[..];
    Ftyp::decode(&mut rest).expect("ftyp");
    let moov = Moov::decode(&mut rest).expect("moov");
    let duration = 2 * u64::from(u32::MAX);
    assert_eq!((moov.mvhd.duration, moov.trak[0].tkhd.duration, moov.trak[0].mdia.mdhd.duration), (duration, duration, duration));
    assert_eq!(moov.trak[0].edts.as_ref().and_then(|edts| edts.elst.as_ref()).expect("edits").entries[0].segment_duration, duration);
}

#[test]
fn a_segment_that_is_not_the_planned_one_is_refused() {
    let plan = plan((24, 1), 192);
    let number = SegmentNumber(1);
    let segment = media_segment(&plan, PICTURES, number, &pictures(&plan, number, &[0])).expect("a segment");
    let key_frame = verify(&plan, PICTURES, number, &segment).expect("verified").key_frame;
    let length = segment.len() as u64;
    let refused = |size_bytes, key_frame, change: &dyn Fn(&mut Vec<Bytes>)| {
        let tables = SegmentTables::new(&plan, PICTURES, number, size_bytes, key_frame)?;
        let mut parts: Vec<Bytes> = tables.ranges().iter().map(|range| slice(&segment, &(range.start..range.end.min(length)))).collect();
        change(&mut parts);
        tables.read(&parts)
    };
    assert!(refused(length, key_frame, &|_| {}).is_ok());
    assert!(refused(length, None, &|_| {}).is_err(), "where its second chunk begins is not known");
    assert!(refused(length + 1, key_frame, &|_| {}).is_err(), "longer than its boxes");
    assert!(refused(length, Some(KeyFrameSpan { offset_bytes: 28, length_bytes: length }), &|_| {}).is_err());
    assert!(refused(length, key_frame, &|parts| parts.truncate(1)).is_err());
    assert!(refused(length, key_frame, &|parts| parts.clear()).is_err());
    let other = SegmentTables::new(&plan, PICTURES, SegmentNumber(0), length, key_frame).expect("planned");
    assert!(other.read(&other.ranges().iter().map(|range| slice(&segment, range)).collect::<Vec<_>>()).is_err(), "of another place");
}

proptest! {
    #[test]
    fn any_range_is_that_part_of_the_whole(one in any::<prop::sample::Index>(), other in any::<prop::sample::Index>()) {
        let plan = plan((25, 1), 210);
        let film = Film::of(&plan, &[PICTURES, SOUND]);
        let whole = film.whole();
        let (one, other) = (one.index(whole.len() + 1), other.index(whole.len() + 1));
        let range = one.min(other)..one.max(other);
        prop_assert_eq!(film.bytes(range.start as u64..range.end as u64), &whole[range]);
    }

    #[test]
    fn no_change_of_a_table_panics(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let plan = plan((25, 1), 100);
        let segment = media_segment(&plan, PICTURES, SegmentNumber(0), &pictures(&plan, SegmentNumber(0), &[0, 3, 1, 2])).expect("a segment");
        let key_frame = verify(&plan, PICTURES, SegmentNumber(0), &segment).expect("verified").key_frame;
        let tables = SegmentTables::new(&plan, PICTURES, SegmentNumber(0), segment.len() as u64, key_frame).expect("planned");
        let parts: Vec<Bytes> = tables.ranges().iter().map(|range| slice(&segment, range)).collect();
        let mut changed = parts[1].to_vec();
        let index = at.index(changed.len());
        changed[index] = byte;
        let _ = tables.read(&[parts[0].clone(), Bytes::from(changed)]);
        let _ = tables.read(&[parts[0].clone(), parts[1].slice(..cut.index(parts[1].len()))]);
    }
}
