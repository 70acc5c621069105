//! The multivariant playlist: which renditions there are, and what a player needs to choose among them.

use std::collections::{BTreeMap, HashMap};

use m3u8_rs::{MasterPlaylist, QuotedOrUnquoted, Resolution, VariantStream};

use super::durations::Durations;
use super::rates::{Rates, promised};
use super::{Error, VERSION, captions, names, sound_groups};
use crate::title::{AudioTier, FrameRate, Generation, Plan, TrackId, VideoRange, VideoTrack};

/// What is known of a track beside the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackFacts {
    /// Its codec string, read from its written init segment.
    pub codec: String,
    /// Its peak once all its segments are measured; until both are known, the plan's promise stands in for them.
    pub peak_bps: Option<u64>,
    /// Its average likewise.
    pub average_bps: Option<u64>,
    /// Rates of its I-frame playlist, once that can be written.
    pub key_frames: Option<Rates>,
}

/// A player starts with the first variant; one of about this cap starts fast on most lines.
const START_BPS: u32 = 2_000_000;

/// The multivariant playlist of a title whose tracks of pictures and sound have the URLs of `generation`; its text tracks have
/// URLs of their own.
///
/// With pictures, each video track is a variant, once for each group of sounds. Without, each tier of sound is a variant; its
/// sounds form a group where there are more than one, or where a player must know the channels to choose.
///
/// # Errors
/// [`Error::NoFacts`] when `facts` lacks a track of the plan, [`Error::NoTracks`] when the plan has none.
pub fn multivariant(plan: &Plan, generation: Generation, facts: &BTreeMap<TrackId, TrackFacts>) -> Result<String, Error> {
    let durations = Durations::of(plan);
    let known = |track| known(plan, &durations, facts, track);
    let groups = sound_groups::groups(plan);
    let has_surround = plan.audio.iter().any(|audio| audio.tier == AudioTier::Surround);
    let grouped = !plan.video.is_empty() || has_surround || groups.iter().any(|group| group.members.len() > 1);
    let pictures = variant_order(plan).into_iter().map(|index| known(TrackId::video(index))).collect::<Result<Vec<_>, _>>()?;
    let with_pictures =
        |beside: Beside<'_>| pictures.iter().map(|track| picture_variant(plan, generation, track, beside)).collect::<Vec<_>>();
    let mut variants = Vec::new();
    let mut alternatives = Vec::new();
    for group in &groups {
        let members = group.members.iter().map(|track| known(*track)).collect::<Result<Vec<_>, _>>()?;
        if grouped {
            alternatives.extend(sound_groups::renditions(plan, generation, group));
        }
        variants.extend(with_pictures(Some((group.id, members.as_slice()))));
        if let (true, Some((first, others))) = (plan.video.is_empty(), members.split_first()) {
            // Players that load the variant beside a chosen rendition carry two of them.
            variants.push(variant(generation, first, grouped.then_some((group.id, others))));
        }
    }
    if groups.is_empty() {
        variants.extend(with_pictures(None));
    }
    variants.extend(pictures.iter().filter_map(|track| i_frame_variant(plan, generation, facts, track.track)));
    if variants.is_empty() {
        return Err(Error::NoTracks);
    }
    alternatives.extend(captions::renditions(plan));
    if !plan.text.is_empty() {
        variants.iter_mut().for_each(|variant| variant.subtitles = Some(captions::GROUP.to_owned()));
    }
    let playlist =
        MasterPlaylist { version: Some(VERSION), independent_segments: true, alternatives, variants, ..MasterPlaylist::default() };
    let mut text = Vec::new();
    playlist.write_to(&mut text)?;
    Ok(String::from_utf8(text)?)
}

/// A track with its codec and its rates, measured or promised.
struct Known<'a> {
    track: TrackId,
    codec: &'a str,
    rates: Rates,
}

fn known<'a>(plan: &Plan, durations: &Durations, facts: &'a BTreeMap<TrackId, TrackFacts>, track: TrackId) -> Result<Known<'a>, Error> {
    let facts = facts.get(&track).ok_or(Error::NoFacts(track))?;
    let rates = match (facts.peak_bps, facts.average_bps) {
        (Some(peak_bps), Some(average_bps)) => Rates { peak_bps, average_bps },
        _ => promised(plan, durations, track).ok_or(Error::NoSuchTrack(track))?,
    };
    Ok(Known { track, codec: &facts.codec, rates })
}

/// Indices of the video tracks: first the one that starts fast, then the others from the highest to the lowest, those of
/// standard dynamic range before those of high, which not every player can show.
///
/// The caps of the plan decide, and not what was measured, so that the order never changes.
fn variant_order(plan: &Plan) -> Vec<u8> {
    let cap = |index: &u8| plan.video.get(usize::from(*index)).map_or(0, VideoTrack::cap_bps);
    let mut order: Vec<u8> = plan.tracks().take(plan.video.len()).map(|track| track.index).collect();
    let is_high = |index: &u8| plan.video.get(usize::from(*index)).is_some_and(|video| video.range != VideoRange::Sdr);
    order.sort_by_key(|index| (is_high(index), std::cmp::Reverse(cap(index))));
    let standard = order.iter().take_while(|index| !is_high(index)).count();
    if let Some(start) = (0..standard).min_by_key(|place| cap(&order[*place]).abs_diff(START_BPS)) {
        order[..=start].rotate_right(1);
    }
    order
}

/// A group of sounds by its name, with those of them that are loaded beside a variant.
type Beside<'a> = Option<(&'static str, &'a [Known<'a>])>;

fn picture_variant(plan: &Plan, generation: Generation, track: &Known<'_>, beside: Beside<'_>) -> VariantStream {
    let size = plan.video.get(usize::from(track.track.index));
    let mut variant = variant(generation, track, beside);
    variant.resolution = size.map(|video| Resolution { width: video.width.into(), height: video.height.into() });
    let range = size.map_or(VideoRange::Sdr, |video| video.range);
    variant.other_attributes = Some(picture_attributes(plan.timeline.frame_rate(), range));
    variant
}

/// The key frames of a track; absent while they are not known. It has no FRAME-RATE and nothing beside it (RFC 8216bis
/// 4.4.6.3).
fn i_frame_variant(plan: &Plan, generation: Generation, facts: &BTreeMap<TrackId, TrackFacts>, track: TrackId) -> Option<VariantStream> {
    let (size, facts) = (plan.video.get(usize::from(track.index))?, facts.get(&track)?);
    let rates = facts.key_frames?;
    let range = QuotedOrUnquoted::Unquoted(video_range(size.range).to_owned());
    Some(VariantStream {
        is_i_frame: true,
        uri: names::i_frames(generation, track),
        bandwidth: rates.peak_bps,
        average_bandwidth: Some(rates.average_bps),
        codecs: Some(facts.codec.clone()),
        resolution: Some(Resolution { width: size.width.into(), height: size.height.into() }),
        other_attributes: Some(HashMap::from([("VIDEO-RANGE".to_owned(), range)])),
        ..VariantStream::default()
    })
}

/// A variant of `track`, played with any one of `beside`.
fn variant(generation: Generation, track: &Known<'_>, beside: Beside<'_>) -> VariantStream {
    let (group, beside) = beside.map_or((None, [].as_slice()), |(group, members)| (Some(group), members));
    let peak_beside = beside.iter().map(|other| other.rates.peak_bps).max().unwrap_or(0);
    let average_beside = beside.iter().map(|other| other.rates.average_bps).max().unwrap_or(0);
    let bandwidth = track.rates.peak_bps.saturating_add(peak_beside);
    let average = track.rates.average_bps.saturating_add(average_beside);
    let mut codecs = vec![track.codec];
    for other in beside {
        if !codecs.contains(&other.codec) {
            codecs.push(other.codec);
        }
    }
    VariantStream {
        uri: names::media(generation, track.track),
        bandwidth,
        average_bandwidth: Some(average.min(bandwidth)),
        codecs: Some(codecs.join(",")),
        audio: group.map(str::to_owned),
        ..VariantStream::default()
    }
}

/// FRAME-RATE with three decimals (RFC 8216bis 4.4.6.2), which the field for it would shorten, and VIDEO-RANGE, which has
/// no field. Both are one entry: the order of two in this map would differ from one rendering to the next.
fn picture_attributes(rate: FrameRate, range: VideoRange) -> HashMap<String, QuotedOrUnquoted> {
    let (num, den) = rate.fraction();
    let thousandths = (u64::from(num) * 2000 + u64::from(den)) / (2 * u64::from(den));
    let value = format!("{}.{:03},VIDEO-RANGE={}", thousandths / 1000, thousandths % 1000, video_range(range));
    HashMap::from([("FRAME-RATE".to_owned(), QuotedOrUnquoted::Unquoted(value))])
}

/// VIDEO-RANGE of RFC 8216bis 4.4.6.2.
fn video_range(range: VideoRange) -> &'static str {
    match range {
        VideoRange::Sdr => "SDR",
        VideoRange::Pq => "PQ",
        VideoRange::Hlg => "HLG",
    }
}

#[cfg(test)]
mod tests {
    use m3u8_rs::parse_master_playlist;

    use super::*;
    use crate::playlist::testing::{audio, low, plan, surround};
    use crate::title::TextKind;
    use crate::title::sample::text_track;

    fn facts(plan: &Plan, measured: bool) -> BTreeMap<TrackId, TrackFacts> {
        let track_facts = |track: TrackId| {
            let (codec, peak_bps, average_bps) = match (track.kind, track.index) {
                (crate::title::TrackKind::Video, 0) => ("avc1.64001f", 3_000_000, 2_000_000),
                (crate::title::TrackKind::Video, 1) => ("avc1.64001f", 2_000_000, 1_000_000),
                (crate::title::TrackKind::Video, _) => ("avc1.640015", 500_000, 300_000),
                (_, index) => ("mp4a.40.2", 140_000 + u64::from(index), 130_000 + u64::from(index)),
            };
            TrackFacts {
                codec: codec.to_owned(),
                peak_bps: measured.then_some(peak_bps),
                average_bps: measured.then_some(average_bps),
                key_frames: None,
            }
        };
        plan.tracks().map(|track| (track, track_facts(track))).collect()
    }

    fn lines(text: &str, start: &str) -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix(start)).map(str::to_owned).collect()
    }

    #[test]
    fn golden_measured() {
        let plan = plan((30_000, 1001), 300, 4000);
        let expect = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
            #EXT-X-MEDIA:TYPE=AUDIO,URI=\"1/a0/index.m3u8\",GROUP-ID=\"audio\",LANGUAGE=\"de\",NAME=\"German\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=2140000,AVERAGE-BANDWIDTH=1130000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=960x540,FRAME-RATE=29.970,VIDEO-RANGE=SDR,AUDIO=\"audio\"\n\
            1/v1/index.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=3140000,AVERAGE-BANDWIDTH=2130000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.970,VIDEO-RANGE=SDR,AUDIO=\"audio\"\n\
            1/v0/index.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=640000,AVERAGE-BANDWIDTH=430000,CODECS=\"avc1.640015,mp4a.40.2\",RESOLUTION=426x240,FRAME-RATE=29.970,VIDEO-RANGE=SDR,AUDIO=\"audio\"\n\
            1/v2/index.m3u8\n";
        for _ in 0..10 {
            assert_eq!(multivariant(&plan, Generation(1), &facts(&plan, true)).expect("a playlist"), expect);
        }
    }

    #[test]
    fn text_is_a_group_that_every_variant_names() {
        let mut plan = plan((24, 1), 960, 4000);
        plan.text = vec![text_track("English", Some("en"), TextKind::Subtitles, (3, 0))];
        let text = multivariant(&plan, Generation(1), &facts(&plan, true)).expect("a playlist");
        assert_eq!(
            lines(&text, "#EXT-X-STREAM-INF:").iter().filter(|line| line.ends_with("AUDIO=\"audio\",SUBTITLES=\"text\"")).count(),
            3
        );
        assert!(lines(&text, "#EXT-X-MEDIA:TYPE=SUBTITLES,")[0].starts_with("URI=\"3/s0/index.m3u8\",GROUP-ID=\"text\""), "{text}");
        plan.video.clear();
        plan.audio.truncate(1);
        let text = multivariant(&plan, Generation(1), &facts(&plan, true)).expect("a playlist");
        assert_eq!(
            lines(&text, "#EXT-X-STREAM-INF:"),
            ["BANDWIDTH=140000,AVERAGE-BANDWIDTH=130000,CODECS=\"mp4a.40.2\",SUBTITLES=\"text\""]
        );
    }

    #[test]
    fn golden_key_frames() {
        let mut plan = plan((30_000, 1001), 300, 4000);
        plan.audio.clear();
        plan.video.truncate(2);
        let mut facts = facts(&plan, true);
        for (facts, peak_bps) in facts.values_mut().zip([300_000, 200_000]) {
            facts.key_frames = Some(Rates { peak_bps, average_bps: peak_bps / 2 });
        }
        let text = multivariant(&plan, Generation(1), &facts).expect("a playlist");
        let expect = [
            "BANDWIDTH=200000,AVERAGE-BANDWIDTH=100000,CODECS=\"avc1.64001f\",RESOLUTION=960x540,VIDEO-RANGE=SDR,URI=\"1/v1/iframes.m3u8\"",
            "BANDWIDTH=300000,AVERAGE-BANDWIDTH=150000,CODECS=\"avc1.64001f\",RESOLUTION=1280x720,VIDEO-RANGE=SDR,URI=\"1/v0/iframes.m3u8\"",
        ];
        assert_eq!(lines(&text, "#EXT-X-I-FRAME-STREAM-INF:"), expect);
        assert_eq!(lines(&text, "#EXT-X-STREAM-INF:").len(), 2);
    }

    #[test]
    fn promises_stand_in_until_measured() {
        let plan = plan((24, 1), 960, 4000);
        let text = multivariant(&plan, Generation(2), &facts(&plan, false)).expect("a playlist");
        let (rest, playlist) = parse_master_playlist(text.as_bytes()).expect("it parses");
        assert!(rest.is_empty() && playlist.independent_segments);
        let order: Vec<_> = playlist.variants.iter().map(|variant| variant.uri.as_str()).collect();
        assert_eq!(order, ["2/v1/index.m3u8", "2/v0/index.m3u8", "2/v2/index.m3u8"]);
        // 3 Mbit/s and a buffer of 4.5 Mbit every four seconds, and sound of 128 kbit/s and a quarter, with their boxes.
        let top = &playlist.variants[1];
        assert!((4_285_000..4_300_000).contains(&top.bandwidth), "{}", top.bandwidth);
        assert!(top.average_bandwidth.is_some_and(|average| (2_130_000..2_160_000).contains(&average)), "{:?}", top.average_bandwidth);
    }

    #[test]
    fn high_dynamic_range_comes_after_standard() {
        for (range, expect) in [(VideoRange::Pq, "PQ"), (VideoRange::Hlg, "HLG")] {
            let mut plan = plan((24, 1), 960, 4000);
            plan.video.rotate_left(1);
            plan.video[2].range = range;
            let mut facts = facts(&plan, true);
            facts.get_mut(&TrackId::video(2)).expect("facts").codec = "hvc1.2.4.L93.90".into();
            let text = multivariant(&plan, Generation(1), &facts).expect("a playlist");
            let variants = lines(&text, "#EXT-X-STREAM-INF:");
            let ranges: Vec<_> = variants.iter().map(|variant| variant.split("VIDEO-RANGE=").nth(1).map(|rest| &rest[..3])).collect();
            assert_eq!(ranges, [Some("SDR"), Some("SDR"), Some(&format!("{expect},")[..3])]);
            assert!(variants[2].contains("CODECS=\"hvc1.2.4.L93.90,mp4a.40.2\",RESOLUTION=1280x720,"), "{}", variants[2]);
        }
    }

    #[test]
    fn titles_without_sound_have_no_group() {
        let mut plan = plan((24, 1), 960, 4000);
        plan.audio.clear();
        let text = multivariant(&plan, Generation(1), &facts(&plan, true)).expect("a playlist");
        assert!(!text.contains("AUDIO") && !text.contains("EXT-X-MEDIA"), "{text}");
        let first =
            "BANDWIDTH=2000000,AVERAGE-BANDWIDTH=1000000,CODECS=\"avc1.64001f\",RESOLUTION=960x540,FRAME-RATE=24.000,VIDEO-RANGE=SDR";
        assert_eq!(lines(&text, "#EXT-X-STREAM-INF:")[0], first);
    }

    #[test]
    fn sound_alone_is_a_variant() {
        let mut plan = plan((48_000, 1024), 960, 4000);
        plan.video.clear();
        let text = multivariant(&plan, Generation(1), &facts(&plan, true)).expect("a playlist");
        let expect = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
            #EXT-X-STREAM-INF:BANDWIDTH=140000,AVERAGE-BANDWIDTH=130000,CODECS=\"mp4a.40.2\"\n1/a0/index.m3u8\n";
        assert_eq!(text, expect);
        plan.audio.push(audio("English", Some("en"), false));
        let text = multivariant(&plan, Generation(1), &facts(&plan, true)).expect("a playlist");
        let variant = "BANDWIDTH=280001,AVERAGE-BANDWIDTH=260001,CODECS=\"mp4a.40.2\",AUDIO=\"audio\"";
        assert_eq!(lines(&text, "#EXT-X-STREAM-INF:"), [variant]);
        assert_eq!(lines(&text, "#EXT-X-MEDIA:").len(), 2);
    }

    /// Two languages and a description in stereo, one of them in 5.1 too.
    #[test]
    fn golden_several_sounds() {
        let mut plan = plan((25, 1), 1000, 4000);
        plan.video.truncate(2);
        let mut english = audio("English", Some("en-GB"), false);
        english.stream = 2;
        let mut described = audio("English, described", Some("en-GB"), false);
        (described.stream, described.described) = (3, true);
        plan.audio.extend([english, described]);
        plan.audio.push(surround(&plan.audio[0]));
        let expect = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
            #EXT-X-MEDIA:TYPE=AUDIO,URI=\"1/a0/index.m3u8\",GROUP-ID=\"audio\",LANGUAGE=\"de\",NAME=\"German\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,URI=\"1/a1/index.m3u8\",GROUP-ID=\"audio\",LANGUAGE=\"en-GB\",NAME=\"English\",AUTOSELECT=YES,CHANNELS=\"2\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,URI=\"1/a2/index.m3u8\",GROUP-ID=\"audio\",LANGUAGE=\"en-GB\",NAME=\"English, described\",AUTOSELECT=YES,CHARACTERISTICS=\"public.accessibility.describes-video\",CHANNELS=\"2\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,URI=\"1/a3/index.m3u8\",GROUP-ID=\"surround\",LANGUAGE=\"de\",NAME=\"German\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"6\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,URI=\"1/a1/index.m3u8\",GROUP-ID=\"surround\",LANGUAGE=\"en-GB\",NAME=\"English\",AUTOSELECT=YES,CHANNELS=\"2\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,URI=\"1/a2/index.m3u8\",GROUP-ID=\"surround\",LANGUAGE=\"en-GB\",NAME=\"English, described\",AUTOSELECT=YES,CHARACTERISTICS=\"public.accessibility.describes-video\",CHANNELS=\"2\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=2140002,AVERAGE-BANDWIDTH=1130002,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=960x540,FRAME-RATE=25.000,VIDEO-RANGE=SDR,AUDIO=\"audio\"\n\
            1/v1/index.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=3140002,AVERAGE-BANDWIDTH=2130002,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=25.000,VIDEO-RANGE=SDR,AUDIO=\"audio\"\n\
            1/v0/index.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=2140003,AVERAGE-BANDWIDTH=1130003,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=960x540,FRAME-RATE=25.000,VIDEO-RANGE=SDR,AUDIO=\"surround\"\n\
            1/v1/index.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=3140003,AVERAGE-BANDWIDTH=2130003,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=25.000,VIDEO-RANGE=SDR,AUDIO=\"surround\"\n\
            1/v0/index.m3u8\n";
        assert_eq!(multivariant(&plan, Generation(1), &facts(&plan, true)).expect("a playlist"), expect);
    }

    #[test]
    fn golden_sound_alone_in_two_languages() {
        let mut plan = plan((48_000, 1024), 960, 4000);
        plan.video.clear();
        let mut english = audio("English", Some("en"), false);
        english.stream = 2;
        plan.audio.push(english);
        plan.audio.extend([low(&plan.audio[0]), low(&plan.audio[1])]);
        let expect = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
            #EXT-X-MEDIA:TYPE=AUDIO,URI=\"1/a0/index.m3u8\",GROUP-ID=\"audio\",LANGUAGE=\"de\",NAME=\"German\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,URI=\"1/a1/index.m3u8\",GROUP-ID=\"audio\",LANGUAGE=\"en\",NAME=\"English\",AUTOSELECT=YES,CHANNELS=\"2\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,URI=\"1/a2/index.m3u8\",GROUP-ID=\"low\",LANGUAGE=\"de\",NAME=\"German\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,URI=\"1/a3/index.m3u8\",GROUP-ID=\"low\",LANGUAGE=\"en\",NAME=\"English\",AUTOSELECT=YES,CHANNELS=\"2\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=280001,AVERAGE-BANDWIDTH=260001,CODECS=\"mp4a.40.2\",AUDIO=\"audio\"\n1/a0/index.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=280005,AVERAGE-BANDWIDTH=260005,CODECS=\"mp4a.40.2\",AUDIO=\"low\"\n1/a2/index.m3u8\n";
        assert_eq!(multivariant(&plan, Generation(1), &facts(&plan, true)).expect("a playlist"), expect);
    }

    #[test]
    fn sound_alone_in_one_language_needs_no_group_unless_channels_differ() {
        let mut plan = plan((48_000, 1024), 960, 4000);
        plan.video.clear();
        plan.audio.push(low(&plan.audio[0]));
        let text = multivariant(&plan, Generation(1), &facts(&plan, true)).expect("a playlist");
        let expect = [
            "BANDWIDTH=140000,AVERAGE-BANDWIDTH=130000,CODECS=\"mp4a.40.2\"",
            "BANDWIDTH=140001,AVERAGE-BANDWIDTH=130001,CODECS=\"mp4a.40.2\"",
        ];
        assert_eq!(lines(&text, "#EXT-X-STREAM-INF:"), expect);
        assert!(!text.contains("EXT-X-MEDIA"), "{text}");
        plan.audio.insert(1, surround(&plan.audio[0]));
        let text = multivariant(&plan, Generation(1), &facts(&plan, true)).expect("a playlist");
        let groups: Vec<_> =
            lines(&text, "#EXT-X-STREAM-INF:").iter().filter_map(|line| line.split("AUDIO=").nth(1).map(str::to_owned)).collect();
        assert_eq!(groups, ["\"audio\"", "\"surround\"", "\"low\""]);
        assert_eq!(lines(&text, "#EXT-X-MEDIA:").len(), 3);
    }

    #[test]
    fn a_track_without_facts_is_refused() {
        let plan = plan((24, 1), 960, 4000);
        let mut known = facts(&plan, true);
        known.remove(&TrackId::video(2));
        assert!(matches!(multivariant(&plan, Generation(1), &known), Err(Error::NoFacts(track)) if track == TrackId::video(2)));
        let mut empty = plan.clone();
        (empty.video, empty.audio) = (Vec::new(), Vec::new());
        assert!(matches!(multivariant(&empty, Generation(1), &known), Err(Error::NoTracks)));
    }

    #[test]
    fn frame_rates_have_three_decimals() {
        for ((num, den), expect) in
            [((24_000, 1001), "23.976"), ((60_000, 1001), "59.940"), ((25, 1), "25.000"), ((8797, 1000), "8.797"), ((10, 3), "3.333")]
        {
            let plan = plan((num, den), 960, 4000);
            let text = multivariant(&plan, Generation(1), &facts(&plan, true)).expect("a playlist");
            assert!(text.contains(&format!(",FRAME-RATE={expect},VIDEO-RANGE=SDR,")), "{text}");
        }
    }
}
