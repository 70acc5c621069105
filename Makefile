# Headwater's workshop. `make` alone lists what there is.
#
#   PORT, ADMIN_PORT   where `make demo` listens (8080, 8081; 0 takes a free one)
#   WATCH_PORT         where `make demo` serves its watch page, on 127.0.0.1 (a free one)
#   DATA               keeps what `make demo` makes in this folder; else it is thrown away
#   ONCE=1             `make demo` checks playback over HTTP and ends
#   SOURCE, ROUNDS     which film `make bench` takes (the shipped sample), how often each side goes (3; in `make bench-delivery` 5)
#   MEDIA, CHECK, OUT  the folder that `make corpus` uploads, what checks each title there, where its table goes (benches/corpus.md)
#   ONLY               which files of it, by a part of their names; which cases of `make bench-delivery`; all when empty
#   FUZZ_SECONDS       how long `make fuzz` gives each of its targets (60)
#   TESTS              which tests `make test` runs, by a part of their names; all when empty

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup setup-build setup-demo setup-bench build test lint demo bench bench-delivery corpus fuzz clean

PORT ?= 8080
ADMIN_PORT ?= 8081
WATCH_PORT ?= 0
DATA ?=
ONCE ?=
TESTS ?=
FUZZ_SECONDS ?= 60
SOURCE ?=
ROUNDS ?=
MEDIA ?= $(HEADWATER_TEST_MEDIA)
CHECK ?=
OUT ?=
ONLY ?=

help: ## lists these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@sed -n '2,/^$$/s/^#//p' $(MAKEFILE_LIST)

setup: ## installs what building and testing need and this machine lacks
	@.ci/setup.sh

setup-build:
	@.ci/setup.sh build

# Without npm there is no watch page, and still a demo.
setup-demo:
	@.ci/setup.sh demo || echo "the demo goes on without its watch page"

build: setup-build ## builds both programs for use, into target/release
	cargo build --release --locked

# nextest runs every test in a process of its own and shows the slow ones; cargo's own runner does where it is absent.
test: setup ## runs every test: unit, integration with the real worker, real browser, documentation
	cargo test --locked --doc -- $(TESTS)
	@if cargo nextest --version >/dev/null 2>&1; then \
		set -x; cargo nextest run --locked --no-fail-fast $(TESTS); \
	else \
		set -x; cargo test --locked --no-fail-fast --lib --bins --tests -- $(TESTS); \
	fi

lint: setup ## checks format, clippy, licences and sources of dependencies, shell scripts
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	.ci/deny.sh
	@if command -v shellcheck >/dev/null 2>&1; then \
		set -x; shellcheck .ci/*.sh .ci/run; \
	else \
		echo "shellcheck: skipped, it is not here"; \
	fi

demo: build setup-demo ## serves a shipped film, from upload to a page to watch it on, until Ctrl-C; ONCE=1 checks it and ends
	@PORT='$(PORT)' ADMIN_PORT='$(ADMIN_PORT)' WATCH_PORT='$(WATCH_PORT)' DATA='$(DATA)' ONCE='$(ONCE)' python3 .ci/demo.py

setup-bench:
	@.ci/setup.sh build bench

bench: setup-bench build ## runs the benches of encoding against other programs; SOURCE names a film, ROUNDS how often
	@SOURCE='$(SOURCE)' ROUNDS='$(ROUNDS)' benches/run

bench-delivery: setup-bench build ## runs the benches of delivery, half an hour on a quiet machine; ONLY names cases, ROUNDS how often
	@python3 benches/delivery/run.py $(if $(ROUNDS),--rounds '$(ROUNDS)') $(if $(ONLY),--only '$(ONLY)')

corpus: build ## uploads every file of the folder MEDIA and writes a table of what became of each
	@MEDIA='$(MEDIA)' CHECK='$(CHECK)' OUT='$(OUT)' ONLY='$(ONLY)' python3 .ci/corpus.py

fuzz: setup-build ## fuzzes what strangers send (ranges, conditions, codings, digests, paths), each target for FUZZ_SECONDS
	@FUZZ_SECONDS='$(FUZZ_SECONDS)' .ci/fuzz.sh

clean: ## removes everything built or installed inside the checkout
	cargo clean
	rm -rf tests/browser/node_modules
