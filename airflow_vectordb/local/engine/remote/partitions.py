"""Partitions of a Milvus."""

from __future__ import annotations

from airflow_vectordb.local.engine.remote.backend import Backend
from airflow_vectordb.local.engine.remote.collections import Collections
from airflow_vectordb.local.errors import ApiError


class Partitions:
    def __init__(self, backend: Backend, collections: Collections) -> None:
        self._backend = backend
        self._collections = collections

    def create(self, database: str, collection: str, name: str) -> None:
        # Milvus's REST API takes one that exists for created; over gRPC only newer servers do.
        if name in self._collections.describe(database, collection).partitions:
            return
        self._backend.call_in(database, "CreatePartition", collection_name=collection, partition_name=name)

    def drop(self, database: str, collection: str, name: str) -> None:
        try:
            self._backend.call_in(database, "DropPartition", collection_name=collection, partition_name=name)
        except ApiError as error:
            if error.code != 200:
                raise
