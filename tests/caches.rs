//! Caches, ours and those in front: what was replaced is answered for its grace, what is purged goes, and Varnish hears of it.

use std::path::Path;

use http::{Method, StatusCode};

use super::clips::clip;
use super::fronts::{Front, free_port, is_missing};
use super::player::{join, multivariant};
use super::server::{Answer, Server, Title, assert_sound, eventually, files, request, whole};

const FILM: [&str; 12] =
    ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=24:d=6", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "48"];

async fn put(server: &Server, id: &str, text: &str) {
    let srt = format!("1\n00:00:01,000 --> 00:00:02,500\n{text}\n");
    let url = server.api(&format!("/api/v1/titles/{id}/subtitles/de"));
    let answer = server.send(request(Method::PUT, &url, &[], whole(srt))).await;
    assert!(answer.status.is_success(), "{answer:?}");
}

/// A title that is ready.
async fn title(server: &Server) -> Title {
    let film = clip("mp4", &FILM);
    let title = server.upload("film", std::fs::read(&film).expect("read")).await;
    server.until(title.id(), Title::is_ready).await
}

/// The figure of a metric without labels.
async fn metric(server: &Server, name: &str) -> u64 {
    let text = server.get(&server.api("/metrics")).await.body;
    let text = String::from_utf8(text.to_vec()).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect("the metric");
    line.parse().expect("a number")
}

/// How many objects a title has in the store.
fn stored(data: &Path, id: &str) -> usize {
    files(&data.join("store/titles").join(id)).len()
}

#[tokio::test]
async fn what_was_replaced_ends_and_what_is_shared_stays() {
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    let long = [("HEADWATER_DELIVERY__GENERATION_GRACE", "1h"), ("HEADWATER_DELIVERY__SURROGATE_KEYS", "both")];
    let server = Server::start(&data, &long).await;
    let film = title(&server).await;
    let id = film.id().to_owned();
    put(&server, &id, "old").await;
    put(&server, &id, "new").await;
    let at = |server: &Server, path: &str| format!("http://{}/t/{id}/{path}", server.public);
    let (old, new) = ("2/s0/index.m3u8", "3/s0/index.m3u8");
    for path in [old, new, "2/s0/0.vtt", "3/s0/0.vtt"] {
        let answer = server.get(&at(&server, path)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header("surrogate-key"), format!("{id} {id}-{}", &path[..1]));
    }
    let main = server.get(&at(&server, "main.m3u8")).await;
    assert_eq!((main.header("cache-tag"), main.status), (format!("{id},{id}-main").as_str(), StatusCode::OK));
    for (path, status) in [("4/s0/index.m3u8", StatusCode::NOT_FOUND), ("3/s1/index.m3u8", StatusCode::NOT_FOUND)] {
        assert_eq!(server.get(&at(&server, path)).await.status, status, "{path}");
    }
    assert!(metric(&server, "headwater_cache_objects").await >= 5);
    let purged = server.ask(Method::POST, &server.api(&format!("/api/v1/titles/{id}/purge")), &[]).await;
    assert_eq!(purged.status, StatusCode::NO_CONTENT);
    eventually("an empty cache", async || (metric(&server, "headwater_cache_objects").await == 0).then_some(())).await;
    assert_eq!(server.get(&at(&server, "main.m3u8")).await.body, main.body, "the title is as it was");
    assert!(server.stop().await.success());
    let before = stored(&data, &id);

    // Its grace is over: the document goes, and nothing that another generation has.
    let server = Server::start(&data, &[("HEADWATER_DELIVERY__GENERATION_GRACE", "0s")]).await;
    eventually("the end of what was replaced", async || (server.get(&at(&server, old)).await.status == StatusCode::GONE).then_some(()))
        .await;
    eventually("an object less", async || (stored(&data, &id) == before - 1).then_some(())).await;
    assert_eq!(server.get(&at(&server, "2/s0/0.vtt")).await.status, StatusCode::GONE);
    for path in [new, "3/s0/0.vtt", "1/v0/index.m3u8", "1/v0/init.mp4", "1/v0/0.m4s"] {
        assert_eq!(server.get(&at(&server, path)).await.status, StatusCode::OK, "{path}");
    }
    assert_sound(&data).await;
    assert!(server.stop().await.success());

    // A deleted title is gone, and known to be so after a restart.
    let server = Server::start(&data, &long).await;
    let deleted = server.ask(Method::DELETE, &server.api(&format!("/api/v1/titles/{id}")), &[]).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(server.get(&at(&server, new)).await.status, StatusCode::GONE);
    assert!(server.stop().await.success());
    let server = Server::start(&data, &long).await;
    assert_eq!(server.get(&at(&server, "main.m3u8")).await.status, StatusCode::GONE);
    assert_eq!(server.get(&at(&server, "main.m3u8").replace(&id, "0123456789abcdefghjkmnpqrs")).await.status, StatusCode::NOT_FOUND);
    assert_sound(&data).await;
}

#[tokio::test]
async fn varnish_keeps_what_it_may_and_drops_what_it_is_told_to() {
    if is_missing("varnishd", "varnish") {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    let port = free_port();
    let server = Server::start(
        &home.path().join("data"),
        &[
            // So long that nothing but a purge can bring the new one in time.
            ("HEADWATER_DELIVERY__MULTIVARIANT_MAX_AGE", "1h"),
            ("HEADWATER_DELIVERY__SURROGATE_KEYS", "surrogate-key"),
            ("HEADWATER_PURGE__URL", &format!("http://127.0.0.1:{port}/")),
            ("HEADWATER_PURGE__METHOD", "BAN"),
            ("HEADWATER_PURGE__HEADERS", "X-Key: {key}\nX-Token: hush-hush"),
        ],
    )
    .await;
    let drops = "sub vcl_recv { if (req.method == \"BAN\") { ban(\"obj.http.surrogate-key ~ \" + req.http.x-key); return (synth(200)); } }";
    let varnish = Front::varnish(home.path(), port, server.public, drops).await;
    let film = title(&server).await;
    let main = format!("http://{}/t/{}/main.m3u8", varnish.address, film.id());
    let ask = |url: String| server.begin(request(Method::GET, &url, &[], super::server::none()));
    eventually("varnish", async || ask(main.clone()).await.ok().filter(StatusCode::is_success)).await;
    let hits = |answer: &Answer| answer.header("x-hits").parse::<u64>().expect("a number");

    let first = server.get(&main).await;
    assert!(hits(&first) > 0, "it is kept");
    let playlist = multivariant(&first.body);
    let segment = join(&main, "1/v0/0.m4s");
    assert!(!playlist.variants.is_empty());
    let whole = server.get(&segment).await;
    let again = server.ask(Method::GET, &segment, &[("range", "bytes=10-19")]).await;
    assert_eq!((again.status, &again.body[..]), (StatusCode::PARTIAL_CONTENT, &whole.body[10..20]));
    assert!(hits(&again) > 0, "one fetch for the whole and its parts");

    put(&server, film.id(), "new").await;
    let changed = eventually("the new playlist", async || Some(server.get(&main).await).filter(|answer| answer.body != first.body)).await;
    assert!(String::from_utf8_lossy(&changed.body).contains("SUBTITLES"));
    assert!(hits(&server.get(&segment).await) > 0, "only the playlist went");

    let deleted = server.ask(Method::DELETE, &server.api(&format!("/api/v1/titles/{}", film.id())), &[]).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    eventually("the end of a segment", async || (server.get(&segment).await.status == StatusCode::GONE).then_some(())).await;
    let metrics = server.get(&server.api("/metrics")).await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(text.contains("headwater_purge_requests_total{outcome=\"done\"}"), "{text}");
    assert!(!server.logged().contains("hush-hush"), "a secret was logged");
}
