//! Tells the caches in front of this server what they should drop: one HTTP request for each change, as configured.
//!
//! Requests wait in a queue of bounded length and are sent one after the other by [`PurgeSender::run`]; one that fails is tried
//! again a bounded number of times. Nothing that may be secret is logged: neither fields nor URL.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::surrogate::main_key;
use crate::semantics::Route;
use crate::title::TitleId;

/// Purges that wait; one more is dropped.
const WAITING_MAX: usize = 1024;
/// Wait after the first failure; doubled after each further one.
const BACKOFF: Duration = Duration::from_millis(250);
/// Longest wait between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// What is sent. In URL, fields and body, `{title}`, `{key}` and `{path}` stand for what is to go: the title, its surrogate key, and
/// the path of its stable URL, or of the directory that all its URLs begin with.
#[derive(Clone, PartialEq, Eq)]
pub struct PurgeConfig {
    /// Where to; `http` only.
    pub url: String,
    /// How.
    pub method: Method,
    /// Fields, each a name and a value that may be secret.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// How often it is tried.
    pub attempts: u32,
    /// Longest time for one attempt.
    pub timeout: Duration,
}

impl fmt::Debug for PurgeConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PurgeConfig").field("method", &self.method).field("attempts", &self.attempts).finish_non_exhaustive()
    }
}

impl PurgeConfig {
    /// Whether a request can be made of it.
    ///
    /// # Errors
    /// A sentence that says what is wrong; it quotes no secret.
    pub fn check(&self) -> Result<(), String> {
        self.request(&Purge::all(TitleId::new(0, 0))).map(drop)
    }

    fn request(&self, purge: &Purge) -> Result<Request<Full<Bytes>>, String> {
        let fill =
            |text: &str| text.replace("{title}", &purge.title.to_string()).replace("{key}", &purge.key).replace("{path}", &purge.path);
        let uri: Uri = fill(&self.url).parse().map_err(|_| "the URL is none")?;
        if uri.scheme_str() != Some("http") || uri.authority().is_none() {
            return Err("expected an absolute http URL; for https, put a proxy in between".into());
        }
        let mut request = Request::new(Full::new(Bytes::from(fill(&self.body))));
        let mut fields = HeaderMap::new();
        for (name, value) in &self.fields {
            let name = http::HeaderName::try_from(name).map_err(|_| "a field's name is none")?;
            let mut value = http::HeaderValue::try_from(fill(value)).map_err(|_| "a field's value is none")?;
            value.set_sensitive(true);
            fields.append(name, value);
        }
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = fields;
        Ok(request)
    }
}

/// What is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Purge {
    title: TitleId,
    key: String,
    path: String,
}

impl Purge {
    fn main(title: TitleId) -> Self {
        Self { title, key: main_key(title), path: Route::Multivariant { title }.to_string() }
    }

    fn all(title: TitleId) -> Self {
        Self { title, key: title.to_string(), path: format!("/t/{title}/") }
    }
}

/// Purges by how they ended, under the label `outcome`.
#[derive(Clone, Debug, Default)]
pub struct PurgeMetrics {
    ended: Family<[(&'static str, &'static str); 1], Counter>,
}

impl PurgeMetrics {
    /// Puts them into `registry`, under names that begin with `purge`.
    pub fn register(&self, registry: &mut Registry) {
        let purge = registry.sub_registry_with_prefix("purge");
        purge.register("requests", "Requests to caches to drop something, by how they ended", self.ended.clone());
    }

    /// Purges that ended so.
    pub fn ended(&self, outcome: PurgeOutcome) -> u64 {
        self.ended.get_or_create(&[("outcome", outcome.as_str())]).get()
    }

    fn count(&self, outcome: PurgeOutcome) {
        self.ended.get_or_create(&[("outcome", outcome.as_str())]).inc();
    }
}

/// How a purge ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PurgeOutcome {
    /// It was answered with a success.
    Done,
    /// It was answered with a refusal that asking again would not change.
    Refused,
    /// It failed as often as it was to be tried.
    Failed,
    /// Too many were waiting, or the server stopped.
    Dropped,
}

impl PurgeOutcome {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// Takes purges. Clones are the same; one made without a configuration does nothing.
#[derive(Clone, Default)]
pub struct Purger {
    queue: Option<mpsc::Sender<Purge>>,
    metrics: PurgeMetrics,
    /// The last that was queued and not begun, so that a burst of changes of one title is one request.
    latest: Arc<Mutex<Option<Purge>>>,
}

impl Purger {
    /// A purger, and what sends its requests.
    pub fn new(config: PurgeConfig, metrics: PurgeMetrics) -> (Self, PurgeSender) {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let purger = Self { queue: Some(queue), metrics: metrics.clone(), latest: Arc::default() };
        let client = Client::builder(TokioExecutor::new()).build_http();
        let sender = PurgeSender { config, client, waiting, metrics, latest: Arc::clone(&purger.latest) };
        (purger, sender)
    }

    /// The title's multivariant playlist has changed.
    pub fn changed(&self, title: TitleId) {
        self.queue(Purge::main(title));
    }

    /// Nothing of the title is to be kept.
    pub fn all(&self, title: TitleId) {
        self.queue(Purge::all(title));
    }

    fn queue(&self, purge: Purge) {
        let Some(queue) = &self.queue else { return };
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.as_ref() == Some(&purge) {
            return;
        }
        match queue.try_send(purge.clone()) {
            Ok(()) => *latest = Some(purge),
            Err(_) => {
                self.metrics.count(PurgeOutcome::Dropped);
                tracing::warn!(title = %purge.title, key = %purge.key, "too many purges wait; this one is dropped");
            }
        }
    }
}

/// Sends purges.
pub struct PurgeSender {
    config: PurgeConfig,
    client: Client<HttpConnector, Full<Bytes>>,
    waiting: mpsc::Receiver<Purge>,
    metrics: PurgeMetrics,
    latest: Arc<Mutex<Option<Purge>>>,
}

impl PurgeSender {
    /// Sends until `stop`; what waits then is dropped.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let purge = tokio::select! {
                purge = self.waiting.recv() => purge,
                () = stop.cancelled() => None,
            };
            let Some(purge) = purge else { break };
            {
                // A change from now on is another one.
                let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
                latest.take_if(|latest| *latest == purge);
            }
            let outcome = tokio::select! {
                outcome = self.send(&purge) => outcome,
                () = stop.cancelled() => PurgeOutcome::Dropped,
            };
            self.metrics.count(outcome);
            match outcome {
                PurgeOutcome::Done => tracing::info!(title = %purge.title, key = %purge.key, "purged"),
                _ => tracing::warn!(title = %purge.title, key = %purge.key, outcome = outcome.as_str(), "caches may still have this"),
            }
        }
        while self.waiting.try_recv().is_ok() {
            self.metrics.count(PurgeOutcome::Dropped);
        }
    }

    async fn send(&self, purge: &Purge) -> PurgeOutcome {
        let mut wait = BACKOFF;
        for attempt in 1..=self.config.attempts {
            if attempt > 1 {
                sleep(wait).await;
                wait = (wait * 2).min(BACKOFF_MAX);
            }
            let Ok(request) = self.config.request(purge) else { return PurgeOutcome::Refused };
            match timeout(self.config.timeout, self.client.request(request)).await {
                Ok(Ok(answer)) if answer.status().is_success() => return PurgeOutcome::Done,
                Ok(Ok(answer)) if is_final(answer.status()) => {
                    tracing::warn!(status = answer.status().as_u16(), "a purge was refused");
                    return PurgeOutcome::Refused;
                }
                Ok(Ok(answer)) => tracing::debug!(attempt, status = answer.status().as_u16(), "a purge failed"),
                Ok(Err(error)) => tracing::debug!(attempt, %error, "a purge failed"),
                Err(_) => tracing::debug!(attempt, "a purge took too long"),
            }
        }
        PurgeOutcome::Failed
    }
}

/// Whether asking again would be answered the same.
fn is_final(status: StatusCode) -> bool {
    !status.is_server_error() && !matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Response;
    use http_body_util::BodyExt;
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::net::TcpListener;

    use super::*;

    type Received = (String, String, HeaderMap, Bytes);

    /// A cache's control interface: tells what it received, and answers with `statuses` in turn, then 200.
    async fn cache(statuses: Vec<u16>) -> (String, mpsc::UnboundedReceiver<Received>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/purge/{{key}}?path={{path}}", listener.local_addr().expect("an address"));
        let (told, received) = mpsc::unbounded_channel();
        let statuses = Arc::new(Mutex::new(statuses.into_iter()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (told, statuses) = (told.clone(), Arc::clone(&statuses));
                let answer = service_fn(move |request: Request<Incoming>| {
                    let (told, statuses) = (told.clone(), Arc::clone(&statuses));
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.expect("a body").to_bytes();
                        let _ = told.send((parts.method.to_string(), parts.uri.to_string(), parts.headers, body));
                        let mut answer = Response::new(Full::<Bytes>::default());
                        let status = statuses.lock().expect("no panic").next().unwrap_or(200);
                        *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
                        Ok::<_, Infallible>(answer)
                    }
                });
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        (url, received)
    }

    fn config(url: String) -> PurgeConfig {
        let fields = vec![("Fastly-Key".to_owned(), "hush".to_owned()), ("Surrogate-Key".to_owned(), "{key}".to_owned())];
        let body = "{\"tags\":[\"{key}\"]}".to_owned();
        PurgeConfig { url, method: Method::POST, fields, body, attempts: 3, timeout: Duration::from_secs(10) }
    }

    async fn until(metrics: &PurgeMetrics, outcome: PurgeOutcome, count: u64) {
        while metrics.ended(outcome) < count {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_change_is_told_once_and_tried_again() {
        let (url, mut received) = cache(vec![503, 200, 403]).await;
        let (metrics, stop, title) = (PurgeMetrics::default(), CancellationToken::new(), TitleId::new(1, 2));
        let (purger, sender) = Purger::new(config(url), metrics.clone());
        purger.changed(title);
        purger.changed(title);
        let running = tokio::spawn(sender.run(stop.clone()));
        for _ in 0..2 {
            let (method, target, fields, body) = received.recv().await.expect("a request");
            assert_eq!((method.as_str(), target), ("POST", format!("/purge/{title}-main?path=/t/{title}/main.m3u8")));
            assert_eq!(fields["fastly-key"], "hush");
            assert_eq!(fields["surrogate-key"], format!("{title}-main"));
            assert_eq!(body, format!("{{\"tags\":[\"{title}-main\"]}}"));
        }
        until(&metrics, PurgeOutcome::Done, 1).await;
        // A refusal is not asked again.
        purger.all(title);
        assert_eq!(received.recv().await.expect("a request").1, format!("/purge/{title}?path=/t/{title}/"));
        until(&metrics, PurgeOutcome::Refused, 1).await;
        assert!(received.try_recv().is_err());
        stop.cancel();
        running.await.expect("no panic");
        Purger::default().all(title);
    }

    #[tokio::test]
    async fn attempts_and_waiting_purges_are_bounded() {
        let (url, mut received) = cache(vec![500; 3]).await;
        let (metrics, stop) = (PurgeMetrics::default(), CancellationToken::new());
        let (purger, sender) = Purger::new(config(url), metrics.clone());
        for number in 0..WAITING_MAX as u128 + 1 {
            purger.changed(TitleId::new(1, number));
        }
        assert_eq!(metrics.ended(PurgeOutcome::Dropped), 1);
        let running = tokio::spawn(sender.run(stop.clone()));
        until(&metrics, PurgeOutcome::Failed, 1).await;
        for _ in 0..3 {
            received.recv().await.expect("a request");
        }
        stop.cancel();
        running.await.expect("no panic");
        let ended = [PurgeOutcome::Done, PurgeOutcome::Failed, PurgeOutcome::Dropped].map(|outcome| metrics.ended(outcome));
        assert_eq!(ended.iter().sum::<u64>(), WAITING_MAX as u64 + 1, "each has ended in some way");
    }

    #[test]
    fn what_cannot_be_sent_is_refused_and_nothing_secret_is_shown() {
        let good = config("http://cdn.example/{key}".into());
        assert_eq!(good.check(), Ok(()));
        assert!(!format!("{good:?}").contains("hush"));
        for wrong in [
            PurgeConfig { url: "https://cdn.example/".into(), ..good.clone() },
            PurgeConfig { url: "/purge".into(), ..good.clone() },
            PurgeConfig { fields: vec![("a b".into(), "hush".into())], ..good.clone() },
            PurgeConfig { fields: vec![("a".into(), "hu\nsh".into())], ..good.clone() },
        ] {
            assert!(wrong.check().is_err_and(|why| !why.contains("hu")), "{:?}", wrong.url);
        }
    }
}
