"""Indexes over Milvus Lite, with their names and parameters kept beside it."""

from __future__ import annotations

import json

from airflow_vectordb.local.engine.index_rules import check, engine_params, normalize
from airflow_vectordb.local.engine.lite.catalog import CollectionRecord, IndexRecord
from airflow_vectordb.local.engine.lite.parts import Parts, check_name, pairs
from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.engine.model import FieldSpec, IndexInfo
from airflow_vectordb.local.errors import ApiError, unexpected

__all__ = ["Indexes"]


class Indexes(Parts):
    """The indexes of the collections of the data directory."""

    def create_index(self, database: str, collection: str, field: str, name: str, params: dict[str, str]) -> None:
        with self._writing(database, collection) as record:
            entry = record.spec.field_named(field)
            if entry is None:
                raise unexpected(f"cannot create index on non-exist field: {field}")
            name = name or field
            check_name("index", name)
            wanted = IndexRecord(name, field, check(record.spec, entry, normalize(params)))
            if self._is_there(record, wanted):
                return
            self._create_in_engine(record, entry, wanted)
            record.indexes[name] = wanted
            self._catalog.put_collection(record)

    def _is_there(self, record: CollectionRecord, wanted: IndexRecord) -> bool:
        same_name = record.indexes.get(wanted.name)
        if same_name is not None and (same_name.field, same_name.params) == (wanted.field, wanted.params):
            return True
        if same_name is not None:
            raise unexpected(
                f"at most one distinct index is allowed per field: there is an index {wanted.name} "
                f"on {same_name.field} with {json.dumps(same_name.params)}"
            )
        on_field = record.index_on(wanted.field)
        if on_field is not None:
            raise unexpected(
                "CreateIndex failed: creating multiple indexes on same field is not supported, at most one distinct "
                f"index is allowed per field: {wanted.field} has {on_field.name}"
            )
        return False

    def _create_in_engine(self, record: CollectionRecord, entry: FieldSpec, index: IndexRecord) -> None:
        index_type, metric, build = engine_params(entry, index.params)
        told = {"index_type": index_type, "params": json.dumps(build)}
        if metric:
            told["metric_type"] = metric
        request = milvus_pb2.CreateIndexRequest(
            db_name=record.database,
            collection_name=record.name,
            field_name=index.field,
            index_name=index.name,
            extra_params=pairs(told),
        )
        try:
            self._rpc("CreateIndex", request, record.database)
            self._build(record)
        except ApiError:
            # The engine keeps an index that it could not build, and would fail on it at each load.
            self._forget(record, index.field)
            raise

    def _forget(self, record: CollectionRecord, field: str) -> None:
        """Have the engine drop the index of a field, and nothing else, whatever the load state."""
        self._release(record)
        # Without the field, or with a name that it does not know, the engine drops every index.
        request = milvus_pb2.DropIndexRequest(
            db_name=record.database, collection_name=record.name, field_name=field, index_name=field
        )
        try:
            self._rpc("DropIndex", request, record.database)
        except ApiError as error:
            if error.code != 700:
                raise
        if record.loaded:
            self._load(record)

    def describe_indexes(self, database: str, collection: str) -> list[IndexInfo]:
        record = self._catalog.collection(database, collection)
        return [
            IndexInfo(
                index.name,
                index.field,
                {**index.params, **index.properties},
                total=record.flushed,
                indexed=record.flushed,
            )
            for index in list(record.indexes.values())
        ]

    def drop_index(self, database: str, collection: str, name: str) -> None:
        with self._writing(database, collection) as record:
            if record.loaded:
                raise unexpected("index cannot be dropped, collection is loaded, please release it first")
            if name not in record.indexes:
                return
            index = record.indexes.pop(name)
            self._catalog.put_collection(record)
            self._forget(record, index.field)
