"""Indexes over Milvus Lite, with their names and parameters kept beside it."""

from __future__ import annotations

import json

from airflow_vectordb.local.engine.index_rules import check
from airflow_vectordb.local.engine.lite.catalog import CollectionRecord, IndexRecord
from airflow_vectordb.local.engine.lite.schema_rules import MMAP
from airflow_vectordb.local.engine.lite.store import Store, altered, check_alteration
from airflow_vectordb.local.engine.literals import normalize
from airflow_vectordb.local.engine.model import IndexInfo
from airflow_vectordb.local.engine.names import check_name
from airflow_vectordb.local.errors import already_loaded, index_not_found, invalid, unexpected

_PROPERTIES = frozenset({MMAP, "indexoffsetcache.enabled", "warmup"})


class Indexes:
    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, database: str, collection: str, field: str, name: str, params: dict[str, str]) -> None:
        with self._store.writing(database, collection) as record:
            entry = record.spec.field_named(field)
            if entry is None:
                raise unexpected(f"cannot create index on non-exist field: {field}")
            name = name or field
            check_name("index name", name)
            index = IndexRecord(name, field, check(record.spec, entry, normalize(params)))
            if _exists(record, index):
                return
            self._store.driver.create_index(record, index)
            record.indexes[name] = index
            self._store.catalog.put_collection(record)

    def describe(self, database: str, collection: str) -> list[IndexInfo]:
        record = self._store.catalog.collection(database, collection)
        rows = record.flushed
        return [
            IndexInfo(index.name, index.field, {**index.params, **index.properties}, total=rows, indexed=rows)
            for index in list(record.indexes.values())
        ]

    def alter(self, database: str, collection: str, name: str, properties: dict[str, str], drop: list[str]) -> None:
        check_alteration(properties, drop)
        for key in {*properties, *drop} - _PROPERTIES:
            raise invalid(f"{key} is not a configable index property")
        with self._store.writing(database, collection) as record:
            index = record.indexes.get(name)
            if index is None:
                raise index_not_found(record.name, name)
            if record.loaded:
                raise already_loaded(
                    record.name, "can't alter index on loaded collection, please release the collection first"
                )
            index.properties = altered(index.properties, properties, drop)
            self._store.catalog.put_collection(record)

    def drop(self, database: str, collection: str, name: str) -> None:
        with self._store.writing(database, collection) as record:
            if record.loaded:
                raise unexpected("index cannot be dropped, collection is loaded, please release it first")
            if name not in record.indexes:
                return
            index = record.indexes.pop(name)
            self._store.catalog.put_collection(record)
            self._store.driver.drop_index(record, index.field)


def _exists(record: CollectionRecord, wanted: IndexRecord) -> bool:
    """Whether the same index exists.

    :raises ApiError: 65535 when another one is in its way.
    """
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
