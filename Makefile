# Everything runs inside .venv; nothing needs to be installed beforehand but python3 (3.11 or later) and make.

SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
PIP_FLAGS := --disable-pip-version-check --no-input

.PHONY: run test lint audit bench clean lock preflight

# What would stop it later is said before the installation.
run: preflight .venv/runtime.stamp
	@exec $(BIN)/python -m tokenhub.stack

test: .venv/dev.stamp
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(LINT_SETTINGS) $(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint templates --check --lint --quiet
	$(BIN)/python manage.py makemigrations --check --dry-run

# mypy's Django plugin reads the settings, and so they must be readable; it connects to nothing.
LINT_SETTINGS := DEBUG=1 SECRET_KEY=lint FIELD_ENCRYPTION_KEYS=lint DATABASE_URL=postgres://lint@localhost/lint

# Needs the advisory service: without it nothing was audited, and the command fails.
audit: .venv/dev.stamp
	@$(BIN)/python .ci/audit.py

bench: .venv/dev.stamp
	@exec $(BIN)/python -m tests.bench $(ARGS)

preflight:
	@"$(PYTHON)" -I tokenhub/stack/preflight.py

clean:
	@"$(PYTHON)" -I tokenhub/stack/preflight.py --data-only
	rm -rf .venv var

# The lock files carry versions and hashes only.
lock:
	"$(PYTHON)" -m venv .venv-lock
	.venv-lock/bin/pip install --quiet uv
	.venv-lock/bin/uv pip compile pyproject.toml $(LOCK) -o requirements.lock
	.venv-lock/bin/uv pip compile pyproject.toml --extra dev $(LOCK) -o requirements-dev.lock
	rm -rf .venv-lock

LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header

.venv/bin/python:
	@"$(PYTHON)" -c 'import sys; sys.exit("TokenHub needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Try: make run PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "Creating .venv …"
	@"$(PYTHON)" -m venv .venv || { rm -rf .venv; exit 1; }

# A lock is whole. Resolving it again would ask for the newest release of what is named with an extra, and refuse it.
.venv/runtime.stamp: requirements.lock | .venv/bin/python
	@echo "Installing the locked packages (a minute, the first time) …"
	@$(BIN)/python -m pip install $(PIP_FLAGS) --require-hashes --no-deps -r requirements.lock
	@touch $@

.venv/dev.stamp: requirements.lock requirements-dev.lock | .venv/bin/python
	@echo "Installing the locked packages and the development tools …"
	@$(BIN)/python -m pip install $(PIP_FLAGS) --require-hashes --no-deps -r requirements-dev.lock
	@touch $@ .venv/runtime.stamp
