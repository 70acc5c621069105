//! The entry of the `headwater` program.

fn main() {}
