"""What the parts of the Milvus Lite engine share: the service, the catalog and the locks."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_vectordb.local.engine.lite.catalog import Catalog, CollectionRecord
from airflow_vectordb.local.engine.lite.locks import Locks
from airflow_vectordb.local.engine.lite.rpc import LiteRpc
from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.engine.requests import pairs, row_count
from airflow_vectordb.local.errors import ApiError, DiskError, index_not_found, invalid, partition_not_found, unexpected

__all__ = ["DATABASES", "Parts", "check_name", "pairs"]

# The lock of all that adds or removes databases, or needs one to stay; collections have theirs by (database, name).
DATABASES = "databases"

_log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def check_name(kind: str, name: str, code: int = 1100) -> None:
    """Milvus's rule for names: letters, digits and underscores, no digit first, 255 characters at most.

    :param kind: what bears the name, for the message.
    :param code: the error code, which differs by kind.
    """
    if len(name) > 255:
        why = "the length must be at most 255"
    elif not _NAME.fullmatch(name):
        why = "it can only contain letters, digits and underscores, and must not begin with a digit"
    else:
        return
    raise ApiError(code, f"Invalid {kind} name: {name[:255]}. {why}: invalid parameter")


class Parts:
    """Access to collections, one writer or many readers at a time."""

    def __init__(self, directory: Path, rpc: LiteRpc, catalog: Catalog) -> None:
        self._directory = directory
        self._rpc = rpc
        self._catalog = catalog
        self._locks = Locks()
        # Collections with rows that no flush has sealed; unknown after a start, hence all of them.
        self._unflushed = {record.id for record in catalog.records()}

    @contextmanager
    def _reading(self, database: str, name: str) -> Iterator[CollectionRecord]:
        real = self._catalog.collection(database, name).name
        with self._locks.shared((database, real)):
            yield self._catalog.collection(database, real)

    @contextmanager
    def _writing(self, database: str, name: str) -> Iterator[CollectionRecord]:
        real = self._catalog.collection(database, name).name
        with self._locks.exclusive((database, real)):
            record = self._catalog.collection(database, real)
            with self._whole(record):
                yield record

    @contextmanager
    def _whole(self, record: CollectionRecord) -> Iterator[None]:
        """Have the engine open a collection anew when the disk fails it in a change.

        Its memory may lack rows by then that are acknowledged, and what is written next would follow on half of a
        record in its log, where nobody finds it again.
        """
        try:
            yield
        except DiskError:
            self._rpc.let_go(record.database, record.name)
            self._unflushed.add(record.id)
            if record.loaded:
                self._load_if_possible(record)
            raise

    def _load_if_possible(self, record: CollectionRecord) -> None:
        try:
            self._load(record)
        except ApiError as error:
            _log.warning("collection %s of database %s is not loaded: %s", record.name, record.database, error.message)
            # Not kept: the next start tries again.
            record.loaded = False

    def _load(self, record: CollectionRecord) -> None:
        """Load in the engine, which builds what is not built yet."""
        request = milvus_pb2.LoadCollectionRequest(db_name=record.database, collection_name=record.name)
        try:
            self._rpc("LoadCollection", request, record.database)
        except ApiError:
            # The engine trusts the files of indexes that are there, and a crash may have cut one short.
            if not self._rpc.forget_index_files(record.database, record.name):
                raise
            try:
                self._rpc("LoadCollection", request, record.database)
            except ApiError:
                # They take up the disk that they did not fit on.
                self._rpc.forget_index_files(record.database, record.name)
                raise

    def _check_loadable(self, record: CollectionRecord) -> None:
        if not record.indexes:
            raise index_not_found(record.name)
        bare = [entry.name for entry in record.spec.vectors if record.index_on(entry.name) is None]
        if bare:
            raise unexpected(f"there is no vector index on field: {bare}, please create index firstly")

    def _release(self, record: CollectionRecord) -> None:
        request = milvus_pb2.ReleaseCollectionRequest(db_name=record.database, collection_name=record.name)
        self._rpc("ReleaseCollection", request, record.database)

    def _build(self, record: CollectionRecord) -> None:
        """Have every index built now, whether the collection is loaded or not."""
        self._load(record)
        if not record.loaded:
            self._release(record)

    def _live_rows(self, record: CollectionRecord) -> int:
        request = milvus_pb2.GetCollectionStatisticsRequest(db_name=record.database, collection_name=record.name)
        return row_count(self._rpc("GetCollectionStatistics", request, record.database))

    def _show_partitions(self, record: CollectionRecord) -> list[str]:
        """The partitions that the engine has of a collection; the catalog knows them too, and answers in its stead."""
        request = milvus_pb2.ShowPartitionsRequest(db_name=record.database, collection_name=record.name)
        return list(self._rpc("ShowPartitions", request, record.database).partition_names)

    def _partition_rows(self, record: CollectionRecord) -> dict[str, int]:
        """The rows of each partition that has any."""
        counts = {}
        for name in record.partitions:
            request = milvus_pb2.GetPartitionStatisticsRequest(
                db_name=record.database, collection_name=record.name, partition_name=name
            )
            counts[name] = row_count(self._rpc("GetPartitionStatistics", request, record.database))
        return {name: count for name, count in counts.items() if count}

    def _check_partitions(self, record: CollectionRecord, names: list[str]) -> None:
        if not names:
            return
        if any(entry.is_partition_key for entry in record.spec.fields):
            raise invalid("not support manually specifying the partition names if partition key mode is used")
        there = record.partitions
        for name in names:
            if name not in there:
                raise partition_not_found(name)
