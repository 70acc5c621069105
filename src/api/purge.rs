//! Purging: what is in memory of a title is dropped, and caches in front of this server are told to do the same.

use axum::extract::State;
use http::{StatusCode, Uri};

use super::Api;
use super::error::{ApiError, ProblemDetails};
use super::request::{InPath, Query};
use super::titles::to_its_end;

/// Purges a title from memory and from caches
///
/// When it is answered, nothing of the title is in this server's memory, and the request to the caches that purge.url names is
/// on its way. The title stays as it is.
#[utoipa::path(post, path = "/api/v1/titles/{id}/purge", tag = "operation",
    params(("id" = String, Path, description = "The title.")),
    responses(
        (status = 204, description = "It is purged from memory; caches are being told."),
        (status = "4XX", description = "There is no such title.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = "5XX", description = "The catalogue cannot be read.", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub(super) async fn purge(State(api): State<Api>, InPath(id): InPath, uri: Uri) -> Result<StatusCode, ApiError> {
    Query::parse(uri.query(), &[])?;
    api.catalogue.title(id).await?;
    let backend = api.backend.clone();
    to_its_end(async move { backend.purge(id).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
