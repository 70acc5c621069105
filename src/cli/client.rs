//! Speaks to the control API of a running server over HTTP, and says what to do when that does not work.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Outcome, Terminal};

/// How long a connection may take to be made.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long a short answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Longest answer in bytes; a page of titles is far below.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// The body of a request.
pub(super) type RequestBody = UnsyncBoxBody<Bytes, anyhow::Error>;

/// Which server commands speak to.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ServerArguments {
    /// The server's control API [default: admin.listen of the configuration]
    #[arg(long, value_name = "URL", value_parser = ServerUrl::parse)]
    server: Option<ServerUrl>,
    /// The bearer token it asks for; HEADWATER_ADMIN__TOKEN does the same and is not seen in the list of processes
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

impl ServerArguments {
    /// The client for that server. What is not given comes from the configuration.
    pub(super) fn client(&self, terminal: &Terminal<'_>) -> Outcome<Client> {
        let admin = terminal.configuration(None, &[])?.config.admin;
        let server = self.server.clone().unwrap_or_else(|| ServerUrl::of(admin.listen));
        let token = self.token.clone().or_else(|| admin.token.map(|token| token.expose().to_owned()));
        Ok(Client::new(server, token))
    }
}

/// The base URL of a control API: `http://HOST[:PORT][/PATH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerUrl(String);

impl ServerUrl {
    /// Reads one as it is typed.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let expected = "expected http://HOST:PORT, such as http://127.0.0.1:8081";
        let uri: Uri = text.parse().map_err(|_| expected.to_owned())?;
        if uri.scheme_str() == Some("https") {
            return Err("this command speaks plain http only: use http://, through a tunnel if the server is far".into());
        }
        let host = uri.authority().is_some_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty());
        if uri.scheme_str() != Some("http") || !host || uri.query().is_some() || text.contains('#') {
            return Err(expected.into());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// Where a server that listens on `admin` is reached from this machine.
    fn of(admin: SocketAddr) -> Self {
        let ip = match admin.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Self(format!("http://{}", SocketAddr::new(ip, admin.port())))
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Asks one server.
pub(super) struct Client {
    http: Http<HttpConnector, RequestBody>,
    server: ServerUrl,
    token: Option<String>,
}

impl Client {
    fn new(server: ServerUrl, token: Option<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_WAIT));
        connector.set_nodelay(true);
        Self { http: Http::builder(TokioExecutor::new()).build(connector), server, token }
    }

    /// A request for a path of the server, with the token.
    pub(super) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.server)).header(header::USER_AGENT, AGENT);
        match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    /// Sends a request and waits for the head of a successful answer.
    pub(super) async fn send(&self, request: Request<RequestBody>) -> anyhow::Result<Response<Incoming>> {
        let response = match self.http.request(request).await {
            Ok(response) => response,
            Err(error) if error.is_connect() => {
                let error = anyhow::Error::new(error);
                let (server, cause) = (&self.server, error.root_cause());
                bail!("no Headwater answers at {server} ({cause}): start one with 'headwater serve', or name another by --server URL");
            }
            Err(error) => return Err(anyhow::Error::new(error).context(format!("{} broke off", self.server))),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    /// Sends a request without a body and reads the whole answer.
    pub(super) async fn ask(&self, method: Method, path: &str) -> anyhow::Result<Bytes> {
        let request = self.request(method, path).body(no_body())?;
        let answered = async { read(self.send(request).await?.into_body()).await };
        match tokio::time::timeout(ANSWER_WAIT, answered).await {
            Ok(answer) => answer,
            Err(_) => bail!("{} did not answer within {} s", self.server, ANSWER_WAIT.as_secs()),
        }
    }

    /// Asks for JSON.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        json(&self.ask(Method::GET, path).await?)
    }

    /// What the server says is wrong.
    async fn refusal(&self, response: Response<Incoming>) -> anyhow::Error {
        let status = response.status();
        let body = tokio::time::timeout(ANSWER_WAIT, read(response.into_body())).await.ok().and_then(Result::ok).unwrap_or_default();
        let refusal = match serde_json::from_slice::<ProblemDetails>(&body) {
            Ok(problem) => Refusal { status, code: problem.code, detail: problem.detail },
            Err(_) => Refusal { status, code: String::new(), detail: format!("{} answered {status}", self.server) },
        };
        if status == StatusCode::UNAUTHORIZED {
            return anyhow!(refusal).context("the server asks for a token: give it by --token or HEADWATER_ADMIN__TOKEN");
        }
        anyhow!(refusal)
    }
}

const AGENT: &str = concat!("headwater/", env!("CARGO_PKG_VERSION"));

#[derive(Deserialize)]
struct ProblemDetails {
    detail: String,
    code: String,
}

/// The server did not do it, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(super) struct Refusal {
    /// The status.
    pub(super) status: StatusCode,
    /// The stable code; empty when something else answered.
    pub(super) code: String,
    /// A sentence.
    pub(super) detail: String,
}

/// Runs a conversation with a server to its end.
pub(super) fn block_on<T>(conversation: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the runtime cannot be started")?;
    let outcome = runtime.block_on(conversation);
    // A thread that still reads a file must not delay the end.
    runtime.shutdown_background();
    outcome
}

/// No body.
pub(super) fn no_body() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Reads a whole answer.
pub(super) async fn read(body: Incoming) -> anyhow::Result<Bytes> {
    let whole = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    Ok(whole.map_err(|error| anyhow!(error)).context("the answer broke off")?.to_bytes())
}

/// Reads JSON out of an answer.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(body).context("the answer is not what a Headwater says; is it one?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_urls() {
        for (text, expect) in [
            ("http://127.0.0.1:8081", Some("http://127.0.0.1:8081")),
            ("http://host/", Some("http://host")),
            ("http://[::1]:8081/admin/", Some("http://[::1]:8081/admin")),
            ("https://host", None),
            ("127.0.0.1:8081", None),
            ("host", None),
            ("http://", None),
            ("http://u:p@host", None),
            ("http://host/?x", None),
            ("http://host/#x", None),
            ("ftp://host", None),
        ] {
            assert_eq!(ServerUrl::parse(text).ok().map(|url| url.0).as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_this_machine() {
        for (listen, expect) in [
            ("127.0.0.1:8081", "http://127.0.0.1:8081"),
            ("0.0.0.0:9", "http://127.0.0.1:9"),
            ("[::]:9", "http://[::1]:9"),
            ("10.0.0.5:80", "http://10.0.0.5:80"),
        ] {
            assert_eq!(ServerUrl::of(listen.parse().expect("an address")).0, expect);
        }
    }
}
