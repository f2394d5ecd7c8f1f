# The README's two commands are `make lab` and `make test`; nothing else is needed before either.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NOTEBOOK := notebooks/01_why_pacing_matters.ipynb
ROOT := $(filter 0,$(shell id -u))

LOW := $(VENV)-lowest
# The core, and its bounds and secrets: all but browsers, kernels, other people's clients, and sweeps.
CORE := tests/boundary tests/clock tests/services tests/sending tests/loopback tests/views \
	tests/whole/test_confidence.py tests/whole/test_fuzz.py tests/whole/test_properties.py \
	--ignore tests/views/test_report.py --ignore tests/loopback/test_conversation.py --ignore tests/loopback/test_tls.py

.PHONY: lab app tap test lowest demo docs bench clean

lab: $(VENV)/lab.done  ## open the first notebook in JupyterLab
	$(BIN)/jupyter lab $(if $(ROOT),--allow-root) --LabApp.default_url=/lab/tree/$(NOTEBOOK)

app: $(VENV)/app.done  ## the panel as a page without code, on this machine; ?theme=dark for a dark one
	$(BIN)/voila --Voila.ip=127.0.0.1 --template=lab --KernelManager.autorestart=False --MappingKernelManager.cull_idle_timeout=60 --MappingKernelManager.cull_interval=10 notebooks/panel.ipynb

tap: $(VENV)/lab.done  ## between a client and the embedded service, on port 8765; UPSTREAM=wss://... names another
	$(BIN)/python -m rtkit.tap --record runs/tap $(if $(UPSTREAM),--upstream $(UPSTREAM))

test: $(VENV)/test.done chromium  ## everything that tells whether the project is sound
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder  # much of it waits
	$(if $(LOWEST),$(MAKE) lowest)

lowest: $(LOW)/done  ## the tests' core with the lowest versions that pyproject.toml allows (Python 3.11 or 3.12); also LOWEST=1 make test
	$(LOW)/bin/python -m pytest -n 2 --dist loadfile -W default::DeprecationWarning $(CORE)

demo: $(VENV)/lab.done  ## the same without a browser: a table, a figure, a page, in build/
	$(BIN)/python notebooks/run_demo.py build

docs: $(VENV)/docs.done  ## a site to read without a network, in build/docs; executes the notebooks
	$(BIN)/python -m sphinx -q -c docs -d build/docs/trees . build/docs/html
	@echo build/docs/html/index.html

bench: $(VENV)/test.done  ## all benchmarks on this machine, in build/benchmarks.html; QUICK=1 in minutes
	$(BIN)/python tests/benchmarks $(if $(QUICK),--quick) --output build/benchmarks.html

$(VENV)/lab.done $(VENV)/app.done $(VENV)/docs.done $(VENV)/test.done: $(VENV)/%.done: pyproject.toml | $(BIN)/python
	@echo "Installing rtkit[$*] into $(VENV), $$($(BIN)/python --version); this may take a few minutes"
	@$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@

$(LOW)/done: pyproject.toml
	@echo "Installing rtkit with its lowest versions into $(LOW); this may take a few minutes"
	@$(PYTHON) -m venv --clear $(LOW)
	@$(LOW)/bin/python -c 'import tomllib; \
		project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
		wanted = [project["dependencies"], *project["optional-dependencies"].values()][:5]; \
		print(*(one.replace(">=", "==") for some in wanted for one in some if "[" not in one), sep="\n")' \
		> $(LOW)/lowest.txt
	@$(LOW)/bin/python -m pip install --quiet --constraint $(LOW)/lowest.txt --editable '.[eval,recognizer,tls]' \
		pandas pytest pytest-xdist hypothesis
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
	rm -rf $(VENV) $(LOW) build dist runs notebooks/runs
