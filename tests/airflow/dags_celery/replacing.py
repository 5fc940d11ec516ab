"""Tasks that replace an index of a loaded collection, each of which loses its worker somewhere on the way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.operators.index import CreateIndexOperator


@task
def look(collection: str) -> dict[str, Any]:
    """Tell what a reader finds that starts when the index is there."""
    with MilvusHook("milvus_watched") as hook:
        index, load = hook.describe_index(collection, "vector"), hook.get_load_state(collection)
    return {"index": index, "load": load}


with DAG("replacing", schedule=None, default_args={"retries": 3, "retry_delay": timedelta(seconds=1)}):
    for step in ("release", "drop", "create", "load"):
        replace = CreateIndexOperator(
            task_id=f"after_{step}",
            milvus_conn_id="milvus_watched",
            collection_name=f"replacing_{step}",
            index_params={"fieldName": "vector", "indexType": "HNSW", "params": {"M": 32, "efConstruction": 64}},
            if_exists="replace",
            deferrable=False,
        )
        replace >> look.override(task_id=f"look_{step}")(f"replacing_{step}")
