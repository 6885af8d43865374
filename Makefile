# Every target works from a clean clone; nothing is installed outside .venv, .venv-frameworks, .venv-benchmarks and
# the data cache.
PYTHON ?= python3
BIN := .venv/bin
FRAMEWORKS := .venv-frameworks
BENCHMARKS := .venv-benchmarks
DEMO := runs/adaptive-optimizers
BUDGET ?= 12m

.PHONY: help setup demo test gpu cluster frameworks faults check bench docs
help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

setup: .venv/.ready  ## create .venv with losslab and what its tests need

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt 'torch>=2.6'
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup  ## compare five optimizers on CIFAR-10 within BUDGET and write the report
	$(BIN)/losslab study run adaptive-optimizers --budget $(BUDGET) --out $(DEMO) --sample-if-offline
	$(BIN)/losslab report $(DEMO)

test: setup  ## the test suite, but for a Ray cluster, torchrun, other frameworks and the pages of the documentation
	$(BIN)/pytest -n 2 --dist worksteal -q -m "not cluster and not docs and not frameworks and not gpu"

gpu: setup  ## tests and benchmarks on a GPU; without one it says so and does nothing
	$(BIN)/pytest -q -rs -m gpu tests/training
	$(BIN)/python benchmarks/gpu.py

cluster: setup  ## tests of a Ray cluster and of torchrun, on this machine
	$(BIN)/pytest -q -m cluster

$(FRAMEWORKS)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/pip install --quiet --constraint constraints.txt 'torch>=2.6'
	$(FRAMEWORKS)/bin/pip install --quiet --constraint constraints.txt --editable '.[frameworks]'
	touch $@

frameworks: $(FRAMEWORKS)/.ready  ## tests with Keras, Lightning, Transformers, trackers and the like, in a venv of their own
	$(FRAMEWORKS)/bin/pytest -n 2 --dist worksteal -q -m frameworks tests
	KERAS_BACKEND=torch $(FRAMEWORKS)/bin/pytest -q src/losslab/integrations

faults: setup  ## the table of faults: a row each, with its full count
	$(BIN)/pytest -m row --full-faults -q tests

# Scripts are checked for what a changed signature breaks, and not for the exactness of their types.
LAX := arg-type index list-item misc no-any-return no-untyped-call operator union-attr

check: setup  ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --ignore-missing-imports --no-warn-unused-ignores $(LAX:%=--disable-error-code %) benchmarks tools

# The others in benchmarks/ compare frameworks, take a budget or train for hours.
SPEED := step_profile.py optimizer_step.py precision.py mlp_epoch.py resnet.py sweep.py scale.py "planning.py 2" \
	range_test.py augment.py count.py training_memory.py

$(BENCHMARKS)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BENCHMARKS)
	$(BENCHMARKS)/bin/pip install --quiet --constraint constraints.txt 'torch>=2.6'
	$(BENCHMARKS)/bin/pip install --quiet --constraint constraints.txt --editable '.[peers]'
	touch $@

bench: $(BENCHMARKS)/.ready  ## the benchmarks of speed, beside other tools; they want a quiet machine; KEEP=--keep writes the tables of docs/
	@for script in $(SPEED); do echo "== $$script"; $(BENCHMARKS)/bin/python benchmarks/$$script $(KEEP) || exit 1; done
	@$(BENCHMARKS)/bin/python tools/write_measured.py

docs: setup  ## build the documentation into build/docs, a warning being an error, and run every block in it
	$(BIN)/sphinx-build -W --keep-going -q -b html -d build/doctrees docs build/docs
	$(BIN)/pytest -n 2 --dist worksteal -q -m docs
