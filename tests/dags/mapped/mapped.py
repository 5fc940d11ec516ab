"""DAGs whose tasks are mapped over all that names or describes: connections, databases, collections, parameters."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.operators.collection import LoadCollectionOperator, ReleaseCollectionOperator
from airflow_vectordb.operators.index import CreateIndexOperator, DropIndexOperator
from airflow_vectordb.rest import collections, indexes
from airflow_vectordb.sensors.milvus import CollectionLoadSensor, IndexSensor

HNSW = {"fieldName": "vector", "indexType": "HNSW", "params": {"M": "{{ params.M }}", "efConstruction": 64}}
SERVERS = ["milvus_default", "milvus_other"]
DATABASES = ["default", "shop"]

with DAG("mapped", schedule=None, params={"M": 12}):

    @task
    def given() -> list[dict[str, object]]:
        """Return all that differs from one mapped task to the other."""
        return [
            {
                "milvus_conn_id": server,
                "database": "shop",
                "collection_name": "by_kwargs",
                "index_params": {"fieldName": "vector", "indexType": "HNSW", "params": {"M": M, "efConstruction": 64}},
                "if_exists": "replace",
                "timeout": 600,
            }
            for server, M in (("milvus_default", 8), ("milvus_other", 24))
        ]

    @task
    def count(described: list[list[dict[str, object]]]) -> int:
        """Read what all mapped tasks returned."""
        return sum(map(len, described))

    everywhere = CreateIndexOperator.partial(
        task_id="everywhere", collection_name="docs", index_params=HNSW, poll_interval=1
    ).expand(milvus_conn_id=SERVERS, database=DATABASES)
    count(everywhere.output)
    CreateIndexOperator.partial(task_id="by_kwargs").expand_kwargs(given())
    # What stands in the DAG file is rendered, in mapped tasks too.
    CreateIndexOperator.partial(task_id="by_parameters", milvus_conn_id="milvus_other").expand_kwargs(
        [
            {"collection_name": "docs_{{ ds_nodash }}", "index_params": [HNSW, {"fieldName": "label"}]},
            {"collection_name": "{{ dag.dag_id }}", "index_params": '{"fieldName": "vector", "indexType": "FLAT"}'},
        ]
    )
    (
        everywhere
        >> IndexSensor.partial(
            task_id="is_built", collection_name="docs", poke_interval=1, timeout=600, index_name="vector"
        ).expand(milvus_conn_id=SERVERS, database=DATABASES)
        >> LoadCollectionOperator.partial(task_id="load", collection_name="docs").expand(
            milvus_conn_id=SERVERS, database=DATABASES
        )
        >> CollectionLoadSensor.partial(
            task_id="is_loaded", collection_name="docs", poke_interval=1, timeout=600
        ).expand_kwargs([{"milvus_conn_id": server, "database": "shop"} for server in SERVERS])
        >> ReleaseCollectionOperator.partial(task_id="release", milvus_conn_id="milvus_other").expand(
            database=DATABASES, collection_name=["docs"]
        )
        >> DropIndexOperator.partial(
            task_id="drop", milvus_conn_id="milvus_other", database="shop", collection_name="docs"
        ).expand(index_name=["vector", "no_such_index"])
    )

    @task
    def look(milvus_conn_id: str, database: str) -> list[str]:
        """Use the hook in a mapped task of one's own."""
        with MilvusHook(milvus_conn_id, database) as hook:
            return sorted(hook.send(collections.list_()))

    look.expand(milvus_conn_id=SERVERS, database=DATABASES)

with DAG("failing", schedule=None, default_args={"retries": 1, "retry_delay": timedelta(seconds=1)}):

    @task
    def describe(milvus_conn_id: str) -> None:
        """Ask for what is not there."""
        with MilvusHook(milvus_conn_id) as hook:
            hook.send(indexes.describe("no_such_collection", "vector"))

    describe.expand(milvus_conn_id=["milvus_default", "milvus_down"])
