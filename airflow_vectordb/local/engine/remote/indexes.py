"""Indexes of a Milvus, with its own names, parameters, states and counts."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.local.engine.index_rules import default_metric
from airflow_vectordb.local.engine.messages import common_pb2
from airflow_vectordb.local.engine.model import IndexInfo
from airflow_vectordb.local.engine.remote.backend import Backend
from airflow_vectordb.local.engine.remote.collections import Collections
from airflow_vectordb.local.engine.requests import pairs, unpaired
from airflow_vectordb.local.errors import ApiError, unexpected


class Indexes:
    def __init__(self, backend: Backend, collections: Collections) -> None:
        self._backend = backend
        self._collections = collections

    def create(self, database: str, collection: str, field: str, name: str, params: dict[str, str]) -> None:
        spec = self._collections.spec(database, collection)
        entry = spec.field_named(field)
        if entry is None and not spec.dynamic:
            raise unexpected(f"cannot create index on non-exist field: {field}")
        sent = {key: value for key, value in params.items() if value}
        # An old Milvus takes IP where no metric is named, whatever the API says of it; and no AUTOINDEX for a scalar.
        if entry is not None and entry.is_vector:
            sent = {"index_type": "AUTOINDEX", "metric_type": default_metric(spec, entry)} | sent
        self._backend.call(
            "CreateIndex",
            db_name=database,
            collection_name=collection,
            field_name=field,
            index_name=name or field,
            extra_params=pairs(sent),
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
