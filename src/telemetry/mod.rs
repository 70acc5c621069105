//! Tracing, metrics, health.

mod log;

pub use log::{Config, LogError, LogFormat, check_filter, start as start_log};
