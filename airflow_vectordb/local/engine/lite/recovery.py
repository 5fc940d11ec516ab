"""Bringing Milvus Lite and the catalog to one state: what was acknowledged exists, what was not is gone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_vectordb.local.engine.lite.catalog import CollectionRecord
from airflow_vectordb.local.engine.lite.collections import Collections
from airflow_vectordb.local.engine.lite.databases import Databases
from airflow_vectordb.local.engine.lite.imports import Imports
from airflow_vectordb.local.engine.lite.schemas import Schemas
from airflow_vectordb.local.engine.lite.segments import Segments
from airflow_vectordb.local.engine.lite.store import Store
from airflow_vectordb.local.errors import DiskError

_log = logging.getLogger(__name__)


class Recovery:
    """What a start does before any caller is served; each part completes its own."""

    def __init__(
        self,
        store: Store,
        databases: Databases,
        collections: Collections,
        schemas: Schemas,
        segments: Segments,
        imports: Imports,
    ) -> None:
        self._store = store
        self._databases = databases
        self._collections = collections
        self._schemas = schemas
        self._segments = segments
        self._imports = imports

    def run(self) -> None:
        records = self._store.catalog.records()
        for record in records:
            if record.state != "ready":
                with self._surviving(record):
                    self._collections.finish_drop(record)
        self._databases.recover()
        for record in records:
            if record.state == "ready":
                with self._surviving(record):
                    self._recover(record)
        self._imports.recover()
        self._warn_of_strangers()

    @contextmanager
    def _surviving(self, record: CollectionRecord) -> Iterator[None]:
        """Start nevertheless when the disk keeps a collection from being recovered, so that it can be dropped."""
        try:
            with self._store.reopening(record):
                yield
        except DiskError as error:
            _log.warning("collection %s of database %s: %s", record.name, record.database, error.message)

    def _recover(self, record: CollectionRecord) -> None:
        if record.new_name:
            self._collections.finish_rename(record)
        if record.copying:
            self._schemas.finish_copy(record)
        if record.truncating:
            self._segments.finish_truncate(record)
        driver = self._store.driver
        for field in driver.indexed_fields(record) - {index.field for index in record.indexes.values()}:
            driver.drop_index(record, field)
        # A crash may have come between the engine and the catalog.
        record.partitions = driver.partitions(record)
        # The engine comes back with every indexed collection released.
        if record.loaded:
            driver.load(record)

    def _warn_of_strangers(self) -> None:
        for database in self._databases.names():
            for name in self._store.driver.collections(database) - set(self._collections.names(database)):
                # Not dropped: it holds rows, and somebody may have put it there.
                _log.warning("database %s has a collection that the catalog does not know: %s", database, name)
