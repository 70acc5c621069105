//! What a stream or a picture says of its brightness: mastering display, content light and Dolby Vision, out of FFmpeg's side
//! data.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::stream::Stream;
use ffmpeg_next::frame::Video;
use headwater::title::{ContentLight, DolbyVision, LightFacts, MasteringDisplay};

/// What the container says.
pub fn of_stream(stream: &Stream<'_>) -> LightFacts {
    use ffmpeg::packet::side_data::Type;
    let mut light = LightFacts::default();
    for side in stream.side_data() {
        match side.kind() {
            Type::MasteringDisplayMetadata => light.mastering = mastering(side.data()),
            Type::ContentLightLevel => light.content = content(side.data()),
            _ => {}
        }
    }
    light
}

/// Dolby Vision as the container declares it.
pub fn dolby_vision(stream: &Stream<'_>) -> Option<DolbyVision> {
    let record = stream.side_data().find(|side| side.kind() == ffmpeg::packet::side_data::Type::DOVI_CONF)?;
    configuration(record.data())
}

/// What the bitstream says.
pub fn of_picture(picture: &Video) -> LightFacts {
    use ffmpeg::frame::side_data::Type;
    LightFacts {
        mastering: picture.side_data(Type::MasteringDisplayMetadata).and_then(|side| mastering(side.data())),
        content: picture.side_data(Type::ContentLightLevel).and_then(|side| content(side.data())),
    }
}

/// Reads an `AVMasteringDisplayMetadata`: fractions for x and y of red, green, blue and white, for the least and the greatest
/// luminance, and two flags for which of these there are.
fn mastering(data: &[u8]) -> Option<MasteringDisplay> {
    let numbers: Vec<i32> = data.chunks_exact(4).map(|bytes| i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect();
    let [fractions @ .., has_primaries, has_luminance] = numbers.get(..22)? else { return None };
    if *has_primaries == 0 || *has_luminance == 0 {
        return None;
    }
    let scaled = |index: usize, unit: i64| -> Option<i64> {
        let (num, den) = (i64::from(fractions[2 * index]), i64::from(fractions[2 * index + 1]));
        (num >= 0 && den > 0).then(|| (num * unit + den / 2) / den)
    };
    let pair = |index: usize| -> Option<(u16, u16)> {
        Some((u16::try_from(scaled(index, 50_000)?).ok()?, u16::try_from(scaled(index + 1, 50_000)?).ok()?))
    };
    Some(MasteringDisplay {
        primaries: [pair(0)?, pair(2)?, pair(4)?],
        white: pair(6)?,
        luminance_min: u32::try_from(scaled(8, 10_000)?).ok()?,
        luminance_max: u32::try_from(scaled(9, 10_000)?).ok()?,
    })
    .filter(|display| display.luminance_max > display.luminance_min)
}

/// Reads an `AVDOVIDecoderConfigurationRecord`, a byte each: two of version, profile, level, three flags, compatibility.
fn configuration(data: &[u8]) -> Option<DolbyVision> {
    match data {
        [_, _, profile, _, _, _, _, compatibility, ..] => {
            Some(DolbyVision { profile: *profile, compatibility: *compatibility, with_metadata: false })
        }
        _ => None,
    }
}

/// Reads an `AVContentLightMetadata`: the brightest pixel and the brightest average.
fn content(data: &[u8]) -> Option<ContentLight> {
    let mut numbers = data.chunks_exact(4).map(|bytes| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    let (max_nits, average_nits) = (u16::try_from(numbers.next()?).ok()?, u16::try_from(numbers.next()?).ok()?);
    (max_nits > 0 || average_nits > 0).then_some(ContentLight { max_nits, average_nits })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(numbers: &[i32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
    }

    #[test]
    fn dolby_vision_is_its_profile_and_what_else_it_can_be() {
        let record = [1, 0, 8, 6, 1, 0, 1, 4, 0];
        assert_eq!(configuration(&record), Some(DolbyVision { profile: 8, compatibility: 4, with_metadata: false }));
        assert_eq!(configuration(&record[..7]), None);
    }

    #[test]
    fn fractions_come_to_their_units() {
        let mut numbers = vec![35_400, 50_000, 146, 500, 17, 100, 797, 1000, 131, 1000, 46, 1000, 15_635, 50_000, 329, 1000];
        numbers.extend([1, 200, 1000, 1, 1, 1]);
        let display = mastering(&bytes(&numbers)).expect("a display");
        assert_eq!(display.primaries, [(35_400, 14_600), (8500, 39_850), (6550, 2300)]);
        assert_eq!((display.white, display.luminance_min, display.luminance_max), ((15_635, 16_450), 50, 10_000_000));
        numbers[20] = 0;
        assert_eq!(mastering(&bytes(&numbers)), None);
        assert_eq!(mastering(&bytes(&numbers[..20])), None);
        assert_eq!(content(&bytes(&[1000, 400])), Some(ContentLight { max_nits: 1000, average_nits: 400 }));
        assert_eq!((content(&bytes(&[0, 0])), content(&[1])), (None, None));
    }
}
