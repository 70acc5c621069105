//! The boundary to the worker process: messages, spawning, supervision, sandbox, outcomes.

pub mod protocol;
