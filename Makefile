# The ways into the house. `make` alone lists them.
# Everything is installed into .venv, once; `make clean` takes it away again.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

# Test processes at once: one thread of arithmetic each, so that they do not fight over the processor.
WORKERS     ?= 2
PYTEST      := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install install-dev check-python demo test test-slow lint format bench docs package clean

help:  ## List the targets
	@echo "shisen: attention in sequence models"
	@echo
	@grep -E '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*  ## (.*)/\1\t\2/' | \
		while IFS="$$(printf '\t')" read -r target what; do printf '  make %-12s %s\n' "$$target" "$$what"; done
	@echo
	@echo "  PYTHON=python3.12 make test   uses another Python (3.10 or newer)"
	@echo "  make test PYTEST_ARGS='-k bahdanau'   hands options to pytest"

install: $(VENV)/.installed  ## Install shisen into .venv

install-dev: $(VENV)/.installed-dev  ## Install shisen with what tests, linters and docs need

demo: $(VENV)/.installed  ## Train on the embedded corpus, translate, score and draw (a few minutes)
	$(BIN)/shisen demo --out runs/demo

test: $(VENV)/.installed-dev  ## Run the tests that take seconds each
	$(PYTEST) $(PYTEST_ARGS)

test-slow: $(VENV)/.installed-dev  ## Run the end-to-end tests, which take minutes
	$(PYTEST) -m slow $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev  ## Check style and types: ruff, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev  ## Let ruff rewrite the files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev  ## Run the benchmarks on the corpus in DATA=folder (long; see docs/benchmarks.md)
	@test -d "$(DATA)" || { echo "make: say where the corpus is: make bench DATA=folder (benchmarks/README.md)" >&2; exit 2; }
	$(BIN)/python benchmarks/joeynmt_comparison.py --data "$(DATA)"
	$(BIN)/python benchmarks/joeynmt_comparison.py --family transformer --data "$(DATA)"
	$(BIN)/python benchmarks/mechanisms.py --data "$(DATA)"
	$(BIN)/python benchmarks/reduced_precision.py --data "$(DATA)"
	$(BIN)/python benchmarks/additive_attention_memory.py
	$(BIN)/python benchmarks/multi_head_attention.py
	$(BIN)/python benchmarks/sparse_attention.py
	$(BIN)/python benchmarks/data_memory.py
	$(BIN)/python benchmarks/start_up.py

docs: $(VENV)/.installed-dev  ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

package: $(VENV)/.installed-dev  ## Build the wheel and the source archive into dist/
	$(BIN)/python -m hatchling build

clean:  ## Remove .venv and everything built (runs/ stays)
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the virtual environment --------------------------------------------------------------------------

check-python:
	@command -v $(PYTHON) >/dev/null || { echo "make: no '$(PYTHON)' here; name one with PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "make: shisen needs Python 3.10 or newer, but $(PYTHON) is $$($(PYTHON) -V 2>&1);" \
			"name another with PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "make: $(PYTHON) comes without venv; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }

# Made only when missing: check-python is a phony target, hence order-only.
$(BIN)/python: | check-python
	$(PYTHON) -m venv $(VENV)

# A stamp file says that the installation ran to its end; a newer pyproject.toml or constraints.txt runs it again.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@ $(VENV)/.installed
