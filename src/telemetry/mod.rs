//! Tracing, metrics, health, the access log.
//!
//! Parts declare what they count; here it is put into one registry and shown. Nothing is global but the log's destination.

mod access;
mod health;
mod log;
mod metrics;

pub use access::{AccessConfig, AccessFormat, AccessLog, AccessMetrics, Logged, LoggedBody, LoggedBytes};
pub use health::{Condition, Health, HealthReport, Phase};
pub use log::{Config, LogError, LogFilter, LogFormat, check_filter, start as start_log};
pub use metrics::{METRICS_CONTENT_TYPE, Metrics};
