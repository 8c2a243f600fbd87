# Needs: Python 3.11 or newer with venv, git, make. Everything else is installed into .venv.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
# Two workers: most tests wait for processes and servers. A file's tests share what they start, so they stay together.
PYTEST_ARGS ?= -n 2 --dist loadfile
FIND_PYTHON := for candidate in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
	if command -v $$candidate >/dev/null && $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo $$candidate; exit 0; fi; done; exit 1

.PHONY: help up down test check bench clean lock

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

up: $(VENV)/.user ## install what is needed, fetch the models, bring the fleet to healthy
	@$(BIN)/tandem models fetch --default
	@$(BIN)/tandem up

down: ## stop the fleet and leave nothing behind
	@if [ -x $(BIN)/tandem ]; then $(BIN)/tandem down; else echo "nothing is installed, so nothing runs"; fi

test: $(VENV)/.dev ## run all tests
	@$(BIN)/tandem models fetch --default
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.dev ## lint, formatting, types, import rules
	@$(BIN)/ruff check --no-cache src tests benchmarks
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/tandem audit . --fail-on note

bench: $(VENV)/.bench ## measure against other tools, one benchmark after another
	@$(BIN)/tandem bench all

clean: ## remove the virtual environment and caches (state and models stay)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: ## write constraints.txt anew from pyproject.toml (maintainers)
	@$(BIN)/python -m pip install -q uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links pyproject.toml -o constraints.txt

$(VENV)/bin/python:
	@python=$$($(FIND_PYTHON)) || { echo "Tandem needs Python 3.11 or newer. On Debian or Ubuntu: sudo apt install python3.11 python3.11-venv" >&2; exit 1; }; \
	$$python -m venv $(VENV) || { rm -rf $(VENV); \
	version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	echo "Python's venv module is missing. On Debian or Ubuntu: sudo apt install python$$version-venv; on Fedora it comes with python3." >&2; exit 1; }

$(VENV)/.user: pyproject.toml constraints.txt Makefile | $(VENV)/bin/python
	@echo "Installing Tandem with voice and language model support into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[voice,llm,hub,alerts,tui]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt Makefile | $(VENV)/bin/python
	@echo "Installing Tandem and its development tools into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[voice,llm,hub,otlp,alerts,vision,audit,tui,discovery,dev]'
	@touch $@ $(VENV)/.user

$(VENV)/.bench: $(VENV)/.dev
	@echo "Installing what is measured beside Tandem into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@
