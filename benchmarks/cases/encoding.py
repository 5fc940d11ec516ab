"""Encoding rows for an insert: rows of 768 floats, an id and a text

Ours makes the JSON of a REST request, pymilvus makes the protobuf message of a gRPC one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.report import Check, Report, Row, at_least
from benchmarks.timing import in_turns

REPETITIONS = 7
ROWS = 2000
DIMENSION = 768
#: Rows for json alone, which is the slow one.
JSON_ROWS = 500
LEAST_OF_JSON = 15.0
LEAST_OF_PYMILVUS = 1.0

OURS = "airflow_vectordb"
JSON = "json.dumps"
PYMILVUS = "pymilvus"


@dataclass(frozen=True)
class Kind:
    """
    A kind of rows.

    :param name: for people
    :param rows: the rows
    :param nullable: whether they have a field that may be null
    """

    name: str
    rows: list[dict[str, Any]]
    nullable: bool = False


def kinds(rows: int = ROWS, dimension: int = DIMENSION) -> list[Kind]:
    """
    Make rows as embedding models give them: float32, as lists of Python's floats or as NumPy arrays.

    :param rows: how many
    :param dimension: numbers a vector
    """
    import numpy as np

    vectors = np.random.default_rng(20).standard_normal((rows, dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [f"paragraph {number} of the handbook, cut where a sentence ends" for number in range(rows)]
    lists = [
        {"id": number, "text": text, "vector": vector.tolist()}
        for number, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    ]
    return [
        Kind("lists of floats", lists),
        Kind("NumPy float32", [{**row, "vector": vector} for row, vector in zip(lists, vectors, strict=True)]),
        Kind("lists, and a field that is null", [{**row, "language": None} for row in lists], nullable=True),
    ]


def run() -> Report:
    """Measure."""
    rows = [row for kind in kinds() for row in _measure(kind)]
    return Report(
        rows,
        [
            f"{ROWS:,} rows (json: {JSON_ROWS:,} of them); medians of {REPETITIONS} rounds, in each of which all have"
            " their turn; ratios are medians of the rounds' ratios. json: with default=ndarray.tolist for NumPy."
            " pymilvus: Prepare.row_insert_param(...).SerializeToString(), which is what MilvusClient.insert does.",
        ],
    )


def _measure(kind: Kind) -> list[Row]:
    ways = _ways(kind)
    counts = {way: JSON_ROWS if way == JSON else ROWS for way in ways}
    times = in_turns(ways, REPETITIONS)

    def times_as_fast(other: str) -> float:
        return times.ratio(other, OURS) * counts[OURS] / counts[other]

    rows = []
    for way, function in ways.items():
        values = {
            "rows/s": counts[way] / times.median(way),
            "KiB/row": len(function()) / counts[way] / 1024,
            "ours is faster by": None if way == OURS else times_as_fast(way),
        }
        checks: list[Check] = []
        if way == OURS:
            checks.append(at_least("times json.dumps", times_as_fast(JSON), LEAST_OF_JSON))
            if PYMILVUS in ways:
                checks.append(at_least("times pymilvus", times_as_fast(PYMILVUS), LEAST_OF_PYMILVUS))
        rows.append(Row(f"{kind.name}: {way}", values, checks))
    if PYMILVUS not in ways:
        rows.append(Row(f"{kind.name}: {PYMILVUS}", remark="not installed"))
    return rows


def _ways(kind: Kind) -> dict[str, Callable[[], bytes]]:
    import numpy as np

    from airflow_vectordb.rest import entities
    from airflow_vectordb.rest.http.json import encode

    body = dict(entities.insert("docs", kind.rows).body)
    less = dict(entities.insert("docs", kind.rows[:JSON_ROWS]).body)
    ways: dict[str, Callable[[], bytes]] = {
        OURS: lambda: encode(body),
        JSON: lambda: json.dumps(less, default=np.ndarray.tolist).encode(),
    }
    try:
        version("pymilvus")
    except PackageNotFoundError:
        return ways
    return {**ways, PYMILVUS: _pymilvus(kind)}


def _pymilvus(kind: Kind) -> Callable[[], bytes]:
    from pymilvus import CollectionSchema, DataType, FieldSchema
    from pymilvus.client.prepare import Prepare

    schema = CollectionSchema(
        [
            FieldSchema("id", DataType.INT64, is_primary=True),
            FieldSchema("text", DataType.VARCHAR, max_length=200),
            FieldSchema("vector", DataType.FLOAT_VECTOR, dim=DIMENSION),
            *([FieldSchema("language", DataType.VARCHAR, max_length=20, nullable=True)] if kind.nullable else []),
        ]
    )
    fields = schema.to_dict()["fields"]

    def encode() -> bytes:
        message: bytes = Prepare.row_insert_param("docs", kind.rows, "", fields).SerializeToString()
        return message

    return encode
