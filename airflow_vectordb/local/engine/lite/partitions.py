"""Partitions over Milvus Lite."""

from __future__ import annotations

from airflow_vectordb.local.engine.lite.store import Part, refuse_partition_key
from airflow_vectordb.local.engine.model import DEFAULT_PARTITION
from airflow_vectordb.local.errors import invalid, unexpected

_MOST = 1024


class Partitions(Part):
    def create(self, database: str, collection: str, name: str) -> None:
        with self._store.writing(database, collection) as record:
            refuse_partition_key(record, "create")
            existing = record.partitions
            if name in existing:
                return
            if len(existing) >= _MOST:
                raise invalid(f"partition number ({len(existing)}) exceeds max configuration ({_MOST})")
            self._driver.create_partition(record, name)
            record.partitions = self._driver.partitions(record)
            self._catalog.put_collection(record)

    def drop(self, database: str, collection: str, name: str) -> None:
        with self._store.writing(database, collection) as record:
            refuse_partition_key(record, "drop")
            if name == DEFAULT_PARTITION:
                raise unexpected("default partition cannot be deleted")
            if name not in record.partitions:
                return
            if record.loaded and name in (record.loaded_partitions or [name]):
                raise unexpected("partition cannot be dropped, partition is loaded, please release it first")
            self._driver.drop_partition(record, name)
            record.partitions = self._driver.partitions(record)
            record.flushed -= record.flushed_by_partition.pop(name, 0)
            self._catalog.put_collection(record)
            # The engine wrote out what was in memory first; no flush has counted that.
            self._store.unflushed.add(record.id)
