"""Tasks that replace an index of a loaded collection, each of which is killed somewhere on the way."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_vectordb.operators.index import CreateIndexOperator

with DAG("replacing", schedule=None, default_args={"retry_delay": timedelta(seconds=1)}):
    for step, retries in {"release": 1, "drop": 1, "create": 1, "load": 1, "each": 4}.items():
        CreateIndexOperator(
            task_id=f"after_{step}",
            milvus_conn_id="milvus_proxied",
            collection_name=f"replacing_{step}",
            index_params={"fieldName": "vector", "indexType": "HNSW", "params": {"M": 32, "efConstruction": 64}},
            if_exists="replace",
            deferrable=False,
            retries=retries,
        )
