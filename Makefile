# Needs only make and Python 3.10 to 3.13 with venv and pip; everything else is installed into .venv.
# To use another interpreter: make clean, then make demo PYTHON=/path/to/python3.12

.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/sh

# Ignore settings that the shell may have for other projects.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONDONTWRITEBYTECODE VIRTUAL_ENV CONDA_PREFIX PIP_TARGET PIP_PREFIX
unexport $(filter-out AIRFLOW_VECTORDB_%,$(filter AIRFLOW% _AIRFLOW% PYTEST% MYPY% RUFF% NOX%,$(.VARIABLES)))
# Use the system's certificates, as pip does.
export UV_NATIVE_TLS := 1

PYTHON ?=
ARGS ?=
python := .venv/bin/python
install := $(python) -m uv pip install --quiet --python $(python) -c constraints.txt --build-constraints constraints.txt
# A marker file, written last. Its name contains the checkout's path, because an environment cannot be moved.
complete := .venv/complete-$(shell printf %s '$(CURDIR)' | cksum | cut -d ' ' -f 1)
fits := import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))

.PHONY: help setup demo ui test test-all test-engine test-airflow matrix docs docs-serve lint bench clean

help: ## list all targets
	@echo "make TARGET [ARGS='...']"
	@echo
	@sed -n 's/^\([a-z-]*\): .*## \(.*\)/  \1	\2/p' Makefile

setup: $(complete) ## create or update .venv (the other targets do this automatically)

$(complete): pyproject.toml constraints.txt
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.10; do \
		"$$python" -I -c '$(fits)' 2>/dev/null && break; python=; \
	done; \
	[ -n "$$python" ] || { echo "setup: no Python 3.10 to 3.13 with venv found; name one: PYTHON=/path/to/python" >&2; exit 1; }; \
	echo "setup: creating .venv with $$("$$python" --version)"; "$$python" -m venv --clear .venv
	@$(python) -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@$(install) --compile-bytecode --editable '.[local,files]' --group dev
	@touch $@

demo: setup ## run an example DAG, from ingest to search, under a real Airflow with a local Milvus server
	@exec $(python) -I -m airflow_vectordb.cli demo $(ARGS)

ui: setup ## start Airflow's web interface with the examples and a connection, until Ctrl-C
	@exec $(python) -I -m airflow_vectordb.cli demo --ui $(ARGS)

test: setup ## run the fast tests; select with ARGS='-k name'
	@exec $(python) -m pytest -n auto -m 'not slow' --ignore=tests/airflow --ignore=tests/engine $(ARGS)

test-all: setup ## run the fast and the slow tests: kills, fuzzing, the demo, all DAGs in the documentation
	@exec $(python) -m pytest -n auto --ignore=tests/airflow --ignore=tests/engine $(ARGS)

test-engine: setup ## run the tests against a real Milvus, installed into .engine; skipped if its wheel is not available
	@$(install) --group s3
	@exec $(python) -m pytest tests/engine $(ARGS)

test-airflow: setup ## run the tests with a real scheduler and triggerer, with Celery, in a browser, and with S3
	@$(install) --group browser --group celery --group s3
	@exec $(python) -m pytest tests/airflow $(ARGS)

matrix: setup ## run unit tests, DAG tests and the demo on Airflow 3.1 to 3.3 and every Python found
	@exec $(python) -m nox $(ARGS)

docs: setup ## build the documentation site into build/site; warnings are errors
	@$(install) --group docs
	@NO_MKDOCS_2_WARNING=1 exec $(python) -m mkdocs build --strict --quiet $(ARGS)
	@echo 'docs: build/site/index.html'

docs-serve: setup ## serve the site locally, and rebuild it when a page changes
	@$(install) --group docs
	@NO_MKDOCS_2_WARNING=1 exec $(python) -m mkdocs serve $(ARGS)

lint: setup ## run ruff (rules and format), mypy --strict and import-linter
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy
	.venv/bin/lint-imports

# Importing Airflow creates files in its home.
bench: setup ## run the benchmarks, with the alternatives for comparison; select with ARGS='-k name'
	@$(install) --group bench
	@export AIRFLOW_HOME='$(CURDIR)/.venv/airflow-home'; exec $(python) -m pytest benchmarks --benchmark-columns=min,median,ops $(ARGS)

clean: ## remove .venv and everything that the other targets created, including the state of make ui
	rm -rf .venv .demo .ui .bench .engine .nox build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find airflow_vectordb dags_examples tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
