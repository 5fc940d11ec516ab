"""An engine with the timing of a cluster: it delays what another engine reports.

The other engine does its work immediately, and is asked each time. Only recent events in each collection are stored
here, with their times: flushes, creations of indexes, loads. They determine how much of the current state is visible.
So nothing has to be completed, neither by a thread nor after a restart, which makes everything visible.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from airflow_vectordb.local.engine.base import Engine
from airflow_vectordb.local.engine.calls import Written
from airflow_vectordb.local.engine.ledger import WHOLE, Ledger
from airflow_vectordb.local.engine.model import DEFAULT_PARTITION, CollectionInfo, CollectionSpec, IndexInfo, LoadInfo
from airflow_vectordb.local.errors import ApiError
from airflow_vectordb.local.pace import Pace

_Key = tuple[str, str]


def paced(engine: Engine, pace: Pace | None, clock: Callable[[], float] = monotonic) -> Engine:
    """Wrap an engine with a pace.

    :param engine: does the work, and knows the truth.
    :param pace: how long things take; None leaves the engine as it is.
    :param clock: gives the time in seconds, from any moment on.
    """
    if pace is None:
        return engine
    ledgers = _Ledgers(engine, pace, clock)
    changed: dict[str, Any] = {
        "collections": _Collections(engine, engine.collections, ledgers),
        "loading": _Loading(engine, engine.loading, ledgers),
        "segments": _Segments(engine, engine.segments, ledgers),
        "indexes": _Indexes(engine, engine.indexes, ledgers),
        "entities": _Entities(engine, engine.entities, ledgers),
    }
    return dataclasses.replace(engine, **changed)


class _Ledgers:
    """The ledgers of an engine's collections."""

    def __init__(self, engine: Engine, pace: Pace, clock: Callable[[], float]) -> None:
        self.pace = pace
        self.clock = clock
        self._engine = engine
        self._ledgers: dict[_Key, Ledger] = {}
        # Held only briefly, and never while the engine works.
        self._lock = threading.Lock()

    def key(self, database: str, name: str) -> _Key | None:
        """Return the key of a collection or alias; None where there is none, or the caller may not know."""
        try:
            return database, self._engine.collections.spec(database, name).name
        except ApiError:
            return None

    def _get(self, key: _Key | None) -> Ledger:
        # A new one hides nothing.
        return Ledger(self.pace) if key is None else self._ledgers.setdefault(key, Ledger(self.pace))

    @contextmanager
    def locked(self, database: str, name: str) -> Iterator[Ledger]:
        """Give the ledger of a collection as it is."""
        key = self.key(database, name)
        with self._lock:
            yield self._get(key)

    @contextmanager
    def updated(self, database: str, name: str) -> Iterator[tuple[Ledger, float]]:
        """Give the ledger of a collection, which knows what the engine counts now, and the time; for itself alone.

        The engine must have been asked before for what is shown: the ledger would not know of what comes after that.
        """
        key = self.key(database, name)
        while True:
            with self._lock:
                version = self._get(key).version
            rows = self._rows(database, name)
            with self._lock:
                ledger = self._get(key)
                # Otherwise a later caller was faster.
                if ledger.version == version:
                    now = self.clock()
                    if rows is not None:
                        ledger.see(rows, now)
                    yield ledger, now
                    return

    def update(self, database: str, name: str) -> None:
        with self.updated(database, name):
            pass

    def _rows(self, database: str, name: str) -> int | None:
        try:
            return self._engine.segments.row_count(database, name)
        except ApiError:
            return None

    def move(self, old: _Key | None, new: _Key | None = None) -> None:
        """Forget the ledger of a collection, or give it to the collection's new name."""
        with self._lock:
            ledger = self._ledgers.pop(old or ("", ""), None)
            if ledger is not None and new is not None:
                self._ledgers[new] = ledger


class _Paced:
    """A part of an engine. Calls that are not here are the engine's own."""

    def __init__(self, engine: Engine, part: Any, ledgers: _Ledgers) -> None:
        self._engine = engine
        self._part = part
        self._ledgers = ledgers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


class _Collections(_Paced):
    def create(self, database: str, spec: CollectionSpec) -> None:
        self._part.create(database, spec)
        self._ledgers.update(database, spec.name)

    def drop(self, database: str, name: str) -> None:
        key = self._ledgers.key(database, name)
        self._part.drop(database, name)
        self._ledgers.move(key)

    def rename(self, database: str, name: str, new_database: str, new_name: str) -> None:
        key = self._ledgers.key(database, name)
        self._part.rename(database, name, new_database, new_name)
        self._ledgers.move(key, (new_database or database, new_name))

    def describe(self, database: str, name: str) -> CollectionInfo:
        info: CollectionInfo = self._part.describe(database, name)
        with self._ledgers.updated(database, name) as (ledger, now):
            if info.load_state == "LoadStateLoaded" and ledger.loaded([], now) < 1:
                return dataclasses.replace(info, load_state="LoadStateLoading")
        return info


class _Entities(_Paced):
    def insert(self, database: str, collection: str, partition: str, columns: list[Any], count: int) -> Written:
        done: Written = self._part.insert(database, collection, partition, columns, count)
        return self._noted(database, collection, partition, done)

    def upsert(
        self, database: str, collection: str, partition: str, columns: list[Any], count: int, *, partial: bool
    ) -> Written:
        done: Written = self._part.upsert(database, collection, partition, columns, count, partial=partial)
        return self._noted(database, collection, partition, done)

    def _noted(self, database: str, collection: str, partition: str, done: Written) -> Written:
        with self._ledgers.locked(database, collection) as ledger:
            ledger.write(partition or DEFAULT_PARTITION, done.count)
        return done


class _Segments(_Paced):
    def flush(self, database: str, collection: str) -> None:
        with self._ledgers.updated(database, collection) as (ledger, now):
            before, written = ledger.flushed, ledger.written
            ledger.begin_flush(now)
        try:
            self._part.flush(database, collection)
        except BaseException:
            with self._ledgers.locked(database, collection):
                ledger.flushed = before
                ledger.sealing -= written
                ledger.written += written
            raise
        self._ledgers.update(database, collection)

    def row_count(self, database: str, collection: str, partition: str = "") -> int:
        rows: int = self._part.row_count(database, collection, partition)
        with self._ledgers.updated(database, collection) as (ledger, now):
            delay = self._ledgers.pace.row_count
            hidden = ledger.hidden_in(partition, now) if partition else ledger.hidden(now, delay)
            return max(0, rows - hidden)


class _Indexes(_Paced):
    def create(self, database: str, collection: str, field: str, name: str, params: dict[str, str]) -> None:
        start = self._ledgers.clock()
        before = self._names(database, collection)
        self._part.create(database, collection, field, name, params)
        after = self._names(database, collection)
        if before is None or after is None:
            return
        with self._ledgers.updated(database, collection) as (ledger, now):
            for index in after - before:
                # When two callers create the same index at the same moment, the first began it.
                if index not in ledger.created or ledger.created[index].ready < start:
                    ledger.create(index, now)

    def _names(self, database: str, collection: str) -> set[str] | None:
        try:
            return {index.name for index in self._part.describe(database, collection)}
        except ApiError:
            return None

    def describe(self, database: str, collection: str) -> list[IndexInfo]:
        found = self._part.describe(database, collection)
        with self._ledgers.updated(database, collection) as (ledger, now):
            return [ledger.show(index, now) for index in found]


class _Loading(_Paced):
    def load(self, database: str, collection: str) -> None:
        missing = self._unloaded(database, collection, [])
        self._part.load(database, collection)
        with self._ledgers.updated(database, collection) as (ledger, now):
            ledger.load(missing, now)

    def load_partitions(self, database: str, collection: str, names: list[str]) -> None:
        missing = self._unloaded(database, collection, names)
        self._part.load_partitions(database, collection, names)
        with self._ledgers.updated(database, collection) as (ledger, now):
            ledger.load(missing, now)

    def _unloaded(self, database: str, name: str, partitions: list[str]) -> list[str]:
        """Return those partitions to be loaded that are not loaded yet; none are given for the whole."""

        def loaded(*names: str) -> bool:
            state: LoadInfo = self._part.state(database, name, list(names))
            return state.state == "LoadStateLoaded"

        try:
            if not loaded():
                return partitions or [WHOLE]
            wanted = partitions or self._engine.collections.describe(database, name).partitions
            return [] if loaded(*wanted) else [one for one in wanted if not loaded(one)]
        except ApiError:
            return []

    def release(self, database: str, collection: str) -> None:
        self._part.release(database, collection)
        with self._ledgers.updated(database, collection) as (ledger, _):
            ledger.loads.clear()

    def release_partitions(self, database: str, collection: str, names: list[str]) -> None:
        self._part.release_partitions(database, collection, names)
        with self._ledgers.updated(database, collection) as (ledger, _):
            for name in names:
                ledger.loads.pop(name, None)

    def state(self, database: str, collection: str, partitions: list[str]) -> LoadInfo:
        found: LoadInfo = self._part.state(database, collection, partitions)
        with self._ledgers.updated(database, collection) as (ledger, now):
            done = ledger.loaded(partitions, now)
        if found.state != "LoadStateLoaded" or done == 1:
            return found
        return LoadInfo("LoadStateLoading", int(done * 100))
