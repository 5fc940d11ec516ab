"""Loading over Milvus Lite, which loads whole collections only: which partitions are loaded is kept beside it."""

from __future__ import annotations

from airflow_vectordb.local.engine.lite.catalog import CollectionRecord
from airflow_vectordb.local.engine.lite.store import Part, check_partitions, refuse_partition_key
from airflow_vectordb.local.engine.model import LoadInfo
from airflow_vectordb.local.errors import (
    ApiError,
    collection_not_loaded,
    index_not_found,
    no_load_state,
    partition_not_found,
    partition_not_loaded,
    unexpected,
)


class Loading(Part):
    def load(self, database: str, collection: str) -> None:
        with self._store.writing(database, collection) as record:
            _check_loadable(record)
            self._driver.load(record)
            record.loaded, record.loaded_partitions = True, []
            self._catalog.put_collection(record)

    def load_partitions(self, database: str, collection: str, names: list[str]) -> None:
        with self._store.writing(database, collection) as record:
            refuse_partition_key(record, "load")
            check_partitions(record, names)
            _check_loadable(record)
            if record.loaded and not record.loaded_partitions:
                return
            self._driver.load(record)
            before = record.loaded_partitions if record.loaded else []
            record.loaded_partitions = sorted({*before, *names})
            record.loaded = True
            self._catalog.put_collection(record)

    def refresh(self, database: str, collection: str) -> None:
        with self._store.reading(database, collection) as record:
            if not record.loaded:
                raise collection_not_loaded(database, collection)

    def release(self, database: str, collection: str) -> None:
        with self._store.writing(database, collection) as record:
            self._keep(record, [])

    def release_partitions(self, database: str, collection: str, names: list[str]) -> None:
        with self._store.writing(database, collection) as record:
            refuse_partition_key(record, "release")
            check_partitions(record, names)
            if record.loaded:
                before = record.loaded_partitions or record.partitions
                self._keep(record, [name for name in before if name not in names])

    def _keep(self, record: CollectionRecord, partitions: list[str]) -> None:
        """Keep these partitions loaded, and release the others."""
        record.loaded, record.loaded_partitions = bool(partitions), partitions
        self._catalog.put_collection(record)
        if not record.loaded:
            self._driver.release(record)

    def state(self, database: str, collection: str, partitions: list[str]) -> LoadInfo:
        try:
            record = self._catalog.collection(database, collection)
        except ApiError:
            raise no_load_state(collection) from None
        if not record.loaded:
            return LoadInfo("LoadStateNotLoad")
        existing, loaded = record.partitions, record.loaded_partitions or record.partitions
        # Names are looked up first, all of them. Milvus names the partition that is not loaded by its id.
        reasons = [partition_not_found(name) for name in partitions if name not in existing]
        reasons += [
            partition_not_loaded(str(record.id + 1 + existing.index(name)))
            for name in partitions
            if name in existing and name not in loaded
        ]
        if reasons:
            return LoadInfo("LoadStateLoading", -1, f"{reasons[0].message}.")
        return LoadInfo("LoadStateLoaded", 100)


def _check_loadable(record: CollectionRecord) -> None:
    if not record.indexes:
        raise index_not_found(record.name)
    bare = [entry.name for entry in record.spec.vectors if record.index_on(entry.name) is None]
    if bare:
        raise unexpected(f"there is no vector index on field: {bare}, please create index firstly")
