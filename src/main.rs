//! The entry of the `headwater` program: the command line over the real engine.

use headwater::app::App;
use headwater::cli;

/// Bodies of a megabyte come and go by the thousand: with the allocator of the system, what is free lies between what is not, and is
/// not given back. `.cargo/config.toml` says how soon this one does.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> cli::Exit {
    cli::run(std::env::args_os(), &App)
}
