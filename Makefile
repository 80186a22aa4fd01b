# Each command first installs what it needs into .venv. A stamp per set of extras depends on
# pyproject.toml and the constraints, so any command works on a fresh checkout and after an update.
#
# On Linux without a GPU, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo
# installs torch's CPU build, which is several times smaller than the CUDA build.

# CONSTRAINTS=/dev/null installs the newest versions instead of those that were tested last.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS ?= constraints.txt
PYTEST_OPTIONS ?=
SMOKE_OPTIONS ?=
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint $(CONSTRAINTS)

# Real data sets beside the checkout, if they exist. Without them, tests that need them are skipped,
# and benchmarks print what is missing.
SHARED_DATA := $(wildcard $(abspath ../shared/data))
ifneq ($(SHARED_DATA),)
export LOWERBOUND_DATA ?= $(SHARED_DATA)
endif

.PHONY: demo test test-slow test-long test-all mutate planted check smoke docs bench-env clean help
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo 'make demo       fit real digits, write a model folder and a report (installs the core alone)'
	@echo 'make test       the tests that take at most a second or so each'
	@echo 'make test-slow  the tests that take seconds'
	@echo 'make test-long  the tests that take minutes'
	@echo 'make test-all   everything that can fail: the three above and make smoke, hours; before a release'
	@echo 'make mutate     plant defects, one at a time, and list those that no test notices; hours'
	@echo 'make planted    the same with defects written by hand, as moves of code bring them in'
	@echo 'make check      format, lint, types, direction of imports, structure, rules of results'
	@echo 'make smoke      every quick benchmark, example and command of the docs'
	@echo 'make docs       the site of the documentation, in site/'
	@echo 'make bench-env  also install the peer library of the throughput benchmark'
	@echo 'make clean      remove .venv, caches and builds'

demo: $(VENV)/core.stamp
	$(BIN)/lowerbound demo

# One thread per worker: two workers with a thread pool each would compete for the cores. A file's
# tests go to one worker, so that what they share (most often a fitted model) is made once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test: $(VENV)/dev.stamp
	$(PYTEST) $(PYTEST_OPTIONS)

test-slow: $(VENV)/dev.stamp
	$(PYTEST) -m 'slow and not long' $(PYTEST_OPTIONS)

test-long: $(VENV)/dev.stamp
	$(PYTEST) -m long $(PYTEST_OPTIONS)

# What a change runs only half of or nothing of. The commands run one after the other (.NOTPARALLEL).
test-all: test test-slow test-long smoke

# Stopped and started again, it goes on. It writes benchmarks/results/mutation.json.
mutate: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/mutation.py

# The tests that each defect names run first, so that most take seconds.
planted: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/mutation.py --planted

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/structure.py
	$(BIN)/python benchmarks/_page.py --check

# One thread: quick runs need no precise timing, and two threads stall each other on a busy machine.
smoke: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python tests/smoke.py $(SMOKE_OPTIONS)

# The variable silences an advertisement of the theme's successor.
docs: $(VENV)/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench-env: $(VENV)/bench.stamp

$(VENV)/core.stamp: EXTRAS :=
$(VENV)/dev.stamp: EXTRAS := [dev]
$(VENV)/docs.stamp: EXTRAS := [docs]
$(VENV)/bench.stamp: EXTRAS := [dev,bench]
$(VENV)/%.stamp: pyproject.toml $(CONSTRAINTS) | $(VENV)/pyvenv.cfg
	$(PIP_INSTALL) --editable '.$(EXTRAS)'
	@touch $@

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'lowerbound needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { echo 'trying again with the pip of $(PYTHON)' && \
		$(PYTHON) -m venv --clear --without-pip $(VENV) && \
		$(PYTHON) -m pip --python $(BIN)/python install pip; }

clean:
	rm -rf $(VENV) build dist site .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
