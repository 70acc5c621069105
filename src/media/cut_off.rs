//! Whether a file ends before its own structure says that it does: the upload, the copy or the recording was cut short.

use std::fs::File;
use std::os::unix::fs::FileExt;

use ffmpeg_next::ffi;

use super::sniff::length;
use super::source::Source;

/// Looks at what the container says of the file's length: the sample index of MP4 and MOV, the outer chunk of AVI and WAV,
/// the segment of Matroska. Formats that say nothing are never cut off.
pub fn is_cut_off(source: &Source, file: &File) -> bool {
    let Ok(bytes) = length(file) else { return false };
    match source.input().format().name() {
        name if name.starts_with("mov") => index_end(source).is_some_and(|end| end > bytes),
        "avi" | "wav" => riff_end(file).is_some_and(|end| end > bytes),
        name if name.starts_with("matroska") => segment_end(file).is_some_and(|end| end > bytes),
        _ => false,
    }
}

/// Where the last sample of the index ends.
fn index_end(source: &Source) -> Option<u64> {
    let input = source.input();
    let end_of = |index: u32| {
        let stream = input.stream(index as usize)?;
        // SAFETY: the stream belongs to an open context, entries are read within their count, and nothing changes them here.
        unsafe {
            let stream = stream.as_ptr().cast_mut();
            let count = ffi::avformat_index_get_entries_count(stream);
            let entries = (0..count).filter_map(|entry| ffi::avformat_index_get_entry(stream, entry).as_ref());
            entries.map(|entry| entry.pos.saturating_add(i64::from(entry.size()))).max()
        }
    };
    (0..input.nb_streams()).filter_map(end_of).max().and_then(|end| u64::try_from(end).ok())
}

/// Where the RIFF chunk ends; absent when it does not say, as recorders that were stopped hard leave it.
fn riff_end(file: &File) -> Option<u64> {
    let mut head = [0; 8];
    file.read_exact_at(&mut head, 0).ok()?;
    let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    (head.starts_with(b"RIFF") && size != 0 && size != u32::MAX).then_some(u64::from(size) + 8)
}

/// Where the Segment element ends (RFC 8794 5 and 6, RFC 9559 5.1); absent when its size is unknown.
fn segment_end(file: &File) -> Option<u64> {
    let mut head = [0; 512];
    let read = file.read_at(&mut head, 0).ok()?;
    let head = &head[..read];
    let (header_bytes, at) = size_at(head, 4)?;
    let segment = at + usize::try_from(header_bytes?).ok()?;
    if head.get(segment..segment + 4)? != b"\x18\x53\x80\x67" {
        return None;
    }
    let (segment_bytes, at) = size_at(head, segment + 4)?;
    segment_bytes?.checked_add(at as u64)
}

/// An element's size at that place, absent within when it is the one for unknown, and the place after it.
fn size_at(bytes: &[u8], at: usize) -> Option<(Option<u64>, usize)> {
    let first = *bytes.get(at)?;
    let length = first.leading_zeros() as usize + 1;
    let rest = bytes.get(at + 1..at + length).filter(|_| length <= 8)?;
    let mask = 0xff_u8.checked_shr(length as u32).unwrap_or(0);
    let size = rest.iter().fold(u64::from(first & mask), |size, byte| size << 8 | u64::from(*byte));
    let unknown = (1_u64 << (7 * length)) - 1;
    Some(((size != unknown).then_some(size), at + length))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn containers_say_where_they_end() {
        let file = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(bytes).expect("written");
            file
        };
        assert_eq!(riff_end(&file(b"RIFF\x10\x00\x00\x00AVI ")), Some(24));
        assert_eq!(riff_end(&file(b"RIFF\xff\xff\xff\xffAVI ")), None);
        let matroska = |size: &[u8]| [b"\x1aE\xdf\xa3\x82ab\x18\x53\x80\x67".as_slice(), size, b"rest of it"].concat();
        assert_eq!(segment_end(&file(&matroska(b"\x01\0\0\0\0\0\x10\0"))), Some(11 + 8 + 4096));
        assert_eq!(segment_end(&file(&matroska(b"\x41\x00"))), Some(11 + 2 + 256));
        assert_eq!(segment_end(&file(&matroska(b"\x01\xff\xff\xff\xff\xff\xff\xff"))), None);
        assert_eq!(segment_end(&file(b"\x1aE\xdf\xa3")), None);
    }
}
