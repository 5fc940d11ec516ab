"""How rows are stored over Milvus Lite: flushed, counted, emptied."""

from __future__ import annotations

from airflow_vectordb.local.engine.lite.catalog import CollectionRecord
from airflow_vectordb.local.engine.lite.store import Part
from airflow_vectordb.local.engine.model import CompactionInfo
from airflow_vectordb.local.errors import not_here, partition_not_found


class Segments(Part):
    def flush(self, database: str, collection: str) -> None:
        with self._store.writing(database, collection) as record:
            if record.id in self._store.unflushed:
                self.seal(record)

    def seal(self, record: CollectionRecord) -> None:
        """Seal the rows in memory, and count them."""
        self._driver.flush(record)
        record.flushed_by_partition = self._driver.rows_by_partition(record)
        record.flushed = sum(record.flushed_by_partition.values())
        self._catalog.put_collection(record)
        self._store.unflushed.discard(record.id)

    def row_count(self, database: str, collection: str, partition: str = "") -> int:
        record = self._catalog.collection(database, collection)
        if not partition:
            return record.flushed
        if partition not in record.partitions:
            raise partition_not_found(partition)
        return record.flushed_by_partition.get(partition, 0)

    def truncate(self, database: str, collection: str) -> None:
        with self._store.writing(database, collection) as record:
            record.truncating = True
            self._catalog.put_collection(record)
            self.finish_truncate(record)

    def finish_truncate(self, record: CollectionRecord) -> None:
        """Make the collection again in the engine, whose own way of emptying one cannot be completed after a crash."""
        self._driver.drop(record)
        partitions = record.partitions
        self._driver.create(record)
        existing = self._driver.partitions(record)
        for name in partitions:
            if name not in existing:
                self._driver.create_partition(record, name)
        record.partitions = self._driver.partitions(record)
        for index in record.indexes.values():
            self._driver.create_index(record, index)
        record.flushed, record.flushed_by_partition, record.truncating = 0, {}, False
        self._catalog.put_collection(record)
        self._store.unflushed.discard(record.id)

    def compact(self, database: str, collection: str, *, clustering: bool) -> int:
        record = self._catalog.collection(database, collection)
        if clustering and not record.spec.has_clustering_key:
            raise not_here("clustering compaction without a clustering key")
        # The engine compacts by itself when it flushes; so the job is already done.
        return self._catalog.ids(1)[0]

    def compaction(self, job: int) -> CompactionInfo:
        return CompactionInfo()
