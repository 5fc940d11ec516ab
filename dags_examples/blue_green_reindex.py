"""
Each run builds a new collection, checks it, and then moves the readers of an alias to it, in one step.

Readers search the alias ``places``. Each run has its own collection, such as
``places_20261122T060000_1f0c2a9b``; the last two are kept. If a task fails, the readers keep the old collection.

Requires a connection ``milvus_default``. To roll back, trigger ``roll_back_places`` with the name of the
collection that ``reindex.switch`` returned as ``previous``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from math import cos, radians, sin
from typing import Any

from airflow.sdk import DAG

from airflow_vectordb.operators.alias import SwitchAliasOperator
from airflow_vectordb.operators.ingest import IngestOperator
from airflow_vectordb.task_groups.reindex import blue_green_reindex

ALIAS = "places"
SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
    ]
}


def embed(degree: float) -> list[float]:
    return [cos(radians(degree)), sin(radians(degree))]


def rows() -> Iterator[dict[str, Any]]:
    yield from ({"id": degree, "vector": embed(degree)} for degree in range(360))


def ingest(collection: str) -> IngestOperator:
    return IngestOperator(task_id="ingest", collection_name=collection, rows=rows)


with DAG("blue_green_reindex", schedule="@daily", default_args={"retries": 3, "retry_delay": timedelta(seconds=30)}):
    blue_green_reindex(
        alias=ALIAS,
        schema=SCHEMA,
        ingest=ingest,  # for files, pass source="s3://…/*.parquet" instead
        index_params={"fieldName": "vector", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 200}},
        checks={
            "sample": 100,
            "queries": [{"vector": embed(41.1), "ids": [41, 42, 40]}],
            "k": 3,
        },
        keep=2,
    )

with DAG("roll_back_places", schedule=None, params={"collection_name": ALIAS}):
    SwitchAliasOperator(task_id="switch", alias=ALIAS, collection_name="{{ params.collection_name }}", min_rows=1)
