//! Recognises, by their first bytes, files that are no media at all, so that their uploaders get a fitting word and no
//! demuxer sees them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use headwater::title::{Problem, ProblemCode};

const HEAD_BYTES: usize = 64 << 10;

/// Looks at the file's beginning and, for MP4 and MOV, at its top-level boxes. Absent when it may be media.
///
/// # Errors
/// When the file cannot be read.
pub fn sniff(file: &File) -> io::Result<Option<Problem>> {
    let length = length(file)?;
    let mut head = vec![0; HEAD_BYTES];
    let mut filled = 0;
    while filled < head.len() {
        match file.read_at(&mut head[filled..], filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    head.truncate(filled);
    if let Some(code) = by_first_bytes(&head) {
        return Ok(Some(Problem::new(code)));
    }
    if looks_like_boxes(&head) && !has_index(file, length)? {
        return Ok(Some(Problem::new(ProblemCode::IndexMissing)));
    }
    Ok(None)
}

/// Whether the file begins as a medium of a common kind does, so that one which cannot be opened is damaged rather than
/// something else.
pub fn begins_like_media(file: &File) -> bool {
    let mut head = [0; 16];
    let Ok(16) = file.read_at(&mut head, 0) else { return false };
    let starts: [&[u8]; 6] = [b"\x1aE\xdf\xa3", b"OggS", b"fLaC", b"FLV\x01", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"\0\0\x01\xba"];
    let riff = head.starts_with(b"RIFF") && matches!(&head[8..12], b"AVI " | b"WAVE");
    looks_like_boxes(&head) || riff || starts.iter().any(|magic| head.starts_with(magic))
}

/// Length of an open file in bytes.
///
/// # Errors
/// When the descriptor is no longer good.
pub fn length(file: &File) -> io::Result<u64> {
    // The sandbox allows this call, and not the one the standard library makes.
    Ok(u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0))
}

fn by_first_bytes(head: &[u8]) -> Option<ProblemCode> {
    if head.is_empty() {
        return Some(ProblemCode::EmptyFile);
    }
    let starts = |magic: &[u8]| head.starts_with(magic);
    let images: [&[u8]; 9] = [b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"8BPS", b"\0\0\x01\0", b"\x76\x2f\x31\x01"];
    let archives: [&[u8]; 7] =
        [b"PK\x03\x04", b"PK\x05\x06", b"Rar!", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"];
    // Two letters are few; a bitmap says its own length next.
    let bitmap = |head: &[u8]| head.get(6..10) == Some(&[0; 4]);
    if images.iter().any(|magic| starts(magic) && (*magic != b"BM" || bitmap(head))) || starts(b"RIFF") && head.get(8..12) == Some(b"WEBP")
    {
        return Some(ProblemCode::StillImage);
    }
    if head.get(4..8) == Some(b"ftyp") && matches!(head.get(8..12), Some(b"heic" | b"heix" | b"mif1" | b"avif")) {
        return Some(ProblemCode::StillImage);
    }
    if archives.iter().any(|magic| starts(magic)) || starts(b"BZh") || head.get(257..262) == Some(b"ustar") {
        return Some(ProblemCode::Archive);
    }
    text(head).map(|text| by_text(&text))
}

/// The head as text, if it is text: UTF-8, Latin-1 or UTF-16 without control characters.
fn text(head: &[u8]) -> Option<String> {
    let utf16 = |unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = head[2..].chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    if head.starts_with(&[0xff, 0xfe]) && head.len() > 3 && head[3] == 0 {
        return Some(utf16(u16::from_le_bytes));
    }
    if head.starts_with(&[0xfe, 0xff]) && head.len() > 3 && head[2] == 0 {
        return Some(utf16(u16::from_be_bytes));
    }
    let control = |byte: &u8| matches!(byte, 0..=8 | 14..=26 | 28..=31 | 127);
    if head.iter().any(control) {
        return None;
    }
    // Without control characters, but mostly beyond ASCII and no UTF-8: that is no text either.
    let printable = head.iter().filter(|byte| byte.is_ascii()).count();
    (std::str::from_utf8(head).is_ok() || printable * 10 >= head.len() * 7).then(|| String::from_utf8_lossy(head).into_owned())
}

fn by_text(text: &str) -> ProblemCode {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let lower: String = text.chars().take(4096).collect::<String>().to_ascii_lowercase();
    let starts = |word: &str| lower.starts_with(word);
    if starts("#extm3u") || starts("ffconcat") || starts("[playlist]") || starts("v=0") || starts("rtsptext") || starts("<asx") {
        return ProblemCode::Playlist;
    }
    if lower.contains("<mpd") || lower.contains("<smil") || lower.contains("<smoothstreamingmedia") || starts("[reference]") {
        return ProblemCode::Playlist;
    }
    if lower.lines().filter(|line| !line.is_empty()).all(|line| line.starts_with("file ") || line.starts_with('#'))
        && lower.contains("file ")
    {
        return ProblemCode::Playlist;
    }
    if lower.contains("<svg") {
        return ProblemCode::StillImage;
    }
    if starts("webvtt") || starts("[script info]") || lower.lines().take(8).any(|line| line.contains("-->")) || lower.contains("<tt ") {
        return ProblemCode::SubtitleFile;
    }
    ProblemCode::NotMedia
}

fn looks_like_boxes(head: &[u8]) -> bool {
    matches!(head.get(4..8), Some(b"ftyp" | b"moov" | b"mdat" | b"wide" | b"free" | b"skip" | b"styp" | b"pnot"))
}

/// Boxes on the top level at most; a fragmented recording of a day has fewer.
const BOXES_MAX: u32 = 1_000_000;

/// Whether a top-level `moov` lies whole inside the file (ISO 14496-12 8.2.1).
fn has_index(file: &File, length: u64) -> io::Result<bool> {
    let mut at = 0_u64;
    for _ in 0..BOXES_MAX {
        let mut header = [0; 16];
        if length.saturating_sub(at) < 8 {
            return Ok(false);
        }
        let want = if length - at >= 16 { 16 } else { 8 };
        file.read_exact_at(&mut header[..want], at)?;
        let size = match u32::from_be_bytes([header[0], header[1], header[2], header[3]]) {
            0 => length - at,
            1 => u64::from_be_bytes([header[8], header[9], header[10], header[11], header[12], header[13], header[14], header[15]]),
            size => u64::from(size),
        };
        if size < 8 {
            return Ok(false);
        }
        if &header[4..8] == b"moov" {
            return Ok(size <= length - at);
        }
        match at.checked_add(size) {
            Some(next) if next <= length => at = next,
            _ => return Ok(false),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_media_is_named() {
        use ProblemCode::{Archive, EmptyFile, NotMedia, Playlist, StillImage, SubtitleFile};
        for (head, expect) in [
            (b"".as_slice(), Some(EmptyFile)),
            (b"\x89PNG\r\n\x1a\n\0\0", Some(StillImage)),
            (b"<?xml version='1.0'?><svg xmlns='x'/>", Some(StillImage)),
            (b"PK\x03\x04\x14\0", Some(Archive)),
            (b"\xef\xbb\xbf1\r\n00:00:01,000 --> 00:00:02,000\r\nHi\r\n", Some(SubtitleFile)),
            (b"WEBVTT\n\n", Some(SubtitleFile)),
            (b"\xff\xfe1\0\r\0\n\0", Some(NotMedia)),
            (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", Some(Playlist)),
            (b"ffconcat version 1.0\nfile /etc/passwd\n", Some(Playlist)),
            (b"file 'a.mp4'\nfile 'b.mp4'\n", Some(Playlist)),
            (b"v=0\no=- 0 0 IN IP4 127.0.0.1\n", Some(Playlist)),
            (b"<?xml version='1.0'?>\n<MPD xmlns='x'>", Some(Playlist)),
            (b"Dear all, the holidays were nice.\n", Some(NotMedia)),
            (b"caf\xe9 au lait, s'il vous pla\xeet\n", Some(NotMedia)),
            (b"\x1aE\xdf\xa3\x01\0\0\0", None),
            (b"\0\0\0\x20ftypisom", None),
            (b"ID3\x04\0\0", None),
            (b"RIFF\x24\0\0\0WAVEfmt ", None),
            (b"\x47\x40\0\x10", None),
        ] {
            assert_eq!(by_first_bytes(head), expect, "{}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn a_file_without_its_index_is_named() {
        let check = |boxes: &[(&[u8; 4], u32)], length: u64| {
            let mut file = tempfile::tempfile().expect("a file");
            for (name, size) in boxes {
                let mut bytes = size.to_be_bytes().to_vec();
                bytes.extend_from_slice(*name);
                bytes.resize((*size as usize).max(8), 0);
                io::Write::write_all(&mut file, &bytes).expect("written");
            }
            file.set_len(length).expect("cut");
            sniff(&file).expect("read").map(|problem| problem.code)
        };
        assert_eq!(check(&[(b"ftyp", 32), (b"moov", 100), (b"mdat", 50)], 182), None);
        assert_eq!(check(&[(b"ftyp", 32), (b"mdat", 500)], 300), Some(ProblemCode::IndexMissing));
        assert_eq!(check(&[(b"ftyp", 32), (b"mdat", 500), (b"moov", 300)], 600), Some(ProblemCode::IndexMissing));
        assert_eq!(check(&[(b"ftyp", 32), (b"mdat", 4)], 40), Some(ProblemCode::IndexMissing));
    }
}
