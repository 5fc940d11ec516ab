"""
Each night, ingest the files of a folder, one task per file, and wait until the index covers their rows.

The tasks run on all available workers. A retry continues where the last try ended. A night without files succeeds.

Requires a connection ``milvus_default``. Here the first task writes the files to a local folder; in its place, use
``s3://…``, ``gs://…`` or any other URL that Airflow's ``ObjectStoragePath`` reads, with ``source_conn_id``.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, task

from airflow_vectordb.operators.collection import CreateCollectionOperator
from airflow_vectordb.operators.index import CreateIndexOperator
from airflow_vectordb.operators.ingest import IngestOperator

COLLECTION = "nightly"
SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "title", "dataType": "VarChar", "elementTypeParams": {"max_length": 100}},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
    ],
}


@task
def export(params: dict) -> list[str]:
    """Write a file of JSON lines for each of a few parts, as another system would do, and return their paths."""
    import json
    from math import cos, radians, sin
    from pathlib import Path

    folder = Path(params["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for part in range(params["files"]):
        degrees = range(90 * part, 90 * part + 90)
        rows = [{"id": d, "title": f"{d} degrees", "vector": [cos(radians(d)), sin(radians(d))]} for d in degrees]
        path = folder / f"part-{part}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        paths.append(str(path))
    return paths


with DAG(
    "nightly_ingest",
    schedule="@daily",
    params={
        "folder": Param("/tmp/airflow_vectordb_nightly", type="string"),
        "files": Param(4, type="integer", minimum=0),
    },
    default_args={"retries": 2, "retry_delay": timedelta(seconds=5)},
    tags=["example", "milvus"],
):
    create = CreateCollectionOperator(task_id="create_collection", collection_name=COLLECTION, schema=SCHEMA)
    ingest = IngestOperator.partial(
        task_id="ingest",
        collection_name=COLLECTION,
        on_bad_row="skip",
        max_bad_rows=10,
    ).expand(source=export())
    index = CreateIndexOperator(
        task_id="create_index",
        collection_name=COLLECTION,
        index_params={"fieldName": "vector", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 200}},
        flush=True,
        min_rows=ingest.output,  # the rows of all files together
    )
    create >> ingest >> index
