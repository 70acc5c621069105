//! An upload in one go: the body is the file, and nothing is kept of one that breaks off.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Json};
use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderMap, StatusCode, header};

use super::error::{ApiError, ErrorCode, ProblemDetails};
use super::linger::LingeringBody;
use super::request::{Query, refuse_encoding, title_name};
use super::title::Title;
use super::{Api, Base};

/// Uploads a file as a new title
#[utoipa::path(post, path = "/api/v1/titles", tag = "titles",
    params(("name" = String, Query, description = "The title's name: any Unicode without control characters.", min_length = 1, max_length = 200)),
    request_body(content_type = "application/octet-stream", description = "The file itself, of any length; not a form."),
    responses(
        (status = 201, description = "The file is on stable storage.", body = Title, headers(("Location" = String, description = "The title."))),
        (status = 408, description = "It stood still for too long.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "It is larger than uploads may be.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 507, description = "There is no space for it.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = "4XX", description = "The request is wrong.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = "5XX", description = "It cannot be taken now.", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(State(api): State<Api>, base: Base, request: Request) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let declared_bytes = http_body::Body::size_hint(&body).exact();
    let body = LingeringBody::new(body, head.headers.contains_key(header::EXPECT));
    let query = Query::parse(head.uri.query(), &["name"])?;
    let name = query.text("name").ok_or_else(|| ApiError::new(ErrorCode::InvalidName, "The name is missing: add ?name= to the path."))?;
    let name = title_name(name)?;
    refuse_form(&head.headers)?;
    refuse_encoding(&head.headers)?;
    let body = body.map_err(BoxError::from).boxed();
    let record = api.backend.receive(name, declared_bytes, body).await?;
    let location = format!("/api/v1/titles/{}", record.id);
    let title: Title = api.title(&record, &base).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(title)).into_response())
}

/// Refuses a form, whose parts would be taken for the file. A browser's form of the other kind is not told apart from what
/// `curl --data-binary` sends, and is harmless.
pub(super) fn refuse_form(headers: &HeaderMap) -> Result<(), ApiError> {
    let is_form = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.trim_start().to_ascii_lowercase().starts_with("multipart/"));
    if is_form {
        let detail = "Send the file itself as the body, not a form; with curl, use -T FILE instead of -F, and -X POST for a new title.";
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType, detail));
    }
    Ok(())
}
