//! TLS over real sockets, with a client that checks certificates.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ClientConfig, RootCertStore, SupportedCipherSuite, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::server::{Config, ConnectionEnd, Listener, Threads};

const CONFIG: Config = Config {
    connections_max: 100,
    header_timeout: Duration::from_secs(10),
    idle_timeout: Duration::from_secs(60),
    drain: Duration::from_secs(30),
    threads: Threads::Shared,
    tells_peer: false,
    limits: crate::server::Limits::USUAL,
};
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const GET_LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
/// Longer than what sockets and buffers hold.
const BODY_BYTES: usize = 8 << 20;

/// A folder with certificates.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// Makes a certificate of its own root, in place of what `file` named before.
    fn make(&self, file: &str, name: &str) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        fs::write(self.0.path().join(format!("{file}.crt")), made.cert.pem()).expect("written");
        fs::write(self.0.path().join(format!("{file}.key")), made.signing_key.serialize_pem()).expect("written");
        made.cert.der().clone()
    }

    fn files(&self, file: &str) -> CertificateFiles {
        let path = |ending: &str| self.0.path().join(format!("{file}.{ending}"));
        CertificateFiles { certificate: path("crt"), key: path("key") }
    }
}

struct Running {
    address: SocketAddr,
    tls: Tls,
    metrics: Metrics,
    _stop: tokio_util::sync::DropGuard,
}

fn run(config: Config, certificates: Vec<CertificateFiles>) -> Running {
    let metrics = Metrics::default();
    let strict_transport_security = Some(HeaderValue::from_static("max-age=60"));
    let tls = Tls::new(TlsConfig { certificates, strict_transport_security }, metrics.clone()).expect("certificates");
    let listener = Listener::bind("tls", "127.0.0.1:0".parse().expect("an address"), config.threads).expect("a port");
    let (listener, stop) = (listener.secured(tls.clone()), CancellationToken::new());
    let address = listener.address();
    let body = Bytes::from((0..BODY_BYTES).map(|index| (index / 251) as u8).collect::<Vec<_>>());
    let service = service_fn(move |request: Request<Incoming>| {
        let body = match request.uri().path() {
            "/large" => body.clone(),
            _ => Bytes::from(format!("{:?}", request.version())),
        };
        async move { Ok::<_, Infallible>(Response::new(Full::new(body))) }
    });
    tokio::spawn({
        let (metrics, stop) = (metrics.clone(), stop.clone());
        async move { listener.serve(service, config, None, &metrics, stop).await }
    });
    Running { address, tls, metrics, _stop: stop.drop_guard() }
}

/// A client that trusts `roots` and nothing else.
fn client(roots: &[CertificateDer<'static>], versions: &[&'static SupportedProtocolVersion], alpn: &[&[u8]]) -> Arc<ClientConfig> {
    client_with(aws_lc_rs::default_provider(), roots, versions, alpn)
}

fn client_with(
    provider: CryptoProvider,
    roots: &[CertificateDer<'static>],
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> Arc<ClientConfig> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions).expect("versions");
    let mut config = builder.with_root_certificates(store).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

impl Running {
    async fn connect(&self, client: &Arc<ClientConfig>, name: &'static str) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let name = ServerName::try_from(name).expect("a name");
        TlsConnector::from(Arc::clone(client)).connect(name, stream).await
    }

    async fn get(&self, client: &Arc<ClientConfig>, name: &'static str) -> String {
        let mut stream = self.connect(client, name).await.expect("a handshake");
        stream.write_all(GET_LAST).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an announced end");
        answer
    }

    /// What comes back for bytes that are no TLS, until the server closes.
    async fn raw(&self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        stream.write_all(bytes).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.map(|_| answer)
    }

    async fn ended(&self, end: ConnectionEnd) {
        while self.metrics.ends("tls", end) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test]
async fn both_versions_and_both_protocols() {
    let folder = Folder::new();
    let root = folder.make("a", "localhost");
    let server = run(CONFIG, vec![folder.files("a")]);
    for (version, alpn, expect) in [
        (&TLS13, &[H2, HTTP_1][..], Version::HTTP_2),
        (&TLS12, &[H2, HTTP_1], Version::HTTP_2),
        (&TLS13, &[HTTP_1], Version::HTTP_11),
        (&TLS12, &[], Version::HTTP_11),
    ] {
        let stream = server.connect(&client(std::slice::from_ref(&root), &[version], alpn), "localhost").await.expect("a handshake");
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        let io = TokioIo::new(stream);
        let request = |path: &str| Request::get(format!("http://localhost{path}")).header("host", "h").body(Full::<Bytes>::default());
        let (small, large) = (request("/").expect("a request"), request("/large").expect("a request"));
        let (small, large) = if expect == Version::HTTP_2 {
            let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
            tokio::spawn(connection);
            (sender.send_request(small).await.expect("an answer"), sender.send_request(large).await.expect("an answer"))
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.expect("HTTP/1.1");
            tokio::spawn(connection);
            let answer = sender.send_request(small).await.expect("an answer");
            let (head, body) = answer.into_parts();
            let small = Response::from_parts(head, Full::new(body.collect().await.expect("a body").to_bytes()));
            assert_eq!(small.headers()["strict-transport-security"], "max-age=60");
            assert_eq!(small.collect().await.expect("a body").to_bytes(), "HTTP/1.1");
            let large = sender.send_request(large).await.expect("an answer");
            let large = large.collect().await.expect("a body").to_bytes();
            assert!(large.len() == BODY_BYTES && large.iter().enumerate().all(|(index, byte)| *byte == (index / 251) as u8));
            continue;
        };
        assert_eq!(small.headers()["strict-transport-security"], "max-age=60");
        assert_eq!(small.collect().await.expect("a body").to_bytes(), "HTTP/2.0");
        let large = large.collect().await.expect("a body").to_bytes();
        assert!(large.len() == BODY_BYTES && large.iter().enumerate().all(|(index, byte)| *byte == (index / 251) as u8));
    }
    let unknown = client(&[root], &[&TLS13], &[b"gopher"]);
    assert!(server.connect(&unknown, "localhost").await.is_err(), "no protocol in common");
}

#[tokio::test]
async fn sessions_are_resumed_even_with_a_new_certificate() {
    let folder = Folder::new();
    let (root, other) = (folder.make("a", "localhost"), folder.make("b", "localhost"));
    let server = run(CONFIG, vec![folder.files("a")]);
    for (version, name) in [(&TLS13, "1.3"), (&TLS12, "1.2")] {
        let client = client(&[root.clone(), other.clone()], &[version], &[]);
        server.get(&client, "localhost").await;
        assert_eq!((server.metrics.handshakes("tls", name, false), server.metrics.handshakes("tls", name, true)), (1, 0));
        server.get(&client, "localhost").await;
        let renewed = TlsConfig { certificates: vec![folder.files("b")], strict_transport_security: None };
        server.tls.take(server.tls.read(renewed).expect("certificates"));
        server.get(&client, "localhost").await;
        assert_eq!((server.metrics.handshakes("tls", name, false), server.metrics.handshakes("tls", name, true)), (1, 2));
    }
}

#[tokio::test]
async fn the_client_s_order_of_ciphers_goes() {
    let folder = Folder::new();
    let root = folder.make("a", "localhost");
    let server = run(CONFIG, vec![folder.files("a")]);
    for first in [CipherSuite::TLS13_AES_128_GCM_SHA256, CipherSuite::TLS13_AES_256_GCM_SHA384, CipherSuite::TLS13_CHACHA20_POLY1305_SHA256]
    {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.sort_by_key(|suite: &SupportedCipherSuite| suite.suite() != first);
        let client = client_with(provider, std::slice::from_ref(&root), &[&TLS13], &[]);
        let stream = server.connect(&client, "localhost").await.expect("a handshake");
        assert_eq!(stream.get_ref().1.negotiated_cipher_suite().map(|suite| suite.suite()), Some(first));
    }
}

#[tokio::test]
async fn the_name_asked_for_chooses_the_certificate() {
    let folder = Folder::new();
    let (first, second) = (folder.make("a", "a.example.com"), folder.make("b", "*.b.example.com"));
    let server = run(CONFIG, vec![folder.files("a"), folder.files("b")]);
    for (root, name, right) in [
        (&first, "a.example.com", true),
        (&second, "films.b.example.com", true),
        (&second, "a.example.com", false),
        (&first, "films.b.example.com", false),
    ] {
        let client = client(std::slice::from_ref(root), &[&TLS13], &[]);
        assert_eq!(server.connect(&client, name).await.is_ok(), right, "{name}");
    }
    // No certificate is for this name: the client gets the first, and says no for itself.
    let client = client(&[first, second], &[&TLS13], &[]);
    let error = server.connect(&client, "c.example.com").await.expect_err("not for this name");
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn new_files_are_taken_without_dropping_a_connection_and_wrong_ones_are_not() {
    let folder = Folder::new();
    let first = folder.make("a", "localhost");
    let server = run(CONFIG, vec![folder.files("a")]);
    let trusts_first = client(std::slice::from_ref(&first), &[&TLS13], &[]);
    let mut open = server.connect(&trusts_first, "localhost").await.expect("a handshake");
    assert_eq!(server.tls.look(None), None, "nothing has changed");
    let CertificateFiles { certificate, key } = folder.files("a");
    let kept = fs::read(&key).expect("a key");

    let second = folder.make("a", "localhost");
    fs::write(&key, &kept).expect("written");
    let refused = server.tls.look(None).expect("a key that belongs to another certificate");
    assert_eq!(server.tls.look(Some(refused.clone())), Some(refused), "it is told once");
    server.connect(&trusts_first, "localhost").await.expect("the former certificate stays");
    fs::remove_file(&key).expect("removed");
    assert!(server.tls.look(None).is_some(), "a file is missing");
    server.connect(&trusts_first, "localhost").await.expect("the former certificate stays");

    let third = folder.make("a", "localhost");
    assert_eq!(server.tls.look(None), None);
    // Another session of the same client would be resumed without a certificate.
    assert!(server.connect(&client(&[first, second], &[&TLS13], &[]), "localhost").await.is_err());
    server.connect(&client(&[third], &[&TLS13], &[]), "localhost").await.expect("the new certificate");
    open.write_all(GET_LAST).await.expect("sent");
    let mut answer = String::new();
    open.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    fs::write(&certificate, "nothing").expect("written");
    let faults = server.tls.read(server.tls.current().config).expect_err("no certificate").to_string();
    assert!(faults.contains("has no PEM section CERTIFICATE") && faults.contains("a.crt"), "{faults}");
}

#[tokio::test]
async fn every_wrong_file_is_named() {
    let folder = Folder::new();
    folder.make("a", "localhost");
    folder.make("b", "localhost");
    let mixed = CertificateFiles { key: folder.files("b").key, ..folder.files("a") };
    let certificates = vec![folder.files("a"), mixed, folder.files("nowhere")];
    let config = TlsConfig { certificates, strict_transport_security: None };
    let TlsFaults(faults) = Tls::new(config, Metrics::default()).expect_err("faults");
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(
        faults[0].contains("b.key does not belong to the certificate") && faults[1].contains("nowhere.crt cannot be read"),
        "{faults:?}"
    );
}

#[tokio::test]
async fn who_speaks_plainly_is_told_so() {
    let folder = Folder::new();
    folder.make("a", "localhost");
    let server = run(CONFIG, vec![folder.files("a")]);
    let answer = String::from_utf8(server.raw(GET).await.expect("an end")).expect("text");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("https instead of http\n"), "{answer}");
    server.ended(ConnectionEnd::PlainText).await;
    let mut body = GET.to_vec();
    body.resize(40 << 10, b'x');
    let answer = String::from_utf8(server.raw(&body).await.expect("an end")).expect("text");
    assert!(answer.starts_with("HTTP/1.1 400 "), "what is sent further does not lose the answer: {answer}");
}

#[tokio::test]
async fn handshakes_that_fail_are_told_apart() {
    let folder = Folder::new();
    let root = folder.make("a", "localhost");
    let server = run(Config { header_timeout: Duration::from_millis(100), connections_max: 1, ..CONFIG }, vec![folder.files("a")]);
    // The first bytes of a ClientHello, and then nothing.
    assert_eq!(server.raw(&[22, 3, 1, 2, 0, 1]).await.unwrap_or_default(), b"");
    server.ended(ConnectionEnd::HandshakeTimeout).await;
    assert_eq!(server.raw(&[0, 1, 2]).await.unwrap_or_default(), b"", "closed or reset");
    server.ended(ConnectionEnd::HandshakeFailed).await;

    let client = client(&[root], &[&TLS13], &[]);
    let mut open = server.connect(&client, "localhost").await.expect("a handshake");
    open.write_all(GET).await.expect("sent");
    assert_ne!(open.read(&mut [0; 100]).await.expect("an answer"), 0);
    let error = server.connect(&client, "localhost").await.expect_err("no room");
    assert!(error.to_string().contains("InternalError"), "{error}");
    // Most clients just go; that is no failure.
    drop(open);
    server.ended(ConnectionEnd::Closed).await;
}
