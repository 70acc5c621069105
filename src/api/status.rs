//! Health, metrics, the OpenAPI document, the root, and what is answered where no route leads.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Method, Uri, header};

use super::Api;
use super::error::{ApiError, ErrorCode, ProblemDetails};

const TEXT: &str = "text/plain; charset=utf-8";
/// OpenMetrics 1.0, ABNF and "Overall structure"; what every Prometheus since 2.5 reads.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const NOTE: &str = "Headwater: the control API is at /api/v1/titles, its description at /openapi.json.\n";

/// Whether the process is alive
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, description = "It is.", body = String)))]
pub(super) async fn healthz() -> Response {
    ([(header::CONTENT_TYPE, TEXT)], "alive\n").into_response()
}

/// Whether uploads and viewers can be served now
#[utoipa::path(get, path = "/readyz", tag = "operation", responses(
    (status = 200, description = "They can.", body = String),
    (status = 503, description = "They cannot, and why.", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub(super) async fn readyz(State(api): State<Api>) -> Result<Response, ApiError> {
    api.backend.ready().await?;
    Ok(([(header::CONTENT_TYPE, TEXT)], "ready\n").into_response())
}

/// Metrics in the OpenMetrics text format
#[utoipa::path(get, path = "/metrics", tag = "operation", responses(
    (status = 200, description = "All metrics.", body = String, content_type = "application/openmetrics-text"),
    (status = "4XX", description = "The token is missing.", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], api.backend.metrics()).into_response()
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "operation", responses((status = 200, description = "OpenAPI 3.1.", body = serde_json::Value)))]
pub(super) async fn document(State(api): State<Api>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], api.document.clone()).into_response()
}

/// A note that says where to go
#[utoipa::path(get, path = "/", tag = "operation", responses((status = 200, description = "The note.", body = String)))]
pub(super) async fn root() -> Response {
    ([(header::CONTENT_TYPE, TEXT)], NOTE).into_response()
}

/// No route leads here.
pub(super) async fn not_found(uri: Uri) -> ApiError {
    let shown: String = uri.path().chars().take(120).collect();
    ApiError::new(ErrorCode::NotFound, format!("There is nothing at '{shown}'."))
}

/// A route leads here, but not for this method; the router adds `Allow`.
pub(super) async fn method_not_allowed(method: Method) -> ApiError {
    let shown: String = method.as_str().chars().take(40).collect();
    ApiError::new(ErrorCode::MethodNotAllowed, format!("{shown} is not allowed here; see Allow."))
}
