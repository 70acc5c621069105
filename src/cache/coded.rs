//! Codes texts, once for each time they come into the cache.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::semantics::Coding;

/// Brotli's quality. Playlists of 1 to 140 kB become a quarter to a half smaller than with gzip, in 0.1 to 4 ms; 10 and 11 save up
/// to a third more for 10 to 60 times the time, which the first to ask would wait for.
const BROTLI_QUALITY: i32 = 5;
/// Zstandard's level: above it time grows much faster than texts shrink.
const ZSTD_LEVEL: i32 = 9;
/// Bounds of Brotli's window as a power of two. It need be no larger than the text, and memory grows with it.
const BROTLI_WINDOW: std::ops::RangeInclusive<u32> = 16..=22;

/// The text in a coding. The same text always gives the same bytes, as its entity tag must on every node.
///
/// # Errors
/// Those of the encoders, which have no reason for any: they write to memory.
pub(super) fn code(coding: Coding, text: &[u8]) -> io::Result<Vec<u8>> {
    match coding {
        Coding::Brotli => {
            let window = (usize::BITS - text.len().leading_zeros()).clamp(*BROTLI_WINDOW.start(), *BROTLI_WINDOW.end());
            let parameters = brotli::enc::BrotliEncoderParams {
                quality: BROTLI_QUALITY,
                lgwin: window as i32,
                size_hint: text.len(),
                ..Default::default()
            };
            let mut coded = Vec::new();
            brotli::BrotliCompress(&mut &text[..], &mut coded, &parameters)?;
            Ok(coded)
        }
        // Told the length, it takes no larger window than that, far below the 8 MiB of RFC 9659 for any text of ours.
        Coding::Zstd => zstd::bulk::compress(text, ZSTD_LEVEL),
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text)?;
            encoder.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn decoded(coding: Coding, coded: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        match coding {
            Coding::Brotli => brotli::BrotliDecompress(&mut &coded[..], &mut text).expect("brotli"),
            Coding::Zstd => text = zstd::stream::decode_all(coded).expect("zstd"),
            Coding::Gzip => drop(flate2::read::GzDecoder::new(coded).read_to_end(&mut text).expect("gzip")),
        }
        text
    }

    #[test]
    fn every_coding_gives_the_text_back_and_always_the_same_bytes() {
        let long: String = (0..5000).map(|number| format!("#EXTINF:{}.{:05},\n{number}.m4s\n", 4, number * 7919 % 100_000)).collect();
        for text in ["", "#EXTM3U\n", &long] {
            for coding in Coding::ALL {
                let coded = code(coding, text.as_bytes()).expect("coded");
                assert_eq!(decoded(coding, &coded), text.as_bytes(), "{coding:?} of {} bytes", text.len());
                assert_eq!(code(coding, text.as_bytes()).expect("coded"), coded);
                assert!(text.len() < 100 || coded.len() * 3 < text.len(), "{coding:?}: {} of {}", coded.len(), text.len());
            }
        }
    }

    #[test]
    fn zstd_keeps_to_the_window_of_the_web() {
        // RFC 9659: 8 MiB. A single segment frame has its content size for a window.
        let coded = code(Coding::Zstd, &[b'x'; 300_000]).expect("coded");
        assert_eq!(&coded[..4], &[0x28, 0xb5, 0x2f, 0xfd]);
        assert_ne!(coded[4] & 0x20, 0, "one segment, whose window is its content");
    }
}
