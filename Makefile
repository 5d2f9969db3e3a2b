# The tasks of this repository; `make help` lists them. All output goes to .build and .local in this directory.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
MAKEFLAGS += --no-print-directory

# Concurrent compiler processes: `make test JOBS=1` on a small machine.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# Options for `swift test`, such as `make test TESTS='--filter JourneyTests'`.
TESTS ?=
# Arguments of `make run`, `make faults`, `make drill` and `make bench`.
ARGS ?=

.PHONY: help build release dist dist-test test faults contracts monitoring-check drill model demo run bench guard format lint docs install clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{ printf "  make %-16s %s\n", $$1, $$2 }'

install: ## install the missing Debian packages (changes nothing else on the system)
	@scripts/install

build: install ## build for debugging
	swift build --jobs $(JOBS)

release: install ## build the optimised executable
	swift build --jobs $(JOBS) --configuration release --product journey

dist: ## build the Debian package, with the Swift runtime in the program
	@scripts/install dist
	@JOBS=$(JOBS) scripts/dist $(ARGS)

dist-test: ## install, run, upgrade and remove the package in a clean Debian root (needs root)
	@scripts/dist-test $(ARGS)

test: install ## build and run all tests with private servers
	@scripts/test --jobs $(JOBS) $(TESTS)

demo: install ## show an event's path from the queue to the recommended action
	@scripts/demo

run: install ## start private servers and the adapter, and run them until Ctrl-C
	@scripts/demo --keep $(ARGS)

contracts: install ## check the message schemas, their examples, the mapping files and what is generated
	@scripts/contracts
	@scripts/sources --check
	@scripts/settings --check

monitoring-check: install ## check the alert rules with their tests, the dashboard, the runbook, and the names in all of them
	@scripts/monitoring

docs: install ## run the commands of docs/install.md word for word, through backup and restore
	@scripts/docs-check

faults: install ## inject each fault many times and print a table of the results (long)
	@scripts/faults $(ARGS)

drill: install ## plant faults under a real Prometheus: each alert has to fire, alone, and end with its cure (a quarter of an hour)
	@scripts/drill $(ARGS)

model: install ## check the model of the protocol completely (minutes)
	@scripts/model

bench: install ## measure the adapter against the floor: throughput, CPU, memory, latency (ARGS=--help)
	@JOBS=$(JOBS) scripts/bench $(ARGS)

guard: install ## compare the instruction counts of the hot path with the committed baseline
	@JOBS=$(JOBS) scripts/bench-guard $(ARGS)

format: ## format all Swift sources in place
	swift format --in-place --parallel --recursive Package.swift Sources Tests Benchmarks Examples

lint: install ## check the format, the imports and the shell scripts
	@scripts/lint

clean: ## stop the servers started here, and delete .build and .local
	@scripts/clean
