//! Headwater: a video streaming origin. The modules in reading order, from pure to effectful; code names only what stands
//! above it here (`tests/architecture.rs` holds the table).

pub mod title;
