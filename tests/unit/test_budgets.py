"""The budgets that come out the same on every machine, by the code of the benchmarks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from importlib.metadata import entry_points, version

import pytest

from benchmarks import calls, imports
from benchmarks.imports import ImportCost, dag_file_modules, measure
from benchmarks.server import Server, serving


@pytest.fixture(scope="module")
def cost() -> ImportCost:
    return measure(dag_file_modules(), "airflow_vectordb")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def test_importing_all_operators_costs_few_modules(cost: ImportCost) -> None:
    assert len(cost.modules) <= imports.MOST_MODULES, sorted(cost.modules)
    assert not imports.heavy_modules(cost)


def test_all_that_a_dag_file_imports_is_measured(cost: ImportCost) -> None:
    operators = {f"airflow_vectordb.operators.{name}" for name in ("base", "index", "collection", "ingest", "alias")}
    others = {
        f"airflow_vectordb.{name}" for name in ("sensors.milvus", "task_groups.reindex", "assets", "rest", "waiting")
    }
    assert operators | others <= set(dag_file_modules())
    assert set(dag_file_modules()) <= cost.modules
    # Airflow (from 3.2 on) imports this one to know the provider, before anything is measured: it counts all the same.
    known = entry_points(group="apache_airflow_provider", module="airflow_vectordb.get_provider_info")
    if known and not version("apache-airflow").startswith("3.1."):
        assert "airflow_vectordb.get_provider_info" in cost.modules


@pytest.mark.parametrize("name", sorted(imports.NOT_IN_DAG_FILES))
def test_a_heavy_import_would_be_noticed(cost: ImportCost, name: str) -> None:
    heavier = dataclasses.replace(cost, modules=cost.modules | {name})
    assert imports.heavy_modules(heavier) == [name]


@pytest.mark.parametrize("scenario", calls.SCENARIOS, ids=lambda scenario: scenario.name)
def test_create_index_makes_few_requests_on_one_connection(scenario: calls.Scenario, server: Server) -> None:
    counts = scenario.run(server)
    assert counts.requests[0] == "collections/describe"
    assert counts.opened == 1
    if scenario.budgeted:
        assert len(counts.requests) <= calls.MOST_REQUESTS, counts.requests
