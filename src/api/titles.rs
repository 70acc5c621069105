//! Titles: list, show, rename, delete.

use std::future::Future;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode, Uri};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, ErrorCode, ProblemDetails};
use super::request::{InPath, Query, json, title_name};
use super::title::Title;
use super::{Api, Base};
use crate::catalogue::Cursor;
use crate::title::TitleState;

/// Titles of a page when the client does not say.
const PAGE_TITLES: u32 = 50;
/// Most titles of a page.
const PAGE_TITLES_MAX: u32 = 200;

/// Some titles, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct TitlePage {
    /// The titles.
    titles: Vec<Title>,
    /// The `cursor` of the next page; absent on the last one.
    #[schema(required)]
    next: Option<String>,
}

/// What can be changed of a title.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TitleChange {
    /// Its new name: any Unicode without control characters.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

/// Lists titles, newest first
#[utoipa::path(get, path = "/api/v1/titles", tag = "titles",
    params(
        ("limit" = Option<u32>, Query, description = "Titles of a page.", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before."),
        ("state" = Option<TitleState>, Query, description = "Only titles in this state."),
    ),
    responses(
        (status = 200, description = "A page of titles.", body = TitlePage),
        (status = "4XX", description = "The query is wrong.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = "5XX", description = "The catalogue cannot be read.", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(State(api): State<Api>, base: Base, uri: Uri) -> Result<Json<TitlePage>, ApiError> {
    let query = Query::parse(uri.query(), &["limit", "cursor", "state"])?;
    let limit = query.value::<u32>("limit")?.unwrap_or(PAGE_TITLES);
    if !(1..=PAGE_TITLES_MAX).contains(&limit) {
        return Err(ApiError::new(ErrorCode::InvalidQuery, format!("The value of 'limit' is wrong: expected 1 to {PAGE_TITLES_MAX}.")));
    }
    let refused = |key: &str, error: &dyn std::fmt::Display| {
        ApiError::new(ErrorCode::InvalidQuery, format!("The value of '{key}' is wrong: {error}."))
    };
    let filled = |key: &str| query.text(key).filter(|text| !text.is_empty());
    let cursor = filled("cursor").map(Cursor::parse).transpose().map_err(|error| refused("cursor", &error))?;
    let state = filled("state").map(TitleState::parse).transpose().map_err(|error| refused("state", &error))?;
    let page = api.catalogue.titles(limit, cursor, state).await?;
    let titles = api.titles(&page.titles, &base).await?;
    Ok(Json(TitlePage { titles, next: page.next.map(|next| next.to_string()) }))
}

/// Shows a title
#[utoipa::path(get, path = "/api/v1/titles/{id}", tag = "titles",
    params(("id" = String, Path, description = "The title.")),
    responses(
        (status = 200, description = "The title.", body = Title),
        (status = "4XX", description = "There is no such title.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = "5XX", description = "The catalogue cannot be read.", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(State(api): State<Api>, base: Base, InPath(id): InPath, uri: Uri) -> Result<Json<Title>, ApiError> {
    Query::parse(uri.query(), &[])?;
    let record = api.catalogue.title(id).await?;
    Ok(Json(api.title(&record, &base).await?))
}

/// Renames a title
#[utoipa::path(patch, path = "/api/v1/titles/{id}", tag = "titles",
    params(("id" = String, Path, description = "The title.")),
    request_body = TitleChange,
    responses(
        (status = 200, description = "The changed title.", body = Title),
        (status = "4XX", description = "The title or the body is wrong.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = "5XX", description = "The catalogue cannot be written.", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub(super) async fn rename(
    State(api): State<Api>,
    base: Base,
    InPath(id): InPath,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Title>, ApiError> {
    Query::parse(uri.query(), &[])?;
    let change: TitleChange = json(&headers, body).await?;
    let name = title_name(&change.name)?;
    let catalogue = api.catalogue.clone();
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let record = to_its_end(async move { catalogue.rename(id, &name, now_ms).await }).await??;
    Ok(Json(api.title(&record, &base).await?))
}

/// Deletes a title
#[utoipa::path(delete, path = "/api/v1/titles/{id}", tag = "titles",
    params(("id" = String, Path, description = "The title.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = "4XX", description = "There is no such title.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = "5XX", description = "It cannot be deleted now.", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(State(api): State<Api>, InPath(id): InPath, uri: Uri) -> Result<StatusCode, ApiError> {
    Query::parse(uri.query(), &[])?;
    let backend = api.backend.clone();
    to_its_end(async move { backend.delete(id).await }).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Runs a change to its end whether the client stays or not, so that its event is never lost halfway.
pub(super) async fn to_its_end<T: Send + 'static>(change: impl Future<Output = T> + Send + 'static) -> Result<T, ApiError> {
    tokio::spawn(change).await.map_err(|error| {
        tracing::error!(%error, "a change of the control API did not end");
        ApiError::new(ErrorCode::Internal, "The change did not end as it should.")
    })
}
