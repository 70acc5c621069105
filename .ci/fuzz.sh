#!/usr/bin/env bash
# Fuzzes every target of fuzz/ for FUZZ_SECONDS each (60); ends with 1 at the first that falls, and says how to run it again.
#
# No sanitizer: what is fuzzed has no line of unsafe code. So stable Rust will do. .ci/run does without all of this: to install
# cargo-fuzz takes a minute of a core and to build the targets another, and what they assert is also asserted by property tests,
# which run there.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${FUZZ_SECONDS:-60}"
PATH="$PWD/target/tools/bin:$PATH"
if ! command -v cargo-fuzz >/dev/null 2>&1; then
  echo "fuzz: installing cargo-fuzz into target/tools"
  env -u CARGO_TARGET_DIR cargo install --quiet --locked --root target/tools cargo-fuzz
fi
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/fuzz"
cargo fuzz build --sanitizer none
for target in $(cargo fuzz list); do
  echo "fuzz: $target for $seconds s"
  cargo fuzz run --sanitizer none "$target" -- -max_total_time="$seconds" -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1
done
