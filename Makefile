# Everything a person needs to run or change interp_widgets. `make` alone lists it. Each target can be run twice.

PYTHON ?= python3
VENV ?= .venv
LABFLAGS ?=
PYTESTFLAGS ?=
DOCSFLAGS ?=

BIN := $(VENV)/bin
NODE := .build/node
CONSTRAINTS := .ci/constraints.txt
INSTALLED := $(VENV)/.installed
BUILDERS := $(VENV)/.builders
ROOTFLAG := $(if $(filter 0,$(shell id -u)),--allow-root)

# A pipe fails when any part of it does.
SHELL := bash
.SHELLFLAGS := -o pipefail -c

.DEFAULT_GOAL := help
.PHONY: help lab setup model docs recordings test test-remote test-hosts binder badge demo check types hooks
.DELETE_ON_ERROR:

help:  ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1 — /'

lab: setup  ## set everything up, fetch SmolLM2 once, open JupyterLab on the first notebook
	@echo "lab: SmolLM2-135M is fetched into your cache once (93 to 275 MB, then up to half a minute to convert it); later starts use it from there, also offline."
	@$(BIN)/python -m interp_widgets.session.known smollm2-135m || \
		echo "lab: SmolLM2 could not be fetched, so the notebook uses the bundled model toy-grammar instead."
	@echo "lab: opening JupyterLab on notebooks/start.ipynb (a few seconds); choose Run > Run All Cells there. Stop it here with Ctrl-C."
	$(BIN)/python -m jupyterlab notebooks/start.ipynb $(ROOTFLAG) $(LABFLAGS)

setup: $(INSTALLED)  ## make .venv and install the package with its development tools

$(INSTALLED): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"setup: Python 3.11 or newer is needed; {sys.executable} is {sys.version.split()[0]}. Try make PYTHON=python3.12.")'
	@echo "setup: making $(VENV) with $(PYTHON), 2 GB on disk; 480 MB to download where torch is the one for the CPU. What is large is named as it comes:"
	@if [ "$$(uname)" = Linux ] && ! command -v nvidia-smi >/dev/null; then \
		echo "setup: this machine shows no NVIDIA GPU. PyPI's torch brings GPU libraries along: 2.7 GB instead of 0.2. For the CPU alone, stop now" && \
		echo "setup: (Ctrl-C) and start again with PIP_EXTRA_INDEX_URL set to the address that torch's site gives under Linux, Pip, CPU."; fi
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install -c $(CONSTRAINTS) -e . --group dev | $(BIN)/python .ci/pip_lines.py
	@touch $@

model: setup  ## fetch SmolLM2-135M into the cache (93 MB, once)
	@$(BIN)/python -m interp_widgets.session.known smollm2-135m

$(BUILDERS): $(INSTALLED)
	@echo "docs: installing Sphinx and what else builds sites (100 MB), once."
	@$(BIN)/python -m pip install --quiet -c $(CONSTRAINTS) --group docs
	@touch $@

docs: export OMP_NUM_THREADS ?= 1
docs: $(BUILDERS)  ## build the documentation into .build/docs/html; panels and notebooks are run once for a state of the package
	@echo "docs: building the site; DOCSFLAGS=--keep takes the panels and notebooks of an earlier build, however old."
	@$(BIN)/python docs/site/build.py $(DOCSFLAGS)

test: export OMP_NUM_THREADS ?= 1
test: setup  ## set everything up and run all tests; browser tests are skipped, and said so, without a Chromium
	@echo "test: running the tests with $(BIN)/python."
	@$(BIN)/python -m pytest $(PYTESTFLAGS)

recordings: export OMP_NUM_THREADS ?= 1
recordings: model  ## make notebooks/recordings again: every panel on SmolLM2, for the docs and Binder (two minutes)
	@$(BIN)/python notebooks/recordings/make.py

test-remote: export OMP_NUM_THREADS ?= 1
test-remote: model  ## install a real NDIF server once, start it, and run the tests that talk to it; needs redis-server
	@$(BIN)/python -m tests.remote.server install
	@echo "test-remote: starting the server (half a minute, 4 GB of memory) and running tests/remote."
	@IW_REMOTE=1 $(BIN)/python -m pytest tests/remote $(PYTESTFLAGS)

test-hosts: export OMP_NUM_THREADS ?= 1
test-hosts: setup  ## install Notebook 7, marimo and Voila once and run the tests of every host; needs a Chromium
	@$(BIN)/python -m tests.hosts.environment
	@IW_TEST_HOSTS=1 $(BIN)/python -m pytest tests/hosts $(PYTESTFLAGS)

binder: setup  ## make a Binder image's contents without Docker, run its notebooks and measure their memory (4 minutes, 3 GB)
	@$(BIN)/python -m tests.binder.rehearse

badge:  ## print the line of the README that opens this repository on Binder, from the address of its git remote
	@$(PYTHON) binder/badge.py

demo: model $(BUILDERS)  ## make the moving picture of the README again; needs a Chromium
	@$(BIN)/python -m tests.demo

check: setup  ## lint and type-check the Python code
	@echo "check: ruff, then mypy."
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

types: $(NODE)/.tools-1  ## type-check the JavaScript through its JSDoc
	@echo "types: tsc on interp_widgets/front."
	@$(NODE)/node_modules/.bin/tsc -p tests/front/tsconfig.json

$(NODE)/.tools-1:
	@echo "types: installing TypeScript, the anywidget types and axe-core (for the tests) into $(NODE); nothing is built with them."
	@mkdir -p $(NODE)
	@npm install --prefix $(NODE) --no-audit --no-fund --loglevel=error typescript@7.0.2 @anywidget/types@0.4.0 axe-core@4.14.1
	@touch $@

hooks: setup  ## have git run the linters before each commit and push of yours
	@$(BIN)/pre-commit install --hook-type pre-commit --hook-type pre-push
