//! Integration tests: the real binaries, real files, real sockets. Each module says what belongs in it.

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
