# Two commands do all set-up: `make demo` and `make test`. Both can be repeated at no cost.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
CORES ?= $(shell nproc 2>/dev/null || echo 2)
# One thread a worker: the tests run side by side, and torch's own threads would only get in their way.
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest --quiet -n $(CORES) --dist worksteal

.PHONY: demo test long longest lint docs gallery benchmarks clean help

help: ## Show what can be made
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | expand -t 14

demo: $(VENV)/installed ## Set up and run the main job on the embedded digits
	@$(BIN)/normfield diagnose --data digits --html normfield-report.html

test: $(VENV)/developing ## Set up and run the quick tests
	@$(PYTEST)

long: $(VENV)/developing ## Run the long tests (minutes; real data found through NORMFIELD_DATA)
	@$(PYTEST) -m long

longest: $(VENV)/developing ## Run the tests that take ten minutes or the machine to themselves
	@$(BIN)/python -m pytest --quiet -m longest

lint: $(VENV)/developing ## Lint, types, import contracts
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports

docs: $(VENV)/developing ## Build the documentation, warnings being errors
	@$(BIN)/mkdocs build --strict --quiet
	@echo "documentation: site/index.html"

gallery: $(VENV)/developing ## Make the studies' pictures and page again from their tables
	@$(BIN)/python docs/make_gallery.py

benchmarks: $(VENV)/installed ## Time normfield beside its peers, in an environment of their own
	@benchmarks/run.sh

clean: ## Remove what was made, environments included
	@rm -rf $(VENV) site dist build normfield-report.html benchmarks/.venv-peers benchmarks/.venv-jax

$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (once; torch is the largest part) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install -c constraints.txt pip
	@$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/developing: $(VENV)/installed
	@echo "Adding what tests, linters and documentation need ..."
	@$(PIP) install -c constraints.txt --group dev
	@touch $@
