//! Subtitles from end to end: those in an upload, and files added to a title before and after it is ready.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use headwater::catalogue::Catalogue;
use headwater::store::{Key, Store};
use headwater::text::{self, Document};
use headwater::title::{ContentHash, TextKind, TitleId, plan};
use http::{Method, StatusCode};
use m3u8_rs::AlternativeMediaType;

use super::clips::{clip, ffmpeg, file, uploads};
use super::harness::{policy, worker_settings};
use super::player::{Presentation, Track, good, join, media, multivariant};
use super::server::{Answer, Server, Title, assert_sound, clip_bytes, eventually, files, request, whole};

const SRT: &str = "1\n00:00:01,000 --> 00:00:02,500\nOne <i>& only</i>\n\n2\n00:00:03,000 --> 00:00:05,000\nOver the cut\n\n\
    3\n00:00:09,000 --> 00:00:15,000\nTo the end\n";
const ASS: &str = "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n\
    Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, \
    ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\n\
    Style: Default,Arial,20,&H00FFFFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,2,2,2,10,10,10,1\n\n\
    [Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n\
    Dialogue: 0,0:00:01.50,0:00:02.00,Default,,0,0,0,,{\\an8\\fad(100,100)}Uno\\Ndos\n\
    Dialogue: 0,0:00:02.00,0:00:03.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0 100 100{\\p0}\n";

/// Ten seconds of picture and sound, from which other clips are made.
const FILM: [&str; 8] = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=24:d=10", "-f", "lavfi", "-i", "sine=f=440:r=48000:d=10"];
const CODECS: [&str; 8] = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"];

fn path(path: &std::path::Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// The film with an SRT and an ASS track, starting at `start` seconds.
pub fn mkv(start: &str) -> PathBuf {
    let (srt, ass) = (path(&file("srt", SRT.as_bytes())), path(&file("ass", ASS.as_bytes())));
    let maps = ["-map", "0:v", "-map", "1:a", "-map", "2:s", "-map", "3:s", "-c:s:0", "srt", "-c:s:1", "ass"];
    let tags = ["-metadata:s:s:0", "language=ger", "-metadata:s:s:1", "language=spa", "-metadata:s:s:1", "title=Para sordos (SDH)"];
    let marks = ["-disposition:s:0", "default", "-disposition:s:1", "0", "-output_ts_offset", start];
    clip("mkv", &[FILM.as_slice(), &["-i", &srt, "-i", &ass], &maps, &CODECS, &tags, &marks].concat())
}

/// A cue as a player reads it.
type Cue = (u64, u64, String);

/// The cues of one segment, which must be in the form that every player reads.
fn cues(answer: &Answer) -> Vec<Cue> {
    let text = std::str::from_utf8(&answer.body).expect("UTF-8");
    let rest = text.strip_prefix("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n").expect("a header");
    let rest = rest.strip_suffix('\n').expect("a blank line at the end");
    let document = Document::read(&format!("WEBVTT\n{rest}")).expect("cues");
    document.cues().iter().map(|cue| (cue.start_ms, cue.end_ms, [cue.settings.as_str(), &cue.text].join("|"))).collect()
}

/// The text tracks of a title by name, each with its playlist.
async fn text_tracks(server: &Server, title: &Title) -> BTreeMap<String, Track> {
    let playlist = multivariant(&good(server, title.hls()).await.body);
    let mut tracks = BTreeMap::new();
    for rendition in playlist.alternatives.iter().filter(|rendition| rendition.media_type == AlternativeMediaType::Subtitles) {
        assert!(
            playlist
                .variants
                .iter()
                .filter(|variant| !variant.is_i_frame)
                .all(|variant| variant.subtitles.as_ref() == Some(&rendition.group_id))
        );
        let url = join(title.hls(), rendition.uri.as_deref().expect("a URI"));
        let playlist = media(&good(server, &url).await.body);
        tracks.insert(rendition.name.clone(), Track { url, playlist });
    }
    tracks
}

/// All cues of a track, after checking that every segment has exactly those of its period.
async fn all_cues(server: &Server, track: &Track) -> Vec<Cue> {
    let mut found: Vec<(f64, f64, Vec<Cue>)> = Vec::new();
    let mut start = 0.0;
    for (segment, url) in track.playlist.segments.iter().zip(track.segments()) {
        let answer = good(server, &url).await;
        assert_eq!(answer.header("content-type"), "text/vtt", "{url}");
        assert!(answer.header("cache-control").contains("immutable"), "{url}");
        let end = start + f64::from(segment.duration) * 1000.0;
        found.push((start, end, cues(&answer)));
        start = end;
    }
    let mut all: Vec<Cue> = found.iter().flat_map(|(_, _, cues)| cues.clone()).collect();
    all.sort();
    all.dedup();
    for (start, end, cues) in &found {
        let expect: Vec<&Cue> = all.iter().filter(|cue| (cue.0 as f64) < end - 0.5 && cue.1 as f64 > start + 0.5).collect();
        assert_eq!(cues.iter().collect::<Vec<_>>(), expect, "{start} to {end} of {}", track.url);
    }
    all
}

async fn put(server: &Server, id: &str, what: &str, body: impl Into<Bytes>) -> Answer {
    server.send(request(Method::PUT, &server.api(&format!("/api/v1/titles/{id}/subtitles/{what}")), &[], whole(body))).await
}

async fn remove(server: &Server, id: &str, what: &str) -> Answer {
    server.ask(Method::DELETE, &server.api(&format!("/api/v1/titles/{id}/subtitles/{what}")), &[]).await
}

fn cue(start_ms: u64, end_ms: u64, text: &str) -> Cue {
    (start_ms, end_ms, text.to_owned())
}

#[tokio::test]
async fn subtitles_in_an_upload_are_shown_at_their_times() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[]).await;
    for start in ["0", "10", "3600"] {
        let source = std::fs::read(mkv(start)).expect("read");
        let title = server.upload("film", source).await;
        let title = server.until(title.id(), Title::is_ready).await;
        let told: Vec<_> = title.0["subtitles"].as_array().expect("a list").iter().map(|track| track.to_string()).collect();
        let expect = [
            r#"{"default":true,"kind":"subtitles","language":"de","name":"German","origin":"source"}"#,
            r#"{"default":false,"kind":"captions","language":"es","name":"Para sordos (SDH)","origin":"source"}"#,
        ];
        assert_eq!(told, expect);
        let facts = &title.0["source"]["subtitles"];
        let counts = |index: usize| (facts[index]["codec"].as_str(), facts[index]["cue_count"].as_u64(), facts[index]["text"].as_bool());
        assert_eq!((counts(0), counts(1)), ((Some("subrip"), Some(3), Some(true)), (Some("ass"), Some(2), Some(true))));
        let report: Vec<_> = title.0["report"].as_array().expect("a list").iter().filter_map(|remark| remark["code"].as_str()).collect();
        assert_eq!(report.iter().filter(|code| **code == "subtitles-converted").count(), 2, "{report:?}");

        let tracks = text_tracks(&server, &title).await;
        let video = &Presentation::of(&server, &title).await.tracks[0];
        let durations = |track: &Track| track.playlist.segments.iter().map(|segment| segment.duration).collect::<Vec<_>>();
        for track in tracks.values() {
            assert_eq!(durations(track), durations(video));
            assert_eq!((track.init(), track.playlist.target_duration), (None, video.playlist.target_duration));
        }
        let end_ms = title.0["duration_ms"].as_u64().expect("a duration");
        // Encoder delay of the sound, which begins first, moves everything by at most a picture.
        let german = all_cues(&server, &tracks["German"]).await;
        let shift = german[0].0 - 1000;
        assert!(shift < 50, "{german:?}");
        let expect = [
            cue(1000 + shift, 2500 + shift, "|One <i>&amp; only</i>"),
            cue(3000 + shift, 5000 + shift, "|Over the cut"),
            cue(9000 + shift, end_ms, "|To the end"),
        ];
        assert_eq!(german, expect, "from {start} s on");
        let spanish = all_cues(&server, &tracks["Para sordos (SDH)"]).await;
        assert_eq!(spanish, [cue(1500 + shift, 2000 + shift, "line:0|Uno\ndos")], "the drawing is none");

        // A reader that is not ours. It joins the segments, and drops what is repeated in them.
        let read = ffmpeg(&["-i", &tracks["German"].url, "-map", "0:s:0", "-f", "srt", "-"]).output().expect("ffmpeg");
        let read = String::from_utf8_lossy(&read.stdout).into_owned();
        let texts = ["One <i>& only</i>", "Over the cut", "To the end"];
        assert_eq!(texts.map(|text| read.matches(text).count()), [1, 1, 1], "{read}");
        assert!(!read.contains("WEBVTT"), "{read}");
    }
    assert_sound(&server.data).await;
}

/// What a survey makes of the subtitles in a clip: name, language, kind, cues.
async fn converted(clip: &std::path::Path) -> (Vec<(String, TextKind, Vec<Cue>)>, Vec<String>) {
    let source = std::fs::File::open(clip).expect("the file");
    let mut worker = headwater::worker::Worker::spawn(&worker_settings(), source).expect("a worker");
    let survey = worker.survey().await.unwrap_or_else(|failure| panic!("{}: {failure:?}", clip.display()));
    let (plan, _) = plan(&survey.facts, &policy()).expect("a plan");
    let (tracks, documents, remarks) = text::convert(&survey.facts, &survey.texts, &plan);
    let documents: BTreeMap<ContentHash, Bytes> = documents.into_iter().collect();
    let tracks = tracks.into_iter().map(|track| {
        let document = Document::read(std::str::from_utf8(&documents[&track.document]).expect("UTF-8")).expect("a document");
        let cues = document.cues().iter().map(|cue| (cue.start_ms, cue.end_ms, cue.text.clone())).collect();
        (track.name, track.kind, cues)
    });
    let codes = remarks.iter().map(|remark| serde_json::to_value(remark.code).expect("json").as_str().expect("a name").to_owned());
    (tracks.collect(), codes.collect())
}

#[tokio::test]
async fn every_container_of_text_is_read() {
    let srt = path(&file("srt", SRT.as_bytes()));
    for (extension, codec) in [("mp4", "mov_text"), ("mov", "mov_text"), ("mkv", "webvtt"), ("mkv", "subrip"), ("mkv", "ass")] {
        let marks = ["-metadata:s:s:0", "language=fra", "-disposition:s:0", "forced"];
        let maps = ["-map", "0:v", "-map", "1:a", "-map", "2:s", "-c:s", codec];
        let film = clip(extension, &[FILM.as_slice(), &["-i", &srt], &maps, &CODECS, &marks].concat());
        let (tracks, codes) = converted(&film).await;
        let [(name, kind, cues)] = tracks.as_slice() else { panic!("{extension} {codec}: {tracks:?}") };
        // What QuickTime files mark is lost when this tool writes them.
        let expect = if extension == "mov" { ("French", TextKind::Subtitles) } else { ("French (forced)", TextKind::Forced) };
        assert_eq!((name.as_str(), *kind), expect, "{extension} {codec}");
        assert_eq!(cues.len(), 3, "{extension} {codec}: {cues:?}");
        for ((start_ms, end_ms, text), (start, end, expect)) in
            cues.iter().zip([(1000, 2500, "One <i>&amp; only</i>"), (3000, 5000, "Over the cut"), (9000, 10_000, "To the end")])
        {
            assert!(start_ms.abs_diff(start) < 50 && end_ms.abs_diff(end) < 70, "{extension} {codec}: {start_ms} to {end_ms}");
            assert_eq!(text, expect, "{extension} {codec}");
        }
        assert_eq!(codes, ["subtitles-converted"]);
    }
}

#[tokio::test]
async fn pictures_of_text_are_reported_and_not_shown() {
    // Subtitles that are pictures, of the kind that DVDs have: two colours on nothing.
    let srt = path(&file("srt", SRT.as_bytes()));
    let film =
        clip("mkv", &[FILM.as_slice(), &["-i", &srt, "-map", "0:v", "-map", "1:a", "-map", "2:s", "-c:s", "subrip"], &CODECS].concat());
    let (tracks, _) = converted(&film).await;
    assert_eq!(tracks.len(), 1);
    let mut bytes = std::fs::read(&film).expect("read");
    let at = bytes.windows(11).position(|window| window == b"S_TEXT/UTF8").expect("the codec of the track");
    // The same length: what the packets hold is not looked at for pictures.
    bytes[at..at + 11].copy_from_slice(b"S_HDMV/PGS\0");
    let (tracks, codes) = converted(&file("mkv", &bytes)).await;
    assert_eq!((tracks.len(), codes), (0, vec!["bitmap-subtitles".to_owned()]));
}

#[tokio::test]
async fn text_that_cannot_be_read_is_counted() {
    let srt = path(&file("srt", SRT.as_bytes()));
    let film =
        clip("mkv", &[FILM.as_slice(), &["-i", &srt, "-map", "0:v", "-map", "1:a", "-map", "2:s", "-c:s", "subrip"], &CODECS].concat());
    let mut bytes = std::fs::read(&film).expect("read");
    let at = bytes.windows(12).position(|window| window == b"Over the cut").expect("the cue");
    bytes[at..at + 4].copy_from_slice(b"\xff\xfe\xff\xfe");
    let (tracks, codes) = converted(&file("mkv", &bytes)).await;
    assert_eq!(tracks[0].2.len(), 2, "{tracks:?}");
    assert_eq!(codes, ["subtitles-damaged", "subtitles-converted"]);
}

/// Every object of pictures and sound, by its URL.
async fn media_objects(server: &Server, title: &Title) -> BTreeMap<String, Bytes> {
    let presentation = Presentation::of(server, title).await;
    let mut objects = BTreeMap::new();
    for track in presentation.tracks.iter().filter(|track| track.init().is_some()) {
        for url in [track.url.clone()].into_iter().chain(track.init()).chain(track.segments()) {
            objects.insert(url.clone(), good(server, &url).await.body);
        }
    }
    objects
}

#[tokio::test]
async fn files_are_added_replaced_and_taken_away_and_nothing_else_changes() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[]).await;
    let title = server.upload("film", clip_bytes("320x240", 10)).await;
    let id = title.id().to_owned();
    let title = server.until(&id, Title::is_ready).await;
    let before = good(&server, title.hls()).await;
    let objects = media_objects(&server, &title).await;
    assert!(!String::from_utf8_lossy(&before.body).contains("SUBTITLES"));

    let latin: Vec<u8> = "1\r\n00:00:01,000 --> 00:00:06,000\r\nGrüße\r\n".chars().map(|letter| letter as u8).collect();
    let added = put(&server, &id, "de?default=true", latin).await;
    assert_eq!((added.status, added.json()["generation"].as_u64()), (StatusCode::CREATED, Some(2)));
    // At once, though the old playlist was in the cache.
    let one = text_tracks(&server, &title).await;
    assert_eq!(all_cues(&server, &one["German"]).await, [cue(1000, 6000, "|Grüße")]);
    assert!(one["German"].url.ends_with("/2/s0/index.m3u8"));
    let added = put(&server, &id, "en?kind=captions", "WEBVTT\n\n00:02.000 --> 00:03.000 line:0\n[music]\n").await;
    assert_eq!((added.status, added.json()["generation"].as_u64()), (StatusCode::CREATED, Some(3)));
    let two = text_tracks(&server, &title).await;
    assert_eq!(two["German"].url, one["German"].url, "what did not change keeps its URL");
    assert_eq!(all_cues(&server, &two["English (SDH)"]).await, [cue(2000, 3000, "line:0|[music]")]);
    let replaced = put(&server, &id, "de", "1\n00:00:01,000 --> 00:00:02,000\nHallo\n").await;
    assert_eq!((replaced.status, replaced.json()["generation"].as_u64()), (StatusCode::OK, Some(4)));
    let three = text_tracks(&server, &title).await;
    assert_eq!(all_cues(&server, &three["German"]).await, [cue(1000, 2000, "|Hallo")]);
    assert_eq!(replaced.json()["subtitles"][0]["default"], true, "as before");
    assert_eq!(all_cues(&server, &one["German"]).await, [cue(1000, 6000, "|Grüße")], "whoever plays it goes on playing it");
    let same = put(&server, &id, "de", "1\n00:00:01,000 --> 00:00:02,000\nHallo\n").await;
    assert_eq!((same.status, same.json()["generation"].as_u64()), (StatusCode::OK, Some(4)), "nothing changed");
    let broken = put(&server, &id, "de", "1\n00:00:01,000 --> 00:00:0x,000\nHallo\n").await;
    assert_eq!((broken.problem().as_str(), broken.json()["line"].as_u64()), ("invalid-subtitles", Some(2)));
    assert_eq!(remove(&server, &id, "de").await.json()["generation"], 5);
    assert_eq!(remove(&server, &id, "en?kind=captions").await.json()["generation"], 6);

    assert_eq!(good(&server, title.hls()).await.body, before.body, "as it was");
    assert_eq!(media_objects(&server, &title).await, objects);
    for absent in ["1/s0/index.m3u8", "2/s1/index.m3u8", "3/s0/index.m3u8", "2/v0/index.m3u8", "2/s0/9.vtt", "2/v0/init.mp4", "2/v0/0.m4s"]
    {
        assert_eq!(server.get(&join(title.hls(), absent)).await.status, StatusCode::NOT_FOUND, "{absent}");
    }
    // However long the grace, 64 generations are kept; the documents of others go.
    for round in 0..70 {
        let text = format!("1\n00:00:01,000 --> 00:00:02,000\nround {round}\n");
        assert!(put(&server, &id, "fr", text).await.status.is_success());
    }
    let documents = || files(&server.data.join("store")).iter().filter(|path| is_document(path)).count();
    assert_eq!(documents(), 64);
    assert_eq!(server.get(&one["German"].url).await.status, StatusCode::OK, "from the cache");
    assert_eq!(server.get(&join(title.hls(), "2/s0/1.vtt?").replace('?', "")).await.status, StatusCode::OK, "as well");
    assert_sound(&server.data).await;
    assert!(!server.logged().contains("ERROR"), "{}", server.logged());
}

/// Whether a file is of subtitles: the index of the storyboard is WebVTT as well.
fn is_document(path: &std::path::Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.starts_with("WEBVTT") && !text.contains("#xywh="))
}

#[tokio::test]
async fn text_changes_while_the_title_is_made_and_survives_a_kill() {
    let _turn = super::server::turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    let slowly = [("HEADWATER_WORKER__COUNT", "1"), ("HEADWATER_VIDEO__PRESET", "slow")];
    let server = Server::start(&data, &slowly).await;
    let title = server.upload("film", clip_bytes("640x360", 60)).await;
    let id = title.id().to_owned();
    let early = put(&server, &id, "de", SRT).await;
    assert_eq!(early.problem(), "conflict");
    let title = server.until(&id, |title| title.0["playable"] == true).await;
    let media_urls: Vec<String> = Presentation::of(&server, &title).await.urls();
    for generation in 2..=4 {
        let added = put(&server, &id, ["de", "en", "fr"][generation - 2], SRT).await;
        assert_eq!((added.status, added.json()["generation"].as_u64()), (StatusCode::CREATED, Some(generation as u64)));
        assert_eq!(added.json()["state"], "processing");
    }
    // What was acknowledged is there for good.
    server.kill();
    // What a process killed between announcing, storing and naming would leave.
    let (title_id, stray) = (TitleId::parse(&id).expect("an id"), Bytes::from_static(b"WEBVTT\n\nnobody's\n"));
    let catalogue = Catalogue::open(&data.join("catalogue.db")).await.expect("the catalogue");
    catalogue.document_coming(title_id, ContentHash::of(&stray)).await.expect("noted");
    catalogue.close().await;
    let store = Store::open(&data.join("store")).await.expect("the store");
    store.put(Key::Object(title_id, ContentHash::of(&stray)), stray.clone()).await.expect("stored");
    assert_sound(&data).await;

    let server = Server::start(&data, &[]).await;
    assert!(!store.exists(Key::Object(title_id, ContentHash::of(&stray))).await.expect("asked"), "the start cleared it away");
    let title = server.title(&id).await;
    assert_eq!((title.state(), title.0["generation"].as_u64()), ("processing", Some(4)));
    let tracks = text_tracks(&server, &title).await;
    assert_eq!(all_cues(&server, &tracks["English"]).await.len(), 3);
    assert_eq!(remove(&server, &id, "en").await.json()["generation"], 5);
    let title = server.until(&id, Title::is_ready).await;
    assert_eq!((title.0["generation"].as_u64(), title.segments_done()), (Some(5), 45));
    let tracks =
        eventually("the measured playlist", async || Some(text_tracks(&server, &title).await).filter(|tracks| tracks.len() == 2)).await;
    assert_eq!(all_cues(&server, &tracks["French"]).await.len(), 3);
    let presentation = Presentation::of(&server, &title).await;
    let urls = presentation.urls();
    assert!(media_urls.iter().all(|url| urls.iter().any(|now| now.split("/t/").nth(1) == url.split("/t/").nth(1))), "media URLs stay");
    assert_eq!(presentation.fetch(&server).await.len(), urls.len(), "all of them are there");
    assert_sound(&data).await;
}

#[tokio::test]
async fn changes_at_once_take_turns() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[]).await;
    let title = server.upload("film", clip_bytes("320x240", 10)).await;
    let id = title.id().to_owned();
    server.until(&id, |title| title.0["playable"] == true).await;
    let languages = ["de", "en", "fr", "es", "it", "nl"];
    let all = languages.map(|language| put(&server, &id, language, SRT));
    let answers = futures_util::future::join_all(all).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::CREATED), "{answers:?}");
    let title = server.title(&id).await;
    assert_eq!((title.0["generation"].as_u64(), title.0["subtitles"].as_array().map(Vec::len)), (Some(7), Some(6)));
    // A title that is deleted in the middle of changes leaves nothing.
    let deletion = async { server.ask(Method::DELETE, &server.api(&format!("/api/v1/titles/{id}")), &[]).await };
    let changes = languages.map(|language| put(&server, &id, language, format!("{SRT}\n4\n00:00:04,000 --> 00:00:05,000\nmore\n")));
    let (deleted, changed) = tokio::join!(deletion, futures_util::future::join_all(changes));
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert!(changed.iter().all(|answer| [StatusCode::OK, StatusCode::NOT_FOUND].contains(&answer.status)), "{changed:?}");
    eventually("an empty store", async || files(&server.data.join("store")).is_empty().then_some(())).await;
    assert_sound(&server.data).await;
}

#[tokio::test]
async fn real_files_become_tracks() {
    let Some(folder) = uploads() else { return };
    let (tracks, _) = converted(&folder.join("mkv_srt_ass.mkv")).await;
    assert_eq!(tracks.len(), 2, "{tracks:?}");
    assert!(tracks.iter().all(|(_, _, cues)| !cues.is_empty()));
    let bom = std::fs::read(folder.join("subs_bom.srt")).expect("read");
    let document = text::read_sidecar(&bom, Some("en"), 60_000, &text::Limits::of_bytes(4 << 20)).expect("read");
    assert_eq!(document.cues().len(), 2, "{document:?}");
}
