# The README's two commands are `make lab` and `make test`; nothing else is needed before either.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NOTEBOOK := notebooks/01_why_pacing_matters.ipynb
ROOT := $(filter 0,$(shell id -u))

.PHONY: lab app test demo bench clean

lab: $(VENV)/lab.done  ## open the first notebook in JupyterLab
	$(BIN)/jupyter lab $(if $(ROOT),--allow-root) --LabApp.default_url=/lab/tree/$(NOTEBOOK)

app: $(VENV)/app.done  ## the panel as a page without code, on this machine; ?theme=dark for a dark one
	$(BIN)/voila --Voila.ip=127.0.0.1 --template=lab notebooks/panel.ipynb

test: $(VENV)/test.done chromium  ## everything that tells whether the project is sound
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile  # a file stays with one worker: much of it waits

demo: $(VENV)/lab.done  ## the same without a browser: a table, a figure, a page, in build/
	$(BIN)/python notebooks/run_demo.py build

bench: $(VENV)/test.done  ## all benchmarks on this machine, in build/benchmarks.html; QUICK=1 in minutes
	$(BIN)/python tests/benchmarks $(if $(QUICK),--quick) --output build/benchmarks.html

$(VENV)/lab.done $(VENV)/app.done $(VENV)/test.done: $(VENV)/%.done: pyproject.toml | $(BIN)/python
	@echo "Installing rtkit[$*] into $(VENV), $$($(BIN)/python --version); this may take a few minutes"
	@$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "rtkit needs Python 3.11 or later; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "Python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The browser tests need Chromium. Only root can install it; without it they are skipped.
.PHONY: chromium
chromium:
	@if [ -n "$(ROOT)" ] && command -v apt-get >/dev/null && ! command -v chromium >/dev/null; then \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	fi

clean:
	rm -rf $(VENV) build dist runs notebooks/runs
