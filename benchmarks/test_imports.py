"""Importing operators: what a DAG file pays each time it is parsed, over Airflow's own import."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from benchmarks.conftest import Rows
from benchmarks.imports import MOST_MODULES, ImportCost, dag_file_modules, heavy_modules, measure

ROUNDS = 3
MOST_MIB = 1.0
#: Name -> module.
ALTERNATIVES = {"HttpOperator": "airflow.providers.http.operators.http", "pymilvus": "pymilvus"}


def test_imports(print_table: Callable[[str, Rows], None]) -> None:
    modules = dag_file_modules()
    measure(modules, "airflow_vectordb")  # compiles what has not been compiled yet, which takes memory of its own
    # Resident memory alone would be 0 where what Airflow's import had freed was enough.
    traced = measure(modules, "airflow_vectordb", heap=True)
    ours = [measure(modules, "airflow_vectordb") for _ in range(ROUNDS)]
    rows = {"airflow_vectordb": _row(ours)}
    for name, module in ALTERNATIVES.items():
        rows[name] = _row([measure([module], module.split(".operators")[0]) for _ in range(ROUNDS)])
    print_table("imports, over `from airflow.sdk import DAG, BaseOperator`", rows)

    assert not heavy_modules(traced)
    assert len(traced.modules) <= MOST_MODULES, sorted(traced.modules)
    assert max(traced.mib, median(cost.mib for cost in ours)) <= MOST_MIB


def _row(costs: list[ImportCost]) -> dict[str, float | str]:
    return {
        "modules": len(costs[0].modules),
        "MiB": median(cost.mib for cost in costs),
        "ms": 1000 * median(cost.seconds for cost in costs),
    }
