# `make demo` and `make test` do all the set-up they need; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
# Arguments for pytest, e.g. make test T='tests/test_window.py -k idle'; and for the benchmarks, e.g. make bench B=--quick
T ?=
B ?=

.PHONY: help setup prometheus deps demo demo-serve tools test test-unleash lint format bench lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv from requirements.lock (quick when it is up to date)
	@scripts/setup

prometheus: ## The same, and Debian's prometheus when it is missing and may be installed
	@scripts/setup --prometheus

deps: ## The same, and the other servers that tests and benchmarks use (redis-server, postgresql)
	@scripts/setup --servers

demo: prometheus ## Watch a faulty rollout being rolled back and a good one signed off (under four minutes)
	@$(BIN)/python deploy/demo/run.py

demo-serve: prometheus ## The demo, left running with its pages
	@$(BIN)/python deploy/demo/run.py --serve

# A Go toolchain builds the flagd that tests/tools/go.mod pins; without one its tests are left out, and that is said.
GO := $(shell command -v go)
NO_FLAGD := $(if $(GO),,--ignore=tests/test_flagd_real.py)

tools: ## Build the real flagd for its tests, where there is Go (five minutes the first time)
ifdef GO
	@cd tests/tools && GOBIN=$(CURDIR)/build/tools $(GO) install -trimpath github.com/open-feature/flagd/flagd
	@echo "tools: built $$(build/tools/flagd version | tail -n 1)"
else
	@echo 'tools: there is no Go toolchain, so tests/test_flagd_real.py (the real flagd) is left out' >&2
endif

test: deps tools ## Every test, with coverage
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(NO_FLAGD) $(if $(T),$(T),--cov)

test-unleash: deps ## The tests against a real Unleash server, which comes from npm (minutes)
	@scripts/setup-unleash
	@$(BIN)/python -m pytest tests/unleash --durations=5

lint: setup ## Style, types and import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup ## Apply the style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: deps ## Measure the promised figures and print them
	@$(BIN)/python -m bench $(B)

lock: setup ## Resolve the dependencies again into requirements.lock (minutes)
	@$(BIN)/pip-compile --quiet --generate-hashes --no-header --all-extras --strip-extras --allow-unsafe \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file requirements.lock pyproject.toml

clean: ## Remove what the other targets built, .venv excepted
	@rm -rf build *.egg-info .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -path ./.venv -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
