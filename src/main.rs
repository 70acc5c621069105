//! The entry of the `headwater` program: the command line over the real engine.

use headwater::app::App;
use headwater::cli;

fn main() -> cli::Exit {
    cli::run(std::env::args_os(), &App)
}
