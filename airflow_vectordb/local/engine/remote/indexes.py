"""Indexes of a Milvus, with its own names, parameters, states and counts."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.local.engine.index_rules import default_metric
from airflow_vectordb.local.engine.messages import common_pb2, milvus_pb2
from airflow_vectordb.local.engine.model import IndexInfo
from airflow_vectordb.local.engine.remote.collections import Collections
from airflow_vectordb.local.engine.requests import pairs
from airflow_vectordb.local.errors import ApiError, unexpected

__all__ = ["Indexes"]


class Indexes(Collections):
    """The indexes of the Milvus's collections."""

    def create_index(self, database: str, collection: str, field: str, name: str, params: dict[str, str]) -> None:
        spec = self.collection_spec(database, collection)
        entry = spec.field_named(field)
        if entry is None and not spec.dynamic:
            raise unexpected(f"cannot create index on non-exist field: {field}")
        told = {key: value for key, value in params.items() if value}
        # An old Milvus takes IP where no metric is named, whatever the API says of it; and no AUTOINDEX for a scalar.
        if entry is not None and entry.is_vector:
            told = {"index_type": "AUTOINDEX", "metric_type": default_metric(spec, entry)} | told
        request = milvus_pb2.CreateIndexRequest(
            db_name=database,
            collection_name=collection,
            field_name=field,
            index_name=name or field,
            extra_params=pairs(told),
        )
        self._rpc("CreateIndex", request)

    def describe_indexes(self, database: str, collection: str) -> list[IndexInfo]:
        request = milvus_pb2.DescribeIndexRequest(db_name=database, collection_name=collection)
        try:
            answer: Any = self._in_database("DescribeIndex", request, database)
        except ApiError as error:
            if error.code == 700:
                return []
            raise
        return [_read(index) for index in answer.index_descriptions]

    def alter_index(
        self, database: str, collection: str, name: str, properties: dict[str, str], drop: list[str]
    ) -> None:
        self._need({"altering an index": (2, 4)} | ({"dropping properties": (2, 5)} if drop else {}))
        request = milvus_pb2.AlterIndexRequest(
            db_name=database,
            collection_name=collection,
            index_name=name,
            extra_params=pairs(properties),
            delete_keys=drop,
        )
        self._in_database("AlterIndex", request, database)

    def drop_index(self, database: str, collection: str, name: str) -> None:
        request = milvus_pb2.DropIndexRequest(db_name=database, collection_name=collection, index_name=name)
        try:
            self._in_database("DropIndex", request, database)
        except ApiError as error:
            if error.code != 700:
                raise


def _read(index: Any) -> IndexInfo:
    return IndexInfo(
        index.index_name,
        index.field_name,
        {pair.key: pair.value for pair in index.params},
        common_pb2.IndexState.Name(index.state),
        index.total_rows,
        index.indexed_rows,
        index.pending_index_rows,
        index.index_state_fail_reason,
    )
