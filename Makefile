# Everything a fresh machine needs is set up by the targets themselves: `make demo` and `make test` ask for nothing.

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# Pinned to the version that is tested. PyPI gives Linux the build for CUDA, of several GB, with or without a GPU; where
# pip knows an index of CPU builds (PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS), the CPU build wins, for its version sorts above.
TORCH := torch==2.13.0
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
OUT ?= out

.PHONY: setup demo test lint quick docs clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The demo is what a user without torch would run, so it sets up no more than that.
$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(PIP) --editable ".[demo]"
	touch $@

$(VENV)/.setup: pyproject.toml | $(BIN)/python
	$(PIP) "$(TORCH)"
	$(PIP) --editable ".[dev,train,export,eval,demo,ray,vot,serve,openvino,docs]"
	touch $@

setup: $(VENV)/.setup

demo: $(VENV)/.demo
	$(BIN)/ostrack demo --out-dir $(OUT)

lint: $(VENV)/.setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest

quick: $(VENV)/.setup
	$(BIN)/python -m pytest -m "not slow"

# The site, into site/; it opens without a network.
docs: $(VENV)/.setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir site

clean:
	rm -rf $(VENV) $(OUT) site .mypy_cache .ruff_cache .pytest_cache
