//! The way of a title from upload to viewers and to its end, over HTTP, with the real server and the real worker.

use std::path::Path;

use bytes::Bytes;
use headwater::catalogue::Catalogue;
use headwater::title::{Generation, SegmentNumber, TitleId, TrackId};
use http::{Method, StatusCode};

use super::player::{Presentation, good, multivariant};
use super::server::{Server, assert_sound, clip_bytes, eventually, files, turn};

/// A worker program that waits for the file `gate` and then becomes the real one.
fn gated_worker(directory: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let (program, gate) = (directory.join("gated-worker"), directory.join("gate"));
    let worker = env!("CARGO_BIN_EXE_headwater-worker");
    let script = format!("#!/bin/sh\nwhile [ ! -e '{}' ]; do /bin/sleep 0.01; done\nexec '{worker}' \"$@\"\n", gate.display());
    std::fs::write(&program, script).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("executable");
    (program, gate)
}

#[tokio::test]
async fn an_upload_becomes_a_title_that_plays() {
    let _turn = turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let (worker, gate) = gated_worker(home.path());
    let server = Server::start(&home.path().join("data"), &[("HEADWATER_WORKER__PATH", worker.to_str().expect("UTF-8"))]).await;
    let source = clip_bytes("640x360", 18);
    let answer = server.post("a film.mp4", source.clone()).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let created = answer.json();
    let id = created["id"].as_str().expect("an id").to_owned();
    assert_eq!(answer.header("location"), format!("/api/v1/titles/{id}"));
    assert_eq!((created["name"].as_str(), created["state"].as_str()), (Some("a film.mp4"), Some("surveying")));
    assert_eq!(created["playable"], false);
    assert_eq!(created["source"]["bytes"], source.len());
    assert_eq!(created["source"]["sha256"], headwater::title::ContentHash::of(&source).to_string());

    let mut events = server.events(&format!("/api/v1/titles/{id}/events")).await;
    let mut told = vec![events.next().await];
    std::fs::write(gate, "").expect("opened");
    let mut times = Vec::new();
    while !told.last().expect("one").1.is_final() {
        told.push(events.next().await);
        times.push(std::time::Instant::now());
    }
    assert!(told.iter().all(|(name, title)| name == "title" && title.id() == id));
    let mut states: Vec<&str> = told.iter().map(|(_, title)| title.state()).collect();
    states.dedup();
    assert_eq!(states, ["surveying", "processing", "ready"]);
    let progress: Vec<u64> =
        told.iter().filter(|(_, title)| title.state() == "processing").map(|(_, title)| title.segments_done()).collect();
    assert!(progress.windows(2).all(|pair| pair[0] <= pair[1]), "it only grows: {progress:?}");
    // 18 s in segments of 4 s, for 360p, 240p and the sound.
    assert!(told[1..].iter().all(|(_, title)| title.0["progress"]["segments_total"] == 15 && title.0["playable"] == true));
    // The first and last of these are no mere progress.
    let paced = times[..times.len() - 1].windows(2).zip(told[1..].windows(2));
    // A poster that is there now, or a loudness that is known, is more than progress.
    let parts = ["playback", "source"];
    let mut mere = paced.filter(|(_, told)| parts.iter().all(|part| told[0].1.0[*part] == told[1].1.0[*part]));
    assert!(mere.all(|(pair, _)| pair[1] - pair[0] > std::time::Duration::from_millis(400)), "at most twice a second: {times:?}");
    let title = &told.last().expect("one").1;
    assert_eq!((title.segments_done(), title.0["progress"]["fraction"].as_f64()), (15, Some(1.0)));
    assert_eq!(title.0["duration_ms"], 18_000);

    let presentation = Presentation::of(&server, title).await;
    assert_eq!((presentation.multivariant.variants.len(), presentation.tracks.len()), (2, 3));
    for track in &presentation.tracks {
        assert_eq!(track.playlist.segments.len(), 5);
        assert!((track.duration_s() - 18.0).abs() < 0.03, "{}: {} s", track.url, track.duration_s());
    }
    let urls = presentation.urls();
    assert_eq!(urls.len(), 1 + 3 * (1 + 1 + 5) + 2, "with an I-frame playlist for each size");
    for url in urls {
        check_delivery(&server, &url).await;
    }
    assert_sound(&server.data).await;
    assert!(!server.logged().contains("ERROR"), "{}", server.logged());
}

/// What every object of a title must answer, whichever it is.
async fn check_delivery(server: &Server, url: &str) {
    let whole = good(server, url).await;
    let (kind, cache_control) = match url {
        _ if url.ends_with("main.m3u8") => {
            ("application/vnd.apple.mpegurl", "public, max-age=5, stale-while-revalidate=10, stale-if-error=86400")
        }
        _ if url.ends_with(".m3u8") => ("application/vnd.apple.mpegurl", "public, max-age=31536000, immutable"),
        _ if url.contains("/a0/") => ("audio/mp4", "public, max-age=31536000, immutable"),
        _ => ("video/mp4", "public, max-age=31536000, immutable"),
    };
    assert_eq!(whole.header("content-type"), kind, "{url}");
    assert_eq!(whole.header("cache-control"), cache_control, "{url}");
    assert_eq!(whole.header("access-control-allow-origin"), "*", "{url}");
    assert!(whole.header("access-control-expose-headers").contains("ETag"), "{url}");
    assert_eq!(whole.header("accept-ranges"), "bytes", "{url}");
    assert_eq!(whole.header("content-length"), whole.body.len().to_string(), "{url}");
    assert!(httpdate::parse_http_date(whole.header("last-modified")).is_ok(), "{url}");
    let etag = whole.header("etag").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 20, "strong: {etag}");

    let head = server.ask(Method::HEAD, url, &[]).await;
    let without_date = |headers: &http::HeaderMap| {
        let mut headers = headers.clone();
        // How an answer came about differs.
        for name in ["date", "cache-status", "server-timing"] {
            headers.remove(name);
        }
        headers
    };
    assert_eq!((head.status, without_date(&head.headers)), (StatusCode::OK, without_date(&whole.headers)), "{url}");
    assert!(head.body.is_empty());

    let length = whole.body.len();
    for (range, expect) in
        [("bytes=0-9", 0..10), ("bytes=100-", 100..length), ("bytes=-7", length - 7..length), ("bytes=5-999999999", 5..length)]
    {
        let part = server.ask(Method::GET, url, &[("range", range)]).await;
        assert_eq!(part.status, StatusCode::PARTIAL_CONTENT, "{url} {range}");
        assert_eq!(part.header("content-range"), format!("bytes {}-{}/{length}", expect.start, expect.end - 1));
        assert_eq!((part.header("etag"), &part.body), (etag.as_str(), &whole.body.slice(expect)));
    }
    let beyond = server.ask(Method::GET, url, &[("range", &format!("bytes={length}-"))]).await;
    assert_eq!((beyond.status, beyond.header("content-range")), (StatusCode::RANGE_NOT_SATISFIABLE, format!("bytes */{length}").as_str()));
    let same = server.ask(Method::GET, url, &[("if-none-match", &etag)]).await;
    assert_eq!((same.status, same.header("etag"), same.body.len()), (StatusCode::NOT_MODIFIED, etag.as_str(), 0));
    let other = server.ask(Method::GET, url, &[("if-none-match", "\"other\"")]).await;
    assert_eq!((other.status, other.body), (StatusCode::OK, whole.body.clone()));
    let changed = server.ask(Method::GET, url, &[("range", "bytes=0-9"), ("if-range", "\"other\"")]).await;
    assert_eq!((changed.status, changed.body), (StatusCode::OK, whole.body));
}

#[tokio::test]
async fn the_end_plays_before_the_rest_is_made() {
    let _turn = turn().await;
    let home = tempfile::tempdir().expect("a directory");
    let slowly = [("HEADWATER_WORKER__COUNT", "1"), ("HEADWATER_VIDEO__PRESET", "slow")];
    let server = Server::start(&home.path().join("data"), &slowly).await;
    let title = server.upload("film", clip_bytes("640x360", 120)).await;
    let title = server.until(title.id(), |title| title.0["playable"] == true).await;
    let presentation = Presentation::of(&server, &title).await;
    let before = good(&server, title.hls()).await;

    let video = &presentation.tracks[0];
    let last = video.segments().pop().expect("a segment");
    let asked = std::time::Instant::now();
    good(&server, &last).await;
    assert!(asked.elapsed().as_secs() < 8, "{:?}", asked.elapsed());
    // It came before its neighbours, of its rendition alone: what a viewer waits for is made first.
    let catalogue = Catalogue::open(&server.data.join("catalogue.db")).await.expect("the catalogue");
    let made = catalogue.made(TitleId::parse(title.id()).expect("an id"), Generation::FIRST).await.expect("read");
    assert!(made.contains(&(TrackId::video(0), SegmentNumber(29))), "{made:?}");
    for number in 14..29 {
        assert!(!made.contains(&(TrackId::video(0), SegmentNumber(number))), "{made:?}");
    }
    catalogue.close().await;
    assert_eq!(server.title(title.id()).await.state(), "processing");

    // Once all is made, the rates are measured, and the one playlist that may change has.
    let ready = server.until(title.id(), super::server::Title::is_ready).await;
    let after = eventually("the measured playlist", async || {
        let answer = good(&server, title.hls()).await;
        (answer.header("etag") != before.header("etag")).then_some(answer)
    })
    .await;
    assert_ne!(before.body, after.body);
    check_rates(&server, &Presentation::of(&server, &ready).await).await;
    let variant = &multivariant(&after.body).variants[0];
    assert_eq!(
        ready.0["renditions"][0]["average_bandwidth"].as_u64().map(|video| video < variant.average_bandwidth.expect("measured")),
        Some(true)
    );
}

/// Compares what the multivariant playlist says with what the segments weigh.
async fn check_rates(server: &Server, presentation: &Presentation) {
    let mut sizes = Vec::new();
    for track in &presentation.tracks {
        let mut bytes = Vec::new();
        for url in track.segments() {
            let head = server.ask(Method::HEAD, &url, &[]).await;
            bytes.push(head.header("content-length").parse::<f64>().expect("a length"));
        }
        sizes.push(bytes);
    }
    let sound = sizes.pop().expect("sound comes last");
    let sound_track = presentation.tracks.last().expect("sound comes last");
    let average = |track: &super::player::Track, bytes: &[f64]| bytes.iter().sum::<f64>() * 8.0 / track.duration_s();
    let peak = |track: &super::player::Track, bytes: &[f64]| {
        let rates = track.playlist.segments.iter().zip(bytes).filter(|(segment, _)| segment.duration > 3.0);
        rates.map(|(segment, bytes)| bytes * 8.0 / f64::from(segment.duration)).fold(0.0, f64::max)
    };
    for ((variant, track), bytes) in presentation.multivariant.variants.iter().zip(&presentation.tracks).zip(&sizes) {
        let expect = average(track, bytes) + average(sound_track, &sound);
        let found = variant.average_bandwidth.expect("measured") as f64;
        assert!((found / expect - 1.0).abs() < 0.01, "average of {}: {found}, not {expect}", variant.uri);
        let least = peak(track, bytes);
        let found = variant.bandwidth as f64;
        assert!(found >= least && found < (least + peak(sound_track, &sound)) * 1.3, "peak of {}: {found} for {least}", variant.uri);
    }
}

#[tokio::test]
async fn validators_outlive_a_restart_and_are_alike_on_twins() {
    let _turn = turn().await;
    let (home, elsewhere) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let source = clip_bytes("640x360", 18);
    let server = Server::start(&home.path().join("data"), &[]).await;
    let title = server.upload("film", source.clone()).await;
    let id = title.id().to_owned();
    let title = server.until(&id, super::server::Title::is_ready).await;
    let before = Presentation::of(&server, &title).await.fetch(&server).await;
    let data = server.data.clone();
    assert!(server.stop().await.success());

    let server = Server::start(&data, &[]).await;
    let title = server.title(&id).await;
    let after = Presentation::of(&server, &title).await.fetch(&server).await;
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (name, before) in &before {
        for header in ["etag", "last-modified", "content-type", "cache-control"] {
            assert_eq!(before.header(header), after[name].header(header), "{header} of {name}");
        }
        assert_eq!(before.body, after[name].body, "{name}");
    }

    // The twin makes them in another order, the last first, with one worker.
    let twin = Server::start(&elsewhere.path().join("data"), &[("HEADWATER_WORKER__COUNT", "1")]).await;
    let copy = twin.upload("the same film", source).await;
    let copy = twin.until(copy.id(), |title| title.0["playable"] == true).await;
    let presentation = Presentation::of(&twin, &copy).await;
    for track in &presentation.tracks {
        for url in track.segments().into_iter().rev() {
            good(&twin, &url).await;
        }
    }
    let copy = twin.until(copy.id(), super::server::Title::is_ready).await;
    assert_ne!(copy.id(), id);
    eventually("the measured playlist", async || {
        let playlist = good(&twin, copy.hls()).await;
        (playlist.header("etag") == before["main.m3u8"].header("etag")).then_some(())
    })
    .await;
    let others = Presentation::of(&twin, &copy).await.fetch(&twin).await;
    for (name, ours) in &before {
        assert_eq!((ours.header("etag"), &ours.body), (others[name].header("etag"), &others[name].body), "{name}");
    }
}

#[tokio::test]
async fn a_title_is_renamed_and_deleted() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[]).await;
    let title = server.upload("first", clip_bytes("320x240", 10)).await;
    let title = server.until(title.id(), super::server::Title::is_ready).await;
    let address = server.api(&format!("/api/v1/titles/{}", title.id()));
    let body = super::server::whole(r#"{"name": "zweiter Name ✓"}"#);
    let change = super::server::request(Method::PATCH, &address, &[("content-type", "application/json")], body);
    let renamed = server.send(change).await;
    assert_eq!((renamed.status, renamed.json()["name"].as_str()), (StatusCode::OK, Some("zweiter Name ✓")));
    assert_eq!(server.title(title.id()).await.0["name"], "zweiter Name ✓");

    let urls = Presentation::of(&server, &title).await.urls();
    let mut events = server.events(&format!("/api/v1/titles/{}/events", title.id())).await;
    assert_eq!(events.next().await.0, "title");
    assert_eq!(server.ask(Method::DELETE, &address, &[]).await.status, StatusCode::NO_CONTENT);
    // From here on, for everybody: also what has just been in the cache.
    for url in &urls {
        assert_eq!(server.get(url).await.status, StatusCode::GONE, "{url}");
    }
    assert_eq!(events.next().await.0, "deleted");
    assert_eq!(server.get(&address).await.problem(), "title-not-found");
    assert_eq!(server.ask(Method::DELETE, &address, &[]).await.problem(), "title-not-found");
    let store = server.data.join("store");
    eventually("an empty store", async || files(&store).is_empty().then_some(())).await;
    assert_sound(&server.data).await;
}

#[tokio::test]
async fn titles_are_listed_in_pages() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Server::start(&home.path().join("data"), &[]).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.insert(0, server.upload(&format!("title-{number}"), Bytes::new()).await.id().to_owned());
    }
    for id in &ids {
        server.until(id, super::server::Title::has_failed).await;
    }
    let mut found = Vec::new();
    let mut cursor = Some(String::new());
    let mut pages = 0;
    while let Some(from) = cursor {
        let page = good(&server, &server.api(&format!("/api/v1/titles?limit=2&cursor={from}"))).await.json();
        found.extend(page["titles"].as_array().expect("titles").iter().map(|title| title["id"].as_str().expect("an id").to_owned()));
        cursor = page["next"].as_str().map(str::to_owned);
        pages += 1;
    }
    assert_eq!((found, pages), (ids.clone(), 3), "newest first");
    let count = async |state: &str| {
        let page = good(&server, &server.api(&format!("/api/v1/titles?state={state}"))).await.json();
        page["titles"].as_array().expect("titles").len()
    };
    assert_eq!((count("failed").await, count("ready").await), (5, 0));
}
