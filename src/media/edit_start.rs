//! Where the first picture of a trimmed track really begins: an edit list may begin in the middle of a picture.
//!
//! Pictures that begin before the edit are not shown. FFmpeg's demuxer moves the first one that is to the start of the edit, up
//! to a picture too early, but moves no sound. So the times are compared with those that it gives without its edits.

use std::fs::File;
use std::sync::Arc;

use ffmpeg_next::ffi;
use ffmpeg_next::media::Type;
use headwater::title::{Ratio, Seam};

use super::pulse::Pulse;
use super::source::Source;
use super::stream_facts;

/// What puts the pictures of trimmed tracks back to their own times, from the start of the file on.
pub fn of_trimmed(source: &Source, file: &Arc<File>, pulse: &Pulse) -> Vec<Seam> {
    if !source.input().format().name().starts_with("mov") {
        return Vec::new();
    }
    let streams = 0..source.input().nb_streams();
    let trimmed: Vec<(u32, Entry)> = streams.filter_map(|index| first_shown(source, index).map(|entry| (index, entry))).collect();
    if trimmed.is_empty() {
        return Vec::new();
    }
    let Ok(unedited) = Source::open_unedited(Arc::clone(file), Pulse::clone(pulse)) else { return Vec::new() };
    let seam = |(stream, shown): (u32, Entry)| {
        let own = entries(&unedited, stream).find(|entry| entry.position == shown.position)?;
        let shift_ticks = own.ticks.checked_sub(shown.ticks)?;
        let base = unedited.input().stream(stream as usize).map(|stream| stream_facts::time_base(&stream))?;
        // More than that is no picture's length, but an edit list that is understood in another way.
        let plausible = shift_ticks > 0 && base.seconds(shift_ticks) <= Ratio::from_integer(1);
        plausible.then_some(Seam { stream, position: 0, shift_ticks, leap: 0 })
    };
    trimmed.into_iter().filter_map(seam).collect()
}

/// A place of a stream's index.
#[derive(Clone, Copy)]
struct Entry {
    position: i64,
    /// Decoding time.
    ticks: i64,
    discarded: bool,
}

/// The first picture after those that are decoded but not shown; absent when there are none of those.
fn first_shown(source: &Source, stream: u32) -> Option<Entry> {
    let of_pictures = source.input().stream(stream as usize).is_some_and(|stream| stream.parameters().medium() == Type::Video);
    let mut entries = of_pictures.then(|| entries(source, stream))?;
    if !entries.next()?.discarded {
        return None;
    }
    entries.find(|entry| !entry.discarded)
}

fn entries(source: &Source, index: u32) -> impl Iterator<Item = Entry> + '_ {
    let stream = source.input().stream(index as usize);
    // SAFETY: the stream belongs to an open context.
    let count = stream.as_ref().map_or(0, |stream| unsafe { ffi::avformat_index_get_entries_count(stream.as_ptr()) });
    (0..count).filter_map(move |number| {
        // SAFETY: the stream belongs to an open context, entries are read within their count, and nothing changes them here.
        let entry = unsafe { ffi::avformat_index_get_entry(stream.as_ref()?.as_ptr().cast_mut(), number).as_ref()? };
        let discarded = entry.flags() & ffi::AVINDEX_DISCARD_FRAME != 0;
        Some(Entry { position: entry.pos, ticks: entry.timestamp, discarded })
    })
}
