"""DAGs that use what Airflow offers: templates, files, results of other tasks, mapping, assets, retries."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset, task

from airflow_vectordb.operators.index import CreateIndexOperator, DropIndexOperator

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
