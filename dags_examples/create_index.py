"""
Every day: index that day's collection, and go on only when the index is really there.

What must exist: a connection ``milvus_default``, and a collection ``docs_YYYYMMDD`` with a vector field ``vector``.
"""

from airflow.sdk import DAG

from airflow_vectordb.operators.index import CreateIndexOperator

with DAG("create_index", schedule="@daily", catchup=False):
    CreateIndexOperator(
        task_id="create_index",
        collection_name="docs_{{ ds_nodash }}",
        index_params={"fieldName": "vector", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 200}},
    )
