//! Event streams: what is told first, in what order, once how often, and how streams end.

use std::time::{Duration, Instant};

use axum::body::BodyDataStream;
use futures_util::StreamExt;

use super::*;
use crate::catalogue::SegmentRecord;

/// An event as a browser dispatches it, and comments beside.
#[derive(Debug, Default, PartialEq)]
struct Told {
    event: String,
    id: Option<i64>,
    data: Value,
    comment: String,
}

/// Reads a stream block by block.
struct Reader {
    body: BodyDataStream,
    text: String,
}

impl Reader {
    async fn open(control: &Control, path: &str, last_event_id: Option<i64>) -> Self {
        let mut asked = request("GET", path);
        if let Some(id) = last_event_id {
            asked = asked.header("last-event-id", id.to_string());
        }
        let answer = control.answer(asked.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["cache-control"], "no-cache");
        let mut reader = Self { body: answer.into_body().into_data_stream(), text: String::new() };
        assert_eq!(reader.block().await.map(|told| told.comment).as_deref(), Some("connected"));
        reader
    }

    /// The next block; absent at the end.
    async fn block(&mut self) -> Option<Told> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let told = parse(block);
                self.text = rest.to_owned();
                return Some(told);
            }
            let chunk = self.body.next().await?.expect("a chunk");
            self.text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// The next event that has data.
    async fn event(&mut self) -> Told {
        loop {
            let told = self.block().await.expect("an event");
            if !told.event.is_empty() {
                return told;
            }
        }
    }

    /// Events up to and with the first whose title is in that state.
    async fn events_until(&mut self, state: &str) -> Vec<Told> {
        let mut events = Vec::new();
        loop {
            events.push(self.event().await);
            if events.last().is_some_and(|told| told.data["state"] == state) {
                return events;
            }
        }
    }
}

fn parse(block: &str) -> Told {
    let mut told = Told::default();
    for line in block.lines() {
        let (field, value) = line.split_once(':').expect("a field");
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => told.event = value.into(),
            "id" => told.id = value.parse().ok(),
            "data" => {
                assert!(told.data.is_null(), "data is one line");
                told.data = serde_json::from_str(value).expect("JSON");
            }
            "" => told.comment = value.into(),
            "retry" => {}
            _ => panic!("unknown field {line}"),
        }
    }
    told
}

async fn commit(control: &Control, id: TitleId, segments: &[SegmentRecord]) {
    control.catalogue.commit_segments(id, Generation::FIRST, segments, NOW_MS).await.expect("committed");
}

#[tokio::test]
async fn a_title_is_told_as_it_is_and_then_at_each_change() {
    let control = Control::new().await;
    let id = control.title(1, TitleState::Surveying).await;
    let mut reader = Reader::open(&control, &format!("/api/v1/titles/{id}/events"), None).await;
    let first = reader.event().await;
    assert_eq!((first.event.as_str(), first.id), ("title", Some(2)));
    assert_eq!(first.data, control.get(&format!("/api/v1/titles/{id}")).await.json());
    control.catalogue.planned(id, &sample::facts(), &sample::plan(), &sample::tracks(), &[], NOW_MS).await.expect("planned");
    let told = reader.event().await;
    assert_eq!(told.data["state"], "processing");
    assert_eq!(told.data["playback"]["hls"], format!("http://localhost:8080/t/{id}/main.m3u8"));
    // Another title's changes are not told here.
    control.title(2, TitleState::Ready).await;
    commit(&control, id, &sample::segments()).await;
    control.finish(id).await;
    let events = reader.events_until("ready").await;
    assert!(events.iter().all(|told| told.data["id"] == id.to_string()), "{events:?}");
    let ready = control.catalogue.title(id).await.expect("the title").revision;
    assert_eq!(events.last().and_then(|told| told.id), Some(ready));
    control.catalogue.mark_deleted(id, NOW_MS).await.expect("deleted");
    let told = reader.event().await;
    assert_eq!((told.event.as_str(), &told.data), ("deleted", &serde_json::json!({"id": id})));
    assert_eq!(reader.block().await, None, "there is nothing more to tell");
}

#[tokio::test]
async fn progress_is_told_at_most_so_often_and_the_end_at_once() {
    let limits = EventLimits { progress_interval: Duration::from_secs(3600), ..EventLimits::default() };
    let control = Control::with(None, None, limits).await;
    let id = control.title(1, TitleState::Processing).await;
    let mut reader = Reader::open(&control, &format!("/api/v1/titles/{id}/events"), None).await;
    assert_eq!(reader.event().await.data["progress"]["segments_done"], 0);
    for segment in sample::segments() {
        commit(&control, id, &[segment]).await;
    }
    control.finish(id).await;
    let ready = reader.event().await;
    assert_eq!(ready.data["state"], "ready", "progress in between is held back for an hour");

    let limits = EventLimits { progress_interval: Duration::from_millis(100), ..EventLimits::default() };
    let control = Control::with(None, None, limits).await;
    let id = control.title(1, TitleState::Processing).await;
    let started = Instant::now();
    let mut reader = Reader::open(&control, "/api/v1/events", Some(0)).await;
    reader.event().await;
    for segment in sample::segments() {
        commit(&control, id, &[segment]).await;
    }
    let mut later = 0;
    loop {
        later += 1;
        if reader.event().await.data["progress"]["segments_done"] == 9 {
            break;
        }
    }
    // The last figure is told though nothing follows it, and each came an interval after the one before.
    assert!(started.elapsed() >= limits.progress_interval * later, "{later} events in {:?}", started.elapsed());
}

#[tokio::test]
async fn all_titles_are_followed_from_now_on() {
    let control = Control::new().await;
    control.title(1, TitleState::Ready).await;
    let mut reader = Reader::open(&control, "/api/v1/events", None).await;
    let id = control.title(2, TitleState::Failed).await;
    let events = reader.events_until("failed").await;
    assert!(events.iter().all(|told| told.data["id"] == id.to_string()), "{events:?}");
    assert_eq!(events.last().expect("an event").data["problem"]["code"], "not-media");
    let renamed = sample::title_id(1);
    control.catalogue.rename(renamed, "another", NOW_MS).await.expect("renamed");
    let told = reader.event().await;
    assert_eq!((&told.data["id"], &told.data["name"]), (&renamed.to_string().into(), &"another".into()));
    let revision = control.catalogue.mark_deleted(id, NOW_MS).await.expect("deleted");
    let told = reader.event().await;
    assert_eq!((told.event.as_str(), told.id, &told.data), ("deleted", Some(revision), &serde_json::json!({"id": id})));
}

#[tokio::test]
async fn who_comes_back_is_told_what_he_missed() {
    let control = Control::new().await;
    let [one, two, three] = [1, 2, 3].map(sample::title_id);
    for age in 1..=3 {
        control.title(age, TitleState::Receiving).await;
    }
    let seen = control.catalogue.revision().await.expect("a revision");
    control.catalogue.rename(two, "renamed", NOW_MS).await.expect("renamed");
    control.catalogue.mark_deleted(three, NOW_MS).await.expect("deleted");
    let mut reader = Reader::open(&control, "/api/v1/events", Some(seen)).await;
    let first = reader.event().await;
    assert_eq!((&first.data["id"], first.id), (&two.to_string().into(), Some(seen + 1)));
    let second = reader.event().await;
    assert_eq!((second.event.as_str(), second.id), ("deleted", Some(seen + 2)));

    // One that saw the latest of his title is told nothing again.
    let mut reader = Reader::open(&control, &format!("/api/v1/titles/{two}/events"), Some(seen + 1)).await;
    control.catalogue.rename(two, "again", NOW_MS).await.expect("renamed");
    assert_eq!(reader.event().await.data["name"], "again");

    // An id of another catalogue's means that nothing is known of this one.
    let mut reader = Reader::open(&control, "/api/v1/events", Some(1_000_000)).await;
    assert_eq!(reader.event().await.data["id"], one.to_string());
}

#[tokio::test]
async fn silence_is_filled_with_comments() {
    let limits = EventLimits { keep_alive: Duration::from_millis(20), ..EventLimits::default() };
    let control = Control::with(None, None, limits).await;
    let mut reader = Reader::open(&control, "/api/v1/events", None).await;
    for _ in 0..2 {
        assert_eq!(reader.block().await, Some(Told { comment: "alive".into(), ..Told::default() }));
    }
}

#[tokio::test]
async fn streams_are_limited_and_given_back() {
    let limits = EventLimits { streams_max: 1, ..EventLimits::default() };
    let control = Control::with(None, None, limits).await;
    let reader = Reader::open(&control, "/api/v1/events", None).await;
    let answer = control.get("/api/v1/events").await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "too-many-event-streams"));
    assert!(answer.header("retry-after").is_some());
    drop(reader);
    loop {
        let answer = control.answer(request("GET", "/api/v1/events").body(Body::empty()).expect("a request")).await;
        if answer.status() == 200 {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_let_go() {
    let limits = EventLimits {
        streams_max: 1,
        reader_wait: Duration::from_millis(20),
        keep_alive: Duration::from_millis(5),
        ..EventLimits::default()
    };
    let control = Control::with(None, None, limits).await;
    let asked = request("GET", "/api/v1/events").body(Body::empty()).expect("a request");
    let answer = control.answer(asked).await;
    // His place is free again although he is still there.
    loop {
        let other = control.answer(request("GET", "/api/v1/events").body(Body::empty()).expect("a request")).await;
        if other.status() == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut body = answer.into_body().into_data_stream();
    let mut blocks = 0;
    while body.next().await.is_some() {
        blocks += 1;
    }
    assert!(blocks <= 2, "only what was waiting is left: {blocks}");
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let control = Control::new().await;
    let mut reader = Reader::open(&control, "/api/v1/events", None).await;
    control.stop.cancel();
    assert_eq!(reader.block().await, None);
}
