//! The control API asked as clients ask it: the whole service over a real catalogue, with the flows faked.

mod errors;
mod events;
mod subtitles;
mod titles;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::{
    Backend, DeleteError, EventLimits, Live, NotReady, Progress, ReceiveError, ReloadError, Reloaded, Settings, SubtitleError,
    SubtitleFile, Token, Tunable, UploadBody, router,
};
use crate::catalogue::{Catalogue, SourceRecord, TitleRecord, sample};
use crate::text;
use crate::title::{ContentHash, Generation, LanguageTag, TextKind, TitleId, TitleState};

/// A title's times in tests.
const NOW_MS: i64 = 1_700_000_000_000;

/// Does with the catalogue what the flows do, and fails when told to.
pub(crate) struct Flows {
    catalogue: Catalogue,
    titles: AtomicU64,
    received: Mutex<Vec<(String, Option<u64>, Bytes)>>,
    pub(crate) refuse: Mutex<Option<ReceiveError>>,
    broken: Mutex<bool>,
    progress: Mutex<Option<Progress>>,
    purged: Mutex<Vec<TitleId>>,
}

impl Backend for Flows {
    fn receive(&self, name: String, declared_bytes: Option<u64>, body: UploadBody) -> BoxFuture<'_, Result<TitleRecord, ReceiveError>> {
        async move {
            if let Some(refused) = *self.refuse.lock().expect("a lock") {
                return Err(refused);
            }
            let chunks: Vec<Bytes> = body.try_collect().await.map_err(|_| ReceiveError::Interrupted)?;
            let bytes = Bytes::from(chunks.concat());
            let id = sample::title_id(self.titles.fetch_add(1, Ordering::SeqCst));
            self.catalogue.create_title(id, &name, NOW_MS).await.map_err(|_| ReceiveError::Unavailable)?;
            let source = SourceRecord { bytes: bytes.len() as u64, sha256: ContentHash::of(&bytes) };
            self.received.lock().expect("a lock").push((name, declared_bytes, bytes));
            self.catalogue.source_received(id, source, NOW_MS).await.map_err(|_| ReceiveError::Unavailable)
        }
        .boxed()
    }

    fn delete(&self, id: TitleId) -> BoxFuture<'_, Result<(), DeleteError>> {
        async move {
            if *self.broken.lock().expect("a lock") {
                return Err(DeleteError::Unavailable);
            }
            self.catalogue.mark_deleted(id, NOW_MS).await.map(|_| ()).map_err(|_| DeleteError::Unknown)
        }
        .boxed()
    }

    fn put_subtitles(&self, id: TitleId, file: SubtitleFile) -> BoxFuture<'_, Result<(TitleRecord, bool), SubtitleError>> {
        async move {
            let title = self.catalogue.title(id).await.map_err(|_| SubtitleError::Unknown)?;
            if title.state < TitleState::Processing {
                return Err(SubtitleError::NotPlanned(title.state));
            }
            let planned = self.catalogue.plan(id, title.generation).await.map_err(|_| SubtitleError::Failed)?;
            let SubtitleFile { language, kind, name, default, bytes } = file;
            let duration_ms = planned.plan.timeline.duration_ms();
            let limits = text::Limits { cues_max: 3, ..text::Limits::of_bytes(1 << 20) };
            let document =
                text::read_sidecar(&bytes, Some(language.primary()), duration_ms, &limits).map_err(SubtitleError::Fault)?.write();
            let (document, document_bytes) = (ContentHash::of(document.as_bytes()), document.len() as u64);
            let new = text::SideCar { language, kind, name, default, document, document_bytes };
            let generation = Generation(title.generation.0 + 1);
            let (tracks, replaced) = text::put(&planned.plan.text, new, generation).map_err(SubtitleError::TooMany)?;
            let title = self.catalogue.retext(id, title.generation, &tracks, NOW_MS).await.map_err(|_| SubtitleError::Unavailable)?;
            Ok((title, replaced))
        }
        .boxed()
    }

    fn remove_subtitles(&self, id: TitleId, language: LanguageTag, kind: TextKind) -> BoxFuture<'_, Result<TitleRecord, SubtitleError>> {
        async move {
            let title = self.catalogue.title(id).await.map_err(|_| SubtitleError::Unknown)?;
            let planned = self.catalogue.plan(id, title.generation).await.map_err(|_| SubtitleError::NotPlanned(title.state))?;
            let generation = Generation(title.generation.0 + 1);
            let tracks = text::remove(&planned.plan.text, &language, kind, generation).ok_or(SubtitleError::NoSuchTrack)?;
            self.catalogue.retext(id, title.generation, &tracks, NOW_MS).await.map_err(|_| SubtitleError::Unavailable)
        }
        .boxed()
    }

    fn purge(&self, id: TitleId) -> BoxFuture<'_, ()> {
        async move { self.purged.lock().expect("a lock").push(id) }.boxed()
    }

    fn progress(&self, _: TitleId) -> Option<Progress> {
        *self.progress.lock().expect("a lock")
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), NotReady>> {
        let broken = *self.broken.lock().expect("a lock");
        async move { if broken { Err(NotReady("the store cannot be written".into())) } else { Ok(()) } }.boxed()
    }

    fn metrics(&self) -> String {
        "headwater_titles 0\n# EOF\n".into()
    }

    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, ReloadError>> {
        let broken = *self.broken.lock().expect("a lock");
        let reloaded = Reloaded { taken: vec!["log.filter"], at_restart: vec!["cache.bytes"] };
        let faults = || ReloadError(vec!["log.filter: unknown level".into(), "cache.bites: no such key".into()]);
        async move { if broken { Err(faults()) } else { Ok(reloaded) } }.boxed()
    }
}

/// The service and what stands behind it.
pub(crate) struct Control {
    pub(crate) router: Router,
    pub(crate) catalogue: Catalogue,
    pub(crate) flows: Arc<Flows>,
    stop: CancellationToken,
    _directory: tempfile::TempDir,
}

impl Control {
    async fn new() -> Self {
        Self::with(None, None, EventLimits::default()).await
    }

    pub(crate) async fn with(public_url: Option<&str>, token: Option<&str>, events: EventLimits) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let catalogue = Catalogue::open(&directory.path().join("catalogue.db")).await.expect("a catalogue");
        let flows = Arc::new(Flows {
            catalogue: catalogue.clone(),
            titles: AtomicU64::new(1),
            received: Mutex::default(),
            refuse: Mutex::default(),
            broken: Mutex::default(),
            progress: Mutex::default(),
            purged: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let settings = Settings {
            live: Live::new(Tunable { public_url: public_url.map(str::to_owned), token: token.map(Token::new), subtitles_bytes_max: 4096 }),
            public: "0.0.0.0:8080".parse().expect("an address"),
            public_scheme: "http",
            admin: "127.0.0.1:8081".parse().expect("an address"),
            host_names: vec![],
            events,
            stop: stop.clone(),
        };
        let router = router(settings, catalogue.clone(), flows.clone());
        Self { router, catalogue, flows, stop, _directory: directory }
    }

    /// The answer as it comes; the body is not read.
    async fn answer(&self, request: Request<Body>) -> http::Response<Body> {
        self.router.clone().call(request).await.expect("a router always answers")
    }

    /// The whole answer. Whatever is no success is asserted to be a problem that says so itself.
    async fn ask(&self, request: Request<Body>) -> Answer {
        let head = request.method() == "HEAD";
        let (parts, body) = self.answer(request).await.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        if !answer.status.is_success() {
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            if !head {
                let problem = answer.json();
                assert_eq!(problem["status"], answer.status.as_u16());
                assert_eq!(problem["type"], format!("urn:headwater:problem:{}", answer.code()));
                for text in ["title", "detail"] {
                    assert!(problem[text].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
                }
            }
        }
        answer
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(request("GET", path).body(Body::empty()).expect("a request")).await
    }

    /// A title on its way, as far as `state`.
    pub(crate) async fn title(&self, age: u64, state: TitleState) -> TitleId {
        let (id, catalogue) = (sample::title_id(age), &self.catalogue);
        catalogue.create_title(id, &format!("film {age}"), NOW_MS).await.expect("created");
        if state >= TitleState::Surveying {
            let source = SourceRecord { bytes: 6, sha256: ContentHash::of(b"source") };
            catalogue.source_received(id, source, NOW_MS).await.expect("received");
        }
        if state == TitleState::Failed {
            let problem = crate::title::Problem::new(crate::title::ProblemCode::NotMedia);
            catalogue.fail(id, &problem, NOW_MS).await.expect("failed");
        } else if state >= TitleState::Processing {
            catalogue.planned(id, &sample::facts(), &sample::plan(), &sample::tracks(), &[], NOW_MS).await.expect("planned");
        }
        if state == TitleState::Ready {
            let heard = BTreeMap::from([(1, sample::loudness())]);
            catalogue.set_loudness(id, Generation::FIRST, &heard, &[], NOW_MS).await.expect("measured");
            catalogue.keep_stills(id, Generation::FIRST, &sample::stills(), &[], NOW_MS).await.expect("kept");
            catalogue.commit_segments(id, Generation::FIRST, &sample::segments(), NOW_MS).await.expect("committed");
            self.finish(id).await;
        }
        id
    }

    pub(crate) async fn finish(&self, id: TitleId) {
        self.catalogue.finish(id, Generation::FIRST, &sample::rates(), &[], NOW_MS).await.expect("finished");
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    fn code(&self) -> String {
        self.json()["code"].as_str().expect("a code").to_owned()
    }
}

fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header(header::HOST, "localhost:8081")
}
