"""A Milvus as an engine."""

from __future__ import annotations

from airflow_vectordb.local.engine.base import Engine
from airflow_vectordb.local.engine.remote.backend import Backend
from airflow_vectordb.local.engine.remote.collections import Collections, Partitions
from airflow_vectordb.local.engine.remote.databases import Aliases, Databases
from airflow_vectordb.local.engine.remote.entities import Entities, Searches
from airflow_vectordb.local.engine.remote.imports import Imports
from airflow_vectordb.local.engine.remote.indexes import Indexes
from airflow_vectordb.local.engine.remote.loading import Loading
from airflow_vectordb.local.engine.remote.rpc import RemoteRpc, Target
from airflow_vectordb.local.engine.remote.schemas import Schemas
from airflow_vectordb.local.engine.remote.segments import Segments


def remote_engine(target: Target) -> Engine:
    """Return a Milvus over gRPC. It need not run yet, and may go and come back: each call says how it finds it."""
    rpc = RemoteRpc(target)
    backend = Backend(rpc)
    loading = Loading(backend)
    collections = Collections(backend, loading)
    return Engine(
        databases=Databases(backend),
        aliases=Aliases(backend),
        collections=collections,
        schemas=Schemas(backend),
        partitions=Partitions(backend, collections),
        loading=loading,
        segments=Segments(backend),
        indexes=Indexes(backend, collections),
        entities=Entities(backend),
        searches=Searches(backend),
        imports=Imports(backend),
        # What the Milvus acknowledged is the Milvus's to keep.
        close=lambda timeout: rpc.close(),
        call=backend.call,
    )
