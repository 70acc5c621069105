//! The configuration read again by a server that runs: taken as a whole, or refused as a whole.

use std::fs;
use std::path::Path;

use http::{Method, StatusCode};
use serde_json::json;

use super::player::good;
use super::server::{Answer, Server, Title, clip_bytes, eventually, headwater, signal};

async fn start(file: &Path, data: &Path) -> Server {
    let mut command = headwater(&["serve", "--config"]);
    command.arg(file);
    Server::launch_by(command, data, &[]).announced().await
}

async fn reload(server: &Server, token: Option<&str>) -> Answer {
    let authorization = format!("Bearer {}", token.unwrap_or_default());
    let headers: &[(&str, &str)] = if token.is_some() { &[("authorization", &authorization)] } else { &[] };
    server.ask(Method::POST, &server.api("/api/v1/config/reload"), headers).await
}

#[tokio::test]
async fn what_can_change_does_and_the_rest_is_named() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("headwater.toml");
    fs::write(&file, "[cache]\nbytes = \"64MiB\"\n").expect("written");
    let server = start(&file, &home.path().join("data")).await;
    let title = server.upload("film", clip_bytes("320x180", 2)).await;
    let title = server.until(title.id(), Title::is_ready).await;
    assert!(good(&server, title.hls()).await.header("cache-control").starts_with("public, max-age=5,"));
    let nothing = reload(&server, None).await;
    assert_eq!((nothing.status, nothing.json()), (StatusCode::OK, json!({ "taken": [], "at_restart": [] })));

    let text = "[cache]\nbytes = \"128MiB\"\n[server]\npublic_url = \"https://films.example.com\"\nconnections_max = 1\n\
        [delivery]\nmultivariant_max_age = \"90s\"\n[upload]\nbytes_max = \"1KiB\"\n[log]\nfilter = \"info,headwater::server=debug\"\n";
    fs::write(&file, text).expect("written");
    let changed = reload(&server, None).await.json();
    let taken = ["server.public_url", "server.connections_max", "delivery.multivariant_max_age", "upload.bytes_max", "log.filter"];
    assert_eq!(changed, json!({ "taken": taken, "at_restart": ["cache.bytes"] }));
    let hls = title.hls().to_owned();
    assert!(good(&server, &hls).await.header("cache-control").starts_with("public, max-age=90,"), "what was in memory says it too");
    let title = server.title(title.id()).await;
    assert!(title.hls().starts_with("https://films.example.com/t/"), "{}", title.hls());
    assert_eq!(server.post("large", vec![0; 2048]).await.problem(), "upload-too-large");
    // The test's own connection is the one that may be open.
    let mut second = std::net::TcpStream::connect(server.public).expect("a connection");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut second, &mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    fs::write(&file, format!("{text}[admin]\ntoken = \"open-sesame\"\n")).expect("written");
    assert_eq!(reload(&server, None).await.json(), json!({ "taken": ["admin.token"], "at_restart": ["cache.bytes"] }));
    assert_eq!(reload(&server, None).await.problem(), "unauthorized");
    assert_eq!(reload(&server, Some("open-sesame")).await.json()["taken"], json!([]));
    let metrics = server.ask(Method::GET, &server.api("/metrics"), &[("authorization", "Bearer open-sesame")]).await;
    let metrics = String::from_utf8(metrics.body.to_vec()).expect("text");
    for line in ["headwater_config_reloads_total{outcome=\"taken\"} 4", "headwater_config_restart_keys 1"] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn a_wrong_one_changes_nothing_and_every_fault_is_told() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("headwater.toml");
    fs::write(&file, "").expect("written");
    let server = start(&file, &home.path().join("data")).await;
    fs::write(&file, "[log]\nfilter = \"trace\"\n[cache]\nbites = 1\n[delivery]\nsegment_wait = \"soon\"\n").expect("written");
    let refused = reload(&server, None).await;
    assert_eq!((refused.status, refused.problem().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid-configuration"));
    let detail = refused.json()["detail"].as_str().expect("a sentence").to_owned();
    assert!(detail.contains("cache.bites") && detail.contains("delivery.segment_wait"), "{detail}");
    assert!(!server.logged().contains("TRACE"), "the filter has not changed");

    fs::write(&file, "[worker]\npath = \"/nonexistent/worker\"\n").expect("written");
    signal(server.pid(), rustix::process::Signal::HUP);
    eventually("a refusal", async || server.logged().contains("the worker program /nonexistent/worker is missing").then_some(())).await;
    fs::write(&file, "[log]\nfilter = \"debug\"\n").expect("written");
    signal(server.pid(), rustix::process::Signal::HUP);
    eventually("the new filter", async || {
        // Something that is told at that level: bytes that are no HTTP.
        let mut stream = std::net::TcpStream::connect(server.public).expect("a connection");
        std::io::Write::write_all(&mut stream, b"\0\r\n\r\n").expect("sent");
        server.logged().contains("DEBUG").then_some(())
    })
    .await;
    let metrics = server.get(&server.api("/metrics")).await;
    let metrics = String::from_utf8(metrics.body.to_vec()).expect("text");
    for line in ["headwater_config_reloads_total{outcome=\"refused\"} 2", "headwater_config_reloads_total{outcome=\"taken\"} 1"] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
    assert!(server.stop().await.success());
}
