"""Milvus Lite as an engine."""

from __future__ import annotations

import logging
from pathlib import Path
from time import monotonic

from airflow_vectordb.local.engine.base import Engine
from airflow_vectordb.local.engine.caller import DEADLINE
from airflow_vectordb.local.engine.lite.catalog import Catalog
from airflow_vectordb.local.engine.lite.collections import Collections
from airflow_vectordb.local.engine.lite.databases import Aliases, Databases
from airflow_vectordb.local.engine.lite.disk import Reserve, keep_private
from airflow_vectordb.local.engine.lite.driver import Driver
from airflow_vectordb.local.engine.lite.entities import Entities
from airflow_vectordb.local.engine.lite.imports import Imports
from airflow_vectordb.local.engine.lite.indexes import Indexes
from airflow_vectordb.local.engine.lite.loading import Loading
from airflow_vectordb.local.engine.lite.milvus_lite_internals import MilvusLiteInternals
from airflow_vectordb.local.engine.lite.partitions import Partitions
from airflow_vectordb.local.engine.lite.recovery import recover
from airflow_vectordb.local.engine.lite.rpc import LiteRpc
from airflow_vectordb.local.engine.lite.schemas import Schemas
from airflow_vectordb.local.engine.lite.searches import Searches
from airflow_vectordb.local.engine.lite.segments import Segments
from airflow_vectordb.local.engine.lite.store import DATABASES, Store
from airflow_vectordb.local.errors import ApiError

_log = logging.getLogger(__name__)


def lite_engine(directory: Path, *, throwaway: bool = False) -> Engine:
    """Open Milvus Lite in this process, and the catalog beside it.

    :param directory: the data directory; made when it does not exist; this user's alone, if it can be.
    :param throwaway: see :class:`~airflow_vectordb.local.engine.lite.catalog.Catalog`.
    :raises DataInUseError: when another process has it open.
    :raises MilvusLiteChangedError: when the installed Milvus Lite is not built as expected.
    """
    keep_private(directory)
    # What is thrown away anyway makes room by that.
    reserve = Reserve(directory / "reserve", 0) if throwaway else Reserve(directory / "reserve")
    with reserve.lent():
        internals = MilvusLiteInternals(directory / "engine")
        try:
            catalog = Catalog(directory / "catalog.sqlite", reserve, throwaway=throwaway)
        except Exception:
            internals.close()
            raise
        rpc = LiteRpc(internals, reserve)
        store = Store(catalog, Driver(rpc, internals))
        databases = Databases(store, rpc)
        collections = Collections(store)
        schemas = Schemas(store)
        segments = Segments(store)
        entities = Entities(store)
        imports = Imports(store, entities, segments, directory)
        recover(store, databases, collections, schemas, segments, imports)
    imports.start()

    def close(timeout: float) -> None:
        # When calls are still at work after it, nothing is done, as the engine must not be closed under them. What it
        # has acknowledged is in its log.
        before = DEADLINE.set(monotonic() + timeout)
        imports.stop(timeout / 2)
        keys = [(record.database, record.name) for record in catalog.records()]
        try:
            with store.locks.exclusive(DATABASES, *keys):
                internals.close()
                catalog.close()
        except (ApiError, OSError) as error:
            _log.info("not closed: %s", error)
        finally:
            DEADLINE.reset(before)

    return Engine(
        databases=databases,
        aliases=Aliases(store),
        collections=collections,
        schemas=schemas,
        partitions=Partitions(store),
        loading=Loading(store),
        segments=segments,
        indexes=Indexes(store),
        entities=entities,
        searches=Searches(store),
        imports=imports,
        close=close,
    )
