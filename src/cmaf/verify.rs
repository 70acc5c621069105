//! Reading a finished segment back and holding it against the plan, before anything is told about it.
//!
//! The bytes come from a worker that has digested somebody's upload. Every length is checked against what is there, and
//! nothing is allocated but one flag for each planned picture.

use super::boxes::{Fields, HEADER_BYTES, exactly};
use super::nal::Unit;
use super::segment::{NON_SYNC, SEGMENT_BRANDS, SYNC};
use super::span::Span;
use super::{TRACK_NUMBER, hevc, nal};
use crate::title::{Plan, SegmentNumber, TrackId, TrackKind, VideoCodec};

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
}

/// Why a segment is not the one that was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The plan has no such track or segment.
    #[error("the plan has no such segment")]
    NotPlanned,
    /// The boxes at the top are others.
    #[error("it is not made of styp, moof and mdat alone")]
    Boxes,
    /// The boxes in `moof` are others.
    #[error("its moof is not made of mfhd and one traf with tfhd, tfdt and trun")]
    FragmentBoxes,
    /// `styp` names other brands.
    #[error("its brands are not those of a segment")]
    Brands,
    /// `mfhd` counts otherwise.
    #[error("its sequence number is not its segment number plus one")]
    SequenceNumber,
    /// `tfhd` has other fields or values.
    #[error("its track header is not the planned one")]
    TrackHeader,
    /// `tfdt` is of another version or tells another time.
    #[error("its decode time is not the planned one")]
    DecodeTime,
    /// `trun` has fields it may not have, lacks some it must have, or its length does not fit its count.
    #[error("its sample table is malformed")]
    SampleTable,
    /// Another number of samples than planned.
    #[error("it holds {found} samples, planned are {planned}")]
    SampleCount {
        /// As the sample table says.
        found: u32,
        /// As the plan says.
        planned: u32,
    },
    /// The samples do not begin where `mdat` does.
    #[error("its samples do not begin with its mdat")]
    DataOffset,
    /// A sample lasts longer or shorter than planned.
    #[error("sample {sample} does not last as long as planned")]
    SampleDuration {
        /// Which, in decode order from 0.
        sample: u32,
    },
    /// A sample has no bytes.
    #[error("sample {sample} is empty")]
    EmptySample {
        /// Which, in decode order from 0.
        sample: u32,
    },
    /// The sizes add up to another length than `mdat` has.
    #[error("its samples do not fill its mdat exactly")]
    SampleSizes,
    /// Flags other than the two that are used, or sound that is no sync sample.
    #[error("sample {sample} has unknown flags")]
    SampleFlags {
        /// Which, in decode order from 0.
        sample: u32,
    },
    /// The first picture is no IDR picture, or not flagged so.
    #[error("it does not start with a key frame")]
    NoKeyFrame,
    /// The flag says key frame and the bytes do not, or the other way round.
    #[error("sample {sample} is flagged as what it is not")]
    SyncFlag {
        /// Which, in decode order from 0.
        sample: u32,
    },
    /// The NAL units' lengths do not fill the sample.
    #[error("the NAL units of sample {sample} do not fill it exactly")]
    NalLengths {
        /// Which, in decode order from 0.
        sample: u32,
    },
    /// A picture of an open group of pictures, which HEVC marks as such.
    #[error("sample {sample} belongs to an open group of pictures")]
    OpenGroup {
        /// Which, in decode order from 0.
        sample: u32,
    },
    /// A parameter set inside a sample, where `avc1` and `hvc1` do not allow one.
    #[error("sample {sample} carries a parameter set")]
    ParameterSet {
        /// Which, in decode order from 0.
        sample: u32,
    },
    /// No slice in the sample.
    #[error("sample {sample} holds no picture")]
    NoPicture {
        /// Which, in decode order from 0.
        sample: u32,
    },
    /// A picture is presented between the planned moments, outside the segment, or when another one is; or a key frame is
    /// presented out of turn, so that pictures before it would need what comes after.
    #[error("sample {sample} is not presented at a moment of its own in the segment")]
    Presentation {
        /// Which, in decode order from 0.
        sample: u32,
    },
}

/// Reads a finished segment and holds it against the plan.
///
/// # Errors
/// The first [`Fault`] found.
pub fn verify(plan: &Plan, track: TrackId, number: SegmentNumber, segment: &[u8]) -> Result<SegmentFacts, Fault> {
    let span = Span::of(plan, track, number).filter(|span| span.sample_count > 0).ok_or(Fault::NotPlanned)?;
    let [styp, moof, mdat] = exactly(segment, [b"styp", b"moof", b"mdat"]).ok_or(Fault::Boxes)?;
    if styp != expected_brands() {
        return Err(Fault::Brands);
    }
    let [mfhd, traf] = exactly(moof, [b"mfhd", b"traf"]).ok_or(Fault::FragmentBoxes)?;
    let [tfhd, tfdt, trun] = exactly(traf, [b"tfhd", b"tfdt", b"trun"]).ok_or(Fault::FragmentBoxes)?;
    read_sequence(mfhd).filter(|sequence| number.0.checked_add(1) == Some(*sequence)).ok_or(Fault::SequenceNumber)?;
    let default_flags = read_track_header(tfhd, span, track.kind).ok_or(Fault::TrackHeader)?;
    read_decode_time(tfdt).filter(|ticks| *ticks == span.start_ticks).ok_or(Fault::DecodeTime)?;
    let table = SampleTable::read(trun, span, default_flags, moof.len())?;
    match track.kind {
        TrackKind::Video => {
            let encoding = plan.video.get(usize::from(track.index)).and_then(|video| video.encoding());
            let kind_of = match encoding.map(|encoding| encoding.codec) {
                Some(VideoCodec::Hevc) => hevc::unit,
                Some(VideoCodec::Avc) | None => nal::unit,
            };
            check_pictures(&table, span, mdat, kind_of)?;
        }
        TrackKind::Audio | TrackKind::Text => check_sound(&table, span, mdat)?,
    }
    Ok(SegmentFacts {
        decode_time_ticks: span.start_ticks,
        duration_ticks: u64::from(span.sample_ticks) * u64::from(span.sample_count),
        sample_count: span.sample_count,
        starts_with_key_frame: true,
    })
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

fn read_sequence(mfhd: &[u8]) -> Option<u32> {
    let mut fields = Fields(mfhd);
    fields.u32().filter(|version_flags| *version_flags == 0)?;
    let sequence = fields.u32()?;
    fields.end().map(|()| sequence)
}

/// Flags of `tfhd` (ISO 14496-12 8.8.7.1): default-base-is-moof, and the defaults for duration and flags.
const TFHD_FLAGS: u32 = 0x02_0000 | 0x08 | 0x20;

/// Returns the default sample flags.
fn read_track_header(tfhd: &[u8], span: Span, kind: TrackKind) -> Option<u32> {
    let mut fields = Fields(tfhd);
    fields.u32().filter(|version_flags| *version_flags == TFHD_FLAGS)?;
    fields.u32().filter(|track| *track == TRACK_NUMBER)?;
    fields.u32().filter(|duration| *duration == span.sample_ticks)?;
    let expected = match kind {
        TrackKind::Video => NON_SYNC,
        TrackKind::Audio | TrackKind::Text => SYNC,
    };
    let flags = fields.u32().filter(|flags| *flags == expected)?;
    fields.end().map(|()| flags)
}

fn read_decode_time(tfdt: &[u8]) -> Option<u64> {
    let mut fields = Fields(tfdt);
    fields.u32().filter(|version_flags| *version_flags == 1 << 24)?;
    let ticks = fields.u64()?;
    fields.end().map(|()| ticks)
}

/// Flags of `trun` (ISO 14496-12 8.8.8.1).
const DATA_OFFSET: u32 = 0x1;
const FIRST_FLAGS: u32 = 0x4;
const EACH_DURATION: u32 = 0x100;
const EACH_SIZE: u32 = 0x200;
const EACH_FLAGS: u32 = 0x400;
const EACH_OFFSET: u32 = 0x800;

/// A `trun` of the planned number of samples whose length fits its count.
struct SampleTable<'a> {
    flags: u32,
    first_flags: Option<u32>,
    default_duration: u32,
    default_flags: u32,
    rows: &'a [u8],
}

/// One row of it with the defaults filled in.
struct Row {
    duration: u32,
    size: u32,
    flags: u32,
    offset: i32,
}

impl<'a> SampleTable<'a> {
    fn read(trun: &'a [u8], span: Span, default_flags: u32, moof_body_bytes: usize) -> Result<Self, Fault> {
        let mut fields = Fields(trun);
        let version_flags = fields.u32().ok_or(Fault::SampleTable)?;
        let count = fields.u32().ok_or(Fault::SampleTable)?;
        let data_offset = fields.u32().ok_or(Fault::SampleTable)?;
        let flags = version_flags & 0xff_ffff;
        let needed = DATA_OFFSET | EACH_SIZE;
        let known = needed | FIRST_FLAGS | EACH_DURATION | EACH_FLAGS | EACH_OFFSET;
        let both_flags = FIRST_FLAGS | EACH_FLAGS;
        if version_flags >> 24 != 1 || flags & needed != needed || flags & !known != 0 || flags & both_flags == both_flags {
            return Err(Fault::SampleTable);
        }
        if count != span.sample_count {
            return Err(Fault::SampleCount { found: count, planned: span.sample_count });
        }
        if usize::try_from(data_offset).ok() != Some(moof_body_bytes + 2 * HEADER_BYTES) {
            return Err(Fault::DataOffset);
        }
        let first_flags = if flags & FIRST_FLAGS != 0 { Some(fields.u32().ok_or(Fault::SampleTable)?) } else { None };
        let table = Self { flags, first_flags, default_duration: span.sample_ticks, default_flags, rows: fields.0 };
        if u64::from(count) * table.row_bytes() as u64 != table.rows.len() as u64 {
            return Err(Fault::SampleTable);
        }
        Ok(table)
    }

    fn row_bytes(&self) -> usize {
        let fields = self.flags & (EACH_DURATION | EACH_SIZE | EACH_FLAGS | EACH_OFFSET);
        4 * fields.count_ones() as usize
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        self.rows.chunks_exact(self.row_bytes()).enumerate().map(|(index, row)| {
            let mut fields = Fields(row);
            let mut field = |flag| if self.flags & flag != 0 { fields.u32() } else { None };
            let (duration, size) = (field(EACH_DURATION), field(EACH_SIZE));
            let (flags, offset) = (field(EACH_FLAGS), field(EACH_OFFSET));
            let first_flags = self.first_flags.filter(|_| index == 0);
            Row {
                duration: duration.unwrap_or(self.default_duration),
                size: size.unwrap_or(0),
                flags: flags.or(first_flags).unwrap_or(self.default_flags),
                offset: offset.unwrap_or(0).cast_signed(),
            }
        })
    }
}

/// Calls `check` with each sample's index, row and bytes, after checking what holds for all samples.
fn walk(
    table: &SampleTable<'_>,
    span: Span,
    mdat: &[u8],
    mut check: impl FnMut(u32, &Row, &[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut rest = mdat;
    for (sample, row) in (0_u32..).zip(table.rows()) {
        if row.duration != span.sample_ticks {
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

fn check_sound(table: &SampleTable<'_>, span: Span, mdat: &[u8]) -> Result<(), Fault> {
    walk(table, span, mdat, |sample, row, _| {
        if row.flags != SYNC {
            return Err(Fault::SampleFlags { sample });
        }
        if row.offset != 0 { Err(Fault::Presentation { sample }) } else { Ok(()) }
    })
}

fn check_pictures(table: &SampleTable<'_>, span: Span, mdat: &[u8], kind_of: fn(&[u8]) -> Unit) -> Result<(), Fault> {
    let mut shown = vec![false; span.sample_count as usize];
    walk(table, span, mdat, |sample, row, data| {
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
        let moment = usize::try_from(i64::from(sample) + offset / frame_ticks).ok().and_then(|moment| shown.get_mut(moment));
        match moment {
            Some(taken) if !*taken => *taken = true,
            _ => return Err(Fault::Presentation { sample }),
        }
        Ok(())
    })
    // As many pictures as moments, and no moment twice: all are covered.
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
    use crate::cmaf::testing::{hevc_pictures, hevc_plan, pictures, plan, sounds};
    use crate::cmaf::{Sample, media_segment};

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
        let facts = SegmentFacts { decode_time_ticks: 96 * 512, duration_ticks: 96 * 512, sample_count: 96, starts_with_key_frame: true };
        assert_eq!(found_in_pictures(|_| {}), Ok(facts));
        let plan = two_segments();
        let segment = media_segment(&plan, SOUND, NUMBER, &sounds(&plan, NUMBER)).expect("a segment");
        // 4 s are 187.5 frames of sound: the first segment takes 188 of them, the second 187.
        let facts =
            SegmentFacts { decode_time_ticks: 188 * 1024, duration_ticks: 187 * 1024, sample_count: 187, starts_with_key_frame: true };
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

    #[test]
    fn another_place_or_track_is_refused() {
        let plan = two_segments();
        let segment = media_segment(&plan, PICTURES, NUMBER, &pictures(&plan, NUMBER, &[0])).expect("a segment");
        assert_eq!(verify(&plan, PICTURES, SegmentNumber(0), &segment), Err(Fault::SequenceNumber));
        assert_eq!(verify(&plan, PICTURES, SegmentNumber(2), &segment), Err(Fault::NotPlanned));
        assert_eq!(verify(&plan, SOUND, NUMBER, &segment), Err(Fault::TrackHeader));
        assert_eq!(verify(&plan, TrackId::video(2), NUMBER, &segment), Err(Fault::NotPlanned));
        assert_eq!(verify(&plan, PICTURES, NUMBER, &[&segment[..], b"\0\0\0\x08free"].concat()), Err(Fault::Boxes));
    }

    #[test]
    fn a_claimed_count_allocates_nothing() {
        let plan = two_segments();
        let mut segment = media_segment(&plan, SOUND, NUMBER, &sounds(&plan, NUMBER)).expect("a segment").to_vec();
        let trun = segment.windows(4).position(|window| window == b"trun").expect("a trun");
        segment[trun + 8..trun + 12].fill(0xff);
        assert_eq!(verify(&plan, SOUND, NUMBER, &segment), Err(Fault::SampleCount { found: u32::MAX, planned: 187 }));
    }

    /// Everything before the media itself.
    fn structure_bytes(segment: &[u8]) -> usize {
        segment.windows(4).position(|window| window == b"mdat").expect("an mdat") + 4
    }

    #[test]
    fn no_bit_of_the_structure_may_differ() {
        let plan = plan((2, 1), 16);
        for (track, samples) in [(PICTURES, pictures(&plan, NUMBER, &[0, 3, 1, 2])), (SOUND, sounds(&plan, NUMBER))] {
            let segment = media_segment(&plan, track, NUMBER, &samples).expect("a segment");
            assert!(verify(&plan, track, NUMBER, &segment).is_ok());
            let mut changed = segment.to_vec();
            for bit in 0..8 * structure_bytes(&segment) {
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
