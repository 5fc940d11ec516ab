"""
One DAG creates an index and does not wait; another one waits for it, loads the collection and searches.

The DAGs have only the collection in common. Trigger them in any order. The sensor waits in the triggerer, without a
worker slot, even for an index and a collection that do not exist yet.

Requires a connection ``milvus_default``. The collection is created if it does not exist.

Params of both: ``collection`` (name).
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, task

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.operators.collection import CreateCollectionOperator, LoadCollectionOperator
from airflow_vectordb.operators.index import CreateIndexOperator
from airflow_vectordb.operators.ingest import IngestOperator
from airflow_vectordb.sensors.milvus import IndexSensor

SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
    ],
}
COLLECTION = "{{ params.collection }}"
PARAMS = {"collection": Param("shared_docs", type="string", pattern="^[A-Za-z_][A-Za-z0-9_]*$")}
RETRIES = {"retries": 1, "retry_delay": timedelta(seconds=5)}


def on_the_circle(degrees: float) -> list[float]:
    """Return the vector of an angle."""
    from math import cos, radians, sin

    return [cos(radians(degrees)), sin(radians(degrees))]


def rows() -> list[dict]:
    """Return a row for each degree of the circle."""
    return [{"id": degrees, "vector": on_the_circle(degrees)} for degrees in range(360)]


@task
def search(params: dict) -> list[int]:
    """Search for the nearest vectors to an angle between two existing ones."""
    with MilvusHook() as hook:
        (hits,) = hook.search(params["collection"], [on_the_circle(41.3)], limit=3)
    return [hit["id"] for hit in hits]


with DAG("create_elsewhere", schedule=None, params=PARAMS, default_args=RETRIES, tags=["example", "milvus"]):
    create = CreateCollectionOperator(task_id="create_collection", collection_name=COLLECTION, schema=SCHEMA)
    ingest = IngestOperator(task_id="ingest", collection_name=COLLECTION, rows=rows)
    index = CreateIndexOperator(
        task_id="create_index",
        collection_name=COLLECTION,
        index_params={"fieldName": "vector", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 200}},
        flush=True,  # new rows are in no index before they are sealed
        wait_for_completion=False,  # the DAG that needs the index waits for it
    )
    create >> ingest >> index

with DAG("wait_elsewhere", schedule=None, params=PARAMS, default_args=RETRIES, tags=["example", "milvus"]):
    built = IndexSensor(
        task_id="index_is_built",
        collection_name=COLLECTION,
        index_name="vector",
        min_rows=360,  # for some seconds after a flush, an index is Finished but covers no rows
        deferrable=True,
        timeout=timedelta(hours=6),
    )
    load = LoadCollectionOperator(task_id="load", collection_name=COLLECTION, deferrable=True)
    built >> load >> search()
