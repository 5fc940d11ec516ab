"""
Index all collections whose names have a prefix: a task lists them, and each gets a mapped task instance of its own.

The builds are waited for in the triggerer, so a thousand of them need no worker slot. To keep the server from being
asked for too many at the same time, make a pool for them, and let it count those that are deferred::

    airflow pools set --include-deferred milvus_builds 4 "Index builds at a time"

and name it in the environment, where DAG files are parsed: ``MILVUS_BUILDS_POOL=milvus_builds``. Without that, the
tasks are in Airflow's ``default_pool``, like all others.

What must exist: a connection ``milvus_default``, and collections with a vector field ``vector``.

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
    """List the collections. Those that are indexed already are no trouble: nothing is done about them."""
    with MilvusHook() as hook:
        return sorted(name for name in hook.list_collections() if name.startswith(params["prefix"]))


@task(trigger_rule="none_failed")
def count(indexed: list) -> dict[str, int]:
    """Add up what was built: rows by collection."""
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
