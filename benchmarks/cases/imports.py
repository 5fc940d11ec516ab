"""Importing operators: what a DAG file pays each time it is parsed

All numbers are over a bare ``from airflow.sdk import DAG, BaseOperator``, which a DAG file pays anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from statistics import median

from airflow_vectordb import __version__
from benchmarks.fresh import Cost, dag_file_modules, measure
from benchmarks.report import Check, Report, Row, at_most, none_of

REPETITIONS = 3
MOST_MODULES = 32
MOST_MIB = 1.0
#: Imported where they are used: a DAG file must not pay for them.
NOT_IN_DAG_FILES = ("requests", "aiohttp", "orjson", "pymilvus", "fastapi", "uvicorn", "pyarrow", "numpy")


@dataclass(frozen=True)
class Alternative:
    """
    Something else that a DAG file could import.

    :param name: for people
    :param distribution: what to install for it
    :param module: what to import
    :param own: the package that it is of
    """

    name: str
    distribution: str
    module: str
    own: str


ALTERNATIVES = (
    Alternative(
        "HttpOperator",
        "apache-airflow-providers-http",
        "airflow.providers.http.operators.http",
        "airflow.providers.http",
    ),
    Alternative("pymilvus", "pymilvus", "pymilvus", "pymilvus"),
    Alternative(
        "Pinecone's operators",
        "apache-airflow-providers-pinecone",
        "airflow.providers.pinecone.operators.pinecone",
        "airflow.providers.pinecone",
    ),
    Alternative(
        "Weaviate's operators",
        "apache-airflow-providers-weaviate",
        "airflow.providers.weaviate.operators.weaviate",
        "airflow.providers.weaviate",
    ),
    Alternative(
        "Qdrant's operators",
        "apache-airflow-providers-qdrant",
        "airflow.providers.qdrant.operators.qdrant",
        "airflow.providers.qdrant",
    ),
)


def heavy(cost: Cost) -> list[str]:
    """
    Find what an import must not bring in, but did.

    :param cost: what was measured
    """
    return [name for name in NOT_IN_DAG_FILES if name in cost.modules]


def module_checks(cost: Cost) -> list[Check]:
    """
    Make the budgets that are the same on every machine.

    :param cost: what was measured of this provider
    """
    return [
        at_most("modules more", len(cost.modules), MOST_MODULES),
        none_of(", ".join(NOT_IN_DAG_FILES), heavy(cost)),
    ]


def run() -> Report:
    """Measure."""
    modules = dag_file_modules()
    # Also compiles what has not been compiled yet; its time does not count.
    traced = measure(modules, "airflow_vectordb", heap=True)
    ours = _measure(modules, "airflow_vectordb")
    mib = max(median(cost.rss for cost in ours), traced.heap or 0.0)
    rows = [
        Row(
            "(the bare import)",
            {
                "modules": ours[0].bare_modules,
                "MiB": median(cost.bare_rss for cost in ours),
                "ms": 1000 * median(cost.bare_seconds for cost in ours),
            },
        ),
        Row(
            "airflow_vectordb",
            _values(ours),
            [*module_checks(ours[0]), at_most("MiB more, resident or on the heap", mib, MOST_MIB)],
            __version__,
        ),
    ]
    for other in ALTERNATIVES:
        try:
            remark = version(other.distribution)
        except PackageNotFoundError:
            rows.append(Row(other.name, remark="not installed"))
            continue
        rows.append(Row(other.name, _values(_measure([other.module], other.own)), remark=remark))
    names = ", ".join(name.removeprefix("airflow_vectordb.") for name in modules)
    return Report(
        rows,
        [
            f"Medians of {REPETITIONS} fresh interpreters each. MiB: growth of the process's resident memory (statm in"
            " /proc; elsewhere its maximum); 0 means that what Airflow's own import had freed was enough. So the budget"
            " is held against Python's heap as well (what was allocated and not freed, by tracemalloc, in one more"
            " interpreter).",
            f"airflow_vectordb: {names}",
        ],
    )


def _measure(modules: list[str], own: str) -> list[Cost]:
    return [measure(modules, own) for _ in range(REPETITIONS)]


def _values(costs: list[Cost]) -> dict[str, float | int | None]:
    return {
        "modules": len(costs[0].modules),
        "MiB": median(cost.rss for cost in costs),
        "ms": 1000 * median(cost.seconds for cost in costs),
    }
