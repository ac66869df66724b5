# Every target works on a fresh machine with git, make and Python 3.11 (with venv); none needs a step before it.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
# Only a PYTHON that was asked for is compared with the one that .venv was made with.
CHOSEN := $(if $(filter undefined file,$(origin PYTHON)),,yes)

.DEFAULT_GOAL := help
.PHONY: help demo test quick lint bench chaos docs constraints clean chosen

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "PYTHON=...  the Python to use, 3.11 or newer (default: python3)"
	@echo "ARGS=...    passed on, e.g. make demo ARGS='--seconds 30 --json'"

demo: .venv/demo ## run a small town on this machine, from meters to database
	@echo "make: starting the demo town"
	@$(BIN)/messnetz demo $(ARGS)

# Most of the slow tests wait for servers: a third worker fills the time.
test: .venv/dev ## install what the tests need and run all of them
	@tests/install-services
	@tests/install-lora-packet
	@echo "make: running all tests"
	@$(BIN)/pytest -n 3 --dist worksteal $(ARGS)

quick: .venv/dev ## run the tests that start no server, in under a minute
	@echo "make: running the quick tests"
	@$(BIN)/pytest -n 2 --dist worksteal -m "not slow" $(ARGS)

lint: .venv/dev ## check style, types and who imports whom
	@echo "make: ruff" && $(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "make: mypy" && $(BIN)/mypy
	@echo "make: import-linter" && $(BIN)/lint-imports

bench: .venv/dev ## measure how fast and how small, each figure beside its target
	@tests/install-services
	@echo "make: all benches, some ten minutes; ARGS=--quick for a smoke test, ARGS=NAME for one"
	@$(BIN)/python -m bench $(ARGS)

chaos: .venv/dev ## break the whole chain for an hour and count every reading
	@tests/install-services
	@echo "make: an hour of chaos; ARGS='--minutes 3 --seed N' for less, or for the same again"
	@$(BIN)/messnetz chaos --minutes 60 --agents 10 $(ARGS)

docs: .venv/dev ## write the pages of docs/ that are made from the code
	@echo "make: docs/configuration.md, docs/devices.md, docs/measurements.md, docs/schemas/*.json"
	@$(BIN)/python docs/generate.py && $(BIN)/python docs/schemas.py

constraints: .venv/dev ## renew constraints.txt with the newest releases that pyproject.toml allows
	@PYTHON=$(BIN)/python .ci/renew-constraints

clean: ## remove the virtual environment, caches and what was built
	@echo "make: removing .venv, caches, build and dist"
	@rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: .venv/<extra> is newer than what it was installed from.
.venv/demo .venv/dev: pyproject.toml constraints.txt .ci/environment $(if $(CHOSEN),chosen)
	@PYTHON='$(PYTHON)' CHOSEN='$(CHOSEN)' .ci/environment $(@F)

chosen:
