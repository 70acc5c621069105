//! Paths: whatever is read as a route is spelled just so, and belongs to a title.

#![no_main]

use headwater_fuzz::semantics::{ROUTE_BYTES_MAX, Route};
use headwater_fuzz::title::TitleId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, &str)| {
    let (prefixed, text) = input;
    let path = if prefixed { format!("/t/{}/{text}", TitleId::new(1_700_000_000_000, 7)) } else { text.to_owned() };
    if let Some(route) = Route::parse(&path) {
        assert_eq!(route.to_string(), path, "one spelling");
        assert!(path.len() <= ROUTE_BYTES_MAX && path.starts_with(&format!("/t/{}/", route.title())));
        assert!(!path.contains("..") && !path.contains('%') && !path.contains('\\') && !path.contains("//"));
    }
});
