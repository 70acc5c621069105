//! Media segments: `styp moof mdat`, one fragment with one run of samples (ISO 23000-19 7.3.2).
//!
//! A segment of pictures has two such chunks, `styp moof mdat moof mdat`: its key frame, then the rest. So an I-frame playlist
//! can name the first one, whole boxes that decode alone. A range that ends in mid-`mdat` would do by the letter, but what
//! is appended after it a browser takes for the rest of that `mdat`.

use bytes::Bytes;
use mp4_atom::{Encode, FourCC, Mfhd, Moof, Styp, Tfdt, Tfhd, Traf, Trun, TrunEntry};

use super::boxes::HEADER_BYTES;
use super::span::{Span, first_sequence};
use super::{Error, Sample, TRACK_NUMBER};
use crate::title::{Plan, SegmentNumber, TrackId, TrackKind};

/// Major brand of a segment, and the brands it is compatible with: a DASH segment, a CMAF segment and fragment.
pub(super) const SEGMENT_BRANDS: [&[u8; 4]; 4] = [b"msdh", b"msdh", b"cmfs", b"cmff"];
/// Sample flags: depends on no other sample (ISO 14496-12 8.8.3.1).
pub(super) const SYNC: u32 = 0x0200_0000;
/// Sample flags: depends on others, is no sync sample.
pub(super) const NON_SYNC: u32 = 0x0101_0000;

/// Assembles a segment. A pure function: the same samples make the same bytes, anywhere and at any time.
///
/// `samples` are those of the segment in decode order. Whether they are the planned ones is for [`super::verify`] to tell.
///
/// # Errors
/// [`Error::NoSuchTrack`] and [`Error::NoSuchSegment`] when the plan lacks it, [`Error::NoSamples`], and
/// [`Error::TooLarge`] when a size or the whole does not fit its field.
pub fn media_segment(plan: &Plan, track: TrackId, number: SegmentNumber, samples: &[Sample]) -> Result<Bytes, Error> {
    if !plan.has(track) {
        return Err(Error::NoSuchTrack(track));
    }
    let span = Span::of(plan, track, number).ok_or(Error::NoSuchSegment(number))?;
    if samples.is_empty() {
        return Err(Error::NoSamples);
    }
    let sequence = first_sequence(track.kind, number).ok_or(Error::TooLarge("the segment's number"))?;
    let media_bytes: usize = samples.iter().map(|sample| sample.data.len()).sum();
    let mut out = Vec::with_capacity(media_bytes + BOXES_BYTES + ROW_BYTES * samples.len());
    segment_type().encode(&mut out)?;
    let (first, rest) = match track.kind {
        TrackKind::Video => samples.split_at(1),
        TrackKind::Audio | TrackKind::Text => (samples, [].as_slice()),
    };
    write_chunk(&mut out, sequence, fragment(span, track.kind, first)?, first)?;
    if !rest.is_empty() {
        let start_ticks = span.start_ticks + first.iter().map(|sample| u64::from(sample.duration_ticks)).sum::<u64>();
        write_chunk(&mut out, sequence + 1, fragment(Span { start_ticks, ..span }, track.kind, rest)?, rest)?;
    }
    Ok(Bytes::from(out))
}

/// What the boxes of a segment take at most, but for the rows of their tables.
pub(super) const BOXES_BYTES: usize = 320;
/// What a row takes at most.
pub(super) const ROW_BYTES: usize = 16;

fn write_chunk(out: &mut Vec<u8>, sequence_number: u32, traf: Traf, samples: &[Sample]) -> Result<(), Error> {
    let media_bytes: usize = samples.iter().map(|sample| sample.data.len()).sum();
    let mdat_bytes = u32::try_from(media_bytes + HEADER_BYTES).map_err(|_| Error::TooLarge("the segment"))?;
    let mut moof = Moof { mfhd: Mfhd { sequence_number }, traf: vec![traf] };
    place_data(&mut moof)?;
    moof.encode(out)?;
    out.extend_from_slice(&mdat_bytes.to_be_bytes());
    out.extend_from_slice(b"mdat");
    for sample in samples {
        out.extend_from_slice(&sample.data);
    }
    Ok(())
}

fn segment_type() -> Styp {
    let [major, compatible @ ..] = SEGMENT_BRANDS;
    Styp { major_brand: FourCC::new(major), minor_version: 0, compatible_brands: compatible.map(FourCC::new).to_vec() }
}

/// What all samples share stands once in `tfhd`; the run holds what differs.
fn fragment(span: Span, kind: TrackKind, samples: &[Sample]) -> Result<Traf, Error> {
    let default_flags = match kind {
        TrackKind::Video => NON_SYNC,
        TrackKind::Audio | TrackKind::Text => SYNC,
    };
    let flags = |sample: &Sample| if sample.sync { SYNC } else { NON_SYNC };
    let differs = |sample: &Sample| flags(sample) != default_flags;
    // The first sample's flags have a field of their own; only where others differ too does each sample get one.
    let each_has_flags = samples.iter().skip(1).any(differs);
    let each_has_duration = samples.iter().any(|sample| sample.duration_ticks != span.sample_ticks);
    let each_has_offset = samples.iter().any(|sample| sample.composition_offset_ticks != 0);
    let entry = |(index, sample): (usize, &Sample)| {
        let has_flags = each_has_flags || (index == 0 && differs(sample));
        Ok(TrunEntry {
            duration: each_has_duration.then_some(sample.duration_ticks),
            size: Some(u32::try_from(sample.data.len()).map_err(|_| Error::TooLarge("a sample"))?),
            flags: has_flags.then_some(flags(sample)),
            cts: each_has_offset.then_some(sample.composition_offset_ticks.into()),
        })
    };
    let entries = samples.iter().enumerate().map(entry).collect::<Result<Vec<_>, Error>>()?;
    Ok(Traf {
        tfhd: Tfhd {
            track_id: TRACK_NUMBER,
            default_sample_duration: Some(span.sample_ticks),
            default_sample_flags: Some(default_flags),
            default_base_is_moof: true,
            ..Tfhd::default()
        },
        tfdt: Some(Tfdt { base_media_decode_time: span.start_ticks }),
        trun: vec![Trun { data_offset: Some(0), samples: entries.into() }],
        ..Traf::default()
    })
}

/// Sets the run's data offset to the first byte of `mdat`'s content.
fn place_data(moof: &mut Moof) -> Result<(), Error> {
    let mut measured = Vec::new();
    moof.encode(&mut measured)?;
    let offset = i32::try_from(measured.len() + HEADER_BYTES).map_err(|_| Error::TooLarge("the sample table"))?;
    for run in moof.traf.iter_mut().flat_map(|traf| &mut traf.trun) {
        run.data_offset = Some(offset);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmaf::testing::{hex, pictures, plan, sounds};

    #[test]
    fn a_segment_of_pictures_byte_for_byte() {
        // Four frames a segment: an IDR picture, one shown last, two between.
        let plan = plan((1, 1), 8);
        let samples = pictures(&plan, SegmentNumber(1), &[0, 3, 1, 2]);
        let segment = media_segment(&plan, TrackId::video(0), SegmentNumber(1), &samples).expect("a segment");
        let expect = "0000001c 73747970 6d736468 00000000 6d736468 636d6673 636d6666 \
             00000068 6d6f6f66 00000010 6d666864 00000000 00000003 \
             00000050 74726166 00000018 74666864 00020028 00000001 00004000 01010000 \
             00000014 74666474 01000000 00000000 00010000 \
             0000001c 7472756e 01000205 00000001 00000070 02000000 00000006 \
             0000000e 6d646174 00000002 6500 \
             00000078 6d6f6f66 00000010 6d666864 00000000 00000004 \
             00000060 74726166 00000018 74666864 00020028 00000001 00004000 01010000 \
             00000014 74666474 01000000 00000000 00014000 \
             0000002c 7472756e 01000a01 00000003 00000080 \
             00000006 00008000 00000006 ffffc000 00000006 ffffc000 \
             0000001a 6d646174 00000002 4101 00000002 4102 00000002 4103";
        assert_eq!(hex(&segment), expect.replace(char::is_whitespace, ""));
    }

    #[test]
    fn a_frame_of_sound_costs_four_bytes() {
        let plan = plan((25, 1), 200);
        let samples = sounds(&plan, SegmentNumber(0));
        let segment = media_segment(&plan, TrackId::audio(0), SegmentNumber(0), &samples).expect("a segment");
        let media: usize = samples.iter().map(|sample| sample.data.len()).sum();
        assert_eq!(segment.len(), 28 + 16 + 8 + 8 + 24 + 20 + 20 + 4 * samples.len() + 8 + media);
    }

    #[test]
    fn the_same_samples_make_the_same_bytes() {
        let plan = plan((24, 1), 200);
        let make = || {
            let samples = pictures(&plan, SegmentNumber(1), &[0, 3, 1, 2]);
            media_segment(&plan, TrackId::video(0), SegmentNumber(1), &samples).expect("a segment")
        };
        assert_eq!(make(), make());
    }

    #[test]
    fn what_the_plan_lacks_is_refused() {
        let plan = plan((25, 1), 100);
        let samples = pictures(&plan, SegmentNumber(0), &[0]);
        let refused = |track, number, samples: &[Sample]| media_segment(&plan, track, number, samples).expect_err("refused");
        assert!(matches!(refused(TrackId::video(7), SegmentNumber(0), &samples), Error::NoSuchTrack(_)));
        assert!(matches!(refused(TrackId::video(0), SegmentNumber(1), &samples), Error::NoSuchSegment(_)));
        assert!(matches!(refused(TrackId::video(0), SegmentNumber(0), &[]), Error::NoSamples));
    }
}
