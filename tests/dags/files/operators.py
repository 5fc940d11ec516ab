"""DAGs that use what Airflow offers: templates, files, results of other tasks, mapping, assets, retries."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk import DAG, Asset, task

from airflow_vectordb.operators.collection import (
    CreateCollectionOperator,
    DropCollectionOperator,
    LoadCollectionOperator,
    ReleaseCollectionOperator,
    VerifyCollectionOperator,
)
from airflow_vectordb.operators.index import CreateIndexOperator, DropIndexOperator

if TYPE_CHECKING:
    from airflow_vectordb.retry_state import RetryState

HNSW = {"fieldName": "vector", "indexType": "HNSW", "params": {"M": "{{ params.M }}", "efConstruction": 64}}
DOCS = Asset("milvus://localhost/default/docs")

with DAG("files", schedule=None, params={"M": 12}):
    CreateIndexOperator(task_id="json", collection_name="by_json", index_params="index.json")
    CreateIndexOperator(task_id="yaml", collection_name="by_yaml", index_params="index.yaml")
    CreateIndexOperator(task_id="broken", collection_name="by_yaml", index_params="broken.json")
    CreateIndexOperator(task_id="blank", collection_name="by_yaml", index_params="{{ params.nothing }}")
    CreateIndexOperator(task_id="nameless", collection_name="{{ params.nothing }}", index_params=HNSW)

with DAG("results", schedule=None, params={"M": 8}):

    @task
    def choose() -> list[dict[str, object]]:
        """Return index parameters."""
        return [HNSW | {"params": {"M": 8, "efConstruction": 64}}, {"fieldName": "label", "indexType": "INVERTED"}]

    @task
    def collections() -> list[str]:
        """Return names of collections."""
        return ["mapped_0", "mapped_1", "mapped_2"]

    @task
    def names(indexes: list[dict[str, object]]) -> list[object]:
        """Read what the operator returned."""
        return [index["index_name"] for index in indexes]

    index = CreateIndexOperator(
        task_id="index", collection_name="by_result", index_params=choose(), flush=True, outlets=[DOCS]
    )
    names(index.output)
    CreateIndexOperator.partial(task_id="mapped", index_params=HNSW).expand(collection_name=collections())
    (
        CreateIndexOperator(task_id="first", collection_name="dropped", index_params=HNSW)
        >> DropIndexOperator(task_id="drop", collection_name="dropped", index_name="vector")
        >> DropIndexOperator(task_id="drop_again", collection_name="dropped", index_name="vector")
        >> DropIndexOperator(
            task_id="drop_strictly", collection_name="dropped", index_name="vector", if_missing="fail", retries=3
        )
    )

with DAG("loading", schedule=None):

    @task
    def partitions() -> list[object]:
        """Return what to load: some partitions, by name or by list; all."""
        return [["a"], "b", None]

    @task
    def parameters() -> list[dict[str, object]]:
        """Return index parameters of one collection."""
        return [{"fieldName": "vector"}, {"fieldName": "label", "indexType": "INVERTED"}]

    (
        CreateIndexOperator.partial(
            task_id="indexes",
            collection_name="loading",
            database=None,
            if_exists="replace",
            timeout=None,
            deferrable=True,
        ).expand(index_params=parameters())
        >> LoadCollectionOperator(task_id="load", collection_name="{{ dag.dag_id }}")
        >> ReleaseCollectionOperator(task_id="release", collection_name="loading", deferrable=True)
        >> LoadCollectionOperator.partial(
            task_id="load_some", collection_name="loading", milvus_conn_id="milvus_default"
        ).expand(partition_names=partitions())
        >> ReleaseCollectionOperator.partial(task_id="release_each", partition_names=["a", "b"]).expand(
            collection_name=["loading"]
        )
        >> LoadCollectionOperator(task_id="load_again", collection_name="loading")
        >> CreateIndexOperator(
            task_id="replace",
            collection_name="loading",
            index_params={"fieldName": "vector", "indexType": "HNSW", "params": {"M": 32, "efConstruction": 64}},
            if_exists="replace",
        )
    )

with DAG("created", schedule=None, params={"dim": 4}):

    @task
    def schema() -> dict[str, object]:
        """Return a schema, as another task may have proposed it."""
        return {
            "fields": [
                {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
                {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}},
            ]
        }

    (
        CreateCollectionOperator(
            task_id="create",
            collection_name="created",
            schema=schema(),
            index_params={"fieldName": "vector"},
            deferrable=True,
            outlets=[DOCS],
        )
        >> CreateCollectionOperator(
            task_id="create_again",
            collection_name="created",
            schema="schema.yaml",
            properties='{"ttlSeconds": 90}',
            alter=True,
        )
        >> CreateCollectionOperator(
            task_id="create_another", collection_name="created", dimension="{{ params.dim }}", retries=3
        )
        >> VerifyCollectionOperator(
            task_id="verify", collection_name="created", min_rows="{{ 1 }}", retries=3, trigger_rule="all_done"
        )
        >> DropCollectionOperator.partial(task_id="drop", trigger_rule="all_done").expand(
            collection_name=["created", "never_created"]
        )
    )

with DAG("memory", schedule=None):

    @task(retries=2, retry_delay=timedelta(0))
    def remember(**context: object) -> object:
        """Keep something in an Airflow Variable, as on releases that have no task state store."""
        from airflow_vectordb.retry_state import RetryState

        context.pop("task_state_store", None)
        return tries(RetryState(context, "test"))  # type: ignore[arg-type]

    @task
    def remember_in_store(**context: object) -> object:
        """Keep something where this Airflow keeps it."""
        from airflow_vectordb.retry_state import RetryState

        return tries(RetryState(context, "test"))  # type: ignore[arg-type]

    def tries(memory: RetryState) -> object:
        """Go through what a replacement does with it."""
        before = memory.get()
        memory.set({"loaded": ["a"], "indexes": []})
        kept = memory.get()
        memory.set({"loaded": [], "indexes": [{"params": {"M": "16"}}]})
        changed = memory.get()
        memory.delete()
        memory.delete()
        return [before, kept, changed, memory.get()]

    remember()
    remember_in_store()

with DAG("errors", schedule=None, default_args={"retries": 3, "retry_delay": timedelta(seconds=1)}):
    CreateIndexOperator(task_id="no_such_collection", collection_name="nowhere", index_params={"fieldName": "vector"})
    CreateIndexOperator(
        task_id="no_such_database", collection_name="x", database="nowhere", index_params={"fieldName": "v"}
    )
    CreateIndexOperator(
        task_id="wrong_token", milvus_conn_id="milvus_wrong", collection_name="x", index_params={"fieldName": "v"}
    )
    CreateIndexOperator(
        task_id="nobody_there",
        milvus_conn_id="milvus_down",
        collection_name="x",
        index_params={"fieldName": "v"},
        retries=1,
    )
