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


def recover(
    store: Store,
    databases: Databases,
    collections: Collections,
    schemas: Schemas,
    segments: Segments,
    imports: Imports,
) -> None:
    """Complete or undo what a crash interrupted, before any caller is served; each part does so with its own."""
    driver = store.driver
    records = store.catalog.records()
    for record in records:
        if record.state != "ready":
            with _surviving(store, record):
                collections.finish_drop(record)
    databases.recover()
    for record in records:
        if record.state != "ready":
            continue
        with _surviving(store, record):
            if record.new_name:
                collections.finish_rename(record)
            if record.copying:
                schemas.finish_copy(record)
            if record.truncating:
                segments.finish_truncate(record)
            for field in driver.indexed_fields(record) - {index.field for index in record.indexes.values()}:
                driver.drop_index(record, field)
            # A crash may have come between the engine and the catalog.
            record.partitions = driver.partitions(record)
            # The engine comes back with every indexed collection released.
            if record.loaded:
                driver.load(record)
    imports.recover()
    for database in databases.names():
        for name in driver.collections(database) - set(collections.names(database)):
            # Not dropped: it holds rows, and may have been put there on purpose.
            _log.warning("database %s has a collection that the catalog does not know: %s", database, name)


@contextmanager
def _surviving(store: Store, record: CollectionRecord) -> Iterator[None]:
    """Start nevertheless when the disk keeps a collection from being recovered, so that it can be dropped."""
    try:
        with store.reopening(record):
            yield
    except DiskError as error:
        _log.warning("collection %s of database %s: %s", record.name, record.database, error.message)
