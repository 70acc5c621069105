//! Integration tests: the real binaries, real files, real sockets. Each module says what belongs in it.

mod architecture;
mod browser;
mod clips;
mod harness;
mod rendition;
mod segments;
mod sound;
