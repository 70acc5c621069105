//! The routes, and the OpenAPI 3.1 document that is written from the same list.

use bytes::Bytes;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ErrorCode, ProblemDetails};
use super::{Api, events, purge, reload, status, subtitles, titles, upload};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Headwater control API",
        description = "Upload titles, follow them on their way to viewers, add subtitles, rename and delete them. Errors are RFC 9457 problem details with a stable code.",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(ProblemDetails, ErrorCode)),
    modifiers(&BearerToken),
    security((), ("token" = [])),
    tags(
        (name = "titles", description = "The catalogue."),
        (name = "subtitles", description = "Files added to a title."),
        (name = "events", description = "What changes, as it changes."),
        (name = "operation", description = "Health, metrics, configuration, caches, and this document.")
    )
)]
struct Described;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("Needed when admin.token is configured.")).build();
        document.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// Every route with its description.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(titles::list, upload::create))
        .routes(routes!(titles::show, titles::rename, titles::delete))
        .routes(routes!(subtitles::put, subtitles::delete))
        .routes(routes!(purge::purge))
        .routes(routes!(events::of_all))
        .routes(routes!(events::of_one))
        .routes(routes!(status::healthz))
        .routes(routes!(status::readyz))
        .routes(routes!(status::metrics))
        .routes(routes!(reload::reload))
        .routes(routes!(status::document))
        .routes(routes!(status::root))
}

/// The document as JSON.
pub(super) fn written(document: &Document) -> Bytes {
    // Maps with text keys and plain values: this cannot fail.
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document is an interface: a change of it is seen in review. `UPDATE_GOLDEN=1` writes it anew.
    #[test]
    fn the_document_is_the_golden_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/openapi.json");
        let (_, document) = routes().split_for_parts();
        let written = written(&document);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &written).expect("the golden file is written");
        }
        let golden = std::fs::read(path).expect("the golden file");
        assert!(golden == written, "tests/golden/openapi.json is not what the code describes: run the tests with UPDATE_GOLDEN=1");
    }

    #[test]
    fn it_is_openapi_3_1_and_names_every_error() {
        let (_, document) = routes().split_for_parts();
        let value: serde_json::Value = serde_json::from_slice(&written(&document)).expect("JSON");
        assert!(value["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
        let codes = value["components"]["schemas"]["ErrorCode"]["enum"]
            .as_array()
            .map(Vec::len)
            .or_else(|| value["components"]["schemas"]["ErrorCode"]["oneOf"].as_array().map(Vec::len));
        assert_eq!(codes, Some(ErrorCode::ALL.len()));
    }
}
