# Every target makes what it needs, from nothing but python3, and does nothing twice.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# the tests of one run share two cores well; one process per core
JOBS   ?= auto

.DEFAULT_GOAL := help
.PHONY: help install demo test test-long bench check format lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

install: $(READY) ## make .venv with everything in it

demo: $(READY) ## load a small model over gRPC and REST, on this machine alone
	$(BIN)/tfs-locust demo

test: $(READY) ## run the tests
	$(BIN)/python -m pytest -n $(JOBS)

test-long: $(READY) ## run the tests that take minutes
	$(BIN)/python -m pytest -m long

bench: $(READY) ## measure against other clients, in half an hour; with QUICK=1 in four
	$(BIN)/python -m bench $(if $(QUICK),--quick)

check: $(READY) ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY) ## put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(READY) ## choose the newest versions that agree, for every supported Python
	$(PYTHON) -m venv $(VENV)/uv
	$(VENV)/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(VENV)/uv/bin/uv pip compile --quiet --universal --python-version 3.10 --extra dev --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links --upgrade pyproject.toml --output-file requirements.lock
	$(VENV)/uv/bin/uv pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate --no-emit-index-url \
	    --no-emit-find-links --constraint requirements.lock --override docker/without-tensorflow.txt pyproject.toml \
	    | grep -v "== 'never'" >docker/requirements.lock

clean: ## remove what the targets made
	rm -rf $(VENV) build results *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
