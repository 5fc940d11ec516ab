"""The budgets that come out the same on every machine, by the code of the benchmarks."""

from __future__ import annotations

import dataclasses
from importlib.metadata import entry_points, version

import pytest

from benchmarks.cases import calls, imports
from benchmarks.fresh import Cost, dag_file_modules, measure


@pytest.fixture(scope="module")
def cost() -> Cost:
    return measure(dag_file_modules(), "airflow_vectordb")


def test_importing_all_operators_costs_few_modules(cost: Cost) -> None:
    exceeded = [check for check in imports.module_checks(cost) if not check.holds]
    assert not exceeded, sorted(cost.modules)


def test_all_that_a_dag_file_imports_is_measured(cost: Cost) -> None:
    assert {"airflow_vectordb.operators.base", "airflow_vectordb.operators.index"} <= set(dag_file_modules())
    assert set(dag_file_modules()) <= cost.modules
    # Airflow (from 3.2 on) imports this one to know the provider, before anything is measured: it counts all the same.
    known = entry_points(group="apache_airflow_provider", module="airflow_vectordb.get_provider_info")
    if known and not version("apache-airflow").startswith("3.1."):
        assert "airflow_vectordb.get_provider_info" in cost.modules


@pytest.mark.parametrize("name", imports.NOT_IN_DAG_FILES)
def test_a_heavy_import_would_be_noticed(cost: Cost, name: str) -> None:
    heavier = dataclasses.replace(cost, modules=cost.modules | {name})
    assert [check.measured for check in imports.module_checks(heavier) if not check.holds] == [name]


@pytest.mark.parametrize("scenario", calls.SCENARIOS, ids=lambda scenario: scenario.name)
def test_create_index_makes_few_requests_on_one_connection(scenario: calls.Scenario) -> None:
    traffic = scenario.run()
    assert traffic.requests[0] == "collections/describe"
    assert traffic.connections == 1
    if scenario.judged:
        assert not [check for check in calls.checks(traffic) if not check.holds], traffic.requests
