# Everything a person does here, from a bare machine with Python ≥ 3.11 and make. `make` alone lists it.
SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
# What is started here is started again and again, and need not be compiled each time.
unexport PYTHONDONTWRITEBYTECODE
# Tests mostly wait for servers, so a few more at once than there are cores.
# Servers given by URL are shared by all of them: then one after the other.
WORKERS ?= $(if $(DATABASE_URL)$(NATS_URL)$(REDIS_URL),0,4)
# The stories wait even more, each worker on a whole stack of its own; a stack that runs already is shared.
STACKS ?= $(if $(TOLLGATE_STORIES_HOME),0,2)
# The first Python on PATH that is new enough; `make run PYTHON=/path/to/python3` chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: help
help: ## this list
	@grep -hE '^[a-z][a-z-]*:.*## ' Makefile | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | while IFS="$$(printf '\t')" read -r name what; do \
		printf '  make %-10s %s\n' "$$name" "$$what"; done

.PHONY: run up down status
run: .venv/.installed ## install, start everything on this machine, print URL, key and a curl line; Ctrl-C stops it
	@$(BIN)/tollgate run

up: .venv/.installed ## the same in the background; returns when all is ready
	@$(BIN)/tollgate up

down: ## stop what `make up` (or `make run`) started
	@if [ -x $(BIN)/tollgate ]; then $(BIN)/tollgate down; else echo "nothing runs: there is no environment yet"; fi

status: .venv/.installed ## what runs, with pids and health
	@$(BIN)/tollgate status

.PHONY: test test-slow faults sabotage lint
test: .venv/.installed-dev ## install, run the tests against real servers (given by URL, else own)
	@$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile libs services cli tests/contracts
	@$(BIN)/python -m pytest -m "not slow" -n $(STACKS) --dist loadfile tests/e2e tests/faults

test-slow: .venv/.installed-dev ## the long tests, every property searched anew with more examples, every fault once
	@HYPOTHESIS_SEARCH=1 $(BIN)/python -m pytest -m "slow or hypothesis" -n $(WORKERS) --dist loadfile --timeout 900 \
		libs services cli tests
	@$(BIN)/python -m tests.faults

faults: .venv/.installed-dev ## kill, pause, cut, empty, fill and forget under load: SEEDS=10, or SEEDS=7, for one; KINDS=redis,disk
	@$(BIN)/python -m tests.faults --seeds $(or $(SEEDS),1) --calls $(or $(CALLS),400) --kinds "$(KINDS)"

sabotage: .venv/.installed-dev ## plant known bugs in a copy of the tree and show that `make faults` catches each
	@$(BIN)/python -m tests.faults.sabotage

lint: .venv/.installed-dev ## style, types, the dependency rule, SQL, manifests, generated files, vocabulary
	@$(MAKE) -j 2 --output-sync=target lint-style lint-rules lint-types

.PHONY: lint-style lint-rules lint-types
lint-style:
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

lint-rules:
	@$(BIN)/python -m pytest -q tests/lint

lint-types:
	@$(BIN)/mypy libs/*/src services/*/src cli/src cli/install.py deploy/checks deploy/docker benchmarks tests/faults

.PHONY: bench contracts docs published lock clean
bench: .venv/.installed-dev ## start the stack with the simulator at zero delay and measure it
	@$(BIN)/python -m benchmarks

contracts: .venv/.installed-dev ## write the events' JSON Schemas, examples and their page again
	@$(BIN)/python -m common.contracts.generate

docs: contracts ## write every generated page again
	@$(BIN)/python -m tests.lint.providers_page

published: ## write the schemas of OpenAI's published answers again, from its Node client (needs node and npm)
	@cd services/gateway/tests/fixtures/published && npm ci --silent && npm run --silent generate

lock: .venv/.installed-dev ## resolve the dependencies again and write both lock files (pins and hashes, no addresses)
	@$(BIN)/uv lock -q
	@$(BIN)/uv export -q --frozen --all-packages --no-emit-workspace --no-default-groups --group build --no-header -o requirements.lock
	@$(BIN)/uv export -q --frozen --all-packages --no-emit-workspace --all-groups --no-header -o requirements-dev.lock

clean: ## remove the environment and caches; the data in .tollgate stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './node_modules/*' -prune -exec rm -rf {} +

# The environment. Always asked: the installer compares contents, not times, and does nothing within a blink when all is
# as the lock files say; so a moved checkout or a replaced Python is noticed too.
.PHONY: always
.venv/.installed: always
	@$(require_python)
	@$(PYTHON) cli/install.py

.venv/.installed-dev: always
	@$(require_python)
	@$(PYTHON) cli/install.py --dev

require_python = $(if $(PYTHON),:,echo "Python 3.11 or newer is needed (Debian, Ubuntu: apt-get install python3 python3-venv)" >&2; exit 1)
