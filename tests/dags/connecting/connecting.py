"""A DAG that uses one connection after the other, wherever Airflow has it from."""

from __future__ import annotations

import os

from airflow.sdk import DAG, task

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.rest import collections

with DAG("connecting", schedule=None):

    @task
    def reach(milvus_conn_id: str) -> dict[str, object]:
        """Return what is reached, and how."""
        with MilvusHook(milvus_conn_id) as hook:
            config = hook.config
            return {
                "collections": hook.send(collections.list_()),
                "url": config.url,
                "database": config.database,
                "timeout": config.timeout,
                "retries": config.retries,
                "verify": config.verify,
            }

    reach.expand(milvus_conn_id=os.environ["CONNECTIONS"].split())
