# `make demo` and `make test` do all the set-up they need; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
# Arguments for pytest, e.g. make test T='tests/test_window.py -k idle'; and for the benchmarks, e.g. make bench B=--quick
T ?=
B ?=

.PHONY: help setup deps demo demo-serve test lint format bench lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv from requirements.lock (quick when it is up to date)
	@scripts/setup

deps: ## The same, and Debian's prometheus when it is missing and may be installed
	@scripts/setup --prometheus

demo: deps ## Watch a faulty rollout being rolled back and a good one signed off (under four minutes)
	@$(BIN)/python deploy/demo/run.py

demo-serve: deps ## The demo, left running with its pages
	@$(BIN)/python deploy/demo/run.py --serve

test: deps ## Every test, with coverage
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(if $(T),$(T),--cov)

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
