"""Milvus Lite as a whole engine: opened on a data directory, and set right after a crash."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from airflow_vectordb.local.engine.base import DEADLINE
from airflow_vectordb.local.engine.lite.alterations import Alterations
from airflow_vectordb.local.engine.lite.catalog import Catalog, CollectionRecord
from airflow_vectordb.local.engine.lite.databases import Aliases, Databases
from airflow_vectordb.local.engine.lite.disk import Reserve, keep_private
from airflow_vectordb.local.engine.lite.hybrid import HybridSearches
from airflow_vectordb.local.engine.lite.imports import Imports
from airflow_vectordb.local.engine.lite.partitions import Partitions
from airflow_vectordb.local.engine.lite.parts import DATABASES
from airflow_vectordb.local.engine.lite.rpc import LiteRpc
from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.errors import ApiError, DiskError

__all__ = ["LiteEngine"]

_log = logging.getLogger(__name__)


class LiteEngine(Databases, Aliases, Alterations, Partitions, HybridSearches, Imports):
    """Milvus Lite in this process, and the catalog beside it.

    :param directory: the data directory; made when it is not there; this user's alone, if it can be.
    :param throwaway: see :class:`~airflow_vectordb.local.engine.lite.catalog.Catalog`.
    :raises DataInUseError: when another process has it open.
    """

    def __init__(self, directory: Path, *, throwaway: bool = False) -> None:
        keep_private(directory)
        # What is thrown away anyway makes room by that.
        reserve = Reserve(directory / "reserve", 0) if throwaway else Reserve(directory / "reserve")
        with reserve.lent():
            rpc = LiteRpc(directory / "engine", reserve)
            try:
                catalog = Catalog(directory / "catalog.sqlite", reserve, throwaway=throwaway)
            except Exception:
                rpc.close()
                raise
            super().__init__(directory, rpc, catalog)
            self._set_right()
        self._start_imports()

    def close(self, timeout: float) -> None:
        """Write out what is in memory and let go of the data directory.

        :param timeout: seconds to wait for calls that are at work; when there are some after it, nothing is done, as
            the engine must not be closed under them. What it has acknowledged is in its log.
        """
        DEADLINE.set(monotonic() + timeout)
        self._stop_imports(timeout / 2)
        keys = [(record.database, record.name) for record in self._catalog.records()]
        try:
            with self._locks.exclusive(DATABASES, *keys):
                self._rpc.close()
                self._catalog.close()
        except (ApiError, OSError) as error:
            _log.info("not closed: %s", error)

    def _set_right(self) -> None:
        """Bring engine and catalog to one state: what was acknowledged is there, what was not is gone."""
        known = set(self._catalog.databases())
        there = set(self._rpc("ListDatabases", milvus_pb2.ListDatabasesRequest()).db_names)
        for record in self._catalog.records():
            if record.state != "ready":
                with self._surviving(record):
                    self._drop(record)
        for name in there - known:
            self._rpc("DropDatabase", milvus_pb2.DropDatabaseRequest(db_name=name))
        for record in self._catalog.records():
            if record.state != "ready":
                continue
            with self._surviving(record):
                if record.new_name:
                    self._end_rename(record)
                if record.copying:
                    self._end_copying(record)
                if record.truncating:
                    self._truncate(record)
                self._set_right_collection(record)
        self._end_imports()
        self._warn_of_strangers()

    @contextmanager
    def _surviving(self, record: CollectionRecord) -> Iterator[None]:
        """Start all the same when the disk keeps a collection from being set right, so that it can be dropped."""
        try:
            with self._whole(record):
                yield
        except DiskError as error:
            _log.warning("collection %s of database %s: %s", record.name, record.database, error.message)

    def _warn_of_strangers(self) -> None:
        for database in self._catalog.databases():
            request = milvus_pb2.ShowCollectionsRequest(db_name=database)
            there = set(self._rpc("ShowCollections", request, database).collection_names)
            for name in there - set(self.list_collections(database)):
                # Not dropped: it holds rows, and somebody may have put it there.
                _log.warning("database %s has a collection that the catalog does not know: %s", database, name)

    def _set_right_collection(self, record: CollectionRecord) -> None:
        request = milvus_pb2.DescribeIndexRequest(db_name=record.database, collection_name=record.name)
        try:
            built = {
                index.field_name for index in self._rpc("DescribeIndex", request, record.database).index_descriptions
            }
        except ApiError as error:
            if error.code != 700:
                raise
            built = set()
        for field in built - {index.field for index in record.indexes.values()}:
            self._forget(record, field)
        # A crash may have come between the engine and the catalog.
        record.partitions = self._show_partitions(record)
        # The engine comes back with every indexed collection released.
        if record.loaded:
            self._load(record)
