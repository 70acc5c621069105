//! Integration tests: the real binaries, real files, real sockets. Each module says what belongs in it.

#![allow(clippy::print_stdout, reason = "tests say what they measured and what they skipped")]

mod architecture;
mod browser;
mod clips;
mod harness;
mod readme;
mod rendition;
mod segments;
mod sound;
