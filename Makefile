# Holdfast: `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.complete ## install what the machine lacks: Debian packages for lab hosts, the virtual environment

$(VENV)/.complete: requirements.lock pyproject.toml tools/dev/install_prerequisites tools/dev/compile_packages
	tools/dev/install_prerequisites
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -qq --no-compile --require-hashes --requirement requirements.lock
	$(BIN)/pip install -qq --no-deps --no-build-isolation --editable .
	tools/dev/compile_packages
	touch $@

.PHONY: demo
demo: setup ## lab hosts, all three services, and the proof from a client's side
	$(BIN)/holdfast lab up
	$(BIN)/holdfast apply
	$(BIN)/holdfast prove

.PHONY: demo-down
demo-down: setup ## destroy the demo's lab
	$(BIN)/holdfast lab down

.PHONY: lint
lint: setup ## ansible-lint (production), yamllint, ruff, mypy --strict
	tools/dev/lint

.PHONY: unit
unit: setup ## pure logic and contracts, no lab
	$(BIN)/pytest tests/unit tests/contract

.PHONY: test
test: setup ## everything that guards a commit: lint, unit, contract, roles and behaviours on lab hosts
	tools/dev/run_tests

.PHONY: test-all
test-all: setup ## the same code with the full counts that the issues name, and ansible-test sanity
	HOLDFAST_FULL=1 tools/dev/run_tests

.PHONY: sanity
sanity: setup ## ansible-test sanity, in a worktree at a real collection path
	tools/dev/sanity

.PHONY: lock
lock: setup ## resolve the dependencies anew into requirements.lock
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-trusted-host \
	  --no-emit-find-links --no-header --extra dev --output-file requirements.lock pyproject.toml

.PHONY: clean
clean: ## remove the virtual environment and caches; labs are destroyed with demo-down
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
