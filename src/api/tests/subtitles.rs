//! Subtitles put under a language and taken away: what is answered, and what a refusal says.

use super::*;
use crate::text::FaultKind;

const SRT: &str = "1\n00:00:01,000 --> 00:00:02,000\nHello\n";

async fn put(control: &Control, id: TitleId, path: &str, body: impl Into<Body>) -> Answer {
    control.ask(request("PUT", &format!("/api/v1/titles/{id}/subtitles/{path}")).body(body.into()).expect("a request")).await
}

async fn delete(control: &Control, id: TitleId, path: &str) -> Answer {
    control.ask(request("DELETE", &format!("/api/v1/titles/{id}/subtitles/{path}")).body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn a_file_is_put_replaced_and_taken_away() {
    let control = Control::new().await;
    for state in [TitleState::Processing, TitleState::Ready] {
        let id = control.title(state as u64 + 1, state).await;
        assert_eq!(control.get(&format!("/api/v1/titles/{id}")).await.json()["subtitles"], serde_json::json!([]));
        let added = put(&control, id, "PT-br?name=Legendas%20%22BR%22&default=true", SRT).await;
        assert_eq!(added.status, 201, "{}", added.json());
        let title = added.json();
        assert_eq!((title["generation"].as_u64(), title["state"].as_str()), (Some(2), Some(state.as_str())));
        let expect =
            serde_json::json!({"language": "pt-BR", "name": "Legendas \"BR\"", "kind": "subtitles", "default": true, "origin": "sidecar"});
        assert_eq!(title["subtitles"], serde_json::json!([expect]));
        let captions = put(&control, id, "eng?kind=captions", format!("\u{feff}{SRT}")).await;
        assert_eq!(captions.status, 201);
        let shown = captions.json()["subtitles"][1].clone();
        let expect =
            serde_json::json!({"language": "en", "name": "English (SDH)", "kind": "captions", "default": false, "origin": "sidecar"});
        assert_eq!(shown, expect);
        let replaced = put(&control, id, "en?kind=captions&name=SDH", "WEBVTT\n\n00:01.000 --> 00:02.000\nHi\n").await;
        assert_eq!((replaced.status.as_u16(), replaced.json()["generation"].as_u64()), (200, Some(4)));
        assert_eq!(replaced.json()["subtitles"][1]["name"], "SDH");
        assert_eq!(control.get(&format!("/api/v1/titles/{id}")).await.json(), replaced.json());

        assert_eq!(delete(&control, id, "en").await.code(), "subtitles-not-found", "another kind");
        let gone = delete(&control, id, "en?kind=captions").await;
        assert_eq!((gone.status.as_u16(), gone.json()["generation"].as_u64()), (200, Some(5)));
        assert_eq!(gone.json()["subtitles"].as_array().map(Vec::len), Some(1));
        assert_eq!(delete(&control, id, "en?kind=captions").await.code(), "subtitles-not-found");
    }
}

#[tokio::test]
async fn a_title_without_tracks_conflicts_and_says_why() {
    let control = Control::new().await;
    for (age, state) in [(1, TitleState::Receiving), (2, TitleState::Surveying), (3, TitleState::Failed)] {
        let id = control.title(age, state).await;
        for answer in [put(&control, id, "de", SRT).await, delete(&control, id, "de").await] {
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (409, "conflict"), "{state:?}");
        }
    }
    let id = control.title(4, TitleState::Surveying).await;
    assert_eq!(
        put(&control, id, "de", SRT).await.json()["detail"],
        "The title is still surveying; subtitles can be added once it is processing."
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_read_names_the_line() {
    let control = Control::new().await;
    let id = control.title(1, TitleState::Ready).await;
    for (body, status, code, line) in [
        ("1\n00:00:01,000 --> 00:00:0x,000\nHello\n", 422, "invalid-subtitles", Some(2)),
        ("\n\nnothing but words\n", 422, "invalid-subtitles", Some(3)),
        ("", 422, "invalid-subtitles", None),
        ("[Script Info]\n", 422, "invalid-subtitles", Some(1)),
        (
            "00:00:01,000 --> 00:00:02,000\nx\n00:00:01,000 --> 00:00:02,000\nx\n00:00:01,000 --> 00:00:02,000\nx\n00:00:01,000 --> 00:00:02,000\nx",
            413,
            "subtitles-too-large",
            Some(7),
        ),
    ] {
        let answer = put(&control, id, "de", body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{body:?}");
        assert_eq!(answer.json()["line"].as_u64(), line, "{}", answer.json());
    }
    let detail = "Line 2: '00:00:01,000 --> 00:00:0x,000' is no time of a cue: expected one such as 00:01:02,500 --> 00:01:04,000.";
    assert_eq!(put(&control, id, "de", "1\n00:00:01,000 --> 00:00:0x,000\nx").await.json()["detail"], detail);
    let chunks = (0..20).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b'\n'; 1000])));
    for body in [Body::from(vec![b'\n'; 5000]), Body::from_stream(futures_util::stream::iter(chunks))] {
        assert_eq!(put(&control, id, "de", body).await.code(), "subtitles-too-large");
    }
    let broken = [Ok(Bytes::from_static(b"1\n")), Err(std::io::Error::other("gone"))];
    assert_eq!(put(&control, id, "de", Body::from_stream(futures_util::stream::iter(broken))).await.code(), "upload-interrupted");
    let title = control.get(&format!("/api/v1/titles/{id}")).await.json();
    assert_eq!((title["generation"].as_u64(), title["subtitles"].as_array().map(Vec::len)), (Some(1), Some(0)), "nothing was changed");
    assert!(!FaultKind::BadTime.is_limit());
}

#[tokio::test]
async fn odd_languages_and_queries_are_refused() {
    let control = Control::new().await;
    let id = control.title(1, TitleState::Ready).await;
    for (path, code) in [
        ("xx", "invalid-language"),
        ("de_AT", "invalid-language"),
        ("de-", "invalid-language"),
        ("english", "invalid-language"),
        ("%2e%2e", "invalid-language"),
        ("..%2fde", "invalid-language"),
        ("%ff", "invalid-language"),
        ("d%00e", "invalid-language"),
        ("d%C3%A9", "invalid-language"),
        ("de%20", "invalid-language"),
        ("de?kind=sdh", "invalid-query"),
        ("de?default=yes", "invalid-query"),
        ("de?lang=en", "invalid-query"),
        ("de?name=", "invalid-name"),
        ("de?name=a%0Ab", "invalid-name"),
        ("", "not-found"),
        ("de/en", "not-found"),
    ] {
        let answer = put(&control, id, path, SRT).await;
        assert_eq!(answer.code(), code, "{path}");
    }
    let unknown = sample::title_id(9);
    assert_eq!(put(&control, unknown, "de", SRT).await.code(), "title-not-found");
    assert_eq!(delete(&control, unknown, "de").await.code(), "title-not-found");
    let form = request("PUT", &format!("/api/v1/titles/{id}/subtitles/de")).header("content-type", "multipart/form-data; boundary=x");
    assert_eq!(control.ask(form.body(Body::from("x")).expect("a request")).await.code(), "unsupported-media-type");
    let cross = request("PUT", &format!("/api/v1/titles/{id}/subtitles/de")).header("sec-fetch-site", "cross-site");
    assert_eq!(control.ask(cross.body(Body::from(SRT)).expect("a request")).await.code(), "cross-site-request");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]
    /// `ask` asserts that each refusal is a problem; here, that none is ours, and that what is taken is a language.
    #[test]
    fn any_language_is_one_or_a_bad_request(paths in proptest::collection::vec("([a-zA-Z]{2,3}|[a-zA-Z0-9%._~:@!-]{0,12})(-[a-zA-Z0-9]{1,9}){0,3}", 8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let control = Control::new().await;
            let id = control.title(1, TitleState::Ready).await;
            for path in paths {
                let Ok(asked) = request("PUT", &format!("/api/v1/titles/{id}/subtitles/{path}")).body(Body::from(SRT)) else { continue };
                let answer = control.ask(asked).await;
                match answer.status.as_u16() {
                    200 | 201 => assert!(LanguageTag::parse(&path).is_ok() || path.contains('%'), "{path}"),
                    400 | 404 | 409 => {}
                    other => panic!("{other} for {path}"),
                }
            }
        });
    }
}
