"""The hook, and what it makes of an Airflow connection. Each module is loaded when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_vectordb import lazy_face

if TYPE_CHECKING:
    from airflow_vectordb.hooks import connection, connection_test, ingest, milvus

__getattr__, __dir__ = lazy_face(__name__)

__all__ = ["connection", "connection_test", "ingest", "milvus"]
