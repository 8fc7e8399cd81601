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
ROOTFLAG := $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := help
.PHONY: help lab setup model docs test test-remote check types hooks
.DELETE_ON_ERROR:

help:  ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1 — /'

lab: setup  ## set everything up, fetch SmolLM2 once, open JupyterLab on the first notebook
	@echo "lab: SmolLM2-135M is fetched into your cache once; later starts use it from there, also offline."
	@$(BIN)/python -m interp_widgets.session.known smollm2-135m || \
		echo "lab: SmolLM2 could not be fetched, so the notebook uses the bundled model toy-grammar instead."
	@echo "lab: opening JupyterLab on notebooks/start.ipynb; stop it with Ctrl-C."
	$(BIN)/python -m jupyterlab notebooks/start.ipynb $(ROOTFLAG) $(LABFLAGS)

setup: $(INSTALLED)  ## make .venv and install the package with its development tools

$(INSTALLED): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"setup: Python 3.11 or newer is needed; {sys.executable} is {sys.version.split()[0]}. Try make PYTHON=python3.12.")'
	@echo "setup: making $(VENV) with $(PYTHON) and installing the tested versions into it (about 2 GB on disk; a minute or more)."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet -c $(CONSTRAINTS) -e . --group dev --group docs
	@touch $@

model: setup  ## fetch SmolLM2-135M into the cache (93 MB, once)
	@$(BIN)/python -m interp_widgets.session.known smollm2-135m

docs: export OMP_NUM_THREADS ?= 1
docs: setup  ## build the documentation into .build/docs/html; panels and notebooks are run once for a state of the package
	@echo "docs: building the site; DOCSFLAGS=--keep takes the panels and notebooks of an earlier build, however old."
	@$(BIN)/python docs/site/build.py $(DOCSFLAGS)

test: export OMP_NUM_THREADS ?= 1
test: setup  ## set everything up and run all tests; browser tests are skipped, and said so, without a Chromium
	@echo "test: running the tests with $(BIN)/python."
	@$(BIN)/python -m pytest $(PYTESTFLAGS)

test-remote: export OMP_NUM_THREADS ?= 1
test-remote: model  ## install a real NDIF server once, start it, and run the tests that talk to it; needs redis-server
	@$(BIN)/python -m tests.remote.server install
	@echo "test-remote: starting the server (half a minute, 4 GB of memory) and running tests/remote."
	@IW_REMOTE=1 $(BIN)/python -m pytest tests/remote $(PYTESTFLAGS)

check: setup  ## lint and type-check the Python code
	@echo "check: ruff, then mypy."
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

types: $(NODE)/node_modules/.bin/tsc  ## type-check the JavaScript through its JSDoc
	@echo "types: tsc on interp_widgets/front."
	@$(NODE)/node_modules/.bin/tsc -p tests/front/tsconfig.json

$(NODE)/node_modules/.bin/tsc:
	@echo "types: installing TypeScript and the anywidget types into $(NODE); nothing is built with them."
	@mkdir -p $(NODE)
	@npm install --prefix $(NODE) --no-audit --no-fund --loglevel=error typescript@7.0.2 @anywidget/types@0.4.0

hooks: setup  ## have git run the linters before each commit and push of yours
	@$(BIN)/pre-commit install --hook-type pre-commit --hook-type pre-push
