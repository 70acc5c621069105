//! Headwater: a video streaming origin. The modules in reading order, from pure to effectful; code names only what stands
//! above it here (`tests/architecture.rs` holds the table).

// Pure: data and decisions.
pub mod cmaf;
pub mod playlist;
pub mod semantics;
pub mod text;
pub mod title;
// Memory that the kernel can send from; the one place with `unsafe` on the way of a byte.
pub mod arena;
// Adapters: one outside thing each.
pub mod cache;
pub mod catalogue;
pub mod store;
pub mod worker;
// Flows.
pub mod delivery;
pub mod ingest;
pub mod schedule;
// Faces.
pub mod api;
pub mod cli;
// Root.
pub mod app;
pub mod config;
pub mod server;
pub mod telemetry;
