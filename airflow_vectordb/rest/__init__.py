"""Milvus's RESTful API v2, with no Airflow in it.

A call is made by a function (``indexes.describe("docs", "vector")``) and sent by a client::

    with Client(Endpoint("http://localhost:19530", token="root:local-secret")) as client:
        (index,) = client.send(indexes.describe("docs", "vector"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_vectordb.rest import (
        aliases,
        collections,
        databases,
        entities,
        errors,
        import_jobs,
        indexes,
        partitions,
    )
    from airflow_vectordb.rest.config import MilvusConfig
    from airflow_vectordb.rest.http.async_client import AsyncClient
    from airflow_vectordb.rest.http.client import Client
    from airflow_vectordb.rest.index.spec import IndexSpec

#: A DAG file pays for what it uses alone (PEP 562): name -> the module that has it.
_OF = {"AsyncClient": "http.async_client", "Client": "http.client", "MilvusConfig": "config", "IndexSpec": "index.spec"}

__all__ = [
    "AsyncClient",
    "Client",
    "IndexSpec",
    "MilvusConfig",
    "aliases",
    "collections",
    "databases",
    "entities",
    "errors",
    "import_jobs",
    "indexes",
    "partitions",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_OF.get(name, name)}")
    return getattr(module, name) if name in _OF else module


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
