"""What the parts of the Milvus Lite engine share: the catalog, Milvus Lite, and a lock for each collection."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from airflow_vectordb.local.engine.lite.catalog import Catalog, CollectionRecord
from airflow_vectordb.local.engine.lite.driver import Driver
from airflow_vectordb.local.engine.lite.locks import Locks
from airflow_vectordb.local.errors import ApiError, DiskError, invalid, partition_not_found, unexpected

DATABASES = "databases"
"""The lock of all that adds or removes databases, or needs one to stay; collections have theirs by (database, name)."""

_log = logging.getLogger(__name__)


class Store:
    """Access to collections, one writer or many readers at a time."""

    def __init__(self, catalog: Catalog, driver: Driver) -> None:
        self.catalog = catalog
        self.driver = driver
        self.locks = Locks()
        # Collections with rows that no flush has sealed; unknown after a start, hence all of them.
        self.unflushed = {record.id for record in catalog.records()}

    @contextmanager
    def reading(self, database: str, name: str) -> Iterator[CollectionRecord]:
        """Give a collection to read from."""
        real = self.catalog.collection(database, name).name
        with self.locks.shared((database, real)):
            yield self.catalog.collection(database, real)

    @contextmanager
    def writing(self, database: str, name: str) -> Iterator[CollectionRecord]:
        """Give a collection to change."""
        real = self.catalog.collection(database, name).name
        with self.locks.exclusive((database, real)):
            record = self.catalog.collection(database, real)
            with self.reopening(record):
                yield record

    @contextmanager
    def reopening(self, record: CollectionRecord) -> Iterator[None]:
        """Have the engine open a collection again when the disk fails it in a change.

        By then its memory may lack acknowledged rows, and what is written next would follow on half of a record in its
        log, where it is never found again.
        """
        try:
            yield
        except DiskError:
            self.driver.let_go(record)
            self.unflushed.add(record.id)
            if record.loaded:
                self._load_if_possible(record)
            raise

    def _load_if_possible(self, record: CollectionRecord) -> None:
        try:
            self.driver.load(record)
        except ApiError as error:
            _log.warning("collection %s of database %s is not loaded: %s", record.name, record.database, error.message)
            # Not kept: the next start tries again.
            record.loaded = False


class Part:
    """A part of the engine."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._catalog = store.catalog
        self._driver = store.driver


def check_alteration(properties: dict[str, str], drop: Sequence[str] = ()) -> None:
    if not properties and not drop:
        raise invalid("the properties to alter and the keys to delete must not be empty at the same time")


def altered(current: dict[str, str], properties: dict[str, str], drop: list[str]) -> dict[str, str]:
    """Return properties as they are after a change."""
    return {key: value for key, value in {**current, **properties}.items() if key not in drop}


def check_partitions(record: CollectionRecord, names: list[str]) -> None:
    """Refuse partitions that do not exist, and any where the partition key decides."""
    if names and record.spec.has_partition_key:
        raise invalid("not support manually specifying the partition names if partition key mode is used")
    for name in names:
        if name not in record.partitions:
            raise partition_not_found(name)


def refuse_partition_key(record: CollectionRecord, action: str) -> None:
    if record.spec.has_partition_key:
        raise unexpected(f"disable {action} partitions if partition key mode is used")
