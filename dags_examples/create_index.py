"""
Each run fills a new collection, and is done when its index is built.

The collection is named after the time at which the run was due, in UTC: ``docs_20261122T060000``. Every run has such a
time, whether the scheduler, a person or the API started it, and it is the same in a retry.

Requires a connection ``milvus_default``. Collections of earlier runs are kept.
"""

from math import cos, radians, sin

from airflow.sdk import DAG

from airflow_vectordb.operators.collection import CreateCollectionOperator
from airflow_vectordb.operators.index import CreateIndexOperator
from airflow_vectordb.operators.ingest import IngestOperator

COLLECTION = "docs_{{ dag_run.run_after | ts_nodash }}"
SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
    ]
}


def rows() -> list[dict]:
    return [{"id": degree, "vector": [cos(radians(degree)), sin(radians(degree))]} for degree in range(360)]


with DAG("create_index", schedule="@daily"):
    create = CreateCollectionOperator(task_id="create_collection", collection_name=COLLECTION, schema=SCHEMA)
    ingest = IngestOperator(task_id="ingest", collection_name=COLLECTION, rows=rows)
    index = CreateIndexOperator(
        task_id="create_index",
        collection_name=COLLECTION,
        index_params={"fieldName": "vector", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 200}},
        flush=True,  # new rows are in no index before they are sealed
        min_rows=ingest.output,  # waits until the index covers all of them
    )
    create >> ingest >> index
