//! The text tracks of a title as they change: files added, replaced and taken away.

use crate::title::{ContentHash, Generation, LanguageTag, TextKind, TextOrigin, TextTrack};

/// Text tracks of a title at most; a menu of more is no menu.
pub const TEXT_TRACKS_MAX: usize = 64;

/// A file that was read, and what its track is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideCar {
    /// Its language.
    pub language: LanguageTag,
    /// What it is for.
    pub kind: TextKind,
    /// What a menu is to show; absent: the name of the language.
    pub name: Option<String>,
    /// Whether it is shown when nobody chose; absent: as the track it replaces, else not.
    pub default: Option<bool>,
    /// The object that holds its cues.
    pub document: ContentHash,
    /// Length of that object in bytes.
    pub document_bytes: u64,
}

/// There are [`TEXT_TRACKS_MAX`] tracks already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a title has at most {TEXT_TRACKS_MAX} tracks of subtitles: remove one first")]
pub struct TooManyTracks;

/// The tracks with `new` among them in `generation`. It takes the place of every track of its language and kind, wherever that
/// came from; whether there was one is told.
///
/// # Errors
/// [`TooManyTracks`].
pub fn put(tracks: &[TextTrack], new: SideCar, generation: Generation) -> Result<(Vec<TextTrack>, bool), TooManyTracks> {
    let place = tracks.iter().position(|track| is(track, &new.language, new.kind));
    let before = place.and_then(|place| tracks.get(place));
    let mut kept: Vec<TextTrack> = tracks.iter().filter(|track| !is(track, &new.language, new.kind)).cloned().collect();
    if kept.len() >= TEXT_TRACKS_MAX {
        return Err(TooManyTracks);
    }
    let default = new.default.unwrap_or(before.is_some_and(|before| before.default));
    if default {
        // The URLs of those stay; only what the multivariant playlist says of them changes.
        kept.iter_mut().for_each(|track| track.default = false);
    }
    let wanted = new.name.unwrap_or_else(|| usual_name(Some(&new.language), new.kind, kept.len() + 1));
    let track = TextTrack {
        name: free_name(&wanted, &kept),
        language: new.language.known().map(str::to_owned),
        kind: new.kind,
        default,
        origin: TextOrigin::SideCar,
        document: new.document,
        document_bytes: new.document_bytes,
        since: generation,
        index: 0,
    };
    kept.insert(place.unwrap_or(kept.len()).min(kept.len()), track);
    Ok((placed(kept, generation), before.is_some()))
}

/// The tracks without those of a language and kind, in `generation`; absent when there is none.
pub fn remove(tracks: &[TextTrack], language: &LanguageTag, kind: TextKind, generation: Generation) -> Option<Vec<TextTrack>> {
    let kept: Vec<TextTrack> = tracks.iter().filter(|track| !is(track, language, kind)).cloned().collect();
    (kept.len() < tracks.len()).then(|| placed(kept, generation))
}

/// The default track first, and those of `generation` numbered by their place.
pub(super) fn placed(mut tracks: Vec<TextTrack>, generation: Generation) -> Vec<TextTrack> {
    tracks.sort_by_key(|track| !track.default);
    for (track, index) in tracks.iter_mut().zip(0_u8..) {
        if track.since == generation {
            track.index = index;
        }
    }
    tracks
}

fn is(track: &TextTrack, language: &LanguageTag, kind: TextKind) -> bool {
    track.kind == kind && track.language.as_deref() == language.known()
}

/// What a menu shows of a track that nobody named.
pub(super) fn usual_name(language: Option<&LanguageTag>, kind: TextKind, number: usize) -> String {
    let name = language.and_then(LanguageTag::name).unwrap_or_else(|| format!("Subtitles {number}"));
    match kind {
        TextKind::Subtitles => name,
        TextKind::Captions => format!("{name} (SDH)"),
        TextKind::Forced => format!("{name} (forced)"),
    }
}

/// `wanted`, or the first of `wanted (2)`, `wanted (3)`, … that no other track has.
pub(super) fn free_name(wanted: &str, others: &[TextTrack]) -> String {
    let taken = |name: &str| others.iter().any(|other| other.name == name);
    let numbered = (2..).map(|count| format!("{wanted} ({count})"));
    std::iter::once(wanted.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side_car(language: &str, kind: TextKind, document: &[u8]) -> SideCar {
        SideCar {
            language: LanguageTag::parse(language).expect("a language"),
            kind,
            name: None,
            default: None,
            document: ContentHash::of(document),
            document_bytes: document.len() as u64,
        }
    }

    fn shown(tracks: &[TextTrack]) -> Vec<(String, String, bool)> {
        tracks.iter().map(|track| (track.name.clone(), format!("{}/{}", track.since, track.id()), track.default)).collect()
    }

    #[test]
    fn tracks_come_and_go_and_keep_their_urls() {
        use TextKind::{Captions, Forced, Subtitles};
        let row = |name: &str, url: &str, default: bool| (name.to_owned(), url.to_owned(), default);
        let (one, replaced) = put(&[], side_car("de", Subtitles, b"a"), Generation(2)).expect("room");
        assert_eq!((shown(&one), replaced), (vec![row("German", "2/s0", false)], false));
        let (two, replaced) = put(&one, side_car("de", Captions, b"b"), Generation(3)).expect("room");
        assert_eq!((shown(&two), replaced), (vec![row("German", "2/s0", false), row("German (SDH)", "3/s1", false)], false));
        let default = SideCar { default: Some(true), name: Some("German".into()), ..side_car("pt-br", Forced, b"c") };
        let (three, _) = put(&two, default, Generation(4)).expect("room");
        let expect = vec![row("German (2)", "4/s0", true), row("German", "2/s0", false), row("German (SDH)", "3/s1", false)];
        assert_eq!(shown(&three), expect);
        assert_eq!(three[0].language.as_deref(), Some("pt-BR"));
        // A new file for an old track: it stays the default, under a name of its own.
        let (four, replaced) = put(&three, side_car("pt-BR", Forced, b"d"), Generation(5)).expect("room");
        assert_eq!((shown(&four)[0].clone(), replaced), (row("Portuguese (BR) (forced)", "5/s0", true), true));
        let five = remove(&four, &LanguageTag::parse("de").expect("a language"), Subtitles, Generation(6)).expect("there");
        assert_eq!(shown(&five), [row("Portuguese (BR) (forced)", "5/s0", true), row("German (SDH)", "3/s1", false)]);
        assert_eq!(remove(&five, &LanguageTag::parse("de").expect("a language"), Subtitles, Generation(7)), None);
    }

    #[test]
    fn there_is_an_end() {
        let mut tracks = Vec::new();
        for (code, generation) in ('a'..='z').flat_map(|one| ('a'..='z').map(move |two| format!("{one}{two}"))).zip(2..) {
            let Ok(language) = LanguageTag::parse(&code) else { continue };
            let new = SideCar { language, ..side_car("de", TextKind::Subtitles, b"x") };
            match put(&tracks, new, Generation(generation)) {
                Ok((more, _)) => tracks = more,
                Err(TooManyTracks) => break,
            }
        }
        assert_eq!(tracks.len(), TEXT_TRACKS_MAX);
        let again = SideCar { default: Some(true), ..side_car("aa", TextKind::Subtitles, b"y") };
        assert!(put(&tracks, again, Generation(999)).is_ok_and(|(tracks, replaced)| replaced && tracks.len() == TEXT_TRACKS_MAX));
    }
}
