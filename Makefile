# Everything a person needs: `make up` runs tenzij, `make test` tests it. Each sets itself up first.
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python

.PHONY: up test check lock clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

up: $(VENV)/.runtime ## set up and run tenzij in the foreground; Ctrl-C stops it
	@scripts/default-model
	@exec $(VENV)/bin/tenzij up

test: $(VENV)/.dev ## set up and run all tests
	@TENZIJ_HOME=$(CURDIR)/build/test-home scripts/default-model
	@TENZIJ_HOME=$(CURDIR)/build/test-home $(PY) -m pytest

check: $(VENV)/.dev ## lint, types, import rules
	@$(VENV)/bin/ruff check src tests
	@$(VENV)/bin/ruff format --check src tests
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

lock: $(VENV)/.dev ## resolve the dependencies anew (needs uv)
	@scripts/lock

$(VENV)/.runtime: requirements/runtime.lock pyproject.toml scripts/environment
	@scripts/environment runtime

$(VENV)/.dev: requirements/dev.lock pyproject.toml scripts/environment
	@scripts/environment dev

clean: ## remove the virtual environment and caches; state under TENZIJ_HOME stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
