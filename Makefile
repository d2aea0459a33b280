# `make demo` and `make test` do all the set-up they need; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
# Arguments for pytest, e.g. make test T='tests/test_window.py -k idle'; and for the benchmarks, e.g. make bench B=--quick
T ?=
B ?=
# Processes under test start with bytecode, as installed ones do: pip writes it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup prometheus deps demo demo-serve tools test test-unleash test-stack test-pipelines test-kubernetes \
  test-replicas test-performance test-browser test-fuzz image stack rules lint format bench lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv from requirements.lock (quick when it is up to date)
	@scripts/setup

prometheus: ## The same, and Debian's prometheus when it is missing and may be installed
	@scripts/setup --prometheus

deps: ## The same, and the other servers that tests use (Alertmanager, exporters, redis-server, postgresql)
	@scripts/setup --servers

demo: prometheus ## Watch a faulty rollout being rolled back and a good one signed off (under four minutes)
	@$(BIN)/python deploy/demo/run.py

demo-serve: prometheus ## The demo, left running with its pages
	@$(BIN)/python deploy/demo/run.py --serve

# A Go toolchain builds the flagd that tests/tools/go.mod pins; without one its tests are left out, and that is said.
GO := $(shell command -v go)
NO_FLAGD := $(if $(GO),,--ignore=tests/test_flagd_real.py --ignore=tests/test_compose_running.py)

tools: ## Build the real flagd for its tests, where there is Go (five minutes the first time)
ifdef GO
	@cd tests/tools && GOBIN=$(CURDIR)/build/tools $(GO) install -trimpath github.com/open-feature/flagd/flagd
	@echo "tools: built $$(build/tools/flagd version | tail -n 1)"
else
	@echo 'tools: there is no Go toolchain, so tests/test_flagd_real.py and tests/test_compose_running.py (the real flagd) are left out' >&2
endif

# In the order of their names: by their numbers of tests, the files with one test of a minute each would come last.
test: deps tools ## Every test, with coverage
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(NO_FLAGD) $(if $(T),$(T),--cov)

test-unleash: deps ## The tests against a real Unleash server, which comes from npm (minutes)
	@scripts/setup-unleash
	@$(BIN)/python -m pytest tests/unleash --durations=5

test-stack: deps ## The monitoring stack, live: rules, dashboards, runbooks and the fault drill (minutes)
	@$(BIN)/python -m pytest tests/stack --durations=5

test-pipelines: deps ## Blue-green deployment with a real nginx at full load, and the workflows rehearsed (minutes)
	@$(BIN)/python -m pytest tests/pipelines tests/rehearsal --durations=5

test-kubernetes: setup ## Render the Kubernetes manifests, validate them and hold them to their promises (a minute)
	@scripts/setup-kubernetes
	@$(BIN)/python -m pytest tests/kubernetes --durations=5

test-replicas: deps ## Three real daemons on a real PostgreSQL: killed, stopped, cut off, replaced (minutes)
	@$(BIN)/python -m pytest tests/replicas --durations=5

test-performance: deps ## Timings against their declared tolerances, tried again where they are timings (minutes)
	@$(BIN)/python -m pytest tests/performance --durations=5

test-browser: deps ## Every page in a real Chromium: live, steered, by keyboard, on a phone, for axe-core (minutes)
	@scripts/setup --browser
	@$(BIN)/python -m pytest tests/browser --durations=5

test-fuzz: setup ## Coverage-guided fuzzing of every parser that reads outside data (minutes)
	@$(BIN)/python -m pytest tests/fuzz --durations=5

image: ## Build the image without a Docker daemon, look into it and run it (root; minutes)
	@scripts/image --own-base
	@python3 scripts/image_smoke.py

stack: deps ## Prometheus, Alertmanager, exporters, the demo shop and the daemon, left running (docs/stack.md)
	@$(BIN)/python deploy/stack/run.py

rules: setup ## Write rules/prometheus, the dashboards and the facts of the runbooks from their sources
	@$(BIN)/slo-watchdog rules generate
	@$(BIN)/python scripts/runbooks.py
	@$(BIN)/python deploy/grafana/build.py
	@$(BIN)/python scripts/kubernetes_rules.py

lint: setup ## Style, types, import contracts, and rules that are what their sources say
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/slo-watchdog rules generate --check
	@$(BIN)/slo-watchdog rules lint
	@$(BIN)/python scripts/runbooks.py --check
	@$(BIN)/python deploy/grafana/build.py --check
	@$(BIN)/python scripts/kubernetes_rules.py --check
	@$(BIN)/python scripts/commands_page.py --check
	@$(BIN)/python scripts/configuration_page.py --check
	@$(BIN)/python scripts/http_page.py --check
	@$(BIN)/python scripts/client_shapes.py --check
	@$(BIN)/python scripts/evidence_schemas.py --check

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
