"""Partitions over Milvus Lite, which can load whole collections only: which of them are loaded is kept beside it."""

from __future__ import annotations

from airflow_vectordb.local.engine.lite.catalog import CollectionRecord
from airflow_vectordb.local.engine.lite.parts import Parts, check_name
from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.engine.model import LoadInfo
from airflow_vectordb.local.errors import (
    ApiError,
    invalid,
    no_load_state,
    partition_not_found,
    partition_not_loaded,
    unexpected,
)

__all__ = ["Partitions"]

_DEFAULT = "_default"
_MOST = 1024


class Partitions(Parts):
    """The partitions of the collections of the data directory."""

    def create_partition(self, database: str, collection: str, name: str) -> None:
        check_name("partition", name)
        with self._writing(database, collection) as record:
            _refuse_partition_key(record, "create")
            there = record.partitions
            if name in there:
                return
            if len(there) >= _MOST:
                raise invalid(f"partition number ({len(there)}) exceeds max configuration ({_MOST})")
            request = milvus_pb2.CreatePartitionRequest(
                db_name=record.database, collection_name=record.name, partition_name=name
            )
            self._rpc("CreatePartition", request, record.database)
            record.partitions = self._show_partitions(record)
            self._catalog.put_collection(record)

    def drop_partition(self, database: str, collection: str, name: str) -> None:
        check_name("partition", name)
        with self._writing(database, collection) as record:
            _refuse_partition_key(record, "drop")
            if name == _DEFAULT:
                raise unexpected("default partition cannot be deleted")
            if name not in record.partitions:
                return
            if record.loaded and name in (record.loaded_partitions or [name]):
                raise unexpected("partition cannot be dropped, partition is loaded, please release it first")
            request = milvus_pb2.DropPartitionRequest(
                db_name=record.database, collection_name=record.name, partition_name=name
            )
            self._rpc("DropPartition", request, record.database)
            record.partitions = self._show_partitions(record)
            gone = record.flushed_by_partition.pop(name, 0)
            record.flushed -= gone
            self._catalog.put_collection(record)
            # The engine wrote out what was in memory first; no flush has counted that.
            self._unflushed.add(record.id)

    def load_partitions(self, database: str, collection: str, names: list[str]) -> None:
        with self._writing(database, collection) as record:
            _refuse_partition_key(record, "load")
            self._check_partitions(record, names)
            self._check_loadable(record)
            if record.loaded and not record.loaded_partitions:
                return
            self._load(record)
            before = record.loaded_partitions if record.loaded else []
            record.loaded_partitions = sorted({*before, *names})
            record.loaded = True
            self._catalog.put_collection(record)

    def release_partitions(self, database: str, collection: str, names: list[str]) -> None:
        with self._writing(database, collection) as record:
            _refuse_partition_key(record, "release")
            self._check_partitions(record, names)
            if not record.loaded:
                return
            before = record.loaded_partitions or record.partitions
            record.loaded_partitions = [name for name in before if name not in names]
            record.loaded = bool(record.loaded_partitions)
            self._catalog.put_collection(record)
            if not record.loaded:
                self._release(record)

    def load_state(self, database: str, collection: str, partitions: list[str]) -> LoadInfo:
        check_name("collection", collection)
        try:
            record = self._catalog.collection(database, collection)
        except ApiError:
            raise no_load_state(collection) from None
        if not record.loaded:
            return LoadInfo("LoadStateNotLoad")
        there, loaded = record.partitions, record.loaded_partitions or record.partitions
        # Names are looked up first, all of them. Milvus names the partition that is not loaded by its id.
        reasons = [partition_not_found(name) for name in partitions if name not in there]
        reasons += [
            partition_not_loaded(str(record.id + 1 + there.index(name)))
            for name in partitions
            if name in there and name not in loaded
        ]
        if reasons:
            return LoadInfo("LoadStateLoading", -1, f"{reasons[0].message}.")
        return LoadInfo("LoadStateLoaded", 100)

    def partition_row_count(self, database: str, collection: str, name: str) -> int:
        record = self._catalog.collection(database, collection)
        if name not in record.partitions:
            raise partition_not_found(name)
        return record.flushed_by_partition.get(name, 0)


def _refuse_partition_key(record: CollectionRecord, action: str) -> None:
    if any(entry.is_partition_key for entry in record.spec.fields):
        raise unexpected(f"disable {action} partitions if partition key mode is used")
