# GNU make 4.3. `make` alone lists the commands: the text after ## beside each, under its heading.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?=
KEEP ?=
# Three: a test waits for its servers about as long as it computes. On larger machines say more.
WORKERS ?= 3
ARGS ?=
# Longest that a best-effort fetch may take before `make test` goes on without it, in seconds.
FETCH_SECONDS ?= 240

export PYTHON
BIN := .venv/bin
PACKAGES := api benchmarks cases cli embedded evse_agent expectations flows grid ingest_daemon iso20022 oracle \
	settlement simulators statements storage tasks thermal_guard
# What runs at a newcomer's desk and in CI stays off the network where a library would call home.
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export GX_ANALYTICS_ENABLED := false
# Each of the many processes that start here would compile everything anew without its cache.
export PYTHONDONTWRITEBYTECODE :=

##@ See it work

.PHONY: demo
demo: install ## settle one evening on real parts, from nothing; KEEP=1 leaves it running
	@$(BIN)/v2g demo $(if $(filter-out 0,$(KEEP)),--keep) $(ARGS)

.PHONY: demo-iso15118
demo-iso15118: install ## a real ISO 15118-20 session up to its paid line; ARGS="--service AC_BPT"
	@$(BIN)/python -m cli.demo.iso15118 $(ARGS)

.PHONY: bench
bench: install ## measure: signatures, landing, pricing, posting, each against its yardstick
	@$(BIN)/python -m benchmarks $(ARGS)

##@ Work on it

.PHONY: install
install: ## make .venv from requirements.lock; quick when nothing changed
	@infra/install.sh

.PHONY: check
check: install ## format, lint, types, contracts, docs, doctests, pure tests: under a minute
	@$(MAKE) --jobs=2 --keep-going --output-sync=target check-types check-format check-lint check-contracts check-tests

.PHONY: test
test: install ## every test, on real servers; ARGS="-k word" picks
	@$(BIN)/python -m embedded.timescale --unless-failed --within $(FETCH_SECONDS) \
		|| echo "test: TimescaleDB cannot be had here; its tests are skipped and say so"
	@scratch=$$(infra/scratch.sh); trap 'rm -rf "$$scratch"' EXIT; TMPDIR=$$scratch \
		$(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --durations=15 --doctest-modules \
		$(PACKAGES) tests $(ARGS)

.PHONY: format
format: install ## rewrite the code in the one format
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

.PHONY: map
map: install ## print the house: every room, its verb, its largest files
	@$(BIN)/python -m cli.map

.PHONY: docs
docs: install ## write the reference pages (cli, columns, metrics, programs, reasons, settings) from the code
	@$(BIN)/python -m cli.docs

##@ Maintain it

.PHONY: mutate
mutate: install ## change the rules place by place, on a copy: does a test notice? ARGS="pricing --sample 40"
	@$(BIN)/python -m tests.mutation $(ARGS)

.PHONY: chaos
chaos: install ## kill two posters a thousand times while the clearinghouse answers badly; ARGS="--kills 100"
	@scratch=$$(infra/scratch.sh); trap 'rm -rf "$$scratch"' EXIT; TMPDIR=$$scratch \
		$(BIN)/python -m tests.chaos $(ARGS)

.PHONY: timescale
timescale: install ## fetch the TimescaleDB extension for the embedded PostgreSQL, without root
	@$(BIN)/python -m embedded.timescale

.PHONY: lock
lock: install ## resolve the dependencies anew within pyproject.toml's bounds; UPGRADE=1 takes the newest
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements-bootstrap.lock
	@$(LOCK) --group bootstrap --no-annotate --output-file requirements-bootstrap.lock
	@$(LOCK) --all-extras --output-file requirements.lock pyproject.toml
	@git --no-pager diff --stat -- requirements.lock requirements-bootstrap.lock

LOCK = $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean: ## remove what the commands above have made, except downloads (.cache)
	@rm -rf .venv .demo .prefect .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the parts of `make check`, each of which can be run alone -------------------------------------

.PHONY: check-format check-lint check-types check-contracts check-tests
check-format:
	@$(BIN)/ruff format --check --quiet . || { echo "check: the files above are not in the one format: make format"; exit 1; }

check-lint:
	@$(BIN)/ruff check --quiet --output-format=concise .

check-types:
	@$(BIN)/mypy

check-contracts:
	@$(BIN)/lint-imports --no-logo | grep -vE '^(-+|=+|Analyzed .*|Contracts|)$$'

# Laws over many random fleets and histories take their time: `make test` has them.
LONG := $(addprefix tests/settlement/,metering test_pricing_exact.py test_baselines_computed.py \
	test_baselines.py test_comparing.py test_quantities.py test_quantities_edges.py test_matching.py \
	test_booking.py test_thermal.py test_rounding.py test_merkle.py test_collusion.py \
	test_ocmf_properties.py test_ocmf_others.py test_windows.py test_windows_money.py test_posting.py \
	test_throttling.py)

check-tests:
	@$(BIN)/python -m pytest --quiet --doctest-modules settlement oracle storage evse_agent \
		tests/settlement tests/engineering $(addprefix --ignore=,$(LONG))

.PHONY: help
help:
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
