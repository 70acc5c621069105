//! What an init segment says of its track, taken over as it is: timescale, language, size, and the sample entry with all it holds.

use crate::cmaf::Error;
use crate::cmaf::boxes::{Fields, exactly};

/// A track as its init segment describes it.
#[derive(Clone, Debug)]
pub(super) struct Description {
    /// Ticks a second.
    pub timescale: u32,
    /// Packed as `mdhd` has it.
    pub language: u16,
    /// Width and height as `tkhd` has them, in 1/65536 pixels; zero for sound.
    pub size: (u32, u32),
    /// The kind and body of `vmhd` or `smhd`.
    pub media_header: ([u8; 4], Vec<u8>),
    /// Bodies of boxes that stay as they are.
    pub hdlr: Vec<u8>,
    pub dinf: Vec<u8>,
    pub stsd: Vec<u8>,
}

impl Description {
    /// Reads an init segment of one track.
    pub fn read(init: &[u8]) -> Result<Self, Error> {
        Self::find(init).ok_or(Error::Init("its boxes are not those of one track without samples"))
    }

    fn find(init: &[u8]) -> Option<Self> {
        let [_, moov] = exactly(init, [b"ftyp", b"moov"])?;
        let [_, trak, _] = exactly(moov, [b"mvhd", b"trak", b"mvex"])?;
        let [tkhd, mdia] = exactly(trak, [b"tkhd", b"mdia"])?;
        let [mdhd, hdlr, minf] = exactly(mdia, [b"mdhd", b"hdlr", b"minf"])?;
        let (kind, [media_header, dinf, stbl]) = match exactly(minf, [b"vmhd", b"dinf", b"stbl"]) {
            Some(bodies) => (*b"vmhd", bodies),
            None => (*b"smhd", exactly(minf, [b"smhd", b"dinf", b"stbl"])?),
        };
        let [stsd, ..] = exactly(stbl, [b"stsd", b"stts", b"stsc", b"stsz", b"stco"])?;
        let (timescale, language) = media_times(mdhd)?;
        let mut size = Fields(tkhd.get(tkhd.len().checked_sub(8)?..)?);
        Some(Self {
            timescale,
            language,
            size: (size.u32()?, size.u32()?),
            media_header: (kind, media_header.to_vec()),
            hdlr: hdlr.to_vec(),
            dinf: dinf.to_vec(),
            stsd: stsd.to_vec(),
        })
    }

    /// Whether it is a track of sound.
    pub fn is_sound(&self) -> bool {
        self.media_header.0 == *b"smhd"
    }
}

/// Timescale and language of `mdhd` (ISO 14496-12 8.4.2), in either version.
fn media_times(mdhd: &[u8]) -> Option<(u32, u16)> {
    let mut fields = Fields(mdhd);
    let version = fields.u32()? >> 24;
    let timescale = match version {
        0 => {
            fields.u64()?;
            let timescale = fields.u32()?;
            fields.u32()?;
            timescale
        }
        1 => {
            fields.u64()?;
            fields.u64()?;
            let timescale = fields.u32()?;
            fields.u64()?;
            timescale
        }
        _ => return None,
    };
    let language = (fields.u32()? >> 16) as u16;
    fields.end()?;
    (timescale > 0).then_some((timescale, language))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmaf::init_segment;
    use crate::cmaf::testing::{aac_header, avc_header, plan};
    use crate::title::TrackId;

    #[test]
    fn a_track_is_taken_over_as_it_is() {
        let plan = plan((30_000, 1001), 240);
        let pictures = init_segment(&plan, TrackId::video(0), &avc_header()).expect("an init segment");
        let sound = init_segment(&plan, TrackId::audio(0), &aac_header()).expect("an init segment");
        let (read_pictures, read_sound) =
            (Description::read(&pictures).expect("a description"), Description::read(&sound).expect("a description"));
        assert_eq!((read_pictures.timescale, read_pictures.size, read_pictures.is_sound()), (30_000, (1280 << 16, 720 << 16), false));
        assert_eq!((read_sound.timescale, read_sound.size, read_sound.is_sound()), (48_000, (0, 0), true));
        // "deu", five bits a letter (ISO 14496-12 8.4.2.3).
        assert_eq!(read_sound.language, 4 << 10 | 5 << 5 | 21);
        assert!(pictures.windows(read_pictures.stsd.len()).any(|window| window == read_pictures.stsd));
        for broken in [&pictures[..pictures.len() - 1], &pictures[8..], b"", &[sound, pictures.clone()].concat()] {
            assert!(matches!(Description::read(broken), Err(Error::Init(_))));
        }
    }
}
