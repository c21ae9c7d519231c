# Everything a developer types. Needs Python 3.11 or newer and make; no Docker, no root.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
FOLDERS := domain commands projections api workers tests
PYTEST_ARGS ?=

.PHONY: help demo test soak machine check bench against sizes rows lock format clean venv

help:
	@echo "make demo    start everything on this machine, with simulated orders (Ctrl-C ends it)"
	@echo "make test    all tests, with counts scaled down; PYTEST_ARGS='-k …' picks some"
	@echo "make soak    all tests with full counts (takes long)"
	@echo "make machine random lives of orders, 500,000 commands: no money is made or lost"
	@echo "make check   format, lint, types, import rules"
	@echo "make bench   throughput of ledger, projections, API and tracking, measured here"
	@echo "make against placing orders over HTTP, in turns with another version: COMMIT=…"
	@echo "make sizes   how long functions and files are"
	@echo "make rows    acceptance rows without a test; ROWS_ARGS=--verbose names the tests"
	@echo "make lock    pin the dependencies of pyproject.toml anew (needs uv)"
	@echo "make clean   remove caches and the virtual environment; data in var/ stay"

venv: $(READY)

# Made anew when the lock changes. The progress goes to the terminal, all else to a file.
$(READY): requirements.lock
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say where: make PYTHON=...")'
	@echo "Building the virtual environment in $(VENV): about 400 MB, a minute or two, once."
	@"$(PYTHON)" -m venv $(VENV)
	@all=$$(grep -c '^[A-Za-z0-9].*==' requirements.lock); \
	if [ -t 1 ]; then terminal=1; else terminal=0; fi; \
	$(BIN)/python -m pip install --disable-pip-version-check --no-input --require-hashes \
	    -r requirements.lock 2>&1 | tee $(VENV)/install.log | awk -v all=$$all -v terminal=$$terminal ' \
	    /^Collecting|^Requirement already/ { n++; if (terminal) printf "\r  %d of at most %d packages ", n, all; else if (n % 25 == 0) printf "  %d of at most %d packages\n", n, all; fflush() } \
	    /^Installing collected/ { printf "%s  installing them%20s", terminal ? "\r" : "", ""; fflush() } \
	    END { print "" }' \
	|| { echo "Installing failed:"; tail -n 20 $(VENV)/install.log; exit 1; }
	@$(BIN)/python -m pip install --disable-pip-version-check --no-input --quiet --no-deps \
	    --no-build-isolation -e .
	@touch $@
	@echo "The virtual environment is ready."

demo: $(READY)
	@exec $(BIN)/ledger up

test: $(READY)
	LEDGER_TEST_SCALE=$${LEDGER_TEST_SCALE:-0.05} $(BIN)/python -m pytest $(PYTEST_ARGS)

soak: $(READY)
	LEDGER_TEST_SCALE=1 $(BIN)/python -m pytest --timeout=7200 $(PYTEST_ARGS)

machine: $(READY)
	LEDGER_TEST_SCALE=$${LEDGER_TEST_SCALE:-1} $(BIN)/python -m pytest --timeout=7200 -s \
	    tests/test_order_machine.py $(PYTEST_ARGS)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(FOLDERS)
	$(BIN)/lint-imports --no-cache

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	@$(BIN)/python -m tests.bench

against: $(READY)
	@$(BIN)/python -m tests.bench.against $(COMMIT)

sizes: $(READY)
	@$(BIN)/python -m tests.sizes

rows: $(READY)
	@$(BIN)/python -m tests.rows $(ROWS_ARGS)

# The lock names no package index: whose mirror is used is each machine's own affair.
lock:
	uv pip compile pyproject.toml --extra test --generate-hashes --no-emit-index-url \
	    --universal --python-version 3.11 -q --no-header -o requirements.lock

clean:
	rm -rf $(VENV) *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(FOLDERS) -name __pycache__ -type d -prune -exec rm -rf {} +
