"""Pipelines that build a new collection beside the one that is read, each for an alias of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG

from airflow_vectordb.assets import milvus_asset
from airflow_vectordb.operators.ingest import IngestOperator
from airflow_vectordb.task_groups.reindex import blue_green_reindex

SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 8}},
    ]
}
HNSW = {"fieldName": "vector", "indexType": "HNSW", "metricType": "L2", "params": {"M": 16, "efConstruction": 100}}


def rows(params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    numbers = random.Random(7)
    for number in range(params["rows"]):
        yield {"id": number, "vector": [numbers.uniform(-1, 1) for _ in range(8)]}


def is_good(hook: Any, collection: str) -> bool:
    return not collection.startswith("rejected")


for name in ("steady", "killed", "rejected", "raced", "empty"):
    with DAG(f"reindex_{name}", schedule=None, params={"rows": 400}, default_args={"retries": 99}):
        blue_green_reindex(
            alias=name,
            schema=SCHEMA,
            index_params=HNSW,
            ingest=lambda collection: IngestOperator(
                task_id="ingest", collection_name=collection, rows=rows, batch_rows=100, max_in_flight=2
            ),
            checks={} if name == "empty" else {"sample": 50, "check": is_good},
            outlets=[milvus_asset(name)],
        )
