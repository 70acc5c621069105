//! The boundary to the worker process: messages, spawning, supervision, sandbox, outcomes.

pub mod protocol;
pub mod sandbox;

mod process;

pub use process::{Failure, Settings, Worker};
