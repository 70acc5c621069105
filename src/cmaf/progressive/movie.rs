//! Writes the header of a progressive file: `ftyp`, `moov` with full sample tables, and the head of `mdat`.
//!
//! Versions and widths are the smallest that hold what is to be told, for old players know no others: times and places of 64
//! bits only where they are needed, composition offsets without sign, and an edit list that takes the delay of the pictures
//! away again.

use super::samples::{Runs, SampleTables};
use super::source::Description;
use crate::cmaf::Error;

/// A track of the file.
#[derive(Debug)]
pub(super) struct Track {
    pub description: Description,
    pub tables: SampleTables,
}

/// The header of a file in which `media_bytes` of samples follow it.
pub(super) fn header(tracks: &[Track], media_bytes: u64) -> Result<Vec<u8>, Error> {
    // Its length depends on how wide the places in it are, not on which they are.
    let measure = |wide| written(tracks, 0, Places { after_bytes: 0, wide }).map(|header| header.len() as u64);
    let narrow = measure(false)?;
    let wide = narrow + media_bytes > u64::from(u32::MAX);
    let after_bytes = if wide { measure(true)? } else { narrow };
    written(tracks, media_bytes, Places { after_bytes, wide })
}

/// Where the samples are.
#[derive(Clone, Copy)]
struct Places {
    /// Length of the header.
    after_bytes: u64,
    /// Whether it takes 64 bits to tell.
    wide: bool,
}

fn written(tracks: &[Track], media_bytes: u64, places: Places) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    file_type(&mut out, tracks)?;
    // In ticks of the first track, whose length is thus exact.
    let timescale = tracks.first().map_or(1, |track| track.description.timescale);
    boxed(&mut out, b"moov", |out| {
        let duration = tracks.iter().map(|track| shown_ticks(track, timescale)).max().unwrap_or(0);
        let next_track = u32::try_from(tracks.len()).map_err(|_| Error::TooLarge("the number of tracks"))? + 1;
        movie_header(out, timescale, duration, next_track)?;
        for (track, number) in tracks.iter().zip(1..) {
            boxed(out, b"trak", |out| write_track(out, track, number, timescale, places))?;
        }
        Ok(())
    })?;
    let head_bytes = if places.wide { 16 } else { 8 };
    if places.wide {
        put_u32(&mut out, 1);
        out.extend_from_slice(b"mdat");
        put_u64(&mut out, media_bytes + head_bytes);
    } else {
        put_u32(&mut out, fitting(media_bytes + head_bytes, "the file")?);
        out.extend_from_slice(b"mdat");
    }
    Ok(out)
}

/// mp42 is the second version of MP4 (ISO 14496-14), isom and iso2 the base format as it was when all of this was in it.
fn file_type(out: &mut Vec<u8>, tracks: &[Track]) -> Result<(), Error> {
    let sound_only = tracks.iter().all(|track| track.description.is_sound());
    let major: &[u8; 4] = if sound_only { b"M4A " } else { b"mp42" };
    boxed(out, b"ftyp", |out| {
        out.extend_from_slice(major);
        put_u32(out, 0);
        for brand in [major, b"mp42", b"isom", b"iso2"].into_iter().skip(usize::from(!sound_only)) {
            out.extend_from_slice(brand);
        }
        Ok(())
    })
}

/// How long a track is shown, in ticks of the movie; rounded up, since what an edit cuts off is not shown.
fn shown_ticks(track: &Track, timescale: u32) -> u64 {
    let ticks = u128::from(track.tables.duration_ticks()) * u128::from(timescale);
    u64::try_from(ticks.div_ceil(u128::from(track.description.timescale.max(1)))).unwrap_or(u64::MAX)
}

const UNITY_MATRIX: [u32; 9] = [1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30];

fn movie_header(out: &mut Vec<u8>, timescale: u32, duration: u64, next_track: u32) -> Result<(), Error> {
    boxed(out, b"mvhd", |out| {
        put_times(out, 0, duration, |out| put_u32(out, timescale));
        // Rate and volume, each 1, and what is reserved.
        put_u32(out, 1 << 16);
        put_u32(out, 1 << 24);
        out.extend_from_slice(&[0; 8]);
        UNITY_MATRIX.iter().for_each(|number| put_u32(out, *number));
        out.extend_from_slice(&[0; 24]);
        put_u32(out, next_track);
        Ok(())
    })
}

/// Version and flags, two dates of which nothing is told, what `between` writes, and the duration.
fn put_times(out: &mut Vec<u8>, flags: u32, duration: u64, between: impl FnOnce(&mut Vec<u8>)) {
    match u32::try_from(duration) {
        Ok(duration) => {
            put_u32(out, flags);
            out.extend_from_slice(&[0; 8]);
            between(out);
            put_u32(out, duration);
        }
        Err(_) => {
            put_u32(out, 1 << 24 | flags);
            out.extend_from_slice(&[0; 16]);
            between(out);
            put_u64(out, duration);
        }
    }
}

/// Flags of `tkhd`: enabled, and in the movie.
const TRACK_FLAGS: u32 = 3;

fn write_track(out: &mut Vec<u8>, track: &Track, number: u32, movie_timescale: u32, places: Places) -> Result<(), Error> {
    let Track { description, tables } = track;
    let shown = shown_ticks(track, movie_timescale);
    boxed(out, b"tkhd", |out| {
        put_times(out, TRACK_FLAGS, shown, |out| {
            put_u32(out, number);
            put_u32(out, 0);
        });
        // Reserved; layer and alternate group; volume.
        out.extend_from_slice(&[0; 12]);
        put_u32(out, if description.is_sound() { 1 << 24 } else { 0 });
        UNITY_MATRIX.iter().for_each(|number| put_u32(out, *number));
        put_u32(out, description.size.0);
        put_u32(out, description.size.1);
        Ok(())
    })?;
    boxed(out, b"edts", |out| boxed(out, b"elst", |out| edit(out, shown, tables.delay_ticks())))?;
    boxed(out, b"mdia", |out| {
        boxed(out, b"mdhd", |out| {
            put_times(out, 0, tables.duration_ticks(), |out| put_u32(out, description.timescale));
            put_u32(out, u32::from(description.language) << 16);
            Ok(())
        })?;
        verbatim(out, b"hdlr", &description.hdlr)?;
        boxed(out, b"minf", |out| {
            let (kind, body) = &description.media_header;
            verbatim(out, kind, body)?;
            verbatim(out, b"dinf", &description.dinf)?;
            boxed(out, b"stbl", |out| sample_tables(out, description, tables, places))
        })
    })
}

/// One edit: all of it, from where the first sample is presented. Sound gets one too: where there is none, some players take
/// off the priming that encoders usually leave.
fn edit(out: &mut Vec<u8>, shown: u64, delay_ticks: u32) -> Result<(), Error> {
    match (u32::try_from(shown), i32::try_from(delay_ticks)) {
        (Ok(shown), Ok(delay)) => {
            put_u32(out, 0);
            put_u32(out, 1);
            put_u32(out, shown);
            put_u32(out, delay.cast_unsigned());
        }
        _ => {
            put_u32(out, 1 << 24);
            put_u32(out, 1);
            put_u64(out, shown);
            put_u64(out, u64::from(delay_ticks));
        }
    }
    put_u32(out, 1 << 16);
    Ok(())
}

fn sample_tables(out: &mut Vec<u8>, description: &Description, tables: &SampleTables, places: Places) -> Result<(), Error> {
    let sample_count = count(&tables.sizes)?;
    verbatim(out, b"stsd", &description.stsd)?;
    runs(out, b"stts", &tables.durations, |ticks| *ticks)?;
    let delay = tables.delay_ticks();
    if tables.composition_offsets.0.iter().any(|(_, offset)| *offset != 0) {
        runs(out, b"ctts", &tables.composition_offsets, |offset| delay.saturating_add_signed(*offset))?;
    }
    if !tables.all_sync() {
        table(out, b"stss", &tables.syncs, |out, number| put_u32(out, *number))?;
    }
    boxed(out, b"stsc", |out| {
        let runs = &tables.chunk_samples.0;
        put_u32(out, 0);
        put_u32(out, count(runs)?);
        let mut first_chunk = 1_u32;
        for (chunks, samples) in runs {
            [first_chunk, *samples, 1].into_iter().for_each(|number| put_u32(out, number));
            first_chunk = first_chunk.saturating_add(*chunks);
        }
        Ok(())
    })?;
    boxed(out, b"stsz", |out| {
        // Version and flags; the sizes differ.
        put_u32(out, 0);
        put_u32(out, 0);
        put_u32(out, sample_count);
        tables.sizes.iter().for_each(|size| put_u32(out, *size));
        Ok(())
    })?;
    if places.wide {
        table(out, b"co64", &tables.chunk_places, |out, place| put_u64(out, places.after_bytes + place))?;
    } else {
        // Not wide: all of the file lies below 2^32.
        table(out, b"stco", &tables.chunk_places, |out, place| {
            put_u32(out, u32::try_from(places.after_bytes + place).unwrap_or(u32::MAX))
        })?;
    }
    if description.is_sound() { preroll(out, sample_count) } else { Ok(()) }
}

/// Says that a frame of sound is right only after the one before it was decoded (ISO 14496-12 10.1, `roll`).
fn preroll(out: &mut Vec<u8>, sample_count: u32) -> Result<(), Error> {
    boxed(out, b"sgpd", |out| {
        put_u32(out, 1 << 24);
        out.extend_from_slice(b"roll");
        // Length of a description, how many there are, and the one: a sample earlier.
        put_u32(out, 2);
        put_u32(out, 1);
        out.extend_from_slice(&(-1_i16).to_be_bytes());
        Ok(())
    })?;
    boxed(out, b"sbgp", |out| {
        put_u32(out, 0);
        out.extend_from_slice(b"roll");
        // One entry: all samples are of the first group.
        [1, sample_count, 1].into_iter().for_each(|number| put_u32(out, number));
        Ok(())
    })
}

fn runs<T>(out: &mut Vec<u8>, kind: &[u8; 4], runs: &Runs<T>, value: impl Fn(&T) -> u32) -> Result<(), Error> {
    table(out, kind, &runs.0, |out, (count, each)| {
        put_u32(out, *count);
        put_u32(out, value(each));
    })
}

/// A box of version 0 with a counted list.
fn table<T>(out: &mut Vec<u8>, kind: &[u8; 4], rows: &[T], mut row: impl FnMut(&mut Vec<u8>, &T)) -> Result<(), Error> {
    boxed(out, kind, |out| {
        put_u32(out, 0);
        put_u32(out, count(rows)?);
        rows.iter().for_each(|each| row(out, each));
        Ok(())
    })
}

fn verbatim(out: &mut Vec<u8>, kind: &[u8; 4], body: &[u8]) -> Result<(), Error> {
    boxed(out, kind, |out| {
        out.extend_from_slice(body);
        Ok(())
    })
}

/// A box around what `body` writes.
fn boxed(out: &mut Vec<u8>, kind: &[u8; 4], body: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>) -> Result<(), Error> {
    let start = out.len();
    put_u32(out, 0);
    out.extend_from_slice(kind);
    body(out)?;
    let size = u32::try_from(out.len() - start).map_err(|_| Error::TooLarge("a table of samples"))?;
    if let Some(place) = out.get_mut(start..).and_then(|written| written.first_chunk_mut()) {
        *place = size.to_be_bytes();
    }
    Ok(())
}

fn count<T>(rows: &[T]) -> Result<u32, Error> {
    fitting(rows.len() as u64, "a table of samples")
}

fn fitting(number: u64, what: &'static str) -> Result<u32, Error> {
    u32::try_from(number).map_err(|_| Error::TooLarge(what))
}

fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes());
}
