//! Integration tests: the real binaries, real files, real sockets. Each module says what belongs in it.

// What they measure is printed with `--nocapture`.
#![allow(clippy::print_stdout)]

mod clips;
mod corpus;
mod harness;
mod outcomes;
mod rendition;
mod sandbox;
mod segments;
mod sound;
mod survey;
mod together;
