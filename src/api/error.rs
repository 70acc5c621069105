//! What the control API answers when it does not do what it was asked: one closed list of codes, and the one mapping from
//! errors of any kind to a status. The inner text of an error goes to the log, never to a client.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::backend::{DeleteError, NotReady, ReceiveError, ReloadError, SubtitleError};
use crate::catalogue;

/// Media type of every error (RFC 9457 section 3).
pub(super) const PROBLEM_JSON: &str = "application/problem+json";
/// What a client is told to wait when it should simply try again.
const RETRY_AFTER_S: u32 = 5;

/// The stable code of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The path leads nowhere.
    NotFound,
    /// There is no such title.
    TitleNotFound,
    /// The path exists, but not for this method; `Allow` lists those it has.
    MethodNotAllowed,
    /// The query has an unknown key, a key twice, or a value that is not allowed.
    InvalidQuery,
    /// A title's name is empty, too long, or has control characters.
    InvalidName,
    /// The body is not the JSON that was expected.
    InvalidBody,
    /// A request that takes no body has one.
    UnexpectedBody,
    /// A header field cannot be understood.
    InvalidHeader,
    /// The body is of a type that is not taken here.
    UnsupportedMediaType,
    /// The body is too long.
    BodyTooLarge,
    /// The upload is larger than uploads may be.
    UploadTooLarge,
    /// There is no space for the upload.
    InsufficientStorage,
    /// As many uploads as are allowed are under way.
    TooManyUploads,
    /// The upload ended before its declared length.
    UploadInterrupted,
    /// The upload stood still for too long.
    UploadStalled,
    /// As many event streams as are allowed are open.
    TooManyEventStreams,
    /// The path names no language.
    InvalidLanguage,
    /// The file of subtitles cannot be read; `line` tells where.
    InvalidSubtitles,
    /// The file of subtitles has more bytes, lines, cues or text than is taken.
    SubtitlesTooLarge,
    /// The title has no subtitles of that language and kind.
    SubtitlesNotFound,
    /// The title's state does not allow it.
    Conflict,
    /// The bearer token is missing or wrong.
    Unauthorized,
    /// A page of another site asked for a change.
    CrossSiteRequest,
    /// The `Host` asked is not one of this listener's.
    UnknownHost,
    /// The configuration that was to be read again is wrong.
    InvalidConfiguration,
    /// Not ready to serve.
    NotReady,
    /// Something it needs cannot be reached now.
    Unavailable,
    /// A fault of ours; the log says more.
    Internal,
}

impl ErrorCode {
    /// Every code, in the order of the declaration.
    pub const ALL: [Self; 28] = [
        Self::NotFound,
        Self::TitleNotFound,
        Self::MethodNotAllowed,
        Self::InvalidQuery,
        Self::InvalidName,
        Self::InvalidBody,
        Self::UnexpectedBody,
        Self::InvalidHeader,
        Self::UnsupportedMediaType,
        Self::BodyTooLarge,
        Self::UploadTooLarge,
        Self::InsufficientStorage,
        Self::TooManyUploads,
        Self::UploadInterrupted,
        Self::UploadStalled,
        Self::TooManyEventStreams,
        Self::InvalidLanguage,
        Self::InvalidSubtitles,
        Self::SubtitlesTooLarge,
        Self::SubtitlesNotFound,
        Self::Conflict,
        Self::Unauthorized,
        Self::CrossSiteRequest,
        Self::UnknownHost,
        Self::InvalidConfiguration,
        Self::NotReady,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The stable name, its status, and its title: what is the same at every occurrence.
    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "There is nothing at this path"),
            Self::TitleNotFound => ("title-not-found", StatusCode::NOT_FOUND, "There is no such title"),
            Self::MethodNotAllowed => ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed here"),
            Self::InvalidQuery => ("invalid-query", StatusCode::BAD_REQUEST, "The query is not valid"),
            Self::InvalidName => ("invalid-name", StatusCode::BAD_REQUEST, "The name is not valid"),
            Self::InvalidBody => ("invalid-body", StatusCode::BAD_REQUEST, "The body is not valid"),
            Self::UnexpectedBody => ("unexpected-body", StatusCode::BAD_REQUEST, "The request takes no body"),
            Self::InvalidHeader => ("invalid-header", StatusCode::BAD_REQUEST, "A header field is not valid"),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body's type is not taken here")
            }
            Self::BodyTooLarge => ("body-too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too long"),
            Self::UploadTooLarge => ("upload-too-large", StatusCode::PAYLOAD_TOO_LARGE, "The upload is too large"),
            Self::InsufficientStorage => ("insufficient-storage", StatusCode::INSUFFICIENT_STORAGE, "There is no space for the upload"),
            Self::TooManyUploads => ("too-many-uploads", StatusCode::SERVICE_UNAVAILABLE, "Too many uploads are under way"),
            Self::UploadInterrupted => ("upload-interrupted", StatusCode::BAD_REQUEST, "The upload was cut off"),
            Self::UploadStalled => ("upload-stalled", StatusCode::REQUEST_TIMEOUT, "The upload stood still for too long"),
            Self::TooManyEventStreams => ("too-many-event-streams", StatusCode::SERVICE_UNAVAILABLE, "Too many event streams are open"),
            Self::InvalidLanguage => ("invalid-language", StatusCode::BAD_REQUEST, "The language is not valid"),
            Self::InvalidSubtitles => ("invalid-subtitles", StatusCode::UNPROCESSABLE_ENTITY, "The subtitles cannot be read"),
            Self::SubtitlesTooLarge => ("subtitles-too-large", StatusCode::PAYLOAD_TOO_LARGE, "The subtitles are too large"),
            Self::SubtitlesNotFound => ("subtitles-not-found", StatusCode::NOT_FOUND, "There are no such subtitles"),
            Self::Conflict => ("conflict", StatusCode::CONFLICT, "The title's state does not allow it"),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, "A valid token is needed"),
            Self::CrossSiteRequest => ("cross-site-request", StatusCode::FORBIDDEN, "Other sites may not ask for changes"),
            Self::UnknownHost => ("unknown-host", StatusCode::MISDIRECTED_REQUEST, "This host is not served here"),
            Self::InvalidConfiguration => ("invalid-configuration", StatusCode::UNPROCESSABLE_ENTITY, "The configuration is wrong"),
            Self::NotReady => ("not-ready", StatusCode::SERVICE_UNAVAILABLE, "Not ready to serve"),
            Self::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "Not available now"),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong here"),
        }
    }

    /// The stable name, as answers spell it.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The status of an answer with this code.
    pub fn status(self) -> StatusCode {
        self.row().1
    }

    /// What it means, in a few words.
    pub fn title(self) -> &'static str {
        self.row().2
    }

    /// Whether the same request may succeed in a while.
    fn is_passing(self) -> bool {
        self.status() == StatusCode::SERVICE_UNAVAILABLE
    }
}

/// An answer that says what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// What is wrong with this request; a sentence.
    pub detail: String,
    /// In which line of the body, counted from 1, where that can be said.
    pub line: Option<u32>,
}

impl ApiError {
    /// An error with what exactly is wrong.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), line: None }
    }

    /// Nothing is there, or not for this identifier.
    pub(super) fn title_not_found(id: &str) -> Self {
        // What came in may be of any length; an identifier is 26 characters.
        let shown: String = id.chars().take(40).collect();
        Self::new(ErrorCode::TitleNotFound, format!("There is no title '{shown}'."))
    }
}

/// An error as it is written (RFC 9457 section 3.1).
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Problem details")]
pub struct ProblemDetails {
    /// Names the kind of error; the code as a URI.
    #[schema(example = "urn:headwater:problem:title-not-found")]
    r#type: String,
    /// What kind of error it is, in a few words.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong with this request; a sentence.
    detail: String,
    /// The stable code.
    code: ErrorCode,
    /// In which line of the body, counted from 1, where that can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    line: Option<u32>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (name, status, title) = self.code.row();
        let details = ProblemDetails {
            r#type: format!("urn:headwater:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: self.detail,
            code: self.code,
            line: self.line,
        };
        // Strings and a number: this cannot fail.
        let body = serde_json::to_vec(&details).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if self.code.is_passing() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        if self.code == ErrorCode::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"headwater\""));
        }
        response
    }
}

impl From<&catalogue::Error> for ApiError {
    fn from(error: &catalogue::Error) -> Self {
        match error {
            catalogue::Error::NotFound(_) => Self::new(ErrorCode::TitleNotFound, "There is no such title."),
            catalogue::Error::Conflict(_) => Self::new(ErrorCode::Conflict, "The title's state does not allow it."),
            catalogue::Error::Unavailable(_) => {
                tracing::error!(%error, "the catalogue did not answer the control API");
                Self::new(ErrorCode::Unavailable, "The catalogue cannot be reached now.")
            }
            catalogue::Error::Corrupt(_) => {
                tracing::error!(%error, "the catalogue did not answer the control API");
                Self::new(ErrorCode::Internal, "The catalogue cannot be read.")
            }
        }
    }
}

impl From<catalogue::Error> for ApiError {
    fn from(error: catalogue::Error) -> Self {
        Self::from(&error)
    }
}

impl From<ReceiveError> for ApiError {
    fn from(error: ReceiveError) -> Self {
        let code = match error {
            ReceiveError::TooLarge { .. } => ErrorCode::UploadTooLarge,
            ReceiveError::NoSpace { .. } => ErrorCode::InsufficientStorage,
            ReceiveError::Busy => ErrorCode::TooManyUploads,
            ReceiveError::Interrupted => ErrorCode::UploadInterrupted,
            ReceiveError::Stalled => ErrorCode::UploadStalled,
            ReceiveError::Unavailable => ErrorCode::Unavailable,
        };
        Self::new(code, sentence(&error.to_string()))
    }
}

impl From<DeleteError> for ApiError {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::Unknown => Self::new(ErrorCode::TitleNotFound, "There is no such title."),
            DeleteError::Unavailable => Self::new(ErrorCode::Unavailable, sentence(&error.to_string())),
        }
    }
}

impl From<SubtitleError> for ApiError {
    fn from(error: SubtitleError) -> Self {
        let code = match &error {
            SubtitleError::Unknown => ErrorCode::TitleNotFound,
            SubtitleError::Fault(fault) if fault.kind.is_limit() => ErrorCode::SubtitlesTooLarge,
            SubtitleError::Fault(_) => ErrorCode::InvalidSubtitles,
            SubtitleError::NotPlanned(_) | SubtitleError::Failed | SubtitleError::TooMany(_) => ErrorCode::Conflict,
            SubtitleError::NoSuchTrack => ErrorCode::SubtitlesNotFound,
            SubtitleError::NoSpace => ErrorCode::InsufficientStorage,
            SubtitleError::Unavailable => ErrorCode::Unavailable,
        };
        let line = if let SubtitleError::Fault(fault) = &error { fault.line } else { None };
        Self { line, ..Self::new(code, sentence(&error.to_string())) }
    }
}

impl From<ReloadError> for ApiError {
    fn from(error: ReloadError) -> Self {
        Self::new(ErrorCode::InvalidConfiguration, sentence(&error.to_string()))
    }
}

impl From<NotReady> for ApiError {
    fn from(NotReady(reason): NotReady) -> Self {
        Self::new(ErrorCode::NotReady, sentence(&reason))
    }
}

/// A message as errors carry it, made a sentence.
pub(super) fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first: String = letters.next().map(|letter| letter.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_one_serde_writes_and_every_code_is_an_error() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).ok(), Some(code.as_str().into()));
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{code:?}");
        }
        let names: std::collections::HashSet<_> = ErrorCode::ALL.map(ErrorCode::as_str).into();
        assert_eq!(names.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn messages_become_sentences() {
        assert_eq!(sentence("the disk is full"), "The disk is full.");
        assert_eq!(sentence("Done."), "Done.");
    }

    #[test]
    fn inner_text_stays_inside() {
        for (error, code) in [
            (catalogue::Error::Corrupt("secret row".into()), ErrorCode::Internal),
            (catalogue::Error::Conflict("secret row".into()), ErrorCode::Conflict),
        ] {
            let error = ApiError::from(error);
            assert_eq!(error.code, code);
            assert!(!error.detail.contains("secret"), "{}", error.detail);
        }
    }
}
