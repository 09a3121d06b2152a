# What a person types. Each target says what it does when it takes long; `make help` lists them.
.DEFAULT_GOAL := help
STACK ?= dev
INSTANCE ?= dev
RUNS ?= 20
PYTHON := .venv/bin/python
READY := .venv/.installed
export REGISTRY

# What runs outside of Pulumi but needs its CLI, kubectl or the kubeconfig gets them from here.
define with_env
e="$$($(PYTHON) -m cluster env --stack $(STACK) --instance $(INSTANCE))" && eval "$$e" && $(1)
endef

.PHONY: help up preview down clean env status check test test-unit test-rules test-app test-engine test-cluster faults bench \
        dashboard fmt lint types schema golden lock

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

$(READY): requirements-dev.txt
	@echo "python: packages of requirements-dev.txt into .venv" >&2
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python $$(python3 -V 2>&1 | cut -d' ' -f2) is too old: install Python 3.11 or newer as python3" >&2; exit 1; }
	@rm -rf .venv && python3 -m venv .venv \
	  || { echo "this Python cannot make a virtual environment: install python3-venv" >&2; exit 1; }
	@.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

up: $(READY)  ## everything that is missing, then `pulumi up` of STACK (dev), then its endpoints
	@$(PYTHON) -m cluster up --stack $(STACK)

preview: $(READY)  ## Pulumi's preview of STACK
	@$(PYTHON) -m cluster preview --stack $(STACK)

down: $(READY)  ## destroy STACK and, if it is the embedded cluster's, the cluster; any other STACK asks for YES=1
	@$(PYTHON) -m cluster down --stack $(STACK) $(if $(filter 1,$(YES)),--yes)

clean: $(READY)  ## down of the embedded cluster, and remove the caches too: builds, images, .venv
	@$(PYTHON) -m cluster clean
	@rm -rf .venv

env: $(READY)  ## `export` lines: eval "$$(make -s env)" and kubectl and pulumi work by hand
	@$(PYTHON) -m cluster env --stack $(STACK) --instance $(INSTANCE)

status: $(READY)  ## what runs of the embedded cluster
	@$(PYTHON) -m cluster status

check: $(READY)  ## walk through the running STACK, a line a check; CHECK=NAME for one
	@$(call with_env,$(PYTHON) -m checks --stack $(STACK) $(CHECK))

dashboard: $(READY)  ## the last hour of the running STACK as one page, for people without a Grafana
	@$(call with_env,$(PYTHON) -m dashboard --stack $(STACK))

test: lint types test-unit test-rules test-app test-engine test-cluster  ## every test that this machine can run

test-unit: $(READY)  ## components and settings: no network, no root, no cluster
	@$(PYTHON) -m pytest tests/unit tests/golden

test-rules: $(READY)  ## every alert fires when it should and not when it should not, by promtool
	@$(PYTHON) -m pytest tests/rules

test-app: $(READY)  ## the FastAPI service against a real Redis and a real PostgreSQL
	@$(PYTHON) -m cluster packages
	@$(PYTHON) -m pytest -c app/pyproject.toml app/tests

# Not captured: what these two build on the way takes long, and says so; and their tests print figures.
test-engine: $(READY)  ## the real Pulumi CLI, without a cluster
	@$(PYTHON) -m pytest --verbose --capture=no tests/engine

test-cluster: $(READY)  ## real pods, on an embedded cluster of the tests' own
	@$(PYTHON) -m pytest --verbose --capture=no tests/cluster

faults: $(READY)  ## kills, switchovers, storms, rollouts and what alerts on the running dev stack, RUNS (20) of each, with figures
	@$(PYTHON) -m pytest --verbose --capture=no tests/faults --instance dev --runs $(RUNS)

bench: $(READY)  ## figures of the running dev stack: preview, memory, monitoring, pgbench directly and through Pgpool-II
	@$(PYTHON) -m bench

fmt: $(READY)  ## format
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix-only --quiet .

lint: $(READY)  ## style, and common mistakes
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check --quiet .

types: $(READY)  ## static types
	@.venv/bin/ty check --quiet
	@.venv/bin/ty check --quiet --project app --python .venv

schema: $(READY)  ## docs/stack.schema.json and docs/configuration.md from the settings
	@$(PYTHON) -m docs.generate

golden: $(READY)  ## record tests/golden anew: their change is the stack diff of a review
	@$(PYTHON) -m tests.golden.record

lock: $(READY)  ## requirements*.txt from requirements*.in (needs uv)
	@uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-emit-index-url requirements.in -o requirements.txt
	@cd app && uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-emit-index-url requirements.in -o requirements.txt
	@uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-emit-index-url requirements-dev.in \
	  -c requirements.txt -c app/requirements.txt -o requirements-dev.txt
