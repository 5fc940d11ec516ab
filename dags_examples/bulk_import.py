"""
Write rows as Parquet files into Milvus's storage, let Milvus import them, and then index them.

Rows pass through neither JSON nor the REST API, and the worker's memory use does not grow with their number.

Requires a connection ``milvus_default``, and the extra ``files`` of airflow-vectordb.

Params: ``stage_to`` is a folder in Milvus's own bucket, such as ``s3://a-bucket/staging``, and ``files_prefix`` its
path as Milvus sees it. With the local server, it is a folder in ``DATA/files``. ``rows`` is the number of generated
rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_vectordb.operators.collection import CreateCollectionOperator
from airflow_vectordb.operators.import_job import ImportOperator
from airflow_vectordb.operators.index import CreateIndexOperator

COLLECTION = "bulk_{{ dag_run.run_after | ts_nodash }}"
SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "degree", "dataType": "Double"},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
    ],
}


def made_up_rows(params: dict) -> Iterator[dict]:
    """Yield points of a circle, one at a time, so that they are never in memory together."""
    from math import cos, radians, sin

    for number in range(params["rows"]):
        degree = 360.0 * number / params["rows"]
        yield {"id": number, "degree": degree, "vector": [cos(radians(degree)), sin(radians(degree))]}


with DAG(
    "bulk_import",
    schedule=None,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    params={
        "stage_to": Param("s3://a-bucket/staging", type="string"),
        "files_prefix": Param("staging", type="string"),
        "rows": Param(10_000, type="integer", minimum=1),
    },
    tags=["example", "milvus"],
):
    create = CreateCollectionOperator(task_id="create_collection", collection_name=COLLECTION, schema=SCHEMA)
    imported = ImportOperator(
        task_id="import_rows",
        collection_name=COLLECTION,
        rows=made_up_rows,
        stage_to="{{ params.stage_to }}",
        files_prefix="{{ params.files_prefix }}",
    )
    index = CreateIndexOperator(
        task_id="create_index",
        collection_name=COLLECTION,
        index_params={"fieldName": "vector", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 200}},
        min_rows=imported.output,
    )
    create >> imported >> index
