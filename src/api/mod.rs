//! The control API: titles, uploads in one go, subtitles, events, health, metrics, and the description of all that (OpenAPI).
//!
//! It reads the catalogue, and has the work done by a [`Backend`]. It knows no listener: [`router`] gives a service. Every
//! answer that is not a success is `application/problem+json` with a code of [`ErrorCode`].

mod address;
mod backend;
mod error;
mod events;
mod guard;
mod linger;
mod live;
mod openapi;
mod pacing;
mod purge;
mod reload;
mod request;
mod source;
mod status;
mod subtitles;
#[cfg(test)]
pub(crate) mod tests;
mod title;
mod titles;
mod upload;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::request::Parts;
use http::{HeaderValue, header};
use moka::future::Cache;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use backend::{Backend, DeleteError, NotReady, Progress, ReceiveError, ReloadError, Reloaded, SubtitleError, SubtitleFile, UploadBody};
pub use error::{ApiError, ErrorCode, ProblemDetails};
pub use events::EventLimits;
pub use guard::Token;
pub use live::{Live, Tunable};
pub use title::Title;

use crate::catalogue::{self, Catalogue, TitleRecord};
use crate::title::{Generation, TitleId};
use address::Addresses;
use guard::Guard;
use title::Planned;

/// Plans kept in memory for what titles show of them; each takes about a kilobyte.
const PLANNED_MAX: u64 = 2048;
/// Plans that one list reads at once.
const PLAN_READS_MAX: usize = 4;

/// What the control API is made of.
pub struct Settings {
    /// What can be changed later.
    pub live: Live,
    /// Bound address of the public listener that players are sent to.
    pub public: SocketAddr,
    /// What is spoken there: `http` or `https`.
    pub public_scheme: &'static str,
    /// Bound address of the admin listener.
    pub admin: SocketAddr,
    /// Names that a loopback admin listener goes by besides `localhost` and the loopback addresses.
    pub host_names: Vec<String>,
    /// How events are told.
    pub events: EventLimits,
    /// Cancelled when the server stops, so that event streams end.
    pub stop: CancellationToken,
}

/// The control API as a service.
pub fn router(settings: Settings, catalogue: Catalogue, backend: Arc<dyn Backend>) -> Router {
    let (routes, document) = openapi::routes().split_for_parts();
    let api = Api(Arc::new(Inner {
        guard: Guard { loopback: settings.admin.ip().is_loopback(), host_names: settings.host_names, token: None },
        addresses: Addresses { public_url: None, public: settings.public, public_scheme: settings.public_scheme, admin: settings.admin },
        planned: Cache::new(PLANNED_MAX),
        subtitle_bodies: Semaphore::new(subtitles::BODIES_MAX),
        live: settings.live,
        events: events::Streams::new(settings.events, settings.stop),
        document: openapi::written(&document),
        catalogue,
        backend,
    }));
    routes
        .method_not_allowed_fallback(status::method_not_allowed)
        .fallback(status::not_found)
        .layer(from_fn_with_state(api.clone(), at_the_door))
        .with_state(api)
}

/// Everything that requests share. A clone is the same.
#[derive(Clone)]
struct Api(Arc<Inner>);

struct Inner {
    live: Live,
    /// The token is in `live`.
    guard: Guard,
    /// The public URL is in `live`.
    addresses: Addresses,
    catalogue: Catalogue,
    backend: Arc<dyn Backend>,
    subtitle_bodies: Semaphore,
    // The flags are whether rates and loudness are measured, the things of a plan that change.
    planned: Cache<(TitleId, Generation, bool, bool), Arc<Planned>>,
    events: events::Streams,
    document: Bytes,
}

impl std::ops::Deref for Api {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Api {
    /// A title as clients see it.
    async fn title(&self, record: &TitleRecord, base: &Base) -> Result<Title, ApiError> {
        let planned = self.planned(record).await?;
        Ok(Title::new(record, planned.as_deref(), self.backend.progress(record.id), &base.0))
    }

    /// Several titles as clients see them, in the same order.
    async fn titles(&self, records: &[TitleRecord], base: &Base) -> Result<Vec<Title>, ApiError> {
        let titles: Vec<_> = records.iter().map(|record| self.title(record, base)).collect();
        stream::iter(titles).buffered(PLAN_READS_MAX).try_collect().await
    }

    /// What the title shows of its plan; absent when it has none.
    async fn planned(&self, record: &TitleRecord) -> Result<Option<Arc<Planned>>, ApiError> {
        use crate::title::TitleState::{Processing, Ready};
        if !matches!(record.state, Processing | Ready) {
            return Ok(None);
        }
        let key = (record.id, record.generation, record.state == Ready, record.has_loudness);
        let load = async {
            let plan = self.catalogue.plan(record.id, record.generation).await?;
            Ok::<_, catalogue::Error>(Arc::new(Planned::new(&plan)))
        };
        match self.planned.try_get_with(key, load).await {
            Ok(planned) => Ok(Some(planned)),
            // It failed or was deleted since the record was read.
            Err(error) if matches!(*error, catalogue::Error::NotFound(_)) => Ok(None),
            Err(error) => Err(ApiError::from(&*error)),
        }
    }
}

/// The base of playback URLs for the client that asks.
#[derive(Clone, Debug)]
struct Base(String);

impl<S: Send + Sync> FromRequestParts<S> for Base {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let base = parts.extensions.get::<Self>().cloned();
        base.ok_or_else(|| ApiError::new(ErrorCode::Internal, "The host asked is not known."))
    }
}

/// What happens to every request before, and to every answer after.
async fn at_the_door(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Tunable { public_url, token, .. } = api.live.get();
    let guard = Guard { token, ..api.guard.clone() };
    let admitted = guard.admit(&parts).and_then(|asked| {
        guard::refuse_body(&parts.method, !http_body::Body::is_end_stream(&body))?;
        Ok(asked)
    });
    let mut response = match admitted {
        Ok(asked) => {
            let scheme = parts.uri.scheme_str().unwrap_or("http");
            let base = Base(Addresses { public_url, ..api.addresses.clone() }.base(scheme, &asked));
            parts.extensions.insert(base);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) => error.into_response(),
    };
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
