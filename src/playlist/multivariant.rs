//! The multivariant playlist: which renditions there are, and what a player needs to choose among them.

use std::collections::{BTreeMap, HashMap};

use m3u8_rs::{AlternativeMedia, AlternativeMediaType, MasterPlaylist, QuotedOrUnquoted, Resolution, VariantStream};

use super::durations::Durations;
use super::rates::{Rates, promised};
use super::{Error, VERSION, names};
use crate::title::{AudioTrack, FrameRate, Generation, Plan, TrackId, VideoRange, VideoTrack};

/// What is known of a track beside the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackFacts {
    /// Its codec string, read from its written init segment.
    pub codec: String,
    /// Its peak once all its segments are measured; until then the plan's promise stands in for it.
    pub peak_bps: Option<u64>,
    /// Its average once all its segments are measured; until then the plan's promise stands in for it.
    pub average_bps: Option<u64>,
}

/// Names the group of all audio renditions.
const AUDIO_GROUP: &str = "audio";
/// A player starts with the first variant; one of about this cap starts fast on most lines.
const START_BPS: u32 = 2_000_000;

/// The multivariant playlist of a title.
///
/// With pictures, each video track is a variant and all audio tracks form the group they share. Without, the default
/// audio track is the only variant, and where there are more they form a group with it.
///
/// # Errors
/// [`Error::NoFacts`] when `facts` lacks a track of the plan, [`Error::NoTracks`] when the plan has none.
pub fn multivariant(plan: &Plan, generation: Generation, facts: &BTreeMap<TrackId, TrackFacts>) -> Result<String, Error> {
    let durations = Durations::of(plan);
    let known = |track| known(plan, &durations, facts, track);
    let audio = plan.tracks().skip(plan.video.len()).map(known).collect::<Result<Vec<_>, _>>()?;
    let grouped = if plan.video.is_empty() { audio.len() > 1 } else { !audio.is_empty() };
    let group = if grouped { audio.as_slice() } else { &[] };
    let mut variants = Vec::new();
    for index in variant_order(plan) {
        let track = known(TrackId::video(index))?;
        variants.push(picture_variant(plan, generation, &track, group));
    }
    if let (true, Some((first, others))) = (plan.video.is_empty(), audio.split_first()) {
        // Players that load the variant beside a chosen rendition carry two of them.
        variants.push(variant(generation, first, others, grouped));
    }
    if variants.is_empty() {
        return Err(Error::NoTracks);
    }
    let playlist = MasterPlaylist {
        version: Some(VERSION),
        independent_segments: true,
        alternatives: if grouped { renditions(plan, generation) } else { Vec::new() },
        variants,
        ..MasterPlaylist::default()
    };
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
    let promise = promised(plan, durations, track).ok_or(Error::NoSuchTrack(track))?;
    let peak_bps = facts.peak_bps.unwrap_or(promise.peak_bps);
    let average_bps = facts.average_bps.unwrap_or(promise.average_bps);
    Ok(Known { track, codec: &facts.codec, rates: Rates { peak_bps, average_bps } })
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

fn picture_variant(plan: &Plan, generation: Generation, track: &Known<'_>, group: &[Known<'_>]) -> VariantStream {
    let size = plan.video.get(usize::from(track.track.index));
    let mut variant = variant(generation, track, group, !group.is_empty());
    variant.resolution = size.map(|video| Resolution { width: video.width.into(), height: video.height.into() });
    let range = size.map_or(VideoRange::Sdr, |video| video.range);
    variant.other_attributes = Some(picture_attributes(plan.timeline.frame_rate(), range));
    variant
}

/// A variant of `track`, played with any one of `beside`.
fn variant(generation: Generation, track: &Known<'_>, beside: &[Known<'_>], grouped: bool) -> VariantStream {
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
        audio: grouped.then(|| AUDIO_GROUP.to_owned()),
        ..VariantStream::default()
    }
}

/// FRAME-RATE with three decimals (RFC 8216bis 4.4.6.2), which the field for it would shorten, and VIDEO-RANGE, which has
/// no field. Both are one entry: the order of two in this map would differ from one rendering to the next.
fn picture_attributes(rate: FrameRate, range: VideoRange) -> HashMap<String, QuotedOrUnquoted> {
    let (num, den) = rate.fraction();
    let thousandths = (u64::from(num) * 2000 + u64::from(den)) / (2 * u64::from(den));
    let range = match range {
        VideoRange::Sdr => "SDR",
        VideoRange::Pq => "PQ",
        VideoRange::Hlg => "HLG",
    };
    let value = format!("{}.{:03},VIDEO-RANGE={range}", thousandths / 1000, thousandths % 1000);
    HashMap::from([("FRAME-RATE".to_owned(), QuotedOrUnquoted::Unquoted(value))])
}

fn renditions(plan: &Plan, generation: Generation) -> Vec<AlternativeMedia> {
    let mut renditions: Vec<AlternativeMedia> = Vec::new();
    for (track, audio) in plan.tracks().skip(plan.video.len()).zip(&plan.audio) {
        let language = audio.language.clone().filter(|tag| is_language_tag(tag));
        // Players choose by language only: of several in one, the first stands for it (RFC 8216bis 4.4.6.1.1).
        let language_taken = renditions.iter().any(|other| other.autoselect && other.language == language);
        let default = audio.default && !renditions.iter().any(|other| other.default);
        renditions.push(AlternativeMedia {
            media_type: AlternativeMediaType::Audio,
            uri: Some(names::media(generation, track)),
            group_id: AUDIO_GROUP.to_owned(),
            name: name_in_group(audio, &renditions),
            language,
            default,
            autoselect: default || !language_taken,
            channels: Some(audio.channels.to_string()),
            ..AlternativeMedia::default()
        });
    }
    renditions
}

fn is_language_tag(tag: &str) -> bool {
    !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The track's name without what a quoted string may not hold (RFC 8216bis 4.2), unlike any name before it.
fn name_in_group(audio: &AudioTrack, others: &[AlternativeMedia]) -> String {
    let allowed = |symbol: char| match symbol {
        '"' => '\'',
        symbol if symbol.is_control() => ' ',
        symbol => symbol,
    };
    let cleaned: String = audio.name.chars().map(allowed).collect();
    let wanted = if cleaned.trim().is_empty() { "Audio" } else { cleaned.trim() };
    let taken = |name: &str| others.iter().any(|other| other.name == name);
    let mut name = wanted.to_owned();
    let mut count = 1;
    while taken(&name) {
        count += 1;
        name = format!("{wanted} ({count})");
    }
    name
}

#[cfg(test)]
mod tests {
    use m3u8_rs::parse_master_playlist;

    use super::*;
    use crate::playlist::testing::{audio, plan};

    fn facts(plan: &Plan, measured: bool) -> BTreeMap<TrackId, TrackFacts> {
        let track_facts = |track: TrackId| {
            let (codec, peak_bps, average_bps) = match (track.kind, track.index) {
                (crate::title::TrackKind::Video, 0) => ("avc1.64001f", 3_000_000, 2_000_000),
                (crate::title::TrackKind::Video, 1) => ("avc1.64001f", 2_000_000, 1_000_000),
                (crate::title::TrackKind::Video, _) => ("avc1.640015", 500_000, 300_000),
                (_, index) => ("mp4a.40.2", 140_000 + u64::from(index), 130_000 + u64::from(index)),
            };
            TrackFacts { codec: codec.to_owned(), peak_bps: measured.then_some(peak_bps), average_bps: measured.then_some(average_bps) }
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

    #[test]
    fn renditions_are_told_apart() {
        let mut plan = plan((24, 1), 960, 4000);
        plan.audio.extend([
            audio("German", Some("de"), true),
            audio("Say \"hi\"\n\tnow", None, false),
            audio("\u{7}", None, false),
            audio("x", Some("e\"n"), false),
        ]);
        let text = multivariant(&plan, Generation(1), &facts(&plan, true)).expect("a playlist");
        let (_, playlist) = parse_master_playlist(text.as_bytes()).expect("it parses");
        let found: Vec<_> = playlist
            .alternatives
            .iter()
            .map(|other| (other.name.as_str(), other.language.as_deref(), other.default, other.autoselect))
            .collect();
        let expect = [
            ("German", Some("de"), true, true),
            ("German (2)", Some("de"), false, false),
            ("Say 'hi'  now", None, false, true),
            ("Audio", None, false, false),
            ("x", None, false, false),
        ];
        assert_eq!(found, expect);
        assert!(text.chars().all(|symbol| symbol == '\n' || !symbol.is_control()));
        assert!(
            lines(&text, "#EXT-X-STREAM-INF:")[0]
                .starts_with("BANDWIDTH=2140004,AVERAGE-BANDWIDTH=1130004,CODECS=\"avc1.64001f,mp4a.40.2\",")
        );
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
