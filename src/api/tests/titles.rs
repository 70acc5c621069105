//! What succeeds: every route, playback URLs, pages.

use super::*;

#[tokio::test]
async fn an_upload_becomes_a_title() {
    let control = Control::new().await;
    let answer =
        control.ask(request("POST", "/api/v1/titles?name=%E6%98%A0%E7%94%BB+1.mp4").body(Body::from("the film")).expect("a request")).await;
    assert_eq!(answer.status, 201);
    let title = answer.json();
    let id = sample::title_id(1).to_string();
    assert_eq!(answer.header("location"), Some(format!("/api/v1/titles/{id}").as_str()));
    assert_eq!(title["id"], id);
    assert_eq!(title["name"], "映画 1.mp4");
    assert_eq!(title["state"], "surveying");
    assert_eq!(title["playable"], false);
    assert_eq!(title["source"]["bytes"], 8);
    assert_eq!(title["source"]["sha256"], ContentHash::of(b"the film").to_string());
    assert_eq!(title["playback"]["hls"], format!("http://localhost:8080/t/{id}/main.m3u8"));
    let received = control.flows.received.lock().expect("a lock").pop();
    assert_eq!(received, Some(("映画 1.mp4".into(), Some(8), Bytes::from_static(b"the film"))));
}

#[tokio::test]
async fn an_upload_of_unknown_length_and_one_without_a_byte_are_taken() {
    let control = Control::new().await;
    let chunks = ["one ", "two"].map(|chunk| Ok::<_, std::io::Error>(Bytes::from_static(chunk.as_bytes())));
    let chunked = Body::from_stream(futures_util::stream::iter(chunks));
    for (body, declared_bytes, expect) in [(chunked, None, "one two"), (Body::empty(), Some(0), "")] {
        let answer = control.ask(request("POST", "/api/v1/titles?name=x").body(body).expect("a request")).await;
        assert_eq!(answer.status, 201);
        let received = control.flows.received.lock().expect("a lock").pop();
        assert_eq!(received, Some(("x".into(), declared_bytes, Bytes::from_static(expect.as_bytes()))));
    }
}

#[tokio::test]
async fn a_title_is_shown_at_every_stage() {
    let control = Control::new().await;
    for (age, state, playable, renditions) in [
        (1, TitleState::Receiving, false, 0),
        (2, TitleState::Surveying, false, 0),
        (3, TitleState::Processing, true, 2),
        (4, TitleState::Ready, true, 2),
        (5, TitleState::Failed, false, 0),
    ] {
        let id = control.title(age, state).await;
        let title = control.get(&format!("/api/v1/titles/{id}")).await.json();
        assert_eq!(title["state"], state.as_str());
        assert_eq!(title["playable"], playable, "{state:?}");
        assert_eq!(title["renditions"].as_array().map(Vec::len), Some(renditions), "{state:?}");
        assert_eq!(title["duration_ms"].as_u64(), playable.then_some(12_000), "{state:?}");
        assert_eq!(title["source"].is_null(), state == TitleState::Receiving);
        assert_eq!(title["problem"].is_null(), state != TitleState::Failed);
    }
}

#[tokio::test]
async fn measured_rates_are_shown_once_it_is_ready() {
    let control = Control::new().await;
    let id = control.title(1, TitleState::Processing).await;
    let path = format!("/api/v1/titles/{id}");
    *control.flows.progress.lock().expect("a lock") =
        Some(Progress { fraction: 0.25, segments_done: 2, segments_total: 9, eta_ms: Some(900) });
    let title = control.get(&path).await.json();
    assert_eq!(title["renditions"][0]["bandwidth"], 3_000_000);
    assert_eq!(title["progress"]["eta_ms"], 900);
    control.catalogue.commit_segments(id, Generation::FIRST, &sample::segments(), NOW_MS).await.expect("committed");
    control.finish(id).await;
    let title = control.get(&path).await.json();
    assert_eq!(title["renditions"][0]["bandwidth"], 2_000_000);
    assert_eq!(title["renditions"][0]["average_bandwidth"], 1_500_000);
    assert_eq!(title["progress"], serde_json::json!({"fraction": 1.0, "segments_done": 9, "segments_total": 9, "eta_ms": 0}));
}

#[tokio::test]
async fn playback_urls_follow_the_host_or_the_configuration() {
    let control = Control::new().await;
    let id = control.title(1, TitleState::Ready).await;
    let asked = Request::builder().uri(format!("/api/v1/titles/{id}")).header("host", "127.0.0.1:8081");
    let title = control.ask(asked.body(Body::empty()).expect("a request")).await.json();
    assert_eq!(title["playback"]["hls"], format!("http://127.0.0.1:8080/t/{id}/main.m3u8"));
    let control = Control::with(Some("https://media.example.com/films"), None, EventLimits::default()).await;
    let id = control.title(1, TitleState::Ready).await;
    let title = control.get(&format!("/api/v1/titles/{id}")).await.json();
    assert_eq!(title["playback"]["hls"], format!("https://media.example.com/films/t/{id}/main.m3u8"));
}

#[tokio::test]
async fn titles_are_listed_in_pages_newest_first() {
    let control = Control::new().await;
    for age in 1..=5 {
        control.title(age, if age == 3 { TitleState::Ready } else { TitleState::Receiving }).await;
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/titles?limit=2".to_owned();
    loop {
        let page = control.get(&path).await.json();
        let names: Vec<String> =
            page["titles"].as_array().expect("titles").iter().map(|title| title["name"].as_str().expect("a name").into()).collect();
        assert!(names.len() <= 2);
        seen.extend(names);
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/titles?limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["film 5", "film 4", "film 3", "film 2", "film 1"]);
    let ready = control.get("/api/v1/titles?state=ready&cursor=&limit=").await.json();
    assert_eq!(ready["titles"].as_array().map(Vec::len), Some(1));
    assert_eq!(ready["titles"][0]["duration_ms"], 12_000);
    assert!(ready["next"].is_null());
    for limit in [1, 200] {
        assert_eq!(control.get(&format!("/api/v1/titles?limit={limit}")).await.status, 200);
    }
}

#[tokio::test]
async fn a_title_is_renamed_and_deleted() {
    let control = Control::new().await;
    let id = control.title(1, TitleState::Ready).await;
    let path = format!("/api/v1/titles/{id}");
    let change = request("PATCH", &path).header("content-type", "application/json; charset=utf-8");
    let answer = control.ask(change.body(Body::from(r#"{"name": "  Neuer Name 🎬 "}"#)).expect("a request")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["name"], "Neuer Name 🎬");
    assert_eq!(control.get(&path).await.json()["name"], "Neuer Name 🎬");
    let answer = control.ask(request("DELETE", &path).body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.status, 204);
    assert!(answer.body.is_empty());
    assert_eq!(control.get(&path).await.code(), "title-not-found");
    assert_eq!(control.get("/api/v1/titles").await.json()["titles"], serde_json::json!([]));
}

#[tokio::test]
async fn operation_is_told() {
    let control = Control::new().await;
    for (path, content_type, starts) in [
        ("/healthz", "text/plain; charset=utf-8", "alive"),
        ("/readyz", "text/plain; charset=utf-8", "ready"),
        ("/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8", "headwater_titles"),
        ("/openapi.json", "application/json", "{\n  \"openapi\": \"3.1"),
        ("/", "text/plain; charset=utf-8", "Headwater"),
    ] {
        let answer = control.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some(content_type)), "{path}");
        assert!(answer.body.starts_with(starts.as_bytes()), "{path}");
        let head = control.ask(request("HEAD", path).body(Body::empty()).expect("a request")).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0), "{path}");
    }
    *control.flows.broken.lock().expect("a lock") = true;
    let answer = control.get("/readyz").await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "not-ready"));
    assert_eq!(answer.json()["detail"], "The store cannot be written.");
    assert_eq!(control.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_title_is_purged() {
    let control = Control::new().await;
    let id = sample::title_id(1);
    control.ask(request("POST", "/api/v1/titles?name=x").body(Body::from("the film")).expect("a request")).await;
    for (path, status) in [
        (format!("/api/v1/titles/{id}/purge"), 204),
        (format!("/api/v1/titles/{}/purge", sample::title_id(9)), 404),
        (format!("/api/v1/titles/{id}/purge?all=1"), 400),
    ] {
        assert_eq!(control.ask(request("POST", &path).body(Body::empty()).expect("a request")).await.status, status, "{path}");
    }
    assert_eq!(*control.flows.purged.lock().expect("a lock"), [id]);
}
