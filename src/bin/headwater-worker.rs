//! The worker: the only program that links FFmpeg. Reads requests from standard input, the source from descriptor 3, and
//! answers on standard output. Started by the server, never by hand.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd};
use std::process::ExitCode;

use headwater::worker::protocol::SOURCE_FD;
use headwater::worker::sandbox::{self, Threads};

#[path = "../media/mod.rs"]
mod media;

/// Address space when the server names none.
const MEMORY_MAX_BYTES: u64 = 4 << 30;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["--memory-max", bytes, threads @ ..] if matches!(threads, [] | ["--encoder-threads"]) => match bytes.parse() {
            Ok(bytes) => work(bytes, if threads.is_empty() { Threads::None } else { Threads::OfEncoders }),
            Err(_) => Err(io::Error::other("--memory-max takes a number of bytes")),
        },
        ["--probe-sandbox"] => probe_sandbox(Threads::None, &[]),
        ["--probe-sandbox", "--encoder-threads"] => probe_sandbox(Threads::OfEncoders, &["a thread"]),
        _ => Err(io::Error::other("started by the server, never by hand; --probe-sandbox shows whether its sandbox holds here")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headwater-worker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(memory_max_bytes: u64, threads: Threads) -> io::Result<()> {
    // SAFETY: only asked whether it is open; it stays open for the life of the process.
    let source = unsafe { BorrowedFd::borrow_raw(SOURCE_FD) };
    if rustix::io::fcntl_getfd(source).is_err() {
        return Err(io::Error::other("the source is expected on descriptor 3"));
    }
    let replies = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    set_up_allocator(threads);
    ffmpeg_next::init().map_err(io::Error::other)?;
    ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Quiet);
    sandbox::enter(memory_max_bytes, threads)?;
    // SAFETY: the server opened this descriptor for this process, and nothing else here uses it.
    let source = unsafe { File::from_raw_fd(SOURCE_FD) };
    media::serve(source, io::stdin().lock(), &media::Pulse::new(Box::new(replies)), memory_max_bytes)
}

/// Makes the C library give large blocks back to the system as soon as they are freed. Every segment opens its encoders anew;
/// their pictures would otherwise leave holes in the heap, which grows by a third within a minute. With threads, all share
/// one heap: one for each would reserve address space that counts as memory.
fn set_up_allocator(threads: Threads) {
    // SAFETY: plain settings of the allocator, made before there is any other thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES);
        if threads == Threads::OfEncoders {
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }
}

/// Smaller than a picture of the smallest usual rung, larger than what is allocated a picture.
const LARGE_BLOCK_BYTES: libc::c_int = 64 << 10;

/// Succeeds when nothing but what is `expected` can be done inside the sandbox.
fn probe_sandbox(threads: Threads, expected: &[&str]) -> io::Result<()> {
    sandbox::enter(MEMORY_MAX_BYTES, threads)?;
    match sandbox::escapes().as_slice() {
        escapes if escapes == expected => Ok(()),
        escapes => Err(io::Error::other(format!("the sandbox let through: {}", escapes.join(", ")))),
    }
}
