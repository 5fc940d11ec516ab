# Works on a bare machine with make and a Python from 3.10 to 3.13 (with venv and pip); the rest goes into .venv.
# Another interpreter: make clean, then make demo PYTHON=/path/to/python3.12

.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/sh

# What a shell may have set for other projects must not reach this one.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONDONTWRITEBYTECODE VIRTUAL_ENV CONDA_PREFIX PIP_TARGET PIP_PREFIX
unexport $(filter AIRFLOW% _AIRFLOW% PYTEST% MYPY% RUFF% NOX%,$(.VARIABLES))
# uv trusts whom the machine trusts, as pip does.
export UV_NATIVE_TLS := 1

PYTHON ?=
ARGS ?=
python := .venv/bin/python
install := $(python) -m uv pip install --quiet --python $(python) -c constraints.txt --build-constraints constraints.txt
# Airflow makes files there as soon as it is imported.
airflow_home := AIRFLOW_HOME='$(CURDIR)/.venv/airflow-home'
# Names it after the checkout, since an environment does not survive being moved. Written last.
complete := .venv/complete-$(shell printf %s '$(CURDIR)' | cksum | cut -d ' ' -f 1)
fits := import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))

.PHONY: help setup demo ui test test-all test-engine test-airflow matrix docs docs-serve lint bench clean

help: ## list what there is
	@echo "make TARGET [ARGS='...']"
	@echo
	@sed -n 's/^\([a-z-]*\): .*## \(.*\)/  \1	\2/p' Makefile

setup: $(complete) ## make or update .venv (every target below does this itself)

$(complete): pyproject.toml constraints.txt
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.10; do \
		"$$python" -I -c '$(fits)' 2>/dev/null && break; python=; \
	done; \
	[ -n "$$python" ] || { echo "setup: no Python 3.10 to 3.13 with venv found; name one: PYTHON=/path/to/python" >&2; exit 1; }; \
	echo "setup: making .venv with $$("$$python" --version)"; "$$python" -m venv --clear .venv
	@$(python) -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@$(install) --compile-bytecode --editable '.[local,files]' --group dev
	@touch $@

demo: setup ## run an example from ingest to search under a real Airflow and a local Milvus server
	@exec $(python) -I -m airflow_vectordb.cli demo $(ARGS)

ui: setup ## open Airflow's pages with the examples and the connection in place, until Ctrl-C
	@exec $(python) -I -m airflow_vectordb.cli demo --ui $(ARGS)

test: setup ## run the tests; ARGS='-k name' for some of them
	@export $(airflow_home); exec $(python) -m pytest -n auto -m 'not slow' --ignore=tests/airflow --ignore=tests/engine $(ARGS)

test-all: setup ## run the slow ones too: kills, fuzzing, the demo, all DAGs of the documentation
	@export $(airflow_home); exec $(python) -m pytest -n auto --ignore=tests/airflow --ignore=tests/engine $(ARGS)

test-engine: setup ## run the tests against a real Milvus, whose wheel goes into .engine; skips where it cannot be had
	@$(install) --group s3
	@export $(airflow_home); exec $(python) -m pytest tests/engine $(ARGS)

test-airflow: setup ## run the tests under a real scheduler and triggerer, under Celery, in a browser, and with S3
	@$(install) --group browser --group celery --group s3
	@export $(airflow_home); exec $(python) -m pytest tests/airflow $(ARGS)

matrix: setup ## run unit tests, DAG tests and the demo on each Airflow from 3.1 on and each Python that is here
	@exec $(python) -m nox $(ARGS)

docs: setup ## build the site, strictly, into build/site
	@$(install) --group docs
	@NO_MKDOCS_2_WARNING=1 exec $(python) -m mkdocs build --strict --quiet $(ARGS)
	@echo 'docs: build/site/index.html'

docs-serve: setup ## show the site on a port of this machine, and build it again when a page changes
	@$(install) --group docs
	@NO_MKDOCS_2_WARNING=1 exec $(python) -m mkdocs serve $(ARGS)

lint: setup ## ruff (rules and format), mypy --strict, layers
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy
	.venv/bin/lint-imports

bench: setup ## measure the budgets beside what one would use instead; ARGS='-k name' for some of them
	@$(install) --group bench
	@export $(airflow_home); exec $(python) -m pytest benchmarks --benchmark-columns=min,median,ops $(ARGS)

clean: ## remove .venv and all that the other targets left, the state of make ui included
	rm -rf .venv .demo .ui .bench .engine .nox build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find airflow_vectordb dags_examples tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
