# Costwatch. Needs Python 3.11 or newer, and make.  `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run demo test test-all lint format bench clean
.NOTPARALLEL:

VENV := .venv
PY := $(VENV)/bin/python
# Which Python makes .venv: PYTHON=... or the first of these that is new enough and can make environments.
PYTHONS := $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11 python3.14 python)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(VENV)/.ready $(VENV)/.ready-dev ## make .venv with everything pinned (again: does nothing)

# A folder left by another Python, or moved from elsewhere, does not run: make it anew.
$(VENV)/.python: Makefile
	@if $(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then touch $@; exit 0; fi; \
	for python in $(PYTHONS); do \
	  if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Making $(VENV) with $$($$python --version)."; \
	    $$python -m venv --clear $(VENV) && touch $@ && exit 0; exit 1; \
	  fi; \
	done; \
	echo "Costwatch needs Python 3.11 or newer, with its venv module. Tried:" >&2; \
	for python in $(PYTHONS); do \
	  echo "  $$python: $$($$python -c 'import sys, venv, ensurepip; print(sys.version.split()[0])' 2>&1 | tail -n 1)" >&2; \
	done; \
	echo "Install one (Debian, Ubuntu: apt install python3 python3-venv) or name it: make setup PYTHON=/path/to/python3.11" >&2; \
	exit 1

$(VENV)/.ready: $(VENV)/.python requirements.txt
	@echo "Installing what Costwatch runs on."
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements-dev.txt
	@echo "Installing what its tests need."
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

run: $(VENV)/.ready ## start web server, worker and beat together; Ctrl-C stops them
	@$(PY) manage.py run

demo: $(VENV)/.ready ## fill a demo workspace and print its accounts
	@$(PY) manage.py migrate --verbosity 0
	@$(PY) manage.py demo

test: $(VENV)/.ready-dev ## run the suite (under three minutes on two cores)
	@$(PY) -m tests.run

test-all: $(VENV)/.ready-dev ## the same and what is slow: outages, stress, browsers, fuzzing
	@$(PY) -m tests.run --all

lint: $(VENV)/.ready-dev ## check style, layers, deployment settings and migrations
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	@echo "manage.py check --deploy, on production settings"
	@ENV_FILE= DATABASE_URL= REDIS_URL= COSTWATCH_ENV=production ALLOWED_HOSTS=costs.example.org \
	  SECRET_KEY="$$($(PY) -c 'import secrets; print(secrets.token_urlsafe(50))')" \
	  $(PY) manage.py check --deploy --fail-level WARNING
	@ENV_FILE= DATABASE_URL= $(PY) manage.py makemigrations --check --dry-run

format: $(VENV)/.ready-dev ## put the code into its style
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# Those of a big database need one that benchmarks/fill.py has filled: docs/benchmarks.md.
BENCHMARKS := metering guarded_call pricing import_time recorder reserve_settle ingest export alerts

bench: $(VENV)/.ready-dev ## run the benchmarks; each prints lines of JSON
	@for name in $(BENCHMARKS); do echo "$$name" >&2; $(PY) benchmarks/$$name.py || exit 1; done

clean: ## remove what was made here, but no data
	rm -rf $(VENV) staticfiles .pytest_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
