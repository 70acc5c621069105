#!/usr/bin/env bash
# Holds the dependencies against deny.toml: licences, bans, sources. Advisories need a database outside of the registries:
# 'cargo deny check advisories' looks there.
set -euo pipefail
cd "$(dirname "$0")/.."

PATH="$PWD/target/tools/bin:$PATH"
if ! command -v cargo-deny >/dev/null 2>&1; then
  echo "deny: SKIPPED, cargo-deny is not here ('make setup' installs it on x86_64 and aarch64)" >&2
  # Whoever checks what others handed in must not skip.
  [ "${CI:-}" != true ]
  exit
fi
cargo fetch --locked --quiet
cargo deny --offline --log-level error check licenses bans sources
