# Everything runs in a virtual environment of the project's own; each target sets up what it needs.
# Variables are given on the command line: make run ARGS=--seeds=5

# The interpreter that the environment is made with, and where the environment is.
PYTHON ?= python3
VENV := .venv
# Further flags for `make run`, further directories for `make records`.
ARGS :=
# The results directories that `make records` publishes.
RECORDS := $(addprefix benchmarks/results/,annealing budget corrected diagnosis leaderboard \
    leaderboard-0.01 leaderboard-0.01-relu leaderboard-0.1 leaderboard-0.1-relu ladder paper paper/figure5 \
    paper/lenet tune)
# The version that `make test-jax` tests with.
JAX := 0.10.0
# Processes that `make test` spreads the tests over.
WORKERS := 2

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# The tests start many processes, each of which would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test test-long test-jax lint modules format records docs dist venv clean
.DEFAULT_GOAL := help

help:  ## show this list
	@echo "usage: make TARGET [PYTHON=python3] [ARGS=--flag=value]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1 - \2/p' Makefile

run: $(VENV)/installed  ## Figure 3 of the paper, into results/paper; ARGS=--seeds=5 to shorten
	$(BIN)/python -m experiments.paper --figure=3 --out=results/paper \
	    --compilation_cache=.cache/jax $(ARGS)

test: $(VENV)/installed  ## lint, then every test and doctest
	@$(MAKE) --no-print-directory -j2 lint modules
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist=worksteal

test-long: $(VENV)/installed  ## the few tests that take long, which `make test` leaves out
	$(BIN)/python -m pytest -q -n $(WORKERS) -m long tests

# What planting, seekers and sweeps rest on; the rest of the tests needs no JAX of its own. Pins but
# JAX's own and Flax's, which follow it.
test-jax:  ## the core tests with another JAX: make test-jax JAX=0.11.2 PYTHON=python3.13
	$(PYTHON) -m venv --clear $(VENV)-jax
	grep -vE '^(jax|jaxlib|flax)==' requirements.txt > $(VENV)-jax/pins
	$(VENV)-jax/bin/python -m pip --disable-pip-version-check --quiet install \
	    jax==$(JAX) flax -r $(VENV)-jax/pins
	$(VENV)-jax/bin/python -m pytest -q -n $(WORKERS) tests/test_contract.py \
	    tests/test_planting.py tests/test_seekers.py tests/test_sweep.py

lint: $(VENV)/installed  ## ruff, mypy and the import order; changes nothing
	$(BIN)/python -m ruff check --quiet
	$(BIN)/python -m ruff format --check --quiet
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m mypy

# Lint needs one core, so another one compiles the modules that every process of the tests imports.
modules: $(VENV)/installed
	@$(BIN)/python -m pytest --collect-only -q >/dev/null || true

format: $(VENV)/installed  ## repair what ruff can
	$(BIN)/python -m ruff check --fix
	$(BIN)/python -m ruff format

records: $(VENV)/installed  ## the kept records as one Parquet file to publish, in build/records
	$(BIN)/python -m benchmarks.records --out=build/records $(RECORDS) $(ARGS)

docs: $(VENV)-docs/pinned  ## the site of guide, protocol and API, into build/site
	NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --quiet

dist: $(VENV)/installed  ## wheel and sdist into dist, tried in an empty environment elsewhere
	rm -rf build/lib dist && mkdir -p build
	$(BIN)/python -c "from setuptools import build_meta as b; \
	    b.build_sdist('dist'); b.build_wheel('dist')" >build/dist.log
	rm -rf *.egg-info
	$(PYTHON) -m venv --clear $(VENV)-dist
	$(VENV)-dist/bin/python -m pip --disable-pip-version-check --quiet install \
	    -c requirements.txt dist/*.whl
	cd / && $(abspath $(VENV))-dist/bin/ticketjax singleshot --task=relu --depth=3 \
	    --width=6 --densities=ticket,0.5 --samples=100 --epochs=1 --seeds=2 \
	    --out=$(abspath $(VENV))-dist/results

venv: $(VENV)/installed  ## only set up the environment that the others use

clean:  ## remove the environment, caches and builds; results stay
	rm -rf $(VENV) $(VENV)-docs $(VENV)-dist $(VENV)-jax .cache build dist *.egg-info
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find benchmarks experiments tests ticketjax -name __pycache__ -prune -exec rm -rf {} +

# New pins remake the environment, so that nothing stays in it that is no longer asked for.
$(VENV)/pinned: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || { \
	    echo "ticketjax needs Python 3.11 to 3.14, but PYTHON=$(PYTHON) is:" \
	        "`$(PYTHON) --version 2>&1`" >&2; \
	    echo "Name another, for example: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up $(VENV) (about a minute, once)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install -r requirements.txt
	@touch $@

$(VENV)-docs/pinned: docs/requirements.txt
	@echo "Setting up $(VENV)-docs (once)"
	@$(PYTHON) -m venv --clear $(VENV)-docs
	@$(VENV)-docs/bin/python -m pip --disable-pip-version-check --quiet install -r $<
	@touch $@

$(VENV)/installed: $(VENV)/pinned setup.cfg pyproject.toml ticketjax/version.py
	@$(PIP) install --no-build-isolation --no-deps -e .
	@$(PIP) check
	@touch $@
