"""Calls: what CreateIndexOperator sends, and the local server beside pymilvus over the same engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
from milvus_lite.server_manager import server_manager_instance
from pymilvus import DataType, MilvusClient
from pytest_benchmark.fixture import BenchmarkFixture

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import Client, IndexSpec, MilvusConfig, collections, entities, indexes
from benchmarks.calls import HNSW, MOST_CONNECTIONS, MOST_REQUESTS, SCENARIOS
from benchmarks.conftest import Rows
from benchmarks.server import serving

ROWS, DIMENSION = 2000, 256

Calls = dict[str, Callable[[], object]]


def test_create_index(print_table: Callable[[str, Rows], None]) -> None:
    with serving() as server:
        counts = [(scenario, scenario.run(server)) for scenario in SCENARIOS]
    print_table(
        "CreateIndexOperator (the same steps with pymilvus: 7 requests on one connection)",
        {each.name: {"requests": len(found.requests), "connections": found.opened} for each, found in counts},
    )
    for scenario, found in counts:
        assert found.opened <= MOST_CONNECTIONS
        assert len(found.requests) <= MOST_REQUESTS or not scenario.budgeted, found.requests


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    vectors = np.random.default_rng(30).standard_normal((ROWS, DIMENSION), dtype=np.float32)
    return [{"id": number, "vector": vector.tolist()} for number, vector in enumerate(vectors)]


@pytest.fixture(scope="module")
def local_server(rows: list[dict[str, Any]]) -> Iterator[Calls]:
    """Connect our client to the local server, which is a process of its own."""
    schema = {
        "fields": [
            {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
            {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": DIMENSION}},
        ]
    }
    index = IndexSpec("vector", index_name="vector", index_type="HNSW", metric_type="COSINE", params=HNSW)
    new, vector = _batches(rows), rows[7]["vector"]
    with LocalMilvus() as server, Client(MilvusConfig(server.uri, token=server.token)) as client:
        for name in ("docs", "filling"):
            client.send(collections.create(name, schema=schema))
        client.send(entities.insert("docs", rows))
        client.send(collections.flush("docs"))
        client.send(indexes.create("docs", [index]))
        client.send(collections.load("docs"))
        yield {
            "has_collection": lambda: client.send(collections.has("docs")),
            "describe_collection": lambda: client.send(collections.describe("docs")),
            "get": lambda: client.send(entities.get("docs", [5], output_fields=["id"])),
            "search": lambda: client.send(entities.search("docs", [vector], limit=10)),
            "insert": lambda: client.send(entities.insert("filling", next(new))),
        }


@pytest.fixture(scope="module")
def pymilvus(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calls]:
    """Connect pymilvus to Milvus Lite, which it runs in this process."""
    new, vector = _batches(rows), rows[7]["vector"]
    path = str(tmp_path_factory.mktemp("pymilvus") / "milvus.db")
    client = MilvusClient(path)
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSION)
    for name in ("docs", "filling"):
        client.create_collection(name, schema=schema)
    client.insert("docs", rows)
    client.flush("docs")
    params = client.prepare_index_params()
    params.add_index("vector", index_type="HNSW", metric_type="COSINE", params=HNSW)
    client.create_index("docs", params)
    client.load_collection("docs")
    yield {
        "has_collection": lambda: client.has_collection("docs"),
        "describe_collection": lambda: client.describe_collection("docs"),
        "get": lambda: client.get("docs", [5], output_fields=["id"]),
        "search": lambda: client.search("docs", [vector], limit=10),
        "insert": lambda: client.insert("filling", next(new)),
    }
    client.close()
    server_manager_instance.release_server(path)


def _batches(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield rows under keys that were not there before, so that no insert replaces any."""
    for number in count(1):
        yield [{**row, "id": row["id"] + number * len(rows)} for row in rows]


@pytest.mark.parametrize("server", ["local_server", "pymilvus"])
@pytest.mark.parametrize("call", ["has_collection", "describe_collection", "get", "search", "insert"])
def test_local_latency(benchmark: BenchmarkFixture, request: pytest.FixtureRequest, call: str, server: str) -> None:
    calls: Calls = request.getfixturevalue(server)
    benchmark.group = f"{call}, {ROWS:,} rows of {DIMENSION} floats"
    benchmark.pedantic(calls[call], rounds=5 if call == "insert" else 50, warmup_rounds=1)
