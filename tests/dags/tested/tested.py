"""DAGs for ``airflow dags test``: tasks that defer, results that other tasks read, a call that is never sent."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.operators.index import CreateIndexOperator
from airflow_vectordb.rest import IndexSpec, collections, entities, import_jobs, indexes
from airflow_vectordb.sensors.milvus import IndexSensor

HNSW = {"fieldName": "vector", "metricType": "COSINE", "indexType": "HNSW", "params": {"M": 32, "efConstruction": 200}}

with DAG("resumed", schedule=None):
    replace = CreateIndexOperator(
        task_id="replace", collection_name="docs", index_params=HNSW, if_exists="replace", deferrable=True
    )
    built = IndexSensor(task_id="built", collection_name="docs", index_name="vector", deferrable=True)

    @task
    def count(described: list[dict[str, Any]]) -> int:
        """Read what a resumed task returned."""
        return int(described[0]["total_rows"])

    replace >> built
    count(replace.output)

with DAG("late", schedule=None, default_args={"milvus_conn_id": "milvus_slow", "deferrable": True, "timeout": 2}):
    CreateIndexOperator(task_id="create", collection_name="docs", index_params=HNSW)
    IndexSensor(task_id="wait", collection_name="docs", index_name="never")

with DAG("results", schedule=None):

    @task
    def write() -> object:
        """Return what an upsert did, as it is."""
        with MilvusHook("milvus_local") as hook:
            hook.send(collections.create("results", dimension=4))
            written = hook.send(entities.upsert("results", [{"id": i, "vector": [i, 1, 2, 3]} for i in range(3)]))
            assert written.count == 3
        return written

    @task
    def describe() -> object:
        """Return several results, in a dict and in lists."""
        with MilvusHook("milvus_local") as hook:
            description = hook.send(collections.describe("results"))
            assert description.name == "results"
            names = hook.send(indexes.list_("results"))
            return {
                "collection": description,
                "load": hook.send(collections.load_state("results")),
                "indexes": [hook.send(indexes.describe("results", name)) for name in names],
                "jobs": hook.send(import_jobs.list_("results")),
            }

    @task
    def read(written: dict[str, Any], described: dict[str, Any]) -> object:
        """Read all that in another task."""
        return [
            written["count"],
            [field["name"] for field in described["collection"]["fields"]],
            described["load"]["state"],
            described["indexes"][0][0]["field_name"],
        ]

    done = write()
    looked = describe()
    done >> looked
    read(done, looked)

with DAG("unsent", schedule=None):

    @task
    def forget() -> None:
        """Make a call, and do not send it."""
        with MilvusHook("milvus_local"):
            indexes.create("results", [IndexSpec("vector")])

    forget()
