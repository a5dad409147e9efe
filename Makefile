# `make demo` and `make test` need Python 3.10 or newer, with its venv module.

PYTHON ?= python3
PORT ?= 5000
PYTEST_ARGS ?= --numprocesses auto
BENCH_ARGS ?= --output docs/performance.md

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo test upstream run-upstream lint types docs screenshots bench clean

help:
	@echo 'make demo   serve the demo shop at 127.0.0.1:$(PORT) (PORT=... to change)'
	@echo 'make test   run all tests (PYTEST_ARGS=... to change how)'
	@echo 'make test-flask-admin-2.2.0  run the tests of the audit with that version'
	@echo 'make upstream  run the tests of Flask-Admin and Flask-SQLAlchemy with an inspector'
	@echo 'make lint   check style, formatting and types'
	@echo 'make docs   build the documentation into docs/_build/html'
	@echo 'make screenshots  take the pictures in docs/images again, with Chromium'
	@echo 'make bench  measure what it costs, for docs/performance.md (BENCH_ARGS=--quick to look)'
	@echo 'make clean  remove the virtual environment and what was built'

# The server is run without a shell around it, so that Ctrl-C ends it quietly.
demo: export PORT := $(PORT)
demo: $(VENV)/.installed-demo
	@$(BIN)/python -m demo_app

test: $(VENV)/.installed-tests $(VENV)/translations/.installed
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

# An older Flask-Admin in front of the installed one.
test-flask-admin-%: $(VENV)/.installed-tests
	@$(PIP) install --upgrade --no-deps --target $(VENV)/flask-admin-$* flask-admin==$*
	@PYTHONPATH=$(VENV)/flask-admin-$* $(BIN)/python -m pytest $(PYTEST_ARGS) tests/audit

# Flask-Admin's tests install Flask-Babel, and where that can be imported, Flask-Admin
# needs every application to initialise it: the demo and our tests do not.
upstream:
	@$(MAKE) --no-print-directory VENV=.venv-upstream run-upstream

run-upstream: $(VENV)/.installed-upstream
	@$(BIN)/python tests/upstream/run.py

lint: $(VENV)/.installed-lint types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.installed-lint
	@$(BIN)/mypy

docs: $(VENV)/.installed-docs
	@$(BIN)/sphinx-build -W --keep-going --quiet -b html docs docs/_build/html
	@echo 'The documentation is at docs/_build/html/index.html.'

screenshots: $(VENV)/.installed-screenshots
	@$(BIN)/python -m demo_app.screenshots

# On a machine that does nothing else; BENCH_CPU=... names the core to run on.
bench: $(VENV)/.installed-bench
	@$(BIN)/python -m tests.bench $(BENCH_ARGS)

clean:
	rm -rf $(VENV) .venv-upstream build dist docs/_build .mypy_cache .pytest_cache .ruff_cache

# For the same reason, only the tests of the translations look here.
$(VENV)/translations/.installed: $(VENV)/.created pyproject.toml
	@$(PIP) install --upgrade --no-deps --target $(@D) --group translations
	@touch $@

# The stamps say what is installed; a changed pyproject.toml installs it again.
$(VENV)/.installed-%: $(VENV)/.created pyproject.toml
	@echo 'Installing what "make $(MAKECMDGOALS)" needs into $(VENV) ...'
	@$(PIP) install --editable '.[all]' --group $*
	@touch $@

$(VENV)/.created:
	@command -v '$(PYTHON)' >/dev/null || { \
	  echo 'Python 3.10 or newer is needed, and there is no "$(PYTHON)" here.' >&2; \
	  exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo 'Python 3.10 or newer is needed; name one with' \
	    '"make PYTHON=/path/to/python3".' >&2; \
	  exit 1; }
	@'$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo 'This Python has no venv module; on Debian and Ubuntu' \
	    '"apt install python3-venv" adds it.' >&2; \
	  exit 1; }
	@echo 'Creating the virtual environment $(VENV) ...'
	@'$(PYTHON)' -m venv --clear '$(VENV)'
	@$(PIP) install --upgrade 'pip>=25.1'
	@touch $@
