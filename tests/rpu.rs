//! Dolby Vision for test clips: metadata written bit by bit (the RPU of ETSI GS CCM 001, as profile 5 has it), put beside the
//! pictures of an HEVC byte stream, and the record that an MP4 declares it with.

use std::path::{Path, PathBuf};

use crate::clips::{clip, file};

/// A curve of one component: codes of 10 bits where its pieces begin and where the last one ends, and the pieces.
pub struct Curve {
    pub pivots: Vec<u16>,
    pub pieces: Vec<Piece>,
}

/// A piece of a curve; values count from 0 to 1.
pub enum Piece {
    /// Factors of the powers from 0 on: two or three of them.
    Polynomial(Vec<f64>),
    /// A constant, and factors of x, y, z, xy, xz, yz, xyz, and of their squares and cubes.
    Mixed(f64, Vec<[f64; 7]>),
}

impl Curve {
    /// The curve that changes nothing.
    pub fn identity() -> Self {
        Self { pivots: vec![0, 1023], pieces: vec![Piece::Polynomial(vec![0.0, 1.0])] }
    }

    /// What a code of `component` stands for beside those of the others.
    pub fn at(&self, component: usize, codes: [u16; 3]) -> f64 {
        let code = codes[component];
        let [x, y, z] = codes.map(|code| f64::from(code) / 1023.0);
        let own = f64::from(code) / 1023.0;
        let piece = self.pivots[1..self.pieces.len()].iter().filter(|pivot| code >= **pivot).count();
        let value = match &self.pieces[piece] {
            Piece::Polynomial(factors) => factors.iter().rev().fold(0.0, |sum, factor| sum * own + factor),
            Piece::Mixed(constant, factors) => {
                let terms = [x, y, z, x * y, x * z, y * z, x * y * z];
                let of_power = |(power, factors): (i32, &[f64; 7])| -> f64 {
                    terms.iter().zip(factors).map(|(term, factor)| term.powi(power) * factor).sum()
                };
                constant + (1..).zip(factors).map(of_power).sum::<f64>()
            }
        };
        value.clamp(f64::from(self.pivots[0]) / 1023.0, f64::from(self.pivots[self.pieces.len()]) / 1023.0)
    }
}

/// The metadata of a picture as a NAL unit, without a start code, mastered for 1000 cd/m².
pub fn unit(curves: &[Curve; 3]) -> Vec<u8> {
    mastered(curves, 3079)
}

/// The same, mastered for another peak as a code of PQ of 12 bits.
pub fn mastered(curves: &[Curve; 3], source_max_pq: u16) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(6, 2); // rpu_type
    bits.put(11, 18); // rpu_format
    bits.put(4, 0); // vdr_rpu_profile
    bits.put(4, 0); // vdr_rpu_level
    bits.put(1, 1); // vdr_seq_info_present_flag
    bits.put(1, 0); // chroma_resampling_explicit_filter_flag
    bits.put(2, 0); // coefficient_data_type
    bits.count(u64::from(DENOMINATOR_BITS));
    bits.put(2, 1); // vdr_rpu_normalized_idc
    bits.put(1, 1); // BL_video_full_range_flag
    bits.count(2); // BL_bit_depth_minus8
    bits.count(2); // EL_bit_depth_minus8
    bits.count(4); // vdr_bit_depth_minus8
    bits.put(1, 0); // spatial_resampling_filter_flag
    bits.put(3, 0); // reserved
    bits.put(1, 0); // el_spatial_resampling_filter_flag
    bits.put(1, 1); // disable_residual_flag
    bits.put(1, 1); // vdr_dm_metadata_present_flag
    bits.put(1, 0); // use_prev_vdr_rpu_flag
    bits.count(0); // vdr_rpu_id
    bits.count(0); // mapping_color_space
    bits.count(0); // mapping_chroma_format_idc
    for curve in curves {
        bits.count(curve.pivots.len() as u64 - 2);
        let mut before = 0;
        for pivot in &curve.pivots {
            bits.put(10, u64::from(pivot - before));
            before = *pivot;
        }
    }
    bits.count(0); // num_x_partitions_minus1
    bits.count(0); // num_y_partitions_minus1
    for curve in curves {
        curve.pieces.iter().for_each(|piece| bits.piece(piece));
    }
    // How colours come of IPT, and of the display it was made on.
    bits.count(0); // affected_dm_metadata_id
    bits.count(0); // current_dm_metadata_id
    bits.count(1); // scene_refresh_flag
    for value in [8192, 799, 1681, 8192, -933, 1091, 8192, 267, -5545_i16] {
        bits.put(16, u64::from(value.cast_unsigned()));
    }
    for offset in [0, 1 << 27, 1 << 27] {
        bits.put(32, offset);
    }
    for value in [17_081, -349, -349, -349, 17_081, -349, -349, -349, 17_081_i16] {
        bits.put(16, u64::from(value.cast_unsigned()));
    }
    bits.put(16, 65_535); // signal_eotf
    bits.put(16, 0);
    bits.put(16, 0);
    bits.put(32, 0);
    bits.put(5, 12); // signal_bit_depth
    bits.put(2, 2); // signal_color_space: IPT
    bits.put(2, 0); // signal_chroma_format
    bits.put(2, 1); // signal_full_range_flag
    bits.put(12, 7); // source_min_PQ
    bits.put(12, u64::from(source_max_pq));
    bits.put(10, 42); // source_diagonal
    bits.count(0); // num_ext_blocks
    bits.align();
    let crc = crc32(&bits.bytes);
    bits.put(32, u64::from(crc));
    bits.put(8, 0x80);
    let mut unit = vec![62 << 1, 1, 25];
    unit.extend(bits.bytes);
    with_emulation_prevention(&unit)
}

const DENOMINATOR_BITS: u32 = 23;

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    fn put(&mut self, count: u32, value: u64) {
        for bit in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            self.bytes[self.used / 8] |= ((value >> bit & 1) as u8) << (7 - self.used % 8);
            self.used += 1;
        }
    }

    /// ue(v).
    fn count(&mut self, value: u64) {
        let length = 64 - (value + 1).leading_zeros();
        self.put(length - 1, 0);
        self.put(length, value + 1);
    }

    /// A whole part as se(v), and a fraction.
    fn fixed(&mut self, value: f64) {
        let scaled = (value * f64::from(1 << DENOMINATOR_BITS)).round() as i64;
        let whole = scaled >> DENOMINATOR_BITS;
        self.count(if whole > 0 { 2 * whole - 1 } else { -2 * whole } as u64);
        self.put(DENOMINATOR_BITS, (scaled - (whole << DENOMINATOR_BITS)) as u64);
    }

    fn piece(&mut self, piece: &Piece) {
        match piece {
            Piece::Polynomial(factors) => {
                self.count(0); // mapping_idc
                self.count(factors.len() as u64 - 2);
                if factors.len() == 2 {
                    self.put(1, 0); // linear_interp_flag
                }
                factors.iter().for_each(|factor| self.fixed(*factor));
            }
            Piece::Mixed(constant, factors) => {
                self.count(1); // mapping_idc
                self.put(2, factors.len() as u64 - 1);
                self.fixed(*constant);
                factors.iter().flatten().for_each(|factor| self.fixed(*factor));
            }
        }
    }

    fn align(&mut self) {
        self.used = self.bytes.len() * 8;
    }
}

/// CRC-32 of MPEG-2 (ISO 13818-1 annex A).
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 })
    })
}

fn with_emulation_prevention(unit: &[u8]) -> Vec<u8> {
    let mut safe: Vec<u8> = Vec::with_capacity(unit.len() + 8);
    for byte in unit {
        if safe.ends_with(&[0, 0]) && *byte <= 3 {
            safe.push(3);
        }
        safe.push(*byte);
    }
    safe
}

/// A film of the pictures of an HEVC byte stream, 25 a second, with metadata beside them: what `unit_of` gives for the picture
/// of that number, in the order of coding.
pub fn with_metadata(stream: &Path, extension: &str, unit_of: impl Fn(usize) -> Option<Vec<u8>>) -> PathBuf {
    let stream = std::fs::read(stream).expect("the stream");
    let mut out = Vec::with_capacity(stream.len() * 2);
    let mut picture = 0;
    for unit in headwater::cmaf::nal::units(&stream) {
        out.extend([0, 0, 0, 1]);
        out.extend(unit);
        // Slices are the kinds below 32; the encoder makes one of each picture.
        if unit[0] >> 1 < 32 {
            if let Some(unit) = unit_of(picture) {
                out.extend([0, 0, 0, 1]);
                out.extend(unit);
            }
            picture += 1;
        }
    }
    let raw = file("hevc", &out);
    clip(extension, &["-r", "25", "-i", raw.to_str().expect("a path"), "-c", "copy"])
}

/// The MP4 with a record of Dolby Vision in its sample entry.
pub fn declared(film: &Path, profile: u8, compatibility: u8) -> PathBuf {
    let mut bytes = std::fs::read(film).expect("the film");
    let mut record = vec![0; 32];
    // Level 6, metadata and base layer.
    record[..13].copy_from_slice(&[0, 0, 0, 32, b'd', b'v', b'c', b'C', 1, 0, profile << 1, 6 << 3 | 0b101, compatibility << 4]);
    let mut around = Vec::new();
    let (mut at, mut end) = (0, bytes.len());
    for (name, header) in [(b"moov", 8), (b"trak", 8), (b"mdia", 8), (b"minf", 8), (b"stbl", 8), (b"stsd", 16), (b"hev1", 86)] {
        let size = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        while bytes[at + 4..at + 8] != *name {
            at += size(at);
            assert!(at < end, "no {}", String::from_utf8_lossy(name));
        }
        end = at + size(at);
        around.push(at);
        at += header;
    }
    // What lies before the boxes grows by nothing, so no offset changes: the pictures do.
    let pictures = bytes.windows(4).position(|name| name == b"mdat").expect("pictures");
    assert!(pictures < around[0], "the boxes stand behind the pictures");
    bytes.splice(end..end, record);
    for at in around {
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) + 32;
        bytes[at..at + 4].copy_from_slice(&size.to_be_bytes());
    }
    file("mp4", &bytes)
}

/// What FFmpeg's tools say of the first picture's metadata.
pub fn told(film: &Path) -> String {
    let mut show = std::process::Command::new("ffprobe");
    let path = film.to_str().expect("a path");
    show.args(["-v", "error", "-show_frames", "-read_intervals", "%+#1", path]);
    String::from_utf8(show.output().expect("ffprobe").stdout).expect("text")
}

/// A byte stream of HEVC out of raw pictures of 10 bits in 4:2:0, a key frame every ten, each shown for 40 ms.
pub fn stream(raw: &[u8], size: &str, pictures: usize) -> PathBuf {
    let raw = file("raw", raw);
    let path = raw.to_str().expect("a path");
    let loops = (pictures - 1).to_string();
    let input = ["-stream_loop", &loops, "-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", size, "-r", "25", "-i", path];
    let parameters = "lossless=1:log-level=none:bframes=0:keyint=10:min-bframes=0:keyint=10:scenecut=0:range=full:aud=1";
    clip("hevc", &[&input[..], &["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", parameters]].concat())
}
