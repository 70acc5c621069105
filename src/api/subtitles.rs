//! Subtitles of a title: a file put under its language, or taken away. Each change makes a new generation.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::request::Parts;
use http::{StatusCode, Uri, header};
use tokio::time::timeout;

use super::backend::SubtitleFile;
use super::error::{ApiError, ErrorCode, ProblemDetails};
use super::linger::LingeringBody;
use super::request::{Query, refuse_encoding, title_name};
use super::title::Title;
use super::titles::to_its_end;
use super::upload::refuse_form;
use super::{Api, Base};
use crate::title::{LanguageTag, TextKind, TitleId};

/// Files of subtitles received at once.
pub(super) const BODIES_MAX: usize = 8;
/// How long the whole of a file may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(60);

/// The title and the language that the path names.
pub(super) struct InPath {
    id: TitleId,
    language: LanguageTag,
}

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let invalid = || ApiError::new(ErrorCode::InvalidLanguage, "Expected a BCP 47 tag such as de, pt-BR or zh-Hant, or und.");
        let Ok(Path((id, language))) = Path::<(String, String)>::from_request_parts(parts, state).await else {
            return Err(invalid());
        };
        let id = TitleId::parse(&id).map_err(|_| ApiError::title_not_found(&id))?;
        let language = LanguageTag::parse(&language).map_err(|_| invalid())?;
        Ok(Self { id, language })
    }
}

/// Adds or replaces subtitles
///
/// The file takes the place of every track of its language and kind, those of the upload included. Everything else of the title
/// keeps its URLs.
#[utoipa::path(put, path = "/api/v1/titles/{id}/subtitles/{lang}", tag = "subtitles",
    params(
        ("id" = String, Path, description = "The title; processing or ready."),
        ("lang" = String, Path, description = "The language (BCP 47), or und.", example = "pt-BR"),
        ("kind" = Option<TextKind>, Query, description = "What the text is for; subtitles when it is not said."),
        ("name" = Option<String>, Query, description = "What a player's menu shows; the name of the language when it is not said.", min_length = 1, max_length = 200),
        ("default" = Option<bool>, Query, description = "Whether it is shown when nobody chose; as before, or not, when it is not said."),
    ),
    request_body(content_type = "application/octet-stream", description = "A SubRip (.srt) or WebVTT (.vtt) file in any usual encoding; not a form."),
    responses(
        (status = 200, description = "It replaced others.", body = Title),
        (status = 201, description = "It was added.", body = Title),
        (status = 409, description = "The title is not planned yet, has failed, or has too many.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "The file is beyond the limits.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, description = "The file cannot be read; `line` tells where.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = "4XX", description = "The request is wrong.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = "5XX", description = "It cannot be taken now.", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    State(api): State<Api>,
    base: Base,
    InPath { id, language }: InPath,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let declared_bytes = http_body::Body::size_hint(&body).lower();
    let body = LingeringBody::new(body, head.headers.contains_key(header::EXPECT));
    let query = Query::parse(head.uri.query(), &["kind", "name", "default"])?;
    let kind = query.value("kind")?.unwrap_or(TextKind::Subtitles);
    let default = query.value("default")?;
    let name = query.text("name").map(title_name).transpose()?;
    refuse_form(&head.headers)?;
    refuse_encoding(&head.headers)?;
    let _slot = api.subtitle_bodies.try_acquire().map_err(|_| {
        ApiError::new(ErrorCode::TooManyUploads, format!("{BODIES_MAX} files of subtitles are being received; try again in a while."))
    })?;
    let bytes = receive(body, declared_bytes, api.live.get().subtitles_bytes_max).await?;
    let (backend, file) = (api.backend.clone(), SubtitleFile { language, kind, name, default, bytes });
    let (record, replaced) = to_its_end(async move { backend.put_subtitles(id, file).await }).await??;
    let title: Title = api.title(&record, &base).await?;
    Ok((if replaced { StatusCode::OK } else { StatusCode::CREATED }, Json(title)).into_response())
}

/// Takes subtitles away
#[utoipa::path(delete, path = "/api/v1/titles/{id}/subtitles/{lang}", tag = "subtitles",
    params(
        ("id" = String, Path, description = "The title; processing or ready."),
        ("lang" = String, Path, description = "The language (BCP 47), or und.", example = "pt-BR"),
        ("kind" = Option<TextKind>, Query, description = "Which kind; subtitles when it is not said."),
    ),
    responses(
        (status = 200, description = "They are gone; the title without them.", body = Title),
        (status = 409, description = "The title is not planned yet, or has failed.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = "4XX", description = "There is no such title, or no such track.", body = ProblemDetails, content_type = "application/problem+json"),
        (status = "5XX", description = "They cannot be taken away now.", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(State(api): State<Api>, base: Base, InPath { id, language }: InPath, uri: Uri) -> Result<Json<Title>, ApiError> {
    let kind = Query::parse(uri.query(), &["kind"])?.value("kind")?.unwrap_or(TextKind::Subtitles);
    let backend = api.backend.clone();
    let record = to_its_end(async move { backend.remove_subtitles(id, language, kind).await }).await??;
    Ok(Json(api.title(&record, &base).await?))
}

/// The whole file, of `bytes_max` bytes at most.
async fn receive(mut body: LingeringBody, declared_bytes: u64, bytes_max: u64) -> Result<Bytes, ApiError> {
    let too_large = || ApiError::new(ErrorCode::SubtitlesTooLarge, format!("A file of subtitles may have at most {bytes_max} bytes."));
    if declared_bytes > bytes_max {
        return Err(too_large());
    }
    let whole = async {
        let mut whole = BytesMut::new();
        while let Some(part) = body.next().await {
            let part = part.map_err(|_| ApiError::new(ErrorCode::UploadInterrupted, "The file ended before all of it had arrived."))?;
            if (whole.len() + part.len()) as u64 > bytes_max {
                return Err(too_large());
            }
            whole.extend_from_slice(&part);
        }
        Ok(whole.freeze())
    };
    timeout(BODY_WAIT, whole).await.map_err(|_| ApiError::new(ErrorCode::UploadStalled, "The file took too long to arrive."))?
}
