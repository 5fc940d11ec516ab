"""Changes to what is there already, over Milvus Lite: names, properties, fields, indexes; and emptying."""

from __future__ import annotations

import dataclasses
from contextlib import suppress

from airflow_vectordb.local.engine.lite.additions import Additions
from airflow_vectordb.local.engine.lite.catalog import CollectionRecord
from airflow_vectordb.local.engine.lite.collections import check_field
from airflow_vectordb.local.engine.lite.parts import DATABASES, check_name, pairs
from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.engine.model import CompactionInfo, DatabaseInfo, FieldSpec, FunctionSpec
from airflow_vectordb.local.errors import (
    ApiError,
    collection_not_loaded,
    index_not_found,
    invalid,
    not_here,
    unexpected,
)

__all__ = ["Alterations"]

_TTL = "collection.ttl.seconds"
_DESCRIPTION = "collection.description"
_MMAP = "mmap.enabled"
_INDEX_PROPERTIES = frozenset({_MMAP, "indexoffsetcache.enabled", "warmup"})
_NOTHING = "the properties to alter and the keys to delete must not be empty at the same time"


class Alterations(Additions):
    """What can be changed. Properties that Milvus Lite knows nothing of are kept, and shown, and have no effect."""

    # --- names ---

    def rename_collection(self, database: str, name: str, new_database: str, new_name: str) -> None:
        check_name("collection", new_name)
        if new_database and new_database != database:
            self._catalog.database(new_database)
            raise not_here("moving a collection to another database")
        if name in self._catalog.aliases(database):
            raise unexpected(f"unsupported use an alias to rename collection, alias:{name}")
        with self._locks.shared(DATABASES), self._locks.exclusive((database, name), (database, new_name)):
            record = self._catalog.collection(database, name)
            if self.has_collection(database, new_name):
                raise unexpected(
                    f"duplicated new collection name {database}:{new_name} with other collection name or alias"
                )
            record.new_name = new_name
            self._catalog.put_collection(record)
            request = milvus_pb2.RenameCollectionRequest(db_name=record.database, oldName=record.name, newName=new_name)
            try:
                self._rpc("RenameCollection", request, record.database)
            finally:
                self._end_rename(record)
            # The engine has closed it meanwhile, and opens what is indexed as released.
            if record.loaded:
                self._load(record)

    def _end_rename(self, record: CollectionRecord) -> None:
        """Bring the catalog to the name that the engine has."""
        request = milvus_pb2.HasCollectionRequest(db_name=record.database, collection_name=record.name)
        if self._rpc("HasCollection", request, record.database).value:
            record.new_name = ""
            self._catalog.put_collection(record)
        else:
            self._catalog.rename_collection(record)

    # --- rows ---

    def truncate_collection(self, database: str, name: str) -> None:
        with self._writing(database, name) as record:
            record.truncating = True
            self._catalog.put_collection(record)
            self._truncate(record)

    def _truncate(self, record: CollectionRecord) -> None:
        """Make the collection again in the engine; its own way of emptying one cannot be gone on with after a crash."""
        request = milvus_pb2.DropCollectionRequest(db_name=record.database, collection_name=record.name)
        try:
            self._rpc("DropCollection", request, record.database)
        except ApiError as error:
            if error.code != 100:
                raise
        partitions = record.partitions
        self._create(record)
        for name in partitions:
            if name not in record.partitions:
                again = milvus_pb2.CreatePartitionRequest(
                    db_name=record.database, collection_name=record.name, partition_name=name
                )
                self._rpc("CreatePartition", again, record.database)
        record.partitions = self._show_partitions(record)
        for index in record.indexes.values():
            entry = record.spec.field_named(index.field)
            if entry is not None:
                self._create_in_engine(record, entry, index)
        record.flushed, record.flushed_by_partition, record.truncating = 0, {}, False
        self._catalog.put_collection(record)
        self._unflushed.discard(record.id)

    def refresh_load(self, database: str, name: str) -> None:
        with self._reading(database, name) as record:
            if not record.loaded:
                raise collection_not_loaded(database, name)

    def compact(self, database: str, name: str, *, clustering: bool) -> int:
        self._catalog.collection(database, name)
        if clustering:
            raise not_here("clustering compaction")
        # The engine compacts by itself when it flushes; so the job is one that is done.
        return self._catalog.ids(1)[0]

    def compaction_state(self, job: int) -> CompactionInfo:
        return CompactionInfo()

    # --- properties ---

    def alter_collection(self, database: str, name: str, properties: dict[str, str], drop: list[str]) -> None:
        if not properties and not drop:
            raise invalid(_NOTHING)
        _check_ttl(properties)
        with self._writing(database, name) as record:
            if record.loaded and _MMAP in {*properties, *drop}:
                raise _loaded(record, "can not alter mmap properties if collection loaded")
            request = milvus_pb2.AlterCollectionRequest(
                db_name=record.database, collection_name=record.name, properties=pairs(properties), delete_keys=drop
            )
            self._rpc("AlterCollection", request, record.database)
            changed = {**record.spec.properties, **properties}
            description = changed.pop(_DESCRIPTION, record.spec.description)
            record.spec = dataclasses.replace(
                record.spec, description=description, properties={k: v for k, v in changed.items() if k not in drop}
            )
            self._catalog.put_collection(record)

    def alter_database(self, name: str, properties: dict[str, str], drop: list[str]) -> None:
        if not properties and not drop:
            raise invalid(_NOTHING)
        with self._locks.exclusive(DATABASES):
            found = self._catalog.database(name)
            request = milvus_pb2.AlterDatabaseRequest(db_name=name, properties=pairs(properties), delete_keys=drop)
            self._rpc("AlterDatabase", request, name)
            changed = {key: value for key, value in {**found.properties, **properties}.items() if key not in drop}
            self._catalog.put_database(DatabaseInfo(found.id, name, changed))

    def alter_index(
        self, database: str, collection: str, name: str, properties: dict[str, str], drop: list[str]
    ) -> None:
        if not properties and not drop:
            raise invalid(_NOTHING)
        for key in {*properties, *drop} - _INDEX_PROPERTIES:
            raise invalid(f"{key} is not a configable index property")
        with self._writing(database, collection) as record:
            index = record.indexes.get(name)
            if index is None:
                raise index_not_found(record.name, name)
            if record.loaded:
                raise _loaded(record, "can't alter index on loaded collection, please release the collection first")
            changed = {**index.properties, **properties}
            index.properties = {key: value for key, value in changed.items() if key not in drop}
            self._catalog.put_collection(record)

    # --- fields and functions ---

    def alter_field(self, database: str, collection: str, field: str, params: dict[str, str]) -> None:
        params = {_MMAP if key == "mmap_enabled" else key: value for key, value in params.items()}
        if not params:
            raise invalid(_NOTHING)
        with self._writing(database, collection) as record:
            entry = record.spec.field_named(field)
            if entry is None:
                raise ApiError(1700, f"field not found[field={field}]")
            _check_field_params(entry, params)
            if record.loaded and _MMAP in params:
                raise _loaded(record, "can not alter collection field properties if collection loaded")
            changed = dataclasses.replace(entry, params={**entry.params, **params})
            check_field(changed)
            fields = [changed if one is entry else one for one in record.spec.fields]
            record.spec = dataclasses.replace(record.spec, fields=fields)
            self._catalog.put_collection(record)

    def add_function(self, database: str, collection: str, function: FunctionSpec) -> None:
        self._catalog.collection(database, collection)
        _refuse_function(function.type, "adding")

    def alter_function(self, database: str, collection: str, name: str, function: FunctionSpec) -> None:
        self._check_function(database, collection, name)
        _refuse_function(function.type, "alter")

    def drop_function(self, database: str, collection: str, name: str) -> None:
        # Only BM25 functions can be there.
        self._check_function(database, collection, name)
        _refuse_function("BM25", "droping")

    def _check_function(self, database: str, collection: str, name: str) -> None:
        record = self._catalog.collection(database, collection)
        if all(function.name != name for function in record.spec.functions):
            raise invalid(f"function {name} not exists")


def _refuse_function(kind: str, action: str) -> None:
    if kind == "BM25":
        raise invalid(f"Currently does not support {action} BM25 function")
    raise not_here(f"a {kind} function")


def _loaded(record: CollectionRecord, why: str) -> ApiError:
    return ApiError(104, f"{why}: collection already loaded[collection={record.name}]")


def _check_ttl(properties: dict[str, str]) -> None:
    if _TTL not in properties:
        return
    value = -2
    with suppress(ValueError):
        value = int(properties[_TTL])
    if value < -1:
        raise invalid(f"collection TTL is out of range, expect [-1, 3155760000], got {properties[_TTL]}")


def _check_field_params(entry: FieldSpec, params: dict[str, str]) -> None:
    for key in params:
        if key == "max_length" and "VarChar" not in (entry.type, entry.element_type):
            raise invalid(f"can not modify the maxlength for non-string types: field {entry.name} is {entry.type}")
        if key == "max_capacity" and entry.type != "Array":
            raise invalid(f"can not modify the maxcapacity for non-array types: field {entry.name} is {entry.type}")
        if key not in ("max_length", "max_capacity", _MMAP):
            raise invalid(f"{key} does not allow update in collection field param")
