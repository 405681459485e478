# One command for each everyday task; `make` alone lists them.
# It needs Linux, make and Python 3.8 or newer; the logic is in scripts/.

PYTHON3 ?= python3
# Which Python the tests run on: newest, oldest, or a version such as 3.8.
PYTHON ?= newest

.DEFAULT_GOAL := help
.PHONY: help setup

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## make .venv (newest Python) and .venv-3.X (oldest) for development
	@$(PYTHON3) scripts/environments.py develop
