//! Reading the tables of a chunk (`moof` and `mdat`) of a finished segment and holding them against the plan, without trust
//! in any length.

use super::TRACK_NUMBER;
use super::boxes::{Fields, HEADER_BYTES, exactly};
use super::fault::Fault;
use super::segment::{NON_SYNC, SYNC};
use super::span::Span;
use crate::title::TrackKind;

/// A chunk whose tables are the planned ones; its samples are still to be looked at.
pub(super) struct Chunk<'a> {
    pub(super) table: SampleTable<'a>,
    pub(super) mdat: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Reads the bodies of its `moof` and `mdat`. `before` samples of the segment come before it.
    pub(super) fn read((moof, mdat): (&'a [u8], &'a [u8]), kind: TrackKind, span: Span, sequence: u32, before: u32) -> Result<Self, Fault> {
        let [mfhd, traf] = exactly(moof, [b"mfhd", b"traf"]).ok_or(Fault::FragmentBoxes)?;
        let [tfhd, tfdt, trun] = exactly(traf, [b"tfhd", b"tfdt", b"trun"]).ok_or(Fault::FragmentBoxes)?;
        read_sequence(mfhd).filter(|found| *found == sequence).ok_or(Fault::SequenceNumber)?;
        let default_flags = read_track_header(tfhd, span, kind).ok_or(Fault::TrackHeader)?;
        read_decode_time(tfdt).filter(|ticks| *ticks == span.start_ticks).ok_or(Fault::DecodeTime)?;
        let table = SampleTable::read(trun, span, default_flags, moof.len()).map_err(|fault| match fault {
            Fault::SampleCount { found, planned } => {
                Fault::SampleCount { found: found.saturating_add(before), planned: planned.saturating_add(before) }
            }
            other => other,
        })?;
        Ok(Self { table, mdat })
    }

    /// How long its samples last.
    pub(super) fn ticks(&self) -> u64 {
        self.table.rows().map(|row| u64::from(row.duration)).sum()
    }
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
pub(super) struct SampleTable<'a> {
    flags: u32,
    first_flags: Option<u32>,
    default_duration: u32,
    default_flags: u32,
    rows: &'a [u8],
}

/// One row of it with the defaults filled in.
pub(super) struct Row {
    pub(super) duration: u32,
    pub(super) size: u32,
    pub(super) flags: u32,
    pub(super) offset: i32,
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
        let fewer = span.may_hold && (1..span.sample_count).contains(&count);
        if count != span.sample_count && !fewer {
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

    pub(super) fn count(&self) -> u32 {
        // It was read out of 32 bits and held against the length of the rows.
        u32::try_from(self.rows.len() / self.row_bytes()).unwrap_or(u32::MAX)
    }

    fn row_bytes(&self) -> usize {
        let fields = self.flags & (EACH_DURATION | EACH_SIZE | EACH_FLAGS | EACH_OFFSET);
        4 * fields.count_ones() as usize
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = Row> {
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
