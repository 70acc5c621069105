//! What is refused: every code, and that nothing but problems gets out.

use std::collections::BTreeSet;

use proptest::prelude::{ProptestConfig, Strategy, proptest};
use proptest::sample::select;

use super::*;
use crate::api::ErrorCode;

/// A request, and the code it is answered with.
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str, ErrorCode);

const JSON: (&str, &str) = ("content-type", "application/json");
const UNKNOWN: &str = "/api/v1/titles/01hf7yat000000000000000000";

const CASES: &[Case] = &[
    ("GET", "/nowhere", &[], "", ErrorCode::NotFound),
    ("GET", "/api/v1/titles/", &[], "", ErrorCode::NotFound),
    ("GET", "/api/v1/titles/x/y", &[], "", ErrorCode::NotFound),
    ("GET", "/api/v1//titles", &[], "", ErrorCode::NotFound),
    ("GET", UNKNOWN, &[], "", ErrorCode::TitleNotFound),
    ("GET", "/api/v1/titles/x", &[], "", ErrorCode::TitleNotFound),
    ("GET", "/api/v1/titles/%ff", &[], "", ErrorCode::TitleNotFound),
    ("GET", "/api/v1/titles/..%2f..%2fetc", &[], "", ErrorCode::TitleNotFound),
    ("GET", "/api/v1/titles/01hf7yat000000000000000000/events", &[], "", ErrorCode::TitleNotFound),
    ("DELETE", UNKNOWN, &[], "", ErrorCode::TitleNotFound),
    ("PATCH", UNKNOWN, &[JSON], r#"{"name": "x"}"#, ErrorCode::TitleNotFound),
    ("PUT", UNKNOWN, &[], "", ErrorCode::MethodNotAllowed),
    ("BREW", "/healthz", &[], "", ErrorCode::MethodNotAllowed),
    ("GET", "/api/v1/titles?lim=1", &[], "", ErrorCode::InvalidQuery),
    ("GET", "/api/v1/titles?limit=1&limit=2", &[], "", ErrorCode::InvalidQuery),
    ("GET", "/api/v1/titles?limit=0", &[], "", ErrorCode::InvalidQuery),
    ("GET", "/api/v1/titles?limit=201", &[], "", ErrorCode::InvalidQuery),
    ("GET", "/api/v1/titles?limit=-1", &[], "", ErrorCode::InvalidQuery),
    ("GET", "/api/v1/titles?limit=99999999999", &[], "", ErrorCode::InvalidQuery),
    ("GET", "/api/v1/titles?state=done", &[], "", ErrorCode::InvalidQuery),
    ("GET", "/api/v1/titles?cursor=x", &[], "", ErrorCode::InvalidQuery),
    ("GET", "/api/v1/titles?state=%ff", &[], "", ErrorCode::InvalidQuery),
    ("GET", "/api/v1/events?x=1", &[], "", ErrorCode::InvalidQuery),
    ("POST", "/api/v1/titles?name=x&limit=1", &[], "", ErrorCode::InvalidQuery),
    ("POST", "/api/v1/titles", &[], "x", ErrorCode::InvalidName),
    ("POST", "/api/v1/titles?name=", &[], "x", ErrorCode::InvalidName),
    ("POST", "/api/v1/titles?name=a%0Ab", &[], "x", ErrorCode::InvalidName),
    ("PATCH", UNKNOWN, &[JSON], r#"{"name": " "}"#, ErrorCode::InvalidName),
    ("PATCH", UNKNOWN, &[JSON], r#"{"name": "a\u0000"}"#, ErrorCode::InvalidName),
    ("PATCH", UNKNOWN, &[JSON], "{", ErrorCode::InvalidBody),
    ("PATCH", UNKNOWN, &[JSON], "", ErrorCode::InvalidBody),
    ("PATCH", UNKNOWN, &[JSON], "{}", ErrorCode::InvalidBody),
    ("PATCH", UNKNOWN, &[JSON], r#"{"name": 1}"#, ErrorCode::InvalidBody),
    ("PATCH", UNKNOWN, &[JSON], r#"{"name": "x", "state": "ready"}"#, ErrorCode::InvalidBody),
    ("GET", "/api/v1/titles", &[], "body", ErrorCode::UnexpectedBody),
    ("DELETE", UNKNOWN, &[], "body", ErrorCode::UnexpectedBody),
    ("GET", "/healthz", &[("host", "localhost")], "", ErrorCode::InvalidHeader),
    ("GET", "/api/v1/events", &[("last-event-id", "x")], "", ErrorCode::InvalidHeader),
    ("GET", "/api/v1/events", &[("last-event-id", "-1")], "", ErrorCode::InvalidHeader),
    ("PATCH", UNKNOWN, &[], r#"{"name": "x"}"#, ErrorCode::UnsupportedMediaType),
    ("PATCH", UNKNOWN, &[("content-type", "text/plain")], r#"{"name": "x"}"#, ErrorCode::UnsupportedMediaType),
    ("PATCH", UNKNOWN, &[JSON, ("content-encoding", "gzip")], "x", ErrorCode::UnsupportedMediaType),
    ("POST", "/api/v1/titles?name=x", &[("content-type", "multipart/form-data; boundary=x")], "x", ErrorCode::UnsupportedMediaType),
    ("POST", "/api/v1/titles?name=x", &[("content-encoding", "br")], "x", ErrorCode::UnsupportedMediaType),
    ("POST", "/api/v1/titles?name=x", &[("sec-fetch-site", "cross-site")], "x", ErrorCode::CrossSiteRequest),
    ("DELETE", UNKNOWN, &[("origin", "https://evil.example.com")], "", ErrorCode::CrossSiteRequest),
    ("GET", "http://evil.example.com:8081/metrics", &[], "", ErrorCode::UnknownHost),
];

#[tokio::test]
async fn every_refusal_has_its_code() {
    let control = Control::new().await;
    let mut seen = BTreeSet::new();
    for (method, path, headers, body, code) in CASES {
        let mut asked = request(method, path);
        for (name, value) in *headers {
            asked = asked.header(*name, *value);
        }
        let answer = control.ask(asked.body(Body::from(*body)).expect("a request")).await;
        assert_eq!(answer.code(), code.as_str(), "{method} {path} {headers:?} {body}: {}", answer.json());
        assert_eq!(answer.status, code.status());
        seen.insert(code.as_str());
    }
    assert!(control.flows.received.lock().expect("a lock").is_empty());
    // Those are asked for by the tests below and beside.
    for code in [
        ErrorCode::BodyTooLarge,
        ErrorCode::UploadTooLarge,
        ErrorCode::InsufficientStorage,
        ErrorCode::TooManyUploads,
        ErrorCode::UploadInterrupted,
        ErrorCode::UploadStalled,
        ErrorCode::TooManyEventStreams,
        ErrorCode::InvalidLanguage,
        ErrorCode::InvalidSubtitles,
        ErrorCode::SubtitlesTooLarge,
        ErrorCode::SubtitlesNotFound,
        ErrorCode::Conflict,
        ErrorCode::Unauthorized,
        ErrorCode::InvalidConfiguration,
        ErrorCode::NotReady,
        ErrorCode::Unavailable,
        ErrorCode::Internal,
    ] {
        seen.insert(code.as_str());
    }
    let all: BTreeSet<_> = ErrorCode::ALL.map(ErrorCode::as_str).into();
    assert_eq!(seen, all);
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let control = Control::new().await;
    for (path, expect) in
        [("/api/v1/titles", "GET,HEAD,POST"), (UNKNOWN, "DELETE,GET,HEAD,PATCH"), ("/api/v1/events", "GET,HEAD"), ("/metrics", "GET,HEAD")]
    {
        for method in ["PUT", "OPTIONS", "TRACE"] {
            let answer = control.ask(request(method, path).body(Body::empty()).expect("a request")).await;
            assert_eq!(answer.code(), "method-not-allowed", "{method} {path}");
            let mut allow: Vec<&str> = answer.header("allow").unwrap_or_default().split(',').collect();
            allow.sort_unstable();
            assert_eq!(allow.join(","), expect, "{path}");
        }
    }
}

#[tokio::test]
async fn a_long_body_is_refused_whether_it_says_so_or_not() {
    let control = Control::new().await;
    let long = || Bytes::from(vec![b' '; 20_000]);
    let chunks = (0..20).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 1000])));
    let broken = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))];
    for (body, code) in [
        (Body::from(long()), "body-too-large"),
        (Body::from_stream(futures_util::stream::iter(chunks)), "body-too-large"),
        (Body::from_stream(futures_util::stream::iter(broken)), "invalid-body"),
    ] {
        let asked = request("PATCH", UNKNOWN).header("content-type", "application/json");
        assert_eq!(control.ask(asked.body(body).expect("a request")).await.code(), code);
    }
}

#[tokio::test]
async fn a_refused_upload_says_why() {
    let control = Control::new().await;
    for (refused, status, code, words) in [
        (ReceiveError::TooLarge { limit_bytes: 10 }, 413, "upload-too-large", "10 bytes"),
        (ReceiveError::NoSpace { needed_bytes: 9, free_bytes: 5 }, 507, "insufficient-storage", "needs 9 bytes and 5"),
        (ReceiveError::Busy, 503, "too-many-uploads", "try again"),
        (ReceiveError::Interrupted, 400, "upload-interrupted", "nothing of it was kept"),
        (ReceiveError::Stalled, 408, "upload-stalled", "too long"),
        (ReceiveError::Unavailable, 503, "unavailable", "cannot be stored"),
    ] {
        *control.flows.refuse.lock().expect("a lock") = Some(refused);
        let answer = control.ask(request("POST", "/api/v1/titles?name=x").body(Body::from("x")).expect("a request")).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code));
        assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{}", answer.json());
        assert_eq!(answer.header("retry-after").is_some(), status == 503, "{code}");
    }
    *control.flows.refuse.lock().expect("a lock") = None;
    let broken = [Ok(Bytes::from_static(b"x")), Err(std::io::Error::other("gone"))];
    let body = Body::from_stream(futures_util::stream::iter(broken));
    let answer = control.ask(request("POST", "/api/v1/titles?name=x").body(body).expect("a request")).await;
    assert_eq!(answer.code(), "upload-interrupted");
}

#[tokio::test]
async fn a_new_reading_of_the_configuration_tells_what_came_of_it() {
    let control = Control::new().await;
    let reload = async || control.ask(request("POST", "/api/v1/config/reload").body(Body::empty()).expect("a request")).await;
    let changed = reload().await.json();
    assert_eq!(changed, serde_json::json!({ "taken": ["log.filter"], "at_restart": ["cache.bytes"] }));
    *control.flows.broken.lock().expect("a lock") = true;
    let refused = reload().await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "invalid-configuration"));
    let detail = refused.json()["detail"].as_str().expect("a sentence").to_owned();
    assert!(detail.contains("log.filter: unknown level") && detail.contains("cache.bites: no such key"), "{detail}");
}

#[tokio::test]
async fn the_token_is_asked_for() {
    let control = Control::with(None, Some("open sesame"), EventLimits::default()).await;
    for path in ["/api/v1/titles", "/api/v1/events", UNKNOWN, "/metrics", "/nowhere"] {
        let answer = control.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "unauthorized"), "{path}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"headwater\""));
    }
    for path in ["/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(control.get(path).await.status, 200, "{path}");
    }
    let asked = request("GET", "/api/v1/titles").header("authorization", "Bearer open sesame");
    assert_eq!(control.ask(asked.body(Body::empty()).expect("a request")).await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_reached_is_told_without_its_inner_text() {
    let control = Control::new().await;
    let id = control.title(1, TitleState::Ready).await;
    *control.flows.broken.lock().expect("a lock") = true;
    let delete = request("DELETE", &format!("/api/v1/titles/{id}")).body(Body::empty()).expect("a request");
    assert_eq!(control.ask(delete).await.code(), "unavailable");
    control.catalogue.close().await;
    for path in ["/api/v1/titles", "/api/v1/events", &format!("/api/v1/titles/{id}")] {
        let answer = control.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "unavailable"), "{path}");
        assert_eq!(answer.json()["detail"], "The catalogue cannot be reached now.");
        assert!(answer.header("retry-after").is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is asked, `ask` asserts that each refusal is a problem.
    #[test]
    fn nothing_but_problems_gets_out(asked in proptest::collection::vec(any_request(), 16)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let control = Control::new().await;
            for (method, path) in asked {
                let Ok(asked) = request(method, &path).body(Body::from("{")) else { continue };
                assert!(!control.ask(asked).await.status.is_server_error(), "{method} {path}");
            }
        });
    }
}

fn any_request() -> impl Strategy<Value = (&'static str, String)> {
    let method = select(vec!["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"]);
    let start = select(vec!["", "/", "/api/v1/titles", "/api/v1/titles/", "/api/v1/titles/%", "/api/v1/titles?", "*"]);
    (method, start, "[a-z0-9/%?&=._~-]{0,12}").prop_map(|(method, start, rest)| (method, format!("{start}{rest}")))
}
