//! From an upload to a planned title; recovery at start; deletion.
