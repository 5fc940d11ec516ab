"""
One DAG creates a collection and its index; another one starts when the index is built, and ingests.

The second DAG is scheduled on the asset: Airflow starts it when the task with that outlet has succeeded, which is when
the index is built. If that task fails, nothing starts. The event's ``extra`` has the task's result.

Requires a connection ``milvus_default``. The collection is created if it does not exist. An asset's URI is a name that
both DAGs agree on; use the host of your server in it, so that lineage tools recognize it.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_vectordb.assets import milvus_asset
from airflow_vectordb.operators.collection import CreateCollectionOperator
from airflow_vectordb.operators.index import CreateIndexOperator
from airflow_vectordb.operators.ingest import IngestOperator

COLLECTION = "indexed_docs"
DOCS = milvus_asset(COLLECTION, host="localhost")
SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
    ],
}
RETRIES = {"retries": 1, "retry_delay": timedelta(seconds=5)}


def rows(triggering_asset_events: dict) -> list[dict]:
    """Return a row for each degree of the circle, and print the index."""
    from math import cos, radians, sin

    for event in triggering_asset_events.get(DOCS, ()):
        for index in event.extra["indexes"]:
            print(f"into {index['index_name']}: {index['index_type']} {index['metric_type']} {index['params']}")
    return [{"id": d, "vector": [cos(radians(d)), sin(radians(d))]} for d in range(360)]


with DAG("index_first", schedule=None, default_args=RETRIES, tags=["example", "milvus"]):
    create = CreateCollectionOperator(task_id="create_collection", collection_name=COLLECTION, schema=SCHEMA)
    create >> CreateIndexOperator(
        task_id="create_index",
        collection_name=COLLECTION,
        index_params={"fieldName": "vector", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 200}},
        outlets=[DOCS],
    )

with DAG("ingest_after_index", schedule=[DOCS], default_args=RETRIES, tags=["example", "milvus"]):
    IngestOperator(task_id="ingest", collection_name=COLLECTION, rows=rows)
