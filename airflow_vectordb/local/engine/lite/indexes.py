"""Indexes over Milvus Lite, with their names and parameters kept beside it."""

from __future__ import annotations

import dataclasses

from airflow_vectordb.local.engine.index_rules import check, check_buildable, indexed_field
from airflow_vectordb.local.engine.lite.catalog import CollectionRecord, IndexRecord
from airflow_vectordb.local.engine.lite.store import Part, altered
from airflow_vectordb.local.engine.model import IndexInfo
from airflow_vectordb.local.engine.names import check_index_name
from airflow_vectordb.local.errors import already_loaded, index_not_found, unexpected


class Indexes(Part):
    def create(self, database: str, collection: str, field: str, name: str, params: dict[str, str]) -> None:
        with self._store.writing(database, collection) as record:
            check_index_name(name)
            entry = indexed_field(record.spec, field)
            index = IndexRecord(name, field, check(record.spec, entry, params))
            check_buildable(entry, index.params)
            if not name:
                on_field = record.index_on(field)
                index = dataclasses.replace(index, name=on_field.name if on_field else field)
            if _exists(record, index):
                return
            self._driver.create_index(record, index)
            record.indexes[index.name] = index
            self._catalog.put_collection(record)

    def describe(self, database: str, collection: str) -> list[IndexInfo]:
        record = self._catalog.collection(database, collection)
        rows = record.flushed
        return [
            IndexInfo(index.name, index.field, {**index.params, **index.properties}, total=rows, indexed=rows)
            for index in list(record.indexes.values())
        ]

    def alter(self, database: str, collection: str, name: str, properties: dict[str, str], drop: list[str]) -> None:
        with self._store.writing(database, collection) as record:
            index = record.indexes.get(name)
            if index is None:
                raise index_not_found(record.name, name)
            if record.loaded:
                raise already_loaded(
                    record.name, "can't alter index on loaded collection, please release the collection first"
                )
            index.properties = altered(index.properties, properties, drop)
            self._catalog.put_collection(record)

    def drop(self, database: str, collection: str, name: str) -> None:
        with self._store.writing(database, collection) as record:
            index = record.indexes.get(name)
            if index is None:
                return
            entry = record.spec.field_named(index.field)
            if record.loaded and entry is not None and entry.is_vector:
                raise unexpected("index cannot be dropped, collection is loaded, please release it first")
            del record.indexes[name]
            self._catalog.put_collection(record)
            self._driver.drop_index(record, index.field)


def _exists(record: CollectionRecord, wanted: IndexRecord) -> bool:
    """Whether the same index exists.

    :raises ApiError: 65535 when another one is in its way.
    """
    same_name = record.indexes.get(wanted.name)
    if same_name is not None and (same_name.field, same_name.params) == (wanted.field, wanted.params):
        return True
    if same_name is not None:
        what = ", ".join(f"{key} {value}" for key, value in same_name.params.items())
        raise unexpected(
            "CreateIndex failed: at most one distinct index is allowed per field: "
            f"there is an index {wanted.name} on {same_name.field} with {what}"
        )
    on_field = record.index_on(wanted.field)
    if on_field is not None:
        raise unexpected(
            "CreateIndex failed: creating multiple indexes on same field is not supported, at most one distinct "
            f"index is allowed per field: {wanted.field} has {on_field.name}"
        )
    return False
