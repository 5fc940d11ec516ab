# Works on a bare machine with make and a Python from 3.10 to 3.13 (with venv and pip); the rest goes into .venv.
# Another interpreter: make demo PYTHON=/path/to/python3.12

.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/sh

# What a shell may have set for other projects must not reach this one.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONDONTWRITEBYTECODE VIRTUAL_ENV CONDA_PREFIX
unexport $(filter AIRFLOW% _AIRFLOW% PYTEST% MYPY% RUFF%,$(.VARIABLES))

PYTHON ?=
ARGS ?=
python := .venv/bin/python
# Airflow makes files there as soon as it is imported.
airflow_home := AIRFLOW_HOME='$(CURDIR)/.venv/airflow-home'

.PHONY: help setup demo ui test test-engine test-airflow matrix reference lint bench clean

help: ## list what there is
	@echo "make TARGET [PYTHON=/path/to/python] [ARGS='...']"
	@echo
	@sed -n 's/^\([a-z-]*\): .*## \(.*\)/  \1	\2/p' Makefile

setup: ## make or update .venv (every target below does this itself)
	@PYTHON='$(PYTHON)' .ci/setup.sh

demo: setup ## run an example from ingest to search under a real Airflow and a local Milvus server
	@exec $(python) -I -m airflow_vectordb.demo $(ARGS)

ui: setup ## open Airflow's pages with the examples and the connection in place, until Ctrl-C
	@exec $(python) -I -m airflow_vectordb.demo --ui $(ARGS)

test: setup ## run the tests; ARGS='-k name' for some of them
	@export $(airflow_home); exec $(python) -m pytest --ignore=tests/airflow --ignore=tests/engine $(ARGS)

test-engine: setup ## run the tests against a real Milvus, whose wheel goes into .engine; skips where it cannot be had
	@export $(airflow_home); exec $(python) -m pytest tests/engine $(ARGS)

test-airflow: setup ## run the tests under a real scheduler and triggerer, and in a browser
	@$(python) -I .ci/setup_venv.py uv pip install --quiet --python $(python) -c constraints.txt --group browser
	@export $(airflow_home); exec $(python) -m pytest tests/airflow $(ARGS)

matrix: setup ## run unit tests, DAG tests and the demo on each Airflow from 3.1 on and each Python that is here
	@exec $(python) -I .ci/matrix.py $(ARGS)

reference: setup ## make docs/reference anew from docstrings and signatures
	@export $(airflow_home); exec $(python) docs/generate_reference.py

lint: setup ## ruff (rules and format) and mypy --strict
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy

bench: setup ## measure what the budgets in docs/ and benchmarks/ promise
	@$(python) -I .ci/setup_venv.py uv pip install --quiet --python $(python) -c constraints.txt --group bench
	@export $(airflow_home); exec $(python) -m benchmarks $(ARGS)

clean: ## remove .venv and all that the other targets left, the state of make ui included
	rm -rf .venv .demo .ui .bench .engine .matrix build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find airflow_vectordb dags_examples tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
