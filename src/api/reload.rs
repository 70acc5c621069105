//! Reading the configuration again.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::backend::Reloaded;
use super::error::{ApiError, ProblemDetails};
use super::titles::to_its_end;

/// What has changed in the configuration.
#[derive(Serialize, ToSchema)]
pub(super) struct ConfigChanges {
    /// Keys whose new values hold from now on.
    #[schema(example = json!(["delivery.segment_wait"]))]
    taken: Vec<&'static str>,
    /// Keys whose new values hold after a restart.
    #[schema(example = json!(["cache.bytes"]))]
    at_restart: Vec<&'static str>,
}

/// Reads the configuration again
#[utoipa::path(post, path = "/api/v1/config/reload", tag = "operation", responses(
    (status = 200, description = "It holds; what has changed. Certificates were read again too.", body = ConfigChanges),
    (status = 422, description = "It is wrong, and nothing has changed; every fault is told.", body = ProblemDetails, content_type = "application/problem+json"),
    (status = "4XX", description = "The token is missing.", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub(super) async fn reload(State(api): State<Api>) -> Result<Json<ConfigChanges>, ApiError> {
    let backend = api.backend.clone();
    let Reloaded { taken, at_restart } = to_its_end(async move { backend.reload().await }).await??;
    Ok(Json(ConfigChanges { taken, at_restart }))
}
