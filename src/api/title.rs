//! The Title as clients see it, made from the catalogue's records.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::backend::Progress;
use super::source::{Source, SourceStreams};
use crate::catalogue::{PlanRecord, TitleRecord, TrackRecord};
use crate::title::{
    AudioMethod, AudioTier, Download, Problem, Remark, Still, TextKind, TextOrigin, TextTrack, TitleId, TitleState, TrackId, VideoRange,
};

/// A title.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Title {
    /// Names the title.
    #[schema(example = "01hf7yat00abcdefghjkmnpqrs")]
    id: String,
    /// What people call it.
    #[schema(example = "film.mp4")]
    name: String,
    /// Counts its plans from 1; each change of its subtitles makes a new one.
    #[schema(minimum = 1)]
    generation: u32,
    /// Where it stands; moves only forward.
    state: TitleState,
    /// Whether `playback.hls` plays from start to end, which may be long before it is ready.
    playable: bool,
    /// When it was created (RFC 3339, UTC).
    #[schema(format = DateTime, example = "2026-01-02T03:04:05.678Z")]
    created_at: String,
    /// Length in milliseconds, once it is planned.
    #[schema(required)]
    duration_ms: Option<u64>,
    /// How far it is.
    progress: TitleProgress,
    /// Where it plays.
    playback: Playback,
    /// The upload, once it was received whole.
    #[schema(required)]
    source: Option<Source>,
    /// Video renditions: the standard ones, largest first, then those of high dynamic range likewise; empty before it is planned.
    renditions: Vec<Rendition>,
    /// Audio renditions, the default one first; empty before it is planned.
    audio_renditions: Vec<AudioRendition>,
    /// Subtitles and captions, the default ones first; empty before it is planned.
    subtitles: Vec<Subtitles>,
    /// The gain that brings its sound to the target loudness, in decibels, once it is planned.
    #[schema(required)]
    gain_db: Option<f64>,
    /// What was found in the source, and what was done about it.
    report: Vec<Remark>,
    /// Why it failed.
    #[schema(required)]
    problem: Option<Problem>,
}

/// How far a title is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TitleProgress {
    /// From 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    fraction: f64,
    /// Segments made, all renditions together.
    segments_done: u64,
    /// Segments planned; 0 before it is planned.
    segments_total: u64,
    /// Time until it is ready in milliseconds, once it can be told.
    #[schema(required)]
    eta_ms: Option<u64>,
}

/// Where a title plays.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Playback {
    /// The multivariant playlist: the one stable URL of the title. Absent when it failed.
    #[schema(required, format = "uri")]
    hls: Option<String>,
    /// A still picture, a JPEG; absent until it is made, and where there is nothing to show.
    #[schema(required, format = "uri")]
    poster: Option<String>,
    /// Small pictures along the time: WebVTT whose cues name parts of JPEG sheets (`sprite-0.jpg#xywh=160,90,160,90`); absent
    /// until they are made, and where there is nothing to show.
    #[schema(required, format = "uri")]
    storyboard: Option<String>,
}

/// A video rendition.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Rendition {
    /// Its name.
    #[schema(example = "720p")]
    name: String,
    /// Width in pixels.
    width: u32,
    /// Height in pixels.
    height: u32,
    /// The codec (RFC 6381).
    #[schema(example = "avc1.64001f")]
    codec: String,
    /// How bright its pictures may be.
    range: Range,
    /// Highest rate of a segment in bits a second; the planned limit until all are made.
    bandwidth: u64,
    /// Rate over the whole in bits a second, once all segments are made.
    #[schema(required)]
    average_bandwidth: Option<u64>,
    /// How it is made.
    method: Method,
    /// An MP4 of these pictures with the default sound in stereo, to take away; absent until the title is ready.
    #[schema(required, format = "uri")]
    download: Option<String>,
}

/// The dynamic range of a video rendition.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Range {
    /// Standard dynamic range.
    Sdr,
    /// High, by the perceptual quantiser (SMPTE ST 2084).
    Pq,
    /// High, by hybrid log-gamma (ARIB STD-B67).
    Hlg,
}

impl From<VideoRange> for Range {
    fn from(range: VideoRange) -> Self {
        match range {
            VideoRange::Sdr => Self::Sdr,
            VideoRange::Pq => Self::Pq,
            VideoRange::Hlg => Self::Hlg,
        }
    }
}

/// How a rendition is made.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The source's own samples.
    Copy,
    /// Decoded and encoded.
    Encode,
}

/// An audio rendition.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AudioRendition {
    /// What a player's menu shows.
    name: String,
    /// The language (BCP 47).
    #[schema(required)]
    language: Option<String>,
    /// Which of the renditions of its sound it is.
    tier: AudioTier,
    /// Whether it plays when nobody chose.
    default: bool,
    /// Whether it describes the picture for those who do not see it.
    described: bool,
    /// Channels.
    channels: u8,
    /// The codec (RFC 6381).
    #[schema(example = "mp4a.40.2")]
    codec: String,
    /// Highest rate of a segment in bits a second; the planned rate until all are made.
    bandwidth: u64,
    /// Rate over the whole in bits a second, once all segments are made.
    #[schema(required)]
    average_bandwidth: Option<u64>,
    /// How it is made.
    method: Method,
    /// An MP4 of this sound alone, to take away; absent until the title is ready.
    #[schema(required, format = "uri")]
    download: Option<String>,
}

/// A track of subtitles or captions.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Subtitles {
    /// The language (BCP 47).
    #[schema(required, example = "pt-BR")]
    language: Option<String>,
    /// What a player's menu shows.
    name: String,
    /// What the text is for.
    kind: TextKind,
    /// Whether it is shown when nobody chose.
    default: bool,
    /// Where it came from.
    origin: Origin,
}

/// Where subtitles came from.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// They are in the upload.
    Source,
    /// They were added as a file.
    Sidecar,
}

impl Subtitles {
    fn new(track: &TextTrack) -> Self {
        Self {
            language: track.language.clone(),
            name: track.name.clone(),
            kind: track.kind,
            default: track.default,
            origin: match track.origin {
                TextOrigin::Source(_) => Origin::Source,
                TextOrigin::SideCar => Origin::Sidecar,
            },
        }
    }
}

impl Title {
    /// Puts a title together. `planned` belongs to its generation; `live` are its figures while it is processed; `base` is
    /// that of playback URLs.
    pub(super) fn new(record: &TitleRecord, planned: Option<&Planned>, live: Option<Progress>, base: &str) -> Self {
        let source = record.source.map(|source| Source::new(source, planned.map(|planned| &planned.streams)));
        let download = |file: Download| (record.state == TitleState::Ready).then(|| format!("{base}{}", download_path(record, file)));
        Self {
            id: record.id.to_string(),
            name: record.name.clone(),
            generation: record.generation.0,
            state: record.state,
            playable: matches!(record.state, TitleState::Processing | TitleState::Ready),
            created_at: rfc_3339(record.created_at_ms),
            duration_ms: planned.map(|planned| planned.duration_ms),
            progress: TitleProgress::new(record, live),
            playback: Playback {
                hls: (record.state != TitleState::Failed).then(|| format!("{base}{}", multivariant_path(record.id))),
                poster: record.has_poster.then(|| format!("{base}{}", still_path(record, Still::Poster))),
                storyboard: record.has_storyboard.then(|| format!("{base}{}", still_path(record, Still::Storyboard))),
            },
            source,
            renditions: planned.map(|planned| planned.renditions_at(download)).unwrap_or_default(),
            audio_renditions: planned.map(|planned| planned.audio_renditions_at(download)).unwrap_or_default(),
            subtitles: planned.map(|planned| planned.subtitles.clone()).unwrap_or_default(),
            gain_db: planned.map(|planned| f64::from(planned.gain_hundredths_db) / 100.0),
            report: record.remarks.clone(),
            problem: record.problem.clone(),
        }
    }
}

impl TitleProgress {
    fn new(record: &TitleRecord, live: Option<Progress>) -> Self {
        let (done, total) = (record.segments_done, record.segments_total);
        match (record.state, live) {
            (TitleState::Ready, _) => Self { fraction: 1.0, segments_done: done, segments_total: total, eta_ms: Some(0) },
            (TitleState::Processing, Some(live)) => Self {
                fraction: live.fraction.clamp(0.0, 1.0),
                segments_done: live.segments_done,
                segments_total: live.segments_total,
                eta_ms: live.eta_ms,
            },
            _ => {
                let fraction = if total == 0 { 0.0 } else { (done as f64 / total as f64).min(1.0) };
                Self { fraction, segments_done: done, segments_total: total, eta_ms: None }
            }
        }
    }
}

/// What a title shows of its plan: little, and the same from planning to the end but for the measured rates.
#[derive(Debug)]
pub(super) struct Planned {
    duration_ms: u64,
    streams: SourceStreams,
    renditions: Vec<Rendition>,
    audio_renditions: Vec<AudioRendition>,
    /// The file of each video rendition, where there is one.
    downloads: Vec<Option<Download>>,
    subtitles: Vec<Subtitles>,
    gain_hundredths_db: i32,
}

impl Planned {
    /// The video renditions with the URLs of their files.
    fn renditions_at(&self, url: impl Fn(Download) -> Option<String>) -> Vec<Rendition> {
        let with_files = self.renditions.iter().zip(&self.downloads);
        with_files.map(|(rendition, file)| Rendition { download: file.and_then(&url), ..rendition.clone() }).collect()
    }

    /// The audio renditions with the URLs of their files.
    fn audio_renditions_at(&self, url: impl Fn(Download) -> Option<String>) -> Vec<AudioRendition> {
        let numbered = self.audio_renditions.iter().zip(0_u8..);
        numbered.map(|(rendition, index)| AudioRendition { download: url(Download::Sound(index)), ..rendition.clone() }).collect()
    }

    /// Takes out of a plan what a title shows of it.
    pub(super) fn new(record: &PlanRecord) -> Self {
        let plan = &record.plan;
        let track = |track: TrackId| record.tracks.iter().find(|record| record.track == track);
        let codec = |track: Option<&TrackRecord>| track.map(|track| track.codec.clone()).unwrap_or_default();
        let rates = |track: Option<&TrackRecord>, planned_bps: u32| match track.and_then(|track| track.rates) {
            Some(rates) => (rates.peak_bps, Some(rates.average_bps)),
            None => (u64::from(planned_bps), None),
        };
        let video = plan.video.iter().zip(0_u8..).map(|(video, index)| {
            let track = track(TrackId::video(index));
            let (bandwidth, average_bandwidth) = rates(track, video.cap_bps());
            Rendition {
                name: video.name.clone(),
                width: video.width,
                height: video.height,
                codec: codec(track),
                range: video.range.into(),
                bandwidth,
                average_bandwidth,
                method: if video.encoding().is_some() { Method::Encode } else { Method::Copy },
                download: None,
            }
        });
        let audio = plan.audio.iter().zip(0_u8..).map(|(audio, index)| {
            let track = track(TrackId::audio(index));
            let (bandwidth, average_bandwidth) = rates(track, audio.bit_rate_bps);
            AudioRendition {
                name: audio.name.clone(),
                language: audio.language.clone(),
                tier: audio.tier,
                default: audio.default,
                described: audio.described,
                channels: audio.channels,
                codec: codec(track),
                bandwidth,
                average_bandwidth,
                method: if audio.method == AudioMethod::Encode { Method::Encode } else { Method::Copy },
                download: None,
            }
        });
        Self {
            duration_ms: plan.timeline.duration_ms(),
            streams: SourceStreams::new(&record.facts, plan.video_stream, record.loudness.as_ref()),
            renditions: video.collect(),
            audio_renditions: audio.collect(),
            downloads: (0_u8..).take(plan.video.len()).map(|index| Download::of_video(plan, index)).collect(),
            subtitles: plan.text.iter().map(Subtitles::new).collect(),
            gain_hundredths_db: plan.gain_hundredths_db,
        }
    }
}

/// Path of a title's multivariant playlist at the public listener.
fn multivariant_path(id: TitleId) -> String {
    format!("/t/{id}/main.m3u8")
}

/// Path of a still of a title's generation at the public listener.
fn still_path(record: &TitleRecord, still: Still) -> String {
    format!("/t/{}/{}/{still}", record.id, record.ledger)
}

/// Path of a file of a title's generation at the public listener.
fn download_path(record: &TitleRecord, file: Download) -> String {
    format!("/t/{}/{}/download/{file}", record.id, record.ledger)
}

fn rfc_3339(unix_ms: i64) -> String {
    // Times are ours and lie within the range; the epoch stands for one that does not.
    Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::catalogue::{SourceRecord, sample};
    use crate::title::{ContentHash, Generation, ProblemCode};

    fn record(state: TitleState) -> TitleRecord {
        TitleRecord {
            id: sample::title_id(1),
            name: "film.mp4".into(),
            state,
            generation: Generation::FIRST,
            ledger: Generation::FIRST,
            created_at_ms: 1_700_000_000_123,
            updated_at_ms: 1_700_000_000_123,
            revision: 7,
            source: Some(SourceRecord { bytes: 6, sha256: ContentHash::of(b"source") }),
            problem: (state == TitleState::Failed).then(|| Problem::new(ProblemCode::NotMedia)),
            remarks: vec![],
            segments_done: 3,
            segments_total: 9,
            has_loudness: false,
            has_poster: state == TitleState::Ready,
            has_storyboard: state == TitleState::Ready,
        }
    }

    fn planned(measured: bool) -> Planned {
        let mut tracks = sample::tracks();
        if measured {
            for (track, (_, rates)) in tracks.iter_mut().zip(sample::rates()) {
                track.rates = Some(rates);
            }
        }
        Planned::new(&PlanRecord {
            generation: Generation::FIRST,
            ledger: Generation::FIRST,
            planned_at_ms: 1,
            facts: sample::facts(),
            plan: sample::plan(),
            tracks,
            finished_at_ms: None,
            loudness: measured.then(|| BTreeMap::from([(1, sample::loudness())])),
        })
    }

    fn json(title: &Title) -> serde_json::Value {
        serde_json::to_value(title).expect("a title is JSON")
    }

    #[test]
    fn a_title_that_is_processed() {
        let live = Progress { fraction: 0.5, segments_done: 4, segments_total: 9, eta_ms: Some(1200) };
        let title = json(&Title::new(&record(TitleState::Processing), Some(&planned(false)), Some(live), "http://h:1"));
        let id = sample::title_id(1).to_string();
        assert_eq!(title["id"], id);
        assert_eq!(title["state"], "processing");
        assert_eq!(title["playable"], true);
        assert_eq!(title["created_at"], "2023-11-14T22:13:20.123Z");
        assert_eq!(title["duration_ms"], 12_000);
        assert_eq!(title["progress"], serde_json::json!({"fraction": 0.5, "segments_done": 4, "segments_total": 9, "eta_ms": 1200}));
        assert_eq!(title["playback"]["hls"], format!("http://h:1/t/{id}/main.m3u8"));
        assert!(title["playback"]["poster"].is_null());
        let ready = json(&Title::new(&record(TitleState::Ready), Some(&planned(true)), None, "http://h:1"));
        assert_eq!(ready["playback"]["poster"], format!("http://h:1/t/{id}/1/poster.jpg"));
        assert_eq!(ready["playback"]["storyboard"], format!("http://h:1/t/{id}/1/storyboard.vtt"));
        assert_eq!(ready["renditions"][1]["download"], format!("http://h:1/t/{id}/1/download/540p.mp4"));
        assert_eq!(ready["audio_renditions"][0]["download"], format!("http://h:1/t/{id}/1/download/a0.m4a"));
        assert!(title["renditions"][0]["download"].is_null() && title["audio_renditions"][0]["download"].is_null());
        assert_eq!(title["source"]["audio"][0]["language"], "ger");
        assert!(title["source"]["audio"][0]["loudness"].is_null());
        assert_eq!(title["audio_renditions"][0]["tier"], "stereo");
        assert_eq!(title["gain_db"], 0.0);
        assert_eq!(title["renditions"][0]["bandwidth"], 3_000_000);
        assert!(title["renditions"][0]["average_bandwidth"].is_null());
        assert_eq!(title["renditions"][1]["name"], "540p");
        assert_eq!(title["renditions"][1]["method"], "encode");
        assert_eq!(title["renditions"][1]["range"], "sdr");
        assert_eq!(title["audio_renditions"][0]["codec"], "mp4a.40.2");
        assert!(title["problem"].is_null());
    }

    #[test]
    fn without_live_figures_the_record_tells_the_progress() {
        for (state, fraction, eta_ms) in [(TitleState::Processing, 3.0 / 9.0, serde_json::Value::Null), (TitleState::Ready, 1.0, 0.into())]
        {
            let title = json(&Title::new(&record(state), Some(&planned(true)), None, ""));
            assert_eq!(title["progress"]["fraction"], fraction);
            assert_eq!(title["progress"]["eta_ms"], eta_ms);
            assert_eq!(title["renditions"][0]["bandwidth"], 2_000_000);
            assert_eq!(title["renditions"][0]["average_bandwidth"], 1_500_000);
            let loudness = serde_json::json!({"integrated_lufs": -23.05, "range_lu": 6.5, "true_peak_dbtp": -3.2, "silent": false});
            assert_eq!(title["source"]["audio"][0]["loudness"], loudness);
        }
    }

    #[test]
    fn a_failed_title_plays_nowhere_and_says_why() {
        let title = json(&Title::new(&record(TitleState::Failed), None, None, "http://h"));
        assert_eq!(title["playable"], false);
        assert!(title["playback"]["hls"].is_null());
        assert_eq!(title["problem"]["code"], "not-media");
        assert!(title["source"]["container"].is_null());
    }
}
