//! Reading a finished segment back and holding it against the plan, before anything is told about it.
//!
//! The bytes come from a worker that has digested somebody's upload. Every length is checked against what is there, and
//! nothing is allocated but one flag for each planned picture.

use super::boxes::{HEADER_BYTES, exactly};
use super::chunk::{Chunk, Row};
use super::fault::Fault;
use super::nal::Unit;
use super::segment::{NON_SYNC, SEGMENT_BRANDS, SYNC};
use super::span::{Span, first_sequence};
use super::{hevc, nal};
use crate::title::{KeyFrameSpan, Plan, SegmentNumber, TrackId, TrackKind, VideoCodec};

/// What a verified segment holds, for the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// Decode time of its first sample, in ticks of [`super::timescale`]; presentation begins there too.
    pub decode_time_ticks: u64,
    /// How long it lasts, in ticks.
    pub duration_ticks: u64,
    /// How many samples it has.
    pub sample_count: u32,
    /// Whether a decoder can start with it. Always so, for a segment that cannot be started with is refused.
    pub starts_with_key_frame: bool,
    /// Where its key frame lies; absent for sound.
    pub key_frame: Option<KeyFrameSpan>,
}

/// Reads a finished segment and holds it against the plan.
///
/// # Errors
/// The first [`Fault`] found.
pub fn verify(plan: &Plan, track: TrackId, number: SegmentNumber, segment: &[u8]) -> Result<SegmentFacts, Fault> {
    let span = Span::of(plan, track, number).filter(|span| span.sample_count > 0).ok_or(Fault::NotPlanned)?;
    let sequence = first_sequence(track.kind, number).ok_or(Fault::NotPlanned)?;
    let (styp, first, rest) = match exactly(segment, [b"styp", b"moof", b"mdat", b"moof", b"mdat"]) {
        Some([styp, moof, mdat, rest_moof, rest_mdat]) => (styp, (moof, mdat), Some((rest_moof, rest_mdat))),
        None => {
            let [styp, moof, mdat] = exactly(segment, [b"styp", b"moof", b"mdat"]).ok_or(Fault::Boxes)?;
            (styp, (moof, mdat), None)
        }
    };
    if styp != expected_brands() {
        return Err(Fault::Brands);
    }
    // Of pictures that last several moments the first alone may be all.
    if !span.may_hold && rest.is_some() != span.second_chunk(track.kind, span.sample_ticks.into()).is_some() {
        return Err(Fault::Boxes);
    }
    let mut chunks = vec![Chunk::read(first, track.kind, span.first_chunk(track.kind), sequence, 0)?];
    match (rest, span.second_chunk(track.kind, chunks[0].ticks())) {
        (Some(boxes), Some(rest_span)) => chunks.push(Chunk::read(boxes, track.kind, rest_span, sequence + 1, 1)?),
        (None, None) => {}
        _ => return Err(Fault::Boxes),
    }
    match track.kind {
        TrackKind::Video => {
            let encoding = plan.video.get(usize::from(track.index)).and_then(|video| video.encoding());
            let kind_of = match encoding.map(|encoding| encoding.codec) {
                Some(VideoCodec::Hevc) => hevc::unit,
                Some(VideoCodec::Avc) | None => nal::unit,
            };
            check_pictures(&chunks, span, kind_of)?;
        }
        TrackKind::Audio | TrackKind::Text => check_sound(&chunks, span)?,
    }
    let (moof, mdat) = first;
    let key_frame = KeyFrameSpan {
        offset_bytes: (HEADER_BYTES + styp.len()) as u64,
        length_bytes: (2 * HEADER_BYTES + moof.len() + mdat.len()) as u64,
    };
    Ok(SegmentFacts {
        decode_time_ticks: span.start_ticks,
        duration_ticks: u64::from(span.sample_ticks) * u64::from(span.sample_count),
        sample_count: sample_count(&chunks),
        starts_with_key_frame: true,
        key_frame: (track.kind == TrackKind::Video).then_some(key_frame),
    })
}

fn sample_count(chunks: &[Chunk<'_>]) -> u32 {
    chunks.iter().map(|chunk| chunk.table.count()).sum()
}

fn expected_brands() -> [u8; 20] {
    let mut body = [0; 20];
    let [major, compatible @ ..] = SEGMENT_BRANDS;
    body[..4].copy_from_slice(major);
    for (place, brand) in body[8..].chunks_exact_mut(4).zip(compatible) {
        place.copy_from_slice(brand);
    }
    body
}

/// Calls `check` with each sample's index, row and bytes, after checking what holds for all samples.
fn walk(chunks: &[Chunk<'_>], span: Span, mut check: impl FnMut(u32, &Row, &[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut samples = 0_u32..;
    for chunk in chunks {
        walk_chunk(chunk, span, &mut samples, &mut check)?;
    }
    Ok(())
}

fn walk_chunk(
    chunk: &Chunk<'_>,
    span: Span,
    samples: &mut impl Iterator<Item = u32>,
    check: &mut impl FnMut(u32, &Row, &[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut rest = chunk.mdat;
    for (row, sample) in chunk.table.rows().zip(samples) {
        let held = span.may_hold && row.duration > 0 && row.duration % span.sample_ticks == 0;
        if row.duration != span.sample_ticks && !held {
            return Err(Fault::SampleDuration { sample });
        }
        if row.size == 0 {
            return Err(Fault::EmptySample { sample });
        }
        if row.flags != SYNC && row.flags != NON_SYNC {
            return Err(Fault::SampleFlags { sample });
        }
        let (data, after) = usize::try_from(row.size).ok().and_then(|size| rest.split_at_checked(size)).ok_or(Fault::SampleSizes)?;
        check(sample, &row, data)?;
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(Fault::SampleSizes) }
}

fn check_sound(chunks: &[Chunk<'_>], span: Span) -> Result<(), Fault> {
    walk(chunks, span, |sample, row, _| {
        if row.flags != SYNC {
            return Err(Fault::SampleFlags { sample });
        }
        if row.offset != 0 { Err(Fault::Presentation { sample }) } else { Ok(()) }
    })
}

/// Each picture takes the moments from the one at which it is presented for as long as it lasts. No moment is taken twice,
/// and all are in the end.
fn check_pictures(chunks: &[Chunk<'_>], span: Span, kind_of: fn(&[u8]) -> Unit) -> Result<(), Fault> {
    let mut shown = vec![false; span.sample_count as usize];
    let mut decoded: i64 = 0;
    walk(chunks, span, |sample, row, data| {
        let is_key = check_units(sample, data, kind_of)?;
        let flagged_key = row.flags == SYNC;
        if sample == 0 && !(is_key && flagged_key) {
            return Err(Fault::NoKeyFrame);
        }
        if is_key != flagged_key {
            return Err(Fault::SyncFlag { sample });
        }
        let frame_ticks = i64::from(span.sample_ticks);
        let offset = i64::from(row.offset);
        // All pictures before an IDR picture in decode order are shown before it, and all after it after it.
        if offset % frame_ticks != 0 || (is_key && offset != 0) {
            return Err(Fault::Presentation { sample });
        }
        let lasts = i64::from(row.duration) / frame_ticks;
        let first = decoded + offset / frame_ticks;
        decoded += lasts;
        let place = |moment: i64| usize::try_from(moment).ok();
        let moments = place(first).zip(place(first + lasts)).and_then(|(first, end)| shown.get_mut(first..end));
        match moments {
            Some(moments) if !moments.contains(&true) => moments.fill(true),
            _ => return Err(Fault::Presentation { sample }),
        }
        Ok(())
    })?;
    let sample = sample_count(chunks).saturating_sub(1);
    if shown.contains(&false) { Err(Fault::Presentation { sample }) } else { Ok(()) }
}

/// Whether the sample is an IDR picture, all its slices being of one, after checking its NAL units.
fn check_units(sample: u32, data: &[u8], kind_of: fn(&[u8]) -> Unit) -> Result<bool, Fault> {
    let (mut has_picture, mut is_idr) = (false, true);
    for unit in nal::sample_units(data) {
        match kind_of(unit.map_err(|_| Fault::NalLengths { sample })?) {
            Unit::ParameterSet => return Err(Fault::ParameterSet { sample }),
            Unit::OpenSlice => return Err(Fault::OpenGroup { sample }),
            Unit::IdrSlice => has_picture = true,
            Unit::Slice => (has_picture, is_idr) = (true, false),
            Unit::Other => {}
        }
    }
    if has_picture { Ok(is_idr) } else { Err(Fault::NoPicture { sample }) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
    use proptest::sample::Index;

    use super::*;
    use crate::cmaf::boxes::split_first;
    use crate::cmaf::testing::{hevc_pictures, hevc_plan, pictures, plan, sounds};
    use crate::cmaf::{Sample, media_segment};
    use crate::title::{FrameRate, VideoMethod};

    const NUMBER: SegmentNumber = SegmentNumber(1);
    const PICTURES: TrackId = TrackId::video(0);
    const SOUND: TrackId = TrackId::audio(0);

    fn two_segments() -> Plan {
        plan((24, 1), 192)
    }

    /// What is found after `change` was made to the planned pictures.
    fn found_in_pictures(change: impl FnOnce(&mut Vec<Sample>)) -> Result<SegmentFacts, Fault> {
        let plan = two_segments();
        let mut samples = pictures(&plan, NUMBER, &[0, 3, 1, 2]);
        change(&mut samples);
        verify(&plan, PICTURES, NUMBER, &media_segment(&plan, PICTURES, NUMBER, &samples).expect("a segment"))
    }

    #[test]
    fn planned_segments_hold() {
        let key_frame = Some(KeyFrameSpan { offset_bytes: 28, length_bytes: 104 + 8 + 6 });
        let facts = SegmentFacts {
            decode_time_ticks: 96 * 512,
            duration_ticks: 96 * 512,
            sample_count: 96,
            starts_with_key_frame: true,
            key_frame,
        };
        assert_eq!(found_in_pictures(|_| {}), Ok(facts));
        let plan = two_segments();
        let segment = media_segment(&plan, SOUND, NUMBER, &sounds(&plan, NUMBER)).expect("a segment");
        // 4 s are 187.5 frames of sound: the first segment takes 188 of them, the second 187.
        let facts = SegmentFacts {
            decode_time_ticks: 188 * 1024,
            duration_ticks: 187 * 1024,
            sample_count: 187,
            starts_with_key_frame: true,
            key_frame: None,
        };
        assert_eq!(verify(&plan, SOUND, NUMBER, &segment), Ok(facts));
    }

    #[test]
    fn samples_that_were_not_planned_are_refused() {
        let unit = |bytes: &[u8]| Bytes::from([&[0, 0, 0, bytes.len() as u8][..], bytes].concat());
        let missing = Fault::SampleCount { found: 95, planned: 96 };
        assert_eq!(found_in_pictures(|samples| drop(samples.pop())), Err(missing));
        let long = |samples: &mut Vec<Sample>| samples[5].duration_ticks += 1;
        assert_eq!(found_in_pictures(long), Err(Fault::SampleDuration { sample: 5 }));
        assert_eq!(found_in_pictures(|samples| samples[7].data = Bytes::new()), Err(Fault::EmptySample { sample: 7 }));
        assert_eq!(found_in_pictures(|samples| samples[0].sync = false), Err(Fault::NoKeyFrame));
        assert_eq!(found_in_pictures(|samples| samples[0].data = unit(&[0x41])), Err(Fault::NoKeyFrame));
        assert_eq!(found_in_pictures(|samples| samples[4].sync = true), Err(Fault::SyncFlag { sample: 4 }));
        assert_eq!(found_in_pictures(|samples| samples[4].data = unit(&[0x65])), Err(Fault::SyncFlag { sample: 4 }));
        assert_eq!(found_in_pictures(|samples| samples[3].data = unit(&[0x06, 1])), Err(Fault::NoPicture { sample: 3 }));
        let set = |samples: &mut Vec<Sample>| samples[0].data = Bytes::from([unit(&[0x67, 1]), unit(&[0x65])].concat());
        assert_eq!(found_in_pictures(set), Err(Fault::ParameterSet { sample: 0 }));
        let length = |samples: &mut Vec<Sample>| samples[9].data = Bytes::from_static(&[0, 0, 0, 3, 0x41, 1]);
        assert_eq!(found_in_pictures(length), Err(Fault::NalLengths { sample: 9 }));
    }

    #[test]
    fn hevc_is_held_to_the_same() {
        let plan = hevc_plan((24, 1), 192);
        let track = TrackId::video(1);
        let found = |change: &dyn Fn(&mut Vec<Sample>)| {
            let mut samples = hevc_pictures(&plan, NUMBER, &[0, 3, 1, 2]);
            change(&mut samples);
            verify(&plan, track, NUMBER, &media_segment(&plan, track, NUMBER, &samples).expect("a segment"))
        };
        let unit = |kind: u8| Bytes::from(vec![0, 0, 0, 3, kind << 1, 1, 9]);
        assert!(found(&|_| {}).is_ok());
        // IDR_W_RADL is as good as IDR_N_LP.
        assert!(found(&|samples| samples[0].data = unit(19)).is_ok());
        assert_eq!(found(&|samples| samples[0].data = unit(1)), Err(Fault::NoKeyFrame));
        assert_eq!(found(&|samples| samples[0].sync = false), Err(Fault::NoKeyFrame));
        assert_eq!(found(&|samples| samples[4].data = unit(20)), Err(Fault::SyncFlag { sample: 4 }));
        for open in [16, 17, 18, 21, 8, 9] {
            assert_eq!(found(&|samples| samples[4].data = unit(open)), Err(Fault::OpenGroup { sample: 4 }), "type {open}");
        }
        for set in [32, 33, 34] {
            assert_eq!(found(&|samples| samples[5].data = unit(set)), Err(Fault::ParameterSet { sample: 5 }), "type {set}");
        }
        assert_eq!(found(&|samples| samples[5].data = unit(39)), Err(Fault::NoPicture { sample: 5 }));
        let avc = media_segment(&plan, track, NUMBER, &pictures(&plan, NUMBER, &[0])).expect("a segment");
        assert!(verify(&plan, track, NUMBER, &avc).is_err());
    }

    #[test]
    fn moments_that_were_not_planned_are_refused() {
        for (sample, offset) in [(1, 1), (0, 512), (2, 0), (95, 512), (1, i32::MIN), (1, i32::MAX)] {
            let change = |samples: &mut Vec<Sample>| samples[sample].composition_offset_ticks = offset;
            assert!(matches!(found_in_pictures(change), Err(Fault::Presentation { .. })), "sample {sample}, {offset}");
        }
        // A second key frame is well where no picture changes places with it, and only there.
        let key = |place: usize| {
            move |samples: &mut Vec<Sample>| {
                samples[place].sync = true;
                samples[place].data = Bytes::from_static(&[0, 0, 0, 1, 0x65]);
            }
        };
        assert!(found_in_pictures(key(48)).is_ok());
        assert_eq!(found_in_pictures(key(49)), Err(Fault::Presentation { sample: 49 }));
    }

    /// What is found in copied pictures: eight in decode order with their lengths and moments, of which the plan has twelve.
    fn found_in_copied(lengths_and_moments: &[(u32, i64)], copied: bool) -> Result<SegmentFacts, Fault> {
        let mut plan = plan((3, 1), 24);
        if copied {
            plan.video[0].method = VideoMethod::Copy { peak_bps: 1, average_bps: 1 };
        }
        let ticks = plan.timeline.frame_rate().frame_ticks();
        let mut decoded = 0;
        let mut samples = pictures(&plan, NUMBER, &[0]);
        samples.truncate(lengths_and_moments.len());
        for (sample, (lasts, moment)) in samples.iter_mut().zip(lengths_and_moments) {
            sample.duration_ticks = lasts * ticks;
            sample.composition_offset_ticks = ((moment - decoded) * i64::from(ticks)) as i32;
            decoded += i64::from(*lasts);
        }
        verify(&plan, PICTURES, NUMBER, &media_segment(&plan, PICTURES, NUMBER, &samples).expect("a segment"))
    }

    #[test]
    fn copied_pictures_may_last_longer_but_must_cover_all() {
        let sound = [(3, 0), (1, 6), (1, 3), (2, 4), (2, 7), (3, 9)];
        let facts = found_in_copied(&sound, true).expect("as planned");
        let ticks = u64::from(FrameRate::new(3, 1).expect("a rate").frame_ticks());
        assert_eq!((facts.sample_count, facts.duration_ticks), (6, 12 * ticks));
        assert!(matches!(found_in_copied(&sound, false), Err(Fault::SampleCount { found: 6, planned: 12 })));
        for (place, change) in [(5, (2, 9)), (5, (4, 9)), (1, (1, 5)), (3, (3, 4)), (0, (2, 0)), (5, (3, 10)), (1, (0, 6))] {
            let mut other = sound;
            other[place] = change;
            let found = found_in_copied(&other, true);
            assert!(matches!(found, Err(Fault::Presentation { .. } | Fault::SampleDuration { .. })), "{place} {change:?}: {found:?}");
        }
    }

    #[test]
    fn another_place_or_track_is_refused() {
        let plan = two_segments();
        let segment = media_segment(&plan, PICTURES, NUMBER, &pictures(&plan, NUMBER, &[0])).expect("a segment");
        assert_eq!(verify(&plan, PICTURES, SegmentNumber(0), &segment), Err(Fault::SequenceNumber));
        assert_eq!(verify(&plan, PICTURES, SegmentNumber(2), &segment), Err(Fault::NotPlanned));
        assert_eq!(verify(&plan, SOUND, NUMBER, &segment), Err(Fault::Boxes));
        let sound = media_segment(&plan, SOUND, NUMBER, &sounds(&plan, NUMBER)).expect("a segment");
        assert_eq!(verify(&plan, PICTURES, NUMBER, &sound), Err(Fault::Boxes));
        assert_eq!(verify(&plan, TrackId::video(2), NUMBER, &segment), Err(Fault::NotPlanned));
        assert_eq!(verify(&plan, PICTURES, NUMBER, &[&segment[..], b"\0\0\0\x08free"].concat()), Err(Fault::Boxes));
    }

    #[test]
    fn a_single_picture_is_a_single_chunk() {
        let plan = plan((24, 1), 1);
        let segment = media_segment(&plan, PICTURES, SegmentNumber(0), &pictures(&plan, SegmentNumber(0), &[0])).expect("a segment");
        let facts = verify(&plan, PICTURES, SegmentNumber(0), &segment).expect("as planned");
        let key_frame = facts.key_frame.expect("pictures have one");
        assert_eq!(key_frame.offset_bytes + key_frame.length_bytes, segment.len() as u64);
        let more = pictures(&two_segments(), SegmentNumber(0), &[0]);
        let surplus = media_segment(&plan, PICTURES, SegmentNumber(0), &more).expect("a segment");
        assert_eq!(verify(&plan, PICTURES, SegmentNumber(0), &surplus), Err(Fault::Boxes));
    }

    #[test]
    fn a_claimed_count_allocates_nothing() {
        let plan = two_segments();
        let mut segment = media_segment(&plan, SOUND, NUMBER, &sounds(&plan, NUMBER)).expect("a segment").to_vec();
        let trun = segment.windows(4).position(|window| window == b"trun").expect("a trun");
        segment[trun + 8..trun + 12].fill(0xff);
        assert_eq!(verify(&plan, SOUND, NUMBER, &segment), Err(Fault::SampleCount { found: u32::MAX, planned: 187 }));
    }

    /// Everything but the media itself.
    fn structure_bits(segment: &[u8]) -> Vec<usize> {
        let mut bits = Vec::new();
        let mut at = 0;
        while let Some((kind, body, _)) = split_first(&segment[at..]) {
            let length = if &kind == b"mdat" { HEADER_BYTES } else { HEADER_BYTES + body.len() };
            bits.extend(8 * at..8 * (at + length));
            at += HEADER_BYTES + body.len();
        }
        assert_eq!(at, segment.len());
        bits
    }

    #[test]
    fn no_bit_of_the_structure_may_differ() {
        let plan = plan((2, 1), 16);
        for (track, samples) in [(PICTURES, pictures(&plan, NUMBER, &[0, 3, 1, 2])), (SOUND, sounds(&plan, NUMBER))] {
            let segment = media_segment(&plan, track, NUMBER, &samples).expect("a segment");
            assert!(verify(&plan, track, NUMBER, &segment).is_ok());
            let mut changed = segment.to_vec();
            for bit in structure_bits(&segment) {
                changed[bit / 8] ^= 1 << (bit % 8);
                assert!(verify(&plan, track, NUMBER, &changed).is_err(), "{track}: bit {bit}");
                changed[bit / 8] ^= 1 << (bit % 8);
            }
            for length in 0..segment.len() {
                assert!(verify(&plan, track, NUMBER, &segment[..length]).is_err(), "{track}: {length} bytes");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_assembled_holds(rate in 0_usize..6, frames in 1_u64..2000, order in 0_usize..4) {
            let plan = plan([(24, 1), (25, 1), (30_000, 1001), (24_000, 1001), (60, 1), (8797, 1000)][rate], frames);
            let order: &[i64] = [&[0][..], &[0, 2, 1], &[0, 3, 1, 2], &[0, 4, 2, 1, 3]][order];
            let (mut pictures_end, mut sound_end) = (0, 0);
            for number in plan.timeline.segments() {
                let segment = media_segment(&plan, PICTURES, number, &pictures(&plan, number, order)).expect("a segment");
                let facts = verify(&plan, PICTURES, number, &segment).expect("as planned");
                prop_assert_eq!(facts.decode_time_ticks, pictures_end);
                pictures_end += facts.duration_ticks;
                let segment = media_segment(&plan, SOUND, number, &sounds(&plan, number)).expect("a segment");
                let facts = verify(&plan, SOUND, number, &segment).expect("as planned");
                prop_assert_eq!(facts.decode_time_ticks, sound_end);
                sound_end += facts.duration_ticks;
            }
            prop_assert_eq!(pictures_end, frames * u64::from(plan.timeline.frame_rate().frame_ticks()));
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>(), changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6)) {
            let plan = plan((2, 1), 16);
            for (track, samples) in [(PICTURES, pictures(&plan, NUMBER, &[0, 3, 1, 2])), (SOUND, sounds(&plan, NUMBER))] {
                prop_assert!(verify(&plan, track, NUMBER, &bytes).is_err());
                let mut changed = media_segment(&plan, track, NUMBER, &samples).expect("a segment").to_vec();
                for (at, byte) in &changes {
                    let index = at.index(changed.len());
                    changed[index] = *byte;
                }
                let _ = verify(&plan, track, NUMBER, &changed);
            }
        }
    }
}
