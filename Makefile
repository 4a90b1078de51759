# TAI Autonomics. `make help` prints the targets below.
PYTHON ?= python3
PORT ?= 8080
VENV := .venv
BIN := $(VENV)/bin
AUDIT := .venv-audit
LOAD := .venv-load

.DEFAULT_GOAL := help
.PHONY: help run test check audit bench load soak dist lock clean format

help: ## Print this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run ## Make the environment and serve on 127.0.0.1:8080 (PORT=…), SQLite and keys under data/.
	@$(BIN)/tai-autonomics serve --dev --port $(PORT)

test: $(VENV)/.dev $(LOAD)/.made ## Run every test that this machine can run; what it lacks is named, with how to get it.
	@$(BIN)/coverage erase
	@$(BIN)/python -m pytest -q -n 2 --cov --cov-report= tests
	@for store in postgresql firestore; do \
	    TAI_TEST_STORE=$$store $(BIN)/python -m pytest -q -n 2 --cov --cov-append --cov-report= -m "not embedded" tests/journey || exit 1; \
	done
	@$(BIN)/coverage report --fail-under=90 | tail -40
	@$(BIN)/coverage report --include='*/domain/*,*/ledger/*' --fail-under=100 | tail -3

# Each worker would rewrite the asserts of every module again, five seconds of it, were it not let keep them.
check: export PYTHONDONTWRITEBYTECODE =
check: $(VENV)/.dev ## Format, lint, types, walls, unit and house tests: under a minute.
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --diff --quiet . | head -40; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest -q -n 3 --dist worksteal -p no:schemathesis --no-header -m "not long" tests/unit tests/house

audit: $(AUDIT)/.made ## Look for flaws in src, for secrets in the history and for dependencies with known vulnerabilities.
	@$(AUDIT)/bin/bandit --quiet --configfile pyproject.toml --recursive src
	@$(AUDIT)/bin/gitleaks git --no-banner --redact --log-opts=HEAD .
	@$(AUDIT)/bin/python .ci/dependencies.py

bench: $(VENV)/.dev ## Run the benchmarks and write benchmarks/results and the table in benchmarks/README.md.
	@$(BIN)/python -m benchmarks

load: $(VENV)/.dev $(LOAD)/.made ## Load a service of its own for LOAD_SECONDS (30); fails where the checklist's floor is missed.
	@$(BIN)/python -m benchmarks.steady.load

soak: $(VENV)/.dev $(LOAD)/.made ## Watch a service under a steady load for SOAK_SECONDS (600); fails where anything grows.
	@$(BIN)/python -m benchmarks.steady.soak

dist: $(VENV)/.run ## Build the wheel and the sdist of this checkout into dist/: the same bytes whoever builds a commit.
	@rm -rf dist
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m hatchling build -d dist

format: $(VENV)/.dev ## Format the code and mend what the linter can.
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

lock: ## Resolve requirements/*.txt anew (needs uv on the PATH).
	uv pip compile -q --generate-hashes --no-emit-index-url --universal --python-version 3.11 pyproject.toml -o requirements/run.txt
	printf "editables>=0.5\nhatchling>=1.27\n" | uv pip compile -q --generate-hashes --no-emit-index-url --universal --python-version 3.11 - -o requirements/build.txt
	uv pip compile -q --generate-hashes --no-emit-index-url --universal --python-version 3.11 --extra otel pyproject.toml -o requirements/otel.txt
	uv pip compile -q --generate-hashes --no-emit-index-url --universal --python-version 3.11 --extra gcp pyproject.toml -o requirements/gcp.txt
	uv pip compile -q --generate-hashes --no-emit-index-url --universal --python-version 3.11 --extra gcp --group dev pyproject.toml -o requirements/dev.txt
	printf "locust>=2.40\npyjwt[crypto]>=2.10\n" | uv pip compile -q --generate-hashes --no-emit-index-url --universal --python-version 3.11 - -o requirements/load.txt
	printf "bandit>=1.9\nnogoo9-gitleaks>=8.30\npip-audit>=2.10\n" | uv pip compile -q --generate-hashes --no-emit-index-url --universal --python-version 3.11 - -o requirements/audit.txt

clean: ## Remove the environment and the caches, never data/.
	rm -rf $(VENV) $(AUDIT) $(LOAD) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* .import_linter_cache dist

$(VENV)/pyvenv.cfg:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "make: $(PYTHON) was not found. Install Python 3.11 or newer, or say make PYTHON=/path/to/python."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $$($(PYTHON) -V) is too old. Python 3.11 or newer is needed; say make PYTHON=python3.11."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "make: this Python lacks the module venv. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# An environment of its own: what audits is no part of what is audited.
$(AUDIT)/.made: $(VENV)/pyvenv.cfg requirements/audit.txt
	@echo "installing the locked tools of the audit …"
	@$(BIN)/python -m venv $(AUDIT)
	@$(AUDIT)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/audit.txt
	@touch $@

# locust brings a web framework, gevent and a pytest of its own, none of which may meet ours.
$(LOAD)/.made: $(VENV)/pyvenv.cfg requirements/load.txt
	@echo "installing the locked load generator …"
	@$(BIN)/python -m venv $(LOAD)
	@$(LOAD)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/load.txt
	@touch $@

$(VENV)/.run: $(VENV)/pyvenv.cfg requirements/run.txt pyproject.toml
	@test -e $(VENV)/.dev && test ! requirements/run.txt -nt $(VENV)/.dev || { echo "installing the locked requirements …"; $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/run.txt -r requirements/build.txt && $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ; }
	@touch $@

$(VENV)/.dev: $(VENV)/pyvenv.cfg requirements/dev.txt pyproject.toml
	@echo "installing the locked development requirements …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.run
