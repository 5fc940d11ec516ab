"""The hook, and its handling of Airflow connections. Modules are loaded at first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_vectordb import lazy_face

if TYPE_CHECKING:
    from airflow_vectordb.hooks import connection, connection_test, index_creation, ingest, milvus

__getattr__, __dir__ = lazy_face(__name__)

__all__ = ["connection", "connection_test", "index_creation", "ingest", "milvus"]
