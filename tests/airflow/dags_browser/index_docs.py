"""What the tests in a browser look at: a task that creates an index, and one that gives the token away if it can."""

import logging

from airflow.sdk import DAG, task

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.operators.index import CreateIndexOperator

log = logging.getLogger(__name__)


@task
def check_masking(credentials: str) -> None:
    """Log what no log may show."""
    log.info("the connection's credentials: %s", credentials)
    log.info("the hook's token: %s", MilvusHook().config.token)


with DAG("index_docs", schedule=None, params={"collection": "docs", "M": 16}):
    CreateIndexOperator(
        task_id="create_index",
        collection_name="{{ params.collection }}",
        index_params={
            "fieldName": "vector",
            "indexName": "vector_hnsw",
            "metricType": "COSINE",
            "indexType": "HNSW",
            "params": {"M": "{{ params.M }}", "efConstruction": 200},
        },
        flush=True,
        deferrable=False,
    ) >> check_masking("{{ conn.milvus_default.login }}:{{ conn.milvus_default.password }}")
