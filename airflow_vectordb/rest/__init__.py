"""Milvus's RESTful API v2, without Airflow.

A call is made by a function (``indexes.describe("docs", "vector")``) and sent by a client::

    with Client(MilvusConfig("http://localhost:19530", token="root:local-secret")) as client:
        (index,) = client.send(indexes.describe("docs", "vector"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_vectordb import lazy_face

if TYPE_CHECKING:
    from airflow_vectordb.rest import (
        aliases,
        collections,
        compactions,
        databases,
        entities,
        errors,
        fields,
        filters,
        functions,
        import_jobs,
        indexes,
        partitions,
        privilege_groups,
        quota_center,
        resource_groups,
        roles,
        segments,
        users,
    )

    # Used within this package, and not public; the same applies to Session.
    from airflow_vectordb.rest import driver as driver
    from airflow_vectordb.rest import index as index
    from airflow_vectordb.rest import lists as lists
    from airflow_vectordb.rest import schema as schema
    from airflow_vectordb.rest import spelling as spelling
    from airflow_vectordb.rest import text as text
    from airflow_vectordb.rest import wording as wording
    from airflow_vectordb.rest.config import MilvusConfig
    from airflow_vectordb.rest.http.async_client import AsyncClient
    from airflow_vectordb.rest.http.async_client import Session as Session
    from airflow_vectordb.rest.http.client import Client
    from airflow_vectordb.rest.index.spec import IndexSpec

#: Defined here because Airflow reads some of them at the start of every process, and this module loads nothing else.
DEFAULT_PORT = 19530
DEFAULT_DATABASE = "default"
#: Seconds.
DEFAULT_TIMEOUT = 30.0
DEFAULT_RETRIES = 4
#: Seconds: operating systems reject much longer time-outs.
LONGEST_TIMEOUT = 1e9

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "AsyncClient": "http.async_client",
        "Client": "http.client",
        "IndexSpec": "index.spec",
        "MilvusConfig": "config",
        "Session": "http.async_client",
    },
)

__all__ = [
    "AsyncClient",
    "Client",
    "IndexSpec",
    "MilvusConfig",
    "aliases",
    "collections",
    "compactions",
    "databases",
    "entities",
    "errors",
    "fields",
    "filters",
    "functions",
    "import_jobs",
    "indexes",
    "partitions",
    "privilege_groups",
    "quota_center",
    "resource_groups",
    "roles",
    "segments",
    "users",
]
