"""
Index all collections whose names have a prefix: a task lists them, and each gets a mapped task instance.

The tasks wait in the triggerer, so a thousand builds need no worker slot. To limit the number of concurrent builds on
the server, create a pool that counts deferred tasks::

    airflow pools set --include-deferred milvus_builds 4 "Index builds at a time"

and set it in the environment of the DAG processor: ``MILVUS_BUILDS_POOL=milvus_builds``. Otherwise the tasks use
Airflow's ``default_pool``.

Requires a connection ``milvus_default``, and collections with a vector field ``vector``.

Params: ``prefix`` (of the names).
"""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG, Param, task

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.operators.index import CreateIndexOperator

POOL = os.environ.get("MILVUS_BUILDS_POOL", "default_pool")


@task
def list_collections(params: dict) -> list[str]:
    """List the collections. Those that are already indexed are no-ops."""
    with MilvusHook() as hook:
        return sorted(name for name in hook.list_collections() if name.startswith(params["prefix"]))


@task(trigger_rule="none_failed")
def count(indexed: list) -> dict[str, int]:
    """Return the number of indexed rows by collection."""
    return {index["collection_name"]: index["indexed_rows"] for indexes in indexed or [] for index in indexes}


with DAG(
    "index_many_collections",
    schedule=None,
    params={"prefix": Param("docs_", type="string")},
    default_args={"retries": 2, "retry_delay": timedelta(seconds=5)},
    tags=["example", "milvus"],
):
    create = CreateIndexOperator.partial(
        task_id="create_index",
        index_params={"fieldName": "vector", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 200}},
        flush=True,
        deferrable=True,
        timeout=timedelta(hours=6),
        pool=POOL,
    ).expand(collection_name=list_collections())
    count(create.output)
