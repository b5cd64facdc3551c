# The only thing to remember. `make setup` installs what the machine lacks; the other targets call it, and it does
# nothing when nothing is missing.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build demo test lint bench docs clean-data

export CARGO_TARGET_DIR ?= $(HOME)/.cache/thermocline/target
export THERMOCLINE_BIN ?= $(CARGO_TARGET_DIR)/debug/thermocline
export THERMOCLINE_VENV ?= $(HOME)/.cache/thermocline/venv

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## Install what this machine lacks (Debian packages as root, a Python environment for the tests)
	@scripts/setup.sh

build: setup ## The program, as the demo and the tests use it
	cargo build -p thermocline --features failpoints

demo: build ## Fresh server, three past days, this host's metrics, four answers (DEMO_ONCE=1: exit after them)
	$(THERMOCLINE_BIN) demo $(if $(DEMO_ONCE),--once)

test: build ## Every test, against the real binary, a real S3 server, a real Kafka, DuckDB and Prometheus' engine
	cargo test --workspace --features thermocline/failpoints

lint: setup ## Format, clippy, dependency rules
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features thermocline/failpoints -- -D warnings
	scripts/deny.sh

bench: setup ## Micro-benchmarks and the system benchmarks (release build)
	cargo bench -p thermocline-benches
	cargo build --release -p thermocline
	benches/system.py
	$(THERMOCLINE_VENV)/bin/python benches/kafka.py
	! command -v victoria-metrics >/dev/null || benches/peers/victoria_metrics.py
	benches/peers/promql.py $(if $(shell command -v victoria-metrics),,--alone)

docs: setup ## API documentation of our crates
	cargo doc --workspace --no-deps

clean-data: ## Remove the data directory that `thermocline serve` makes by default
	rm -rf ./data
