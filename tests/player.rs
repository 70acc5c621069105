//! What a player learns from playlists: every URI of a title, and how long its segments are.

use std::collections::BTreeMap;

use http::StatusCode;
use m3u8_rs::{MasterPlaylist, MediaPlaylist, Playlist};

use super::server::{Answer, Server, Title};

/// A media playlist with where it came from.
pub struct Track {
    /// Its URL.
    pub url: String,
    pub playlist: MediaPlaylist,
}

impl Track {
    /// URL of the init segment; text has none.
    pub fn init(&self) -> Option<String> {
        self.playlist.segments[0].map.as_ref().map(|map| join(&self.url, &map.uri))
    }

    /// URLs of the segments, in order.
    pub fn segments(&self) -> Vec<String> {
        self.playlist.segments.iter().map(|segment| join(&self.url, &segment.uri)).collect()
    }

    pub fn duration_s(&self) -> f64 {
        self.playlist.segments.iter().map(|segment| f64::from(segment.duration)).sum()
    }
}

/// A title's playlists.
pub struct Presentation {
    pub url: String,
    /// Without its I-frame variants.
    pub multivariant: MasterPlaylist,
    /// URLs of the I-frame playlists.
    pub i_frames: Vec<String>,
    /// Every media playlist, those of the variants first.
    pub tracks: Vec<Track>,
}

impl Presentation {
    /// Fetches all playlists of a title.
    pub async fn of(server: &Server, title: &Title) -> Self {
        let url = title.hls().to_owned();
        let mut multivariant = multivariant(&good(server, &url).await.body);
        let i_frames = i_frame_uris(&multivariant).iter().map(|uri| join(&url, uri)).collect();
        multivariant.variants.retain(|variant| !variant.is_i_frame);
        let mut tracks = Vec::new();
        for uri in media_uris(&multivariant) {
            let url = join(&url, &uri);
            let playlist = media(&good(server, &url).await.body);
            tracks.push(Track { url, playlist });
        }
        Self { url, multivariant, i_frames, tracks }
    }

    /// Every URL of it: playlists, init segments, segments.
    pub fn urls(&self) -> Vec<String> {
        let mut urls = vec![self.url.clone()];
        for track in &self.tracks {
            urls.push(track.url.clone());
            urls.extend(track.init());
            urls.extend(track.segments());
        }
        urls.extend(self.i_frames.iter().cloned());
        urls
    }

    /// Every URL below the title with its answer: the same names for the same upload wherever it is served.
    pub async fn fetch(&self, server: &Server) -> BTreeMap<String, Answer> {
        let base = self.url.strip_suffix("main.m3u8").expect("the stable name");
        let mut answers = BTreeMap::new();
        for url in self.urls() {
            let name = url.strip_prefix(base).expect("below the title").to_owned();
            answers.insert(name, good(server, &url).await);
        }
        answers
    }
}

/// The answer to a GET that must succeed.
pub async fn good(server: &Server, url: &str) -> Answer {
    let answer = server.get(url).await;
    assert_eq!(answer.status, StatusCode::OK, "{url}: {:?}", answer.headers);
    answer
}

/// A multivariant playlist.
pub fn multivariant(text: &[u8]) -> MasterPlaylist {
    match m3u8_rs::parse_playlist_res(text) {
        Ok(Playlist::MasterPlaylist(playlist)) => playlist,
        other => panic!("no multivariant playlist: {other:?}"),
    }
}

/// A media playlist.
pub fn media(text: &[u8]) -> MediaPlaylist {
    match m3u8_rs::parse_playlist_res(text) {
        Ok(Playlist::MediaPlaylist(playlist)) => playlist,
        other => panic!("no media playlist: {other:?}"),
    }
}

/// URIs of all media playlists that a multivariant playlist names, those of the variants first.
pub fn media_uris(multivariant: &MasterPlaylist) -> Vec<String> {
    let variants = multivariant.variants.iter().filter(|variant| !variant.is_i_frame).map(|variant| variant.uri.clone());
    variants.chain(multivariant.alternatives.iter().filter_map(|alternative| alternative.uri.clone())).collect()
}

/// URIs of the I-frame playlists that a multivariant playlist names.
pub fn i_frame_uris(multivariant: &MasterPlaylist) -> Vec<String> {
    multivariant.variants.iter().filter(|variant| variant.is_i_frame).map(|variant| variant.uri.clone()).collect()
}

/// A relative reference below the directory of `base`.
pub fn join(base: &str, reference: &str) -> String {
    assert!(!reference.contains("://") && !reference.starts_with('/') && !reference.contains(".."), "{reference}");
    let (directory, _) = base.rsplit_once('/').expect("a directory");
    format!("{directory}/{reference}")
}
