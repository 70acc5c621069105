//! The group of subtitles and captions in the multivariant playlist.

use m3u8_rs::{AlternativeMedia, AlternativeMediaType};

use super::names;
use crate::title::{Plan, TextKind};

/// Names the group of all text renditions.
pub(super) const GROUP: &str = "text";

/// What captions for those who do not hear are (RFC 8216bis 4.4.6.1).
const FOR_THE_DEAF: &str = "public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound";

/// The text renditions, each under the URL of the generation in which it appeared.
pub(super) fn renditions(plan: &Plan) -> Vec<AlternativeMedia> {
    let mut renditions: Vec<AlternativeMedia> = Vec::new();
    for track in &plan.text {
        let language = track.language.clone().filter(|tag| tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
        let forced = track.kind == TextKind::Forced;
        let characteristics = (track.kind == TextKind::Captions).then(|| FOR_THE_DEAF.to_owned());
        // Players choose by these: of several that are alike, the first stands for all (RFC 8216bis 4.4.6.1.1).
        let like = |other: &&AlternativeMedia| {
            other.autoselect && (&other.language, other.forced, &other.characteristics) == (&language, forced, &characteristics)
        };
        let taken = renditions.iter().any(|other| like(&other));
        let default = track.default && !renditions.iter().any(|other| other.default);
        renditions.push(AlternativeMedia {
            media_type: AlternativeMediaType::Subtitles,
            uri: Some(names::media(track.since, track.id())),
            group_id: GROUP.to_owned(),
            name: name(&track.name, &renditions),
            language,
            default,
            autoselect: default || !taken,
            forced,
            characteristics,
            ..AlternativeMedia::default()
        });
    }
    renditions
}

/// The track's name without what a quoted string may not hold (RFC 8216bis 4.2), unlike any name before it.
fn name(wanted: &str, others: &[AlternativeMedia]) -> String {
    let cleaned: String =
        wanted.chars().map(|letter| if letter == '"' { '\'' } else { letter }).filter(|letter| !letter.is_control()).collect();
    let wanted = if cleaned.trim().is_empty() { "Subtitles" } else { cleaned.trim() };
    let numbered = (2..).map(|count| format!("{wanted} ({count})"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    names.find(|name| others.iter().all(|other| other.name != *name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playlist::testing::plan;
    use crate::title::sample::text_track;

    #[test]
    fn golden_group() {
        let mut plan = plan((25, 1), 250, 4000);
        plan.text = vec![
            text_track("English", Some("en"), TextKind::Subtitles, (1, 0)),
            text_track("English (SDH)", Some("en"), TextKind::Captions, (3, 1)),
            text_track("English (forced)", Some("en"), TextKind::Forced, (1, 1)),
            text_track("Director's \"cut\"\n", Some("en"), TextKind::Subtitles, (4, 3)),
            text_track("English", None, TextKind::Subtitles, (4, 4)),
        ];
        plan.text[0].default = true;
        let mut text = Vec::new();
        let playlist = m3u8_rs::MasterPlaylist { alternatives: renditions(&plan), ..Default::default() };
        playlist.write_to(&mut text).expect("written");
        let sdh = FOR_THE_DEAF;
        let expect = format!(
            "#EXTM3U\n\
            #EXT-X-MEDIA:TYPE=SUBTITLES,URI=\"1/s0/index.m3u8\",GROUP-ID=\"text\",LANGUAGE=\"en\",NAME=\"English\",DEFAULT=YES,AUTOSELECT=YES\n\
            #EXT-X-MEDIA:TYPE=SUBTITLES,URI=\"3/s1/index.m3u8\",GROUP-ID=\"text\",LANGUAGE=\"en\",NAME=\"English (SDH)\",AUTOSELECT=YES,CHARACTERISTICS=\"{sdh}\"\n\
            #EXT-X-MEDIA:TYPE=SUBTITLES,URI=\"1/s1/index.m3u8\",GROUP-ID=\"text\",LANGUAGE=\"en\",NAME=\"English (forced)\",AUTOSELECT=YES,FORCED=YES\n\
            #EXT-X-MEDIA:TYPE=SUBTITLES,URI=\"4/s3/index.m3u8\",GROUP-ID=\"text\",LANGUAGE=\"en\",NAME=\"Director's 'cut'\"\n\
            #EXT-X-MEDIA:TYPE=SUBTITLES,URI=\"4/s4/index.m3u8\",GROUP-ID=\"text\",NAME=\"English (2)\",AUTOSELECT=YES\n"
        );
        assert_eq!(String::from_utf8(text).expect("UTF-8"), expect);
    }
}
