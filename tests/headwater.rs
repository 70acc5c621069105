//! Integration tests: the real binaries, real files, real sockets. Each module says what belongs in it.

#![allow(clippy::print_stdout, reason = "tests say what they measured and what they skipped")]

mod architecture;
mod browser;
mod capacity;
mod clips;
mod colour;
mod commands;
mod corpus;
mod crash;
mod harness;
mod journey;
mod outcomes;
mod player;
mod readme;
mod refusals;
mod rendition;
mod sandbox;
mod segments;
mod server;
mod shapes;
mod sound;
mod survey;
mod together;
