"""Indexes of a Milvus, with its own names, parameters, states and counts."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.local.engine.index_rules import check, indexed_field
from airflow_vectordb.local.engine.messages import common_pb2
from airflow_vectordb.local.engine.model import IndexInfo
from airflow_vectordb.local.engine.names import check_index_name
from airflow_vectordb.local.engine.remote.backend import Backend
from airflow_vectordb.local.engine.remote.collections import Collections
from airflow_vectordb.local.engine.requests import pairs, unpaired
from airflow_vectordb.local.errors import ApiError


class Indexes:
    def __init__(self, backend: Backend, collections: Collections) -> None:
        self._backend = backend
        self._collections = collections

    def create(self, database: str, collection: str, field: str, name: str, params: dict[str, str]) -> None:
        spec = self._collections.spec(database, collection)
        check_index_name(name)
        # A newer Milvus may have more types.
        strict = self._backend.version()[1] <= (2, 6)
        wanted = check(spec, indexed_field(spec, field), params, strict=strict)
        self._backend.call(
            "CreateIndex",
            db_name=database,
            collection_name=collection,
            field_name=field,
            index_name=name or field,
            extra_params=pairs(wanted),
        )

    def describe(self, database: str, collection: str) -> list[IndexInfo]:
        try:
            answer = self._backend.call_in(database, "DescribeIndex", collection_name=collection)
        except ApiError as error:
            if error.code == 700:
                return []
            raise
        return [_read(index) for index in answer.index_descriptions]

    def alter(self, database: str, collection: str, name: str, properties: dict[str, str], drop: list[str]) -> None:
        self._backend.require({"altering an index": (2, 4)} | ({"dropping properties": (2, 5)} if drop else {}))
        self._backend.call_in(
            database,
            "AlterIndex",
            collection_name=collection,
            index_name=name,
            extra_params=pairs(properties),
            delete_keys=drop,
        )

    def drop(self, database: str, collection: str, name: str) -> None:
        if name not in [index.name for index in self.describe(database, collection)]:
            # An old Milvus refuses that of a collection that is loaded.
            return
        try:
            self._backend.call_in(database, "DropIndex", collection_name=collection, index_name=name)
        except ApiError as error:
            if error.code != 700:
                raise


def _read(index: Any) -> IndexInfo:
    return IndexInfo(
        index.index_name,
        index.field_name,
        unpaired(index.params),
        common_pb2.IndexState.Name(index.state),
        index.total_rows,
        index.indexed_rows,
        index.pending_index_rows,
        index.index_state_fail_reason,
    )
