//! The control API: titles, events, problems, OpenAPI.
