"""Loads files in mapped tasks, twice, while another task waits; all of which survives what the tests do to it."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.operators.index import CreateIndexOperator
from airflow_vectordb.operators.ingest import IngestOperator

HNSW = {"fieldName": "vector", "metricType": "COSINE", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 64}}
#: The collection has keys of its rows' own, or such that the server makes; each file has columns for both.
#: Together they fill two workers that take four tasks each, and neither kind of them fills one.
LOADS: dict[str, dict[str, Any]] = {
    "keys": {"max_active_tis_per_dagrun": 5, "field_mapping": {"name": None}},
    "names": {"max_active_tis_per_dagrun": 3, "field_mapping": {"id": None}, "key_field": "name"},
}


@task
def find() -> list[str]:
    """List the files."""
    return sorted(str(path) for path in Path(os.environ["AIRFLOW_HOME"], "files").glob("*.parquet"))


@task
def count() -> dict[str, int]:
    """Count what is there when all is loaded."""
    with MilvusHook("milvus_watched") as hook:
        return {kind: hook.count(f"loading_{kind}") for kind in LOADS}


with DAG("loading", schedule=None, default_args={"retries": 5, "retry_delay": timedelta(seconds=1)}):
    files, counts = find(), count()
    for kind, options in LOADS.items():
        load = IngestOperator.partial(
            task_id=f"load_{kind}",
            milvus_conn_id="milvus_watched",
            collection_name=f"loading_{kind}",
            batch_rows=100,
            max_in_flight=2,
            **options,
        ).expand(source=files)
        load >> counts
    CreateIndexOperator(
        task_id="wait", collection_name="loading_wait", index_params=HNSW, deferrable=True, poll_interval=0.5
    )
