# Thin over cargo. Every target first installs what it needs and is silent about what is already there.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export CARGO_TERM_COLOR ?= auto
PURE := -p api -p bfd -p bgp -p cli -p ha -p lb-common -p sync
RELEASE := target/release

# Seconds of a fuzz run.
SECONDS := 60

.PHONY: help setup build check test fuzz demo lab bench-bfd bench-bgp bench-datapath bench-ha clean

## Targets:
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

setup:
	@tools/setup build
	@tools/setup peers

##   make build              the daemon, batonctl, the lab runner (release)
build:
	@tools/setup build
	@echo '==> building (release)' >&2
	@cargo build --release --quiet --bins

##   make check              format, lints, and the tests that need neither root nor BPF
check:
	cargo fmt --all --check
	cargo clippy $(PURE) --all-targets -- -D warnings
	cargo test --quiet $(PURE)

##   make test               everything CI runs (root)
test: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo build --bins
	cargo test --workspace -- --test-threads=1

##   make fuzz TARGET=bgp_message SECONDS=60   grow the corpus of a fuzz target (nightly compiler, cargo-fuzz)
fuzz:
	@mkdir -p fuzz/grown/$(TARGET)
	@cd fuzz && cargo +nightly fuzz run --fuzz-dir . $(TARGET) grown/$(TARGET) corpus/$(TARGET) -- -max_total_time=$(SECONDS)

##   make demo               the failover, seen; writes target/demo/failover.json and .svg (root)
demo: setup build
	@$(RELEASE)/lab failover

##   make lab NAME=failover  one lab: up, tested, down (KEEP=1 leaves it up) (root)
lab: setup build
	@$(RELEASE)/lab test $(NAME) $(if $(KEEP),--keep)

##   make bench-datapath     ns per packet beside a bare lookup and rewrite (root)
bench-datapath: setup
	@cargo bench --quiet -p tests --bench datapath

##   make bench-bgp          our speaker beside bird2, gobgpd, FRR and exabgp as senders; 64 neighbours; role swap (root)
bench-bgp: setup
	@cargo bench --quiet -p tests --bench bgp

##   make bench-bfd          detection beside bird2 and FRR, false downs under load, CPU, from deadline to UPDATE (root)
bench-bfd: setup build
	@cargo bench --quiet -p tests --bench bfd

##   make bench-ha           gap and stall over repeated power losses, BFD 30 ms x 5 and 10 ms x 3 (root)
bench-ha: setup build
	@$(RELEASE)/lab failover --runs 0 --known-blackhole 100ms
	@$(RELEASE)/lab failover --runs 20 --bfd 30msx5
	@$(RELEASE)/lab failover --runs 20 --bfd 10msx3

clean:
	cargo clean
