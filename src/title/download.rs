//! Files to take away: what they are called, and which tracks of a title are in each.

use std::fmt;

use super::{Plan, TrackId};

/// Most letters of a rendition's name for which there is a file.
const NAME_BYTES_MAX: usize = 24;

/// A rendition's name as part of a file's name: letters, digits, `-` and `_` of ASCII.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RenditionName {
    /// Zeros follow the name.
    bytes: [u8; NAME_BYTES_MAX],
}

impl RenditionName {
    /// The name, if it can be part of a file's.
    pub fn parse(name: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let mut bytes = [0; NAME_BYTES_MAX];
        let place = bytes.get_mut(..name.len()).filter(|_| !name.is_empty() && name.bytes().all(plain))?;
        place.copy_from_slice(name.as_bytes());
        Some(Self { bytes })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let length = self.bytes.iter().position(|byte| *byte == 0).unwrap_or(NAME_BYTES_MAX);
        // It was made of ASCII.
        self.bytes.get(..length).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
    }
}

impl fmt::Debug for RenditionName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), out)
    }
}

/// A file to take away, named as it is in URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Download {
    /// A video rendition with the default sound in stereo, `720p.mp4`.
    Film(RenditionName),
    /// An audio rendition, by its index in the plan, `a0.m4a`.
    Sound(u8),
}

impl Download {
    /// Reads a file's name; one canonical spelling each.
    pub fn parse(name: &str) -> Option<Self> {
        if let Some(name) = name.strip_suffix(".mp4") {
            return RenditionName::parse(name).map(Self::Film);
        }
        let track = TrackId::parse(name.strip_suffix(".m4a")?).ok()?;
        (track == TrackId::audio(track.index)).then_some(Self::Sound(track.index))
    }

    /// The file of a video rendition; absent when its name cannot be a file's, or is that of one before it.
    pub fn of_video(plan: &Plan, index: u8) -> Option<Self> {
        let name = RenditionName::parse(&plan.video.get(usize::from(index))?.name)?;
        let file = Self::Film(name);
        (file.tracks(plan)?.first() == Some(&TrackId::video(index))).then_some(file)
    }

    /// The tracks that are in it, pictures first; absent when the plan has no such rendition.
    pub fn tracks(&self, plan: &Plan) -> Option<Vec<TrackId>> {
        match self {
            Self::Film(name) => {
                let index = plan.video.iter().position(|video| video.name == name.as_str())?;
                let pictures = TrackId::video(u8::try_from(index).ok()?);
                // The first sound is the default one, in stereo.
                let sound = plan.audio.first().map(|_| TrackId::audio(0));
                Some([pictures].into_iter().chain(sound).collect())
            }
            Self::Sound(index) => plan.audio.get(usize::from(*index)).map(|_| vec![TrackId::audio(*index)]),
        }
    }
}

impl fmt::Display for Download {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Film(name) => write!(out, "{}.mp4", name.as_str()),
            Self::Sound(index) => write!(out, "{}.m4a", TrackId::audio(*index)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;
    use crate::title::sample;

    #[test]
    fn one_spelling_each() {
        for name in ["720p.mp4", "2160p-hdr.mp4", "A_b-9.mp4", "a0.m4a", "a12.m4a", "a0.mp4", "123456789012345678901234.mp4"] {
            assert_eq!(Download::parse(name).map(|file| file.to_string()).as_deref(), Some(name));
        }
        for name in [
            "",
            ".mp4",
            "720p",
            "720p.m4a",
            "a00.m4a",
            "v0.m4a",
            "s0.m4a",
            "A0.m4a",
            "7 20p.mp4",
            "720p.MP4",
            "é.mp4",
            "a.b.mp4",
            "%31.mp4",
        ] {
            assert_eq!(Download::parse(name), None, "{name}");
        }
        assert_eq!(Download::parse("1234567890123456789012345.mp4"), None, "too long");
    }

    #[test]
    fn a_film_has_the_default_sound() {
        let mut plan = sample::plan((25, 1), 100, 4000);
        plan.audio.push(sample::audio_track("French", Some("fr"), false));
        assert_eq!(Download::of_video(&plan, 1).map(|file| file.to_string()).as_deref(), Some("540p.mp4"));
        let tracks = |name: &str| Download::parse(name).and_then(|file| file.tracks(&plan));
        assert_eq!(tracks("540p.mp4"), Some(vec![TrackId::video(1), TrackId::audio(0)]));
        assert_eq!(tracks("a1.m4a"), Some(vec![TrackId::audio(1)]));
        assert_eq!((tracks("a2.m4a"), tracks("1080p.mp4")), (None, None));
        plan.audio.clear();
        assert_eq!(Download::parse("720p.mp4").and_then(|file| file.tracks(&plan)), Some(vec![TrackId::video(0)]));
    }

    #[test]
    fn a_name_that_is_no_file_s_has_none() {
        let mut plan = sample::plan((25, 1), 100, 4000);
        plan.video[0].name = "Full HD".into();
        plan.video[2].name = "540p".into();
        assert_eq!([0, 1, 2, 3].map(|index| Download::of_video(&plan, index).is_some()), [false, true, false, false]);
    }

    proptest! {
        #[test]
        fn no_name_panics(name in "\\PC{0,40}") {
            if let Some(file) = Download::parse(&name) {
                assert_eq!(file.to_string(), name);
            }
        }
    }
}
