"""Encoding rows for an insert: JSON for a REST request here, a protobuf message for gRPC in pymilvus."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pytest
from pymilvus import CollectionSchema, DataType, FieldSchema
from pymilvus.client.prepare import Prepare
from pytest_benchmark.fixture import BenchmarkFixture

from airflow_vectordb.rest import entities
from airflow_vectordb.rest.http.json import encode

OURS = "airflow_vectordb"
ROWS, DIMENSION = 1000, 768
#: How many times as fast as the others it must be.
BUDGETS = {"json.dumps": 15.0, "pymilvus": 1.0}
KINDS = ("lists of floats", "NumPy float32", "lists and a null field")

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Return what the rows are made of."""
    return str(request.param)


@pytest.fixture(scope="module")
def rows(kind: str) -> Rows:
    """Rows as embedding models give them."""
    vectors = np.random.default_rng(20).standard_normal((ROWS, DIMENSION), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        {
            "id": number,
            "text": f"paragraph {number} of the handbook, cut where a sentence ends",
            "vector": vector if kind == "NumPy float32" else vector.tolist(),
            **({"language": None} if kind == "lists and a null field" else {}),
        }
        for number, vector in enumerate(vectors)
    ]


@pytest.fixture(scope="module")
def strategies(rows: Rows) -> dict[str, Callable[[], bytes]]:
    """Ways to encode the rows, ours last."""
    body = dict(entities.insert("docs", rows).body)
    fields = [
        FieldSchema("id", DataType.INT64, is_primary=True),
        FieldSchema("text", DataType.VARCHAR, max_length=200),
        FieldSchema("vector", DataType.FLOAT_VECTOR, dim=DIMENSION),
    ]
    if "language" in rows[0]:
        fields.append(FieldSchema("language", DataType.VARCHAR, max_length=20, nullable=True))
    schema = CollectionSchema(fields).to_dict()["fields"]
    return {
        "json.dumps": lambda: json.dumps(body, default=np.ndarray.tolist).encode(),
        # What MilvusClient.insert does.
        "pymilvus": lambda: Prepare.row_insert_param("docs", rows, "", schema).SerializeToString(),
        OURS: lambda: encode(body),
    }


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("strategy", [*BUDGETS, OURS])
def test_encoding(
    benchmark: BenchmarkFixture, kind: str, strategies: dict[str, Callable[[], bytes]], strategy: str
) -> None:
    benchmark.group = f"encode {ROWS:,} rows of {DIMENSION} floats: {kind}"
    benchmark.pedantic(strategies[strategy], rounds=5, warmup_rounds=1)


def test_encoding_is_fast(strategies: dict[str, Callable[[], bytes]]) -> None:
    # In turns, so that what else the machine does meets all alike.
    rounds = [{name: _seconds(strategy) for name, strategy in strategies.items()} for _ in range(9)]
    ratios = {other: median(seconds[other] / seconds[OURS] for seconds in rounds) for other in BUDGETS}
    assert all(ratios[other] >= least for other, least in BUDGETS.items()), ratios


def _seconds(function: Callable[[], object]) -> float:
    began = time.process_time()
    function()
    return time.process_time() - began
