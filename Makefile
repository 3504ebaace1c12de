# Thin over cargo. Every target first installs what it needs and is silent about what is there.
.PHONY: help setup build check test

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make build    the daemon, the CLI and the lab runner (release)
build:
	@tools/setup build
	@cargo build --release --quiet

## make check    format, lints and the tests that need neither root nor BPF
check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace

## make test     everything CI runs
test: check
