"""CreateIndexOperator: requests and connections of one run

Counted by a server: how many requests arrived, over how many connections.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from typing import Any

from benchmarks.report import Check, Report, Row, at_most
from benchmarks.stub import StubMilvus

MOST_REQUESTS = 5
MOST_CONNECTIONS = 1
CONN_ID = "milvus_benchmarks"
HNSW = {"M": 16, "efConstruction": 200}


@dataclass(frozen=True)
class Traffic:
    """
    What arrived at a server.

    :param requests: what was asked for, in order
    :param connections: number of connections
    """

    requests: tuple[str, ...]
    connections: int

    def row(self, name: str, checks: Sequence[Check] = ()) -> Row:
        """
        Make a row of it.

        :param name: what was done
        :param checks: budgets
        """
        runs = [(request, len(list(run))) for request, run in groupby(self.requests)]
        told = ", ".join(f"{request} x {count}" if count > 1 else request for request, count in runs)
        values = {"requests": len(self.requests), "connections": self.connections}
        return Row(name, values, checks, told)


def checks(traffic: Traffic) -> list[Check]:
    """
    Make the budgets for a run with one index.

    :param traffic: of the run
    """
    return [
        at_most("requests", len(traffic.requests), MOST_REQUESTS),
        at_most("connection", traffic.connections, MOST_CONNECTIONS),
    ]


def create_index(stub: StubMilvus, **arguments: Any) -> Traffic:
    """
    Run a CreateIndexOperator that asks for an HNSW index on each vector field.

    :param stub: the server
    :param arguments: further ones of the operator's
    """
    from airflow_vectordb.operators.index import CreateIndexOperator

    params = [{"fieldName": name, "indexType": "HNSW", "metricType": "COSINE", "params": HNSW} for name in stub.vectors]
    operator = CreateIndexOperator(
        task_id="index", collection_name=stub.collection, index_params=params, milvus_conn_id=CONN_ID, **arguments
    )
    context: Any = {"ti": _FirstTry()}
    stub.forget()
    connection = json.dumps({"conn_type": "milvus", "host": stub.url})
    with _environment(**{f"AIRFLOW_CONN_{CONN_ID.upper()}": connection}):
        operator.execute(context)
    return Traffic(tuple(stub.requests), stub.connections)


class _FirstTry:
    try_number = 1


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    # What is measured is on this machine: a proxy has no part in it.
    variables |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@dataclass(frozen=True)
class Scenario:
    """
    A server in some state, and what the operator is to do there.

    :param name: for people
    :param server: arguments of the stub's
    :param arguments: of the operator's
    :param again: whether the operator has done it before
    :param judged: whether the budget is meant for it
    """

    name: str
    server: Mapping[str, Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    again: bool = False
    judged: bool = True

    def run(self) -> Traffic:
        """Run the operator, and count."""
        with StubMilvus(**self.server) as stub:
            if self.again:
                create_index(stub, **self.arguments)
            return create_index(stub, **self.arguments)


_BUILDING = {"rows": 1000, "state": "InProgress", "pending": 1000}
_BUILT = {"rows": 1000}
_NO_WAIT = {"wait_for_completion": False}
SCENARIOS = (
    Scenario("nothing there before, no wait", _BUILDING, _NO_WAIT),
    Scenario("the same is there, no wait", _BUILDING, _NO_WAIT, again=True),
    Scenario("nothing there before, built at once", _BUILT),
    Scenario("the same is there, built", _BUILT, again=True),
    Scenario("empty collection, server says Finished", {}),
    Scenario("empty collection, server says Unissued", {"state": "Unissued"}, judged=False),
    Scenario("three indexes, nothing there before", {**_BUILT, "vectors": ("title", "text", "image")}, judged=False),
)


def run() -> Report:
    """Count."""
    rows = []
    for scenario in SCENARIOS:
        traffic = scenario.run()
        rows.append(traffic.row(scenario.name, checks(traffic) if scenario.judged else ()))
    rows += _pymilvus()
    return Report(
        rows,
        [
            "Counts, the same in every run, on the server's side. pymilvus: a new MilvusClient, over gRPC to Milvus"
            " Lite, where the collection is empty; in the operator's steps: describe_collection, list_indexes,"
            " create_index (which waits), describe_index. Lite does not have AllocTimestamp, Milvus does."
        ],
    )


def _pymilvus() -> list[Row]:
    jobs = {
        "pymilvus, create_index alone (it waits)": _create_alone,
        "pymilvus, in the operator's steps": _create_as_operator,
    }
    try:
        version("pymilvus"), version("milvus-lite")
    except PackageNotFoundError as error:
        return [Row(name, remark=f"{error.name} is not installed") for name in jobs]
    return [_count_grpc(job).row(name) for name, job in jobs.items()]


def _create_alone(client: Any) -> None:
    params = client.prepare_index_params()
    params.add_index("vector", index_type="HNSW", metric_type="COSINE", params=HNSW)
    client.create_index("docs", params)


def _create_as_operator(client: Any) -> None:
    client.describe_collection("docs")
    client.list_indexes("docs")
    _create_alone(client)
    client.describe_index("docs", "vector")


def _count_grpc(job: Callable[[Any], None]) -> Traffic:
    from pymilvus import DataType, MilvusClient

    from benchmarks.lite import milvus_lite

    with _environment(), tempfile.TemporaryDirectory() as directory, milvus_lite(directory) as (url, counter):
        client = MilvusClient(url)
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8)
        client.create_collection("docs", schema=schema)
        client.close()
        counter.forget()
        client = MilvusClient(url, dedicated=True)  # as in a process of its own
        job(client)
        client.close()
        return Traffic(tuple(counter.requests), counter.connections)
