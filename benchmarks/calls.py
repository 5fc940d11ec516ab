"""CreateIndexOperator on a stub, which counts requests and connections."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from airflow_vectordb.operators.index import CreateIndexOperator
from benchmarks.server import Counts, Server

MOST_REQUESTS = 5
MOST_CONNECTIONS = 1
CONN_ID = "milvus_bench"
HNSW = {"M": 16, "efConstruction": 200}


@dataclass(frozen=True)
class Scenario:
    """A server in some state, and what the operator is to do there; ``again``: after it has done it before."""

    name: str
    plan: Mapping[str, Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    again: bool = False
    budgeted: bool = True

    def run(self, server: Server) -> Counts:
        """Run the operator once, and return what arrived."""
        server.reset(**self.plan)
        vectors = self.plan.get("vectors", ["vector"])
        if self.again:
            existing = [{**spec, "indexName": spec["fieldName"]} for spec in _specs(vectors)]
            server.reset(**self.plan, indexes=existing)
        create_index(server.url, vectors, **self.arguments)
        return server.counts()


def create_index(url: str, vectors: list[str], **arguments: Any) -> None:
    """Run a CreateIndexOperator that asks for an HNSW index on each vector field of collection ``docs``."""
    operator = CreateIndexOperator(
        task_id="index",
        collection_name="docs",
        index_params=_specs(vectors),
        milvus_conn_id=CONN_ID,
        **arguments,
    )
    connection = json.dumps({"conn_type": "milvus", "host": url})
    # What is measured is on this machine: a proxy has no part in it.
    variables = {f"AIRFLOW_CONN_{CONN_ID.upper()}": connection, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    with mock.patch.dict(os.environ, variables):
        operator.execute({"ti": mock.Mock(try_number=1)})


def _specs(vectors: list[str]) -> list[dict[str, Any]]:
    return [{"fieldName": name, "indexType": "HNSW", "metricType": "COSINE", "params": HNSW} for name in vectors]


_NO_WAIT = {"wait_for_completion": False}
_BUILT = {"built_at": {"docs": 0}}
SCENARIOS = (
    Scenario("nothing there before, no wait", {}, _NO_WAIT),
    Scenario("the same is there, no wait", {}, _NO_WAIT, again=True),
    Scenario("nothing there before, built immediately", _BUILT),
    Scenario("the same is there, built", _BUILT, again=True),
    Scenario("empty collection, server says Finished", {"rows": 0, **_BUILT}),
    Scenario("empty collection, server says Unissued", {"rows": 0, "state": "Unissued"}, budgeted=False),
    Scenario("three indexes, nothing there before", {**_BUILT, "vectors": ["title", "text", "image"]}, budgeted=False),
)

__all__ = ["MOST_CONNECTIONS", "MOST_REQUESTS", "SCENARIOS", "Scenario", "create_index"]
