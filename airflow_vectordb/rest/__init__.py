"""Milvus's RESTful API v2, with no Airflow in it.

A call is made by a function (``indexes.describe("docs", "vector")``) and sent by a client::

    with Client(Endpoint("http://localhost:19530", token="root:Milvus")) as client:
        (index,) = client.send(indexes.describe("docs", "vector"))
"""

from __future__ import annotations

from airflow_vectordb.rest import aliases, collections, databases, entities, errors, import_jobs, indexes, partitions
from airflow_vectordb.rest.aclient import AsyncClient
from airflow_vectordb.rest.client import Client
from airflow_vectordb.rest.endpoint import Endpoint
from airflow_vectordb.rest.index_spec import IndexSpec

__all__ = [
    "AsyncClient",
    "Client",
    "Endpoint",
    "IndexSpec",
    "aliases",
    "collections",
    "databases",
    "entities",
    "errors",
    "import_jobs",
    "indexes",
    "partitions",
]
