//! Integration tests: the real binaries, real files, real sockets. Each module says what belongs in it.

#![allow(clippy::print_stdout, reason = "tests say what they measured and what they skipped")]

mod access_log;
mod allocations;
mod architecture;
mod browser;
mod caches;
mod capacity;
mod channels;
mod clips;
mod codecs;
mod colour;
mod commands;
mod copy;
mod corpus;
mod crash;
mod damage;
mod dolby_vision;
mod download;
mod fronts;
mod harness;
mod iframes;
mod journey;
mod loudness;
mod outcomes;
mod player;
mod readme;
mod refusals;
mod reload;
mod rendition;
mod rpu;
mod sandbox;
mod scan;
mod segments;
mod server;
mod shapes;
mod sound;
mod stills;
mod subtitles;
mod survey;
mod takeover;
mod tls;
mod together;
mod wire;
