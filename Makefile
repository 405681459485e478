# One command for each everyday task; `make` alone lists them.
# It needs Linux, make and Python 3.8 or newer; the logic is in scripts/.

PYTHON3 ?= python3
# Which Python the tests run on: newest, oldest, or a version such as 3.8.
PYTHON ?= newest

.DEFAULT_GOAL := help
.PHONY: help setup test lint check format vocab servers demo coverage mutation bench torture clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## make .venv (newest Python) and .venv-3.X (oldest) for development
	@$(PYTHON3) scripts/environments.py develop

test: ## run the tests on the built wheel; PYTHON=newest, oldest or 3.X, ARGS for pytest
	@$(PYTHON3) scripts/run_tests.py $(PYTHON) $(ARGS)

lint: ## check form, rules and types
	@$(PYTHON3) scripts/check.py

check: lint test ## lint and test: what a change must pass

format: setup ## put the code into its form, and mend what ruff can mend
	@.venv/bin/ruff check --fix-only --quiet .
	@.venv/bin/ruff format --quiet .

vocab: setup ## fetch tiktoken's vocabularies, as the tests need them
	@.venv/bin/python scripts/vocabularies.py

servers: setup ## fetch the servers that the tests start
	@.venv/bin/python scripts/server_binaries.py

demo: ## show the library on a long conversation, in a fresh environment
	@$(PYTHON3) scripts/environments.py demo
	@.venvs/demo/bin/python scripts/vocabularies.py
	@TIKTOKEN_CACHE_DIR=.cache/vocab .venvs/demo/bin/python examples/demo.py

coverage: setup vocab ## measure lines and branches, on the sources; at least 95 %
	@.venv/bin/coverage erase
	@.venv/bin/coverage run -m pytest -q $(ARGS)
	@.venv/bin/coverage combine --quiet
	@.venv/bin/coverage report

mutation: setup vocab ## change the code in small ways and see which changes no test sees
	@HYPOTHESIS_PROFILE=mutation TIKTOKEN_CACHE_DIR=$(CURDIR)/.cache/vocab .venv/bin/mutmut run
	@.venv/bin/mutmut results

bench: setup vocab ## measure beside other libraries, or one room of it: ARGS=storage
	@TIKTOKEN_CACHE_DIR=$(CURDIR)/.cache/vocab .venv/bin/python -m benchmarks $(ARGS)

torture: setup servers ## run the fault tools for long and write docs/reliability.md; ARGS for it
	@.venv/bin/python scripts/torture.py $(ARGS)

clean: ## remove environments, caches and what tools left behind
	@rm -rf .venv .venv-* .venvs .cache .coverage .coverage.* mutants build dist
	@rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
