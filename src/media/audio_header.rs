//! What each packet of some codecs says of itself: sample rate, channels and length. Broadcasts and joined files change them
//! in mid-stream, and no container tells.

use ffmpeg_next::ffi::AVCodecID;

/// The form of the sound in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Samples a second.
    pub rate: u32,
    /// Channels, the low-frequency one included; or a code for them that only tells whether they changed.
    pub channels: u32,
    /// Samples of each channel in the packet.
    pub samples: u32,
}

/// Reads the header of a packet; absent for codecs whose packets have none, and for what is no header.
pub fn form(codec: AVCodecID, packet: &[u8]) -> Option<Form> {
    match codec {
        AVCodecID::AV_CODEC_ID_MP1 | AVCodecID::AV_CODEC_ID_MP2 | AVCodecID::AV_CODEC_ID_MP3 => mpeg(packet),
        AVCodecID::AV_CODEC_ID_AAC => adts(packet),
        AVCodecID::AV_CODEC_ID_AC3 | AVCodecID::AV_CODEC_ID_EAC3 => ac3(packet),
        _ => None,
    }
}

/// Samples at 48 kHz in a packet of Opus, by its first bytes (RFC 6716 3.1 and 3.2).
pub fn opus_length(packet: &[u8]) -> Option<i64> {
    let first = *packet.first()?;
    let place = usize::from(first >> 3);
    let frame = match place {
        0..12 => [480, 960, 1920, 2880][place % 4],
        12..16 => [480, 960][place % 2],
        _ => [120, 240, 480, 960][place % 4],
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => i64::from(packet.get(1)? & 63),
    };
    Some(frame * frames).filter(|samples| (1..=5760).contains(samples))
}

/// ISO 11172-3 2.4.1.3 and its extension to lower rates in ISO 13818-3 2.4.2.3.
fn mpeg(packet: &[u8]) -> Option<Form> {
    let [0xff, second, third, fourth, ..] = *packet else { return None };
    if second & 0xe0 != 0xe0 {
        return None;
    }
    let (version, layer, rate) = (second >> 3 & 3, second >> 1 & 3, third >> 2 & 3);
    let rate = [44_100, 48_000, 32_000].get(usize::from(rate))?;
    let (divisor, is_first) = match version {
        3 => (1, true),
        2 => (2, false),
        0 => (4, false),
        _ => return None,
    };
    let samples = match layer {
        3 => 384,
        2 => 1152,
        1 if is_first => 1152,
        1 => 576,
        _ => return None,
    };
    Some(Form { rate: rate / divisor, channels: if fourth >> 6 == 3 { 1 } else { 2 }, samples })
}

/// ISO 14496-3 1.A.2.2.
fn adts(packet: &[u8]) -> Option<Form> {
    const RATES: [u32; 13] = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350];
    let [0xff, second, third, fourth, _, _, seventh, ..] = *packet else { return None };
    if second & 0xf6 != 0xf0 {
        return None;
    }
    let rate = *RATES.get(usize::from(third >> 2 & 15))?;
    let channels = u32::from((third & 1) << 2 | fourth >> 6);
    Some(Form { rate, channels, samples: 1024 * (u32::from(seventh & 3) + 1) })
}

/// ETSI TS 102 366 4.4.1 and, for its enhanced form, E.1.3.1.
fn ac3(packet: &[u8]) -> Option<Form> {
    const RATES: [u32; 3] = [48_000, 44_100, 32_000];
    let [0x0b, 0x77, _, _, fifth, sixth, seventh, ..] = *packet else { return None };
    let channels_of = |mode: u8, low: u8| [2, 1, 2, 3, 3, 4, 4, 5][usize::from(mode & 7)] + u32::from(low & 1);
    if sixth >> 3 > 10 {
        // The enhanced form: rate, blocks, mode and low frequency follow the frame's size.
        let (rate, blocks) = match (fifth >> 6, fifth >> 4 & 3) {
            (3, half) => (RATES.get(usize::from(half))? / 2, 6),
            (code, blocks) => (*RATES.get(usize::from(code))?, [1, 2, 3, 6][usize::from(blocks)]),
        };
        return Some(Form { rate, channels: channels_of(fifth >> 1, fifth), samples: 256 * blocks });
    }
    let rate = *RATES.get(usize::from(fifth >> 6))?;
    let mode = seventh >> 5;
    // Mix levels and surround mode stand between the mode and the low-frequency flag, as the mode has them.
    let between = match mode {
        1 => 0,
        2 => 2,
        mode => u32::from(mode & 1 != 0) * 2 + u32::from(mode & 4 != 0) * 2,
    };
    let low = seventh >> (4 - between) & 1;
    Some(Form { rate, channels: channels_of(mode, low), samples: 1536 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::*;

    #[test]
    fn headers_in_the_wild() {
        let form = |codec, bytes: &[u8]| super::form(codec, bytes).map(|form| (form.rate, form.channels, form.samples));
        assert_eq!(form(AVCodecID::AV_CODEC_ID_MP3, &[0xff, 0xfb, 0x90, 0x64]), Some((44_100, 2, 1152)));
        assert_eq!(form(AVCodecID::AV_CODEC_ID_MP3, &[0xff, 0xf3, 0x80, 0xc4]), Some((22_050, 1, 576)));
        assert_eq!(form(AVCodecID::AV_CODEC_ID_MP3, &[0xff, 0xe3, 0x18, 0xc4]), Some((8000, 1, 576)));
        assert_eq!(form(AVCodecID::AV_CODEC_ID_MP2, &[0xff, 0xfd, 0xa4, 0x04]), Some((48_000, 2, 1152)));
        assert_eq!(form(AVCodecID::AV_CODEC_ID_AAC, &[0xff, 0xf1, 0x4c, 0x80, 0x2d, 0x7f, 0xfc]), Some((48_000, 2, 1024)));
        assert_eq!(form(AVCodecID::AV_CODEC_ID_AAC, &[0xff, 0xf1, 0x51, 0x80, 0x2d, 0x7f, 0xfc]), Some((44_100, 6, 1024)));
        assert_eq!(form(AVCodecID::AV_CODEC_ID_AC3, &[0x0b, 0x77, 0, 0, 0x1e, 0x40, 0xe1]), Some((48_000, 6, 1536)));
        assert_eq!(form(AVCodecID::AV_CODEC_ID_AC3, &[0x0b, 0x77, 0, 0, 0x14, 0x40, 0x43]), Some((48_000, 2, 1536)));
        assert_eq!(form(AVCodecID::AV_CODEC_ID_EAC3, &[0x0b, 0x77, 2, 0xff, 0x3f, 0x86, 0xff]), Some((48_000, 6, 1536)));
        // Samples without a header of their own, as MP4 has them.
        assert_eq!(form(AVCodecID::AV_CODEC_ID_AAC, &[0x21, 0x10, 0x05, 0x20, 0xa4, 0x1b, 0xff]), None);
    }

    #[test]
    fn lengths_of_opus() {
        for (bytes, expect) in [
            (&[0xfc, 1, 2][..], Some(960)),
            (&[0xe5], Some(240)),
            (&[0x08, 0], Some(960)),
            (&[0x78], Some(960)),
            (&[0x1b, 2], Some(5760)),
            (&[0x83, 0x81], Some(120)),
            (&[0x1b, 3], None),
            (&[0x1b], None),
            (&[0x1b, 0], None),
            (&[], None),
        ] {
            assert_eq!(opus_length(bytes), expect, "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>(), start in prop::sample::select(vec![0xff_u8, 0x0b])) {
            let _ = opus_length(&bytes);
            let bytes = [&[start, 0x77], &bytes[..]].concat();
            for codec in [AVCodecID::AV_CODEC_ID_MP3, AVCodecID::AV_CODEC_ID_AAC, AVCodecID::AV_CODEC_ID_AC3] {
                let _ = form(codec, &bytes);
                let _ = form(codec, &bytes[1..]);
            }
        }
    }
}
