# Works from a bare checkout: no virtual environment needs to be active, and an active one is ignored.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME
# Without byte code, every process that a test starts would compile the package again.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export SAM_CLI_TELEMETRY := 0

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
ARCHITECTURE ?= arm64
BIN := .venv/bin

# The functions run on Lambda's python3.13, so `sam build` and the emulator want one.
# A pyenv shim may be on PATH and refuse to run, so we try each candidate.
PYTHON313 = $(eval PYTHON313 := $(shell \
	for python in python3.13 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.13*/bin/python3.13; do \
		"$$python" -c 'import sys; print(sys.executable)' 2>/dev/null && break; \
	done))$(PYTHON313)
WITH_PYTHON313 = PATH="$(if $(PYTHON313),$(dir $(PYTHON313)):)$$PATH"

# Tests run in this many processes. One that has no more work takes half of what another has left.
WORKERS ?= 2
IN_PARALLEL = --numprocesses=$(WORKERS) --dist=worksteal

# $(call venv,PYTHON,FOLDER,REQUIREMENTS): a fresh virtual environment with exactly what the file pins.
define venv
@$(1) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo "This needs Python 3.11 or later, as in: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
@$(1) -c 'import ensurepip, venv' 2>/dev/null \
	|| { echo "$(1) has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
@echo "$(2): installing $(3)"
@$(1) -m venv --clear $(2)
@$(2)/bin/python -m pip install -qq --require-hashes --no-deps --requirement $(3)
@touch $@
endef

.PHONY: help install emulator sam check test coverage demo lint format validate build hooks audit-docs docs fuzz real fuzz-guided model pulp bench soak lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: .venv/.editable ## Make .venv: the package (editable), its extras and the test tools

emulator: .venv-emulator/.requirements ## Make .venv-emulator: ministack, a local AWS

sam: .venv-sam/.requirements ## Make .venv-sam: sam and cfn-lint

check: lint ## Check style and types, and run the unit tests: about a minute
	@$(BIN)/pytest $(IN_PARALLEL) tests/unit -m 'not simulated and not ministack' $(ARGS)

test: install emulator sam ## Run every test (WORKERS=auto on all processors); what cannot run here skips
	@$(WITH_PYTHON313) $(BIN)/pytest $(IN_PARALLEL) $(ARGS)

coverage: install emulator sam ## Run every test, and show each branch that none takes: half as long again
	@$(WITH_PYTHON313) $(BIN)/pytest $(IN_PARALLEL) --cov $(ARGS)

demo: install ## Show the whole story on one screen
	@$(BIN)/pytp-broker demo

lint: install ## Check style, types, the workflows of .github/ and the action
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/zizmor --offline --quiet .github infra/ci/github infra/ci/configuration/github.yml

hooks: install ## Check each commit before it is made, as .pre-commit-config.yaml says
	@$(BIN)/pre-commit install

audit-docs: install ## Write the reference of audit records into docs/, from the classes of the events
	@$(BIN)/python -m infra.audit_docs

docs: .venv-docs/.requirements ## Build the documentation site into build/site; a broken link fails
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet

format: install ## Format the code and apply the safe fixes
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format

validate: sam ## Check template.yaml and the templates of infra/
	@.venv-sam/bin/sam validate --lint
	@.venv-sam/bin/cfn-lint infra/*.yaml infra/container/*.yaml

build: sam ## Build the Lambda artifact into .aws-sam (ARCHITECTURE=x86_64 instead of arm64)
	@$(if $(PYTHON313),,echo "sam build needs python3.13, on PATH or under pyenv" >&2; exit 1)
	@$(if $(filter arm64 x86_64,$(ARCHITECTURE)),,echo \
		"ARCHITECTURE is $(ARCHITECTURE); it must be arm64 or x86_64" >&2; exit 1)
	@$(WITH_PYTHON313) .venv-sam/bin/sam build --cached --parallel \
		--parameter-overrides Architecture=$(ARCHITECTURE)
	@$(PYTHON313) infra/finish_build.py .aws-sam/build

fuzz: install ## Fuzz for as long as it takes (EXAMPLES=10000 for each property)
	@PYTP_FUZZ_PROFILE=pytp-long EXAMPLES=$(or $(EXAMPLES),10000) $(BIN)/pytest tests/fuzz $(ARGS)

real: install ## Republish the real files of tests/integration/real_files.txt (95 MB, kept in .pytest_cache)
	@PYTP_REAL_FILES=all $(BIN)/pytest tests/integration/test_real_files.py $(ARGS)

fuzz-guided: install ## Fuzz by coverage with atheris, which this installs (SECONDS=600)
	@$(BIN)/python -m pip install -qq atheris
	@PYTHONPATH=functions:. $(BIN)/python tests/fuzz/guided.py -max_total_time=$(or $(SECONDS),600)

model: install ## Search every state of the token's life, deeper than the tests do (DEPTH=2)
	@PYTP_MODEL_DEPTH=$(or $(DEPTH),2) $(BIN)/pytest $(IN_PARALLEL) tests/model $(ARGS)

pulp: install ## Publish to a real Pulp behind nginx: some minutes, with Debian's postgresql
	@PYTP_PULP=1 $(BIN)/pytest tests/e2e/test_guard_pulp.py $(ARGS)

bench: install emulator .venv-peers/.requirements ## Run tests/benchmarks/bench_*.py
	@$(BIN)/pytest tests/benchmarks --override-ini 'python_files=bench_*.py' --capture=no $(ARGS)

soak: install ## Let many clients work with `serve` for an hour while it is killed (MINUTES=60, ARGS='--seed 1')
	@PYTHONPATH=functions:. $(BIN)/python -m tests.soak --minutes $(or $(MINUTES),60) $(ARGS)

# Each file is universal: it works for Python 3.11 and later, on x86_64 and aarch64. ARGS=--upgrade
# takes newer versions. The functions are never a CI job and have no terminal, so their artifact has
# neither `id`, nor rich, nor boto3, nor the libraries that only these need.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-config --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(ARGS)
NOT_IN_FUNCTIONS = $(addprefix --no-emit-package ,boto3 botocore id jmespath markdown-it-py mdurl \
	python-dateutil rich s3transfer six)

lock: install ## Pin what pyproject.toml asks for, with hashes (ARGS=--upgrade for newer versions)
	@$(LOCK) pyproject.toml --extra aws --extra web $(NOT_IN_FUNCTIONS) --output-file functions/requirements.txt
	@$(LOCK) pyproject.toml --all-extras --group build --group lint --constraint functions/requirements.txt \
		--output-file requirements/dev.txt
	@$(LOCK) pyproject.toml --extra attestations --constraint requirements/dev.txt \
		--output-file infra/attestations/requirements.txt
	@$(LOCK) pyproject.toml --extra attestations --extra aws --extra serve --extra web \
		--constraint requirements/dev.txt --output-file requirements/container.txt
	@$(LOCK) pyproject.toml --constraint requirements/dev.txt --output-file infra/ci/github/requirements.txt
	@$(LOCK) --group emulator --output-file requirements/emulator.txt
	@$(LOCK) --group sam --output-file requirements/sam.txt
	@$(LOCK) --group clients --output-file requirements/clients.txt
	@$(LOCK) --group indexes --output-file requirements/indexes.txt
	@$(LOCK) --group pulp --output-file requirements/pulp.txt
	@$(LOCK) --group peers --output-file requirements/peers.txt
	@$(LOCK) --group docs --output-file requirements/docs.txt

clean: ## Remove everything that make and the tools have made
	@rm -rf .venv .venv-docs .venv-emulator .venv-peers .venv-sam .aws-sam build dist htmlcov .coverage* \
		.hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find functions tests -name __pycache__ -prune -exec rm -rf {} +

.venv/.requirements: requirements/dev.txt
	$(call venv,$(PYTHON),.venv,$<)

.venv/.editable: pyproject.toml .venv/.requirements
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@

.venv-emulator/.requirements: requirements/emulator.txt
	$(call venv,$(or $(PYTHON313),$(PYTHON)),.venv-emulator,$<)

.venv-sam/.requirements: requirements/sam.txt
	$(call venv,$(PYTHON),.venv-sam,$<)

.venv-docs/.requirements: requirements/docs.txt
	$(call venv,$(PYTHON),.venv-docs,$<)

.venv-peers/.requirements: requirements/peers.txt
	$(call venv,$(PYTHON),.venv-peers,$<)
