//! TLS of the real server, as the clients on this machine see it: curl, `openssl s_client`, and a title played over it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use http::{Method, StatusCode};

use super::server::{Server, clip_bytes, eventually, output, signal};

/// Makes a certificate for `localhost`, in the place of the one before.
fn certify(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    // Put in place as certificate clients do: written aside, and renamed.
    for (name, text) in [("cert.pem", made.cert.pem()), ("key.pem", made.signing_key.serialize_pem())] {
        fs::write(folder.join("aside"), text).expect("written");
        fs::rename(folder.join("aside"), folder.join(name)).expect("renamed");
    }
}

async fn secured(folder: &Path, variables: &[(&str, &str)]) -> Server {
    certify(folder);
    let path = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let mut all =
        vec![("HEADWATER_TLS__LISTEN", "127.0.0.1:0"), ("HEADWATER_TLS__CERTIFICATE", &certificate), ("HEADWATER_TLS__KEY", &key)];
    all.extend(variables);
    Server::start(&folder.join("data"), &all).await
}

fn port(server: &Server) -> u16 {
    server.tls.expect("a listener with TLS").port()
}

/// What curl says, when it trusts the certificate that lies in the folder.
async fn curl(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--cacert"]).arg(folder.join("cert.pem")).args(arguments);
    let output = output(command).await;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// The fingerprint of the certificate that a new connection is shown.
async fn fingerprint(server: &Server) -> String {
    let mut command = Command::new("bash");
    let connect = format!("openssl s_client -connect 127.0.0.1:{} -servername localhost </dev/null", port(server));
    command.args(["-c", &format!("{connect} 2>/dev/null | openssl x509 -noout -fingerprint -sha256")]);
    String::from_utf8(output(command).await.stdout).expect("text")
}

#[tokio::test]
async fn a_title_plays_over_tls_alone() {
    let home = tempfile::tempdir().expect("a directory");
    let always = "max-age=31536000; includeSubDomains";
    let variables = [("HEADWATER_SERVER__LISTEN", ""), ("HEADWATER_TLS__STRICT_TRANSPORT_SECURITY", always)];
    let server = secured(home.path(), &variables).await;
    assert_eq!(server.public.port(), 0, "there is no listener without TLS");
    let title = server.upload("film", clip_bytes("320x180", 4)).await;
    let title = server.until(title.id(), super::server::Title::is_ready).await;
    let playlist = title.hls().replace("127.0.0.1", "localhost");
    assert!(playlist.starts_with(&format!("https://localhost:{}/", port(&server))), "{playlist}");

    for (arguments, version) in [
        (&["--http1.1", "--tlsv1.2", "--tls-max", "1.2"][..], "1.1"),
        (&["--http1.1", "--tlsv1.3"], "1.1"),
        (&["--http2", "--tlsv1.2", "--tls-max", "1.2"], "2"),
        (&["--http2", "--tlsv1.3"], "2"),
    ] {
        let shown = ["--include", "--write-out", "\n%{http_version}", &playlist];
        let answer = curl(home.path(), &[arguments, &shown[..]].concat()).await.expect("an answer");
        assert!(answer.contains("#EXTM3U") && answer.ends_with(&format!("\n{version}")), "{answer}");
        assert!(answer.contains("strict-transport-security: max-age=31536000; includeSubDomains"), "{answer}");
    }
    // Everything that the playlists name.
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-tls_verify", "0", "-count_packets", "-show_entries", "stream=nb_read_packets", "-of", "csv=p=0"]);
    let probed = output({
        ffprobe.arg(&playlist);
        ffprobe
    })
    .await;
    let packets = String::from_utf8_lossy(&probed.stdout).into_owned();
    assert!(packets.lines().any(|line| line.trim_end_matches(',') == "96"), "{packets}{}", String::from_utf8_lossy(&probed.stderr));

    let plain = curl(home.path(), &[&format!("http://localhost:{}/", port(&server))]).await.expect_err("plain HTTP");
    assert!(plain.contains("400"), "{plain}");
    let counted = [
        "headwater_server_connections_total{listener=\"tls\",end=\"plain-text\"} 1",
        "headwater_server_handshakes_total{listener=\"tls\",version=\"1.2\",resumed=\"no\"} 2",
    ];
    eventually("the counts", async || {
        let metrics = server.get(&server.api("/metrics")).await;
        let metrics = std::str::from_utf8(&metrics.body).expect("text");
        counted.iter().all(|line| metrics.lines().any(|found| found == *line)).then_some(())
    })
    .await;
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn changed_certificates_are_taken_by_a_server_that_runs() {
    let home = tempfile::tempdir().expect("a directory");
    let server = secured(home.path(), &[]).await;
    let url = format!("https://localhost:{}/", port(&server));
    let before = fingerprint(&server).await;
    assert!(before.contains('='), "{before}");
    certify(home.path());
    eventually("the new certificate", async || (fingerprint(&server).await != before).then_some(())).await;
    let answer = curl(home.path(), &[&url]).await.expect_err("there is nothing at /");
    assert!(answer.contains("404"), "the client trusts it: {answer}");

    let good = fingerprint(&server).await;
    fs::write(home.path().join("key.pem"), "no key").expect("written");
    let refused = server.ask(Method::POST, &server.api("/api/v1/config/reload"), &[]).await;
    assert_eq!(refused.problem(), "invalid-configuration");
    assert!(refused.json()["detail"].as_str().is_some_and(|detail| detail.contains("key.pem")), "{refused:?}");
    eventually("a refusal", async || server.logged().contains("the former ones stay").then_some(())).await;
    assert_eq!(fingerprint(&server).await, good);
    assert_eq!(server.ask(Method::GET, &format!("http://{}/", server.public), &[]).await.status, StatusCode::NOT_FOUND);
    signal(server.pid(), rustix::process::Signal::TERM);
    assert!(server.ended().await.success());
}

#[tokio::test]
async fn a_server_without_its_certificate_does_not_start() {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = super::server::headwater(&["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"]);
    command.arg(home.path().join("data")).stderr(Stdio::piped());
    command.env("HEADWATER_TLS__LISTEN", "127.0.0.1:0").env("HEADWATER_TLS__CERTIFICATE", "/nonexistent/a");
    let ended = output({
        command.env("HEADWATER_TLS__KEY", "/nonexistent/b");
        command
    })
    .await;
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code() == Some(1) && told.contains("the certificate /nonexistent/a cannot be read"), "{told}");
}
