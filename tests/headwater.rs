//! Integration tests: the real binaries, real files, real sockets. Each module says what belongs in it.

mod architecture;
mod harness;
mod journey;
mod player;
mod segments;
mod server;
mod survey;
