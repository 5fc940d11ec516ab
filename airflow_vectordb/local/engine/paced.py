"""An engine that answers in the time of a cluster: what another engine says, seen through a clock.

That one does its work at once, and is asked each time. Kept here, for each collection, is only what began lately, and
when: rows that a flush sealed, indexes that were created, loads. From that and the time follows how much of the truth
shows already. There is nothing to be finished, neither by a thread nor after a restart, which shows all of it.
"""

from __future__ import annotations

import dataclasses
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, cast

from airflow_vectordb.local.engine.base import Engine, Written
from airflow_vectordb.local.engine.model import CollectionInfo, CollectionSpec, IndexInfo, LoadInfo
from airflow_vectordb.local.errors import ApiError, rate_limited
from airflow_vectordb.local.pace import Pace

__all__ = ["paced"]

_Key = tuple[str, str]

_WHOLE = ""
_DEFAULT_PARTITION = "_default"
# Of a build, the part at whose beginning the state says Finished, though rows are pending yet.
_LAST_PART = 0.25


def paced(engine: Engine, pace: Pace | None, clock: Callable[[], float] = monotonic) -> Engine:
    """Show an engine through a clock.

    :param engine: does the work, and knows the truth.
    :param pace: how long things take; None leaves the engine as it is.
    :param clock: gives the time in seconds, from any moment on.
    """
    return engine if pace is None else cast("Engine", _PacedEngine(engine, pace, clock))


@dataclass(frozen=True)
class _Span:
    start: float
    end: float

    def done(self, now: float) -> float:
        """How much of it has passed, from 0 to 1."""
        return 1.0 if now >= self.end else max(0.0, (now - self.start) / (self.end - self.start))


@dataclass(frozen=True)
class _Sealed:
    """What a flush sealed: by how many rows the collection has grown, and its partitions."""

    at: float
    grown: int
    partitions: dict[str, int]


@dataclass(frozen=True)
class _Build:
    """A build over rows that index descriptions count from ``ready`` on."""

    rows: int
    ready: float
    span: _Span

    def pending(self, now: float) -> int:
        return 0 if now < self.ready else math.ceil(self.rows * (1 - self.span.done(now)))


@dataclass
class _Ledger:
    """What began lately in a collection.

    :param rows: what the engine counted when it was last asked.
    :param version: changes with it, so that an older answer is not taken for a newer one.
    :param written: rows by partition that no flush has sealed.
    :param sealing: those of a flush that is at work.
    :param builds: over what flushes sealed, one after the other, in every index that was there.
    :param created: the builds that indexes began with.
    :param loads: by partition, or of the whole.
    """

    pace: Pace
    rows: int | None = None
    version: int = 0
    written: Counter[str] = field(default_factory=Counter)
    sealing: Counter[str] = field(default_factory=Counter)
    sealed: list[_Sealed] = field(default_factory=list)
    builds: list[_Build] = field(default_factory=list)
    created: dict[str, _Build] = field(default_factory=dict)
    loads: dict[str, _Span] = field(default_factory=dict)
    flushed: float = -math.inf

    def see(self, rows: int, now: float) -> None:
        """Take note of how many rows there are now."""
        pace = self.pace
        self.sealed = [one for one in self.sealed if now < one.at + max(pace.row_count, pace.total_rows)]
        self.builds = [one for one in self.builds if now < one.span.end]
        self.loads = {name: span for name, span in self.loads.items() if now < span.end}
        grown = 0 if self.rows is None else rows - self.rows
        self.version += rows != self.rows
        self.rows = rows
        grown = max(0, grown)
        if not grown and not self.sealing:
            return
        # Rows that came in place of others are built over, though they are no more than there were.
        by_partition, self.sealing = self.sealing, Counter()
        written = by_partition.total()
        shares = {name: count * min(grown, written) // written for name, count in by_partition.items()}
        self.sealed.append(_Sealed(now, grown, shares))
        ready = now + pace.total_rows
        start = max([ready, *(one.span.end for one in self.builds)])
        size = max(grown, written)
        self.builds.append(_Build(size, ready, _Span(start, start + pace.building(size))))

    def begin_flush(self, now: float) -> None:
        """:raises ApiError: 1807 when the last one is not long enough ago."""
        if now < self.flushed + self.pace.flush_interval:
            raise rate_limited(1 / self.pace.flush_interval)
        self.flushed = now
        self.sealing += self.written
        self.written = Counter()

    def hidden(self, now: float, delay: float) -> int:
        """The rows that are not counted yet, where that takes ``delay`` seconds."""
        return sum(one.grown for one in self.sealed if now < one.at + delay)

    def hidden_in(self, partition: str, now: float) -> int:
        recent = (one for one in self.sealed if now < one.at + self.pace.row_count)
        return sum(one.partitions.get(partition, 0) for one in recent)

    def create(self, index: str, now: float) -> None:
        """An index begins with a build over what is sealed by now."""
        rows = max(0, (self.rows or 0) - self.hidden(now, self.pace.total_rows))
        start = now + self.pace.issue
        self.created[index] = _Build(rows, now, _Span(start, start + self.pace.building(rows)))

    def show(self, index: IndexInfo, now: float) -> IndexInfo:
        """An index as it is described by now."""
        first = self.created.get(index.name)
        hidden = self.hidden(now, self.pace.total_rows)
        total = max(0, index.total - hidden)
        # What was sealed before the index was there is part of its first build.
        pending = sum(one.pending(now) for one in self.builds if first is None or one.ready > first.ready)
        state = index.state
        if first is not None and (rows := first.pending(now)):
            pending += rows
            if state == "Finished" and first.span.done(now) < 1 - _LAST_PART:
                state = "Unissued" if now < first.span.start else "InProgress"
        return dataclasses.replace(
            index,
            state=state,
            total=total,
            indexed=max(0, index.indexed - hidden - pending),
            pending=min(total, index.pending + pending),
        )

    def load(self, partitions: list[str], now: float) -> None:
        span = _Span(now, now + self.pace.loading(self.rows or 0))
        for name in partitions:
            self.loads.setdefault(name, span)

    def loaded(self, partitions: list[str], now: float) -> float:
        """How much of some partitions, or of all of it, is loaded by now, from 0 to 1."""
        names = [_WHOLE, *partitions] if partitions else list(self.loads)
        return min((self.loads[name].done(now) for name in names if name in self.loads), default=1.0)


class _PacedEngine:
    """Calls that are not here are the engine's own."""

    def __init__(self, engine: Engine, pace: Pace, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._pace = pace
        self._clock = clock
        self._ledgers: dict[_Key, _Ledger] = {}
        # Held for moments only, and never while the engine is at work.
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def _key(self, database: str, name: str) -> _Key | None:
        """The key of a collection or alias; None where there is none, or the caller may not know."""
        try:
            return database, self._engine.collection_spec(database, name).name
        except ApiError:
            return None

    def _ledger(self, key: _Key | None) -> _Ledger:
        # A new one hides nothing.
        return _Ledger(self._pace) if key is None else self._ledgers.setdefault(key, _Ledger(self._pace))

    @contextmanager
    def _now(self, database: str, name: str) -> Iterator[tuple[_Ledger, float]]:
        """The ledger of a collection, which knows what the engine counts now, and the time; for itself alone.

        What the engine says must have been asked for before: of what comes after that the ledger would not know.
        """
        key = self._key(database, name)
        while True:
            with self._lock:
                version = self._ledger(key).version
            rows = self._rows(database, name)
            with self._lock:
                ledger = self._ledger(key)
                # Somebody who asked later was faster, else.
                if ledger.version == version:
                    now = self._clock()
                    if rows is not None:
                        ledger.see(rows, now)
                    yield ledger, now
                    return

    def _take_note(self, database: str, name: str) -> None:
        with self._now(database, name):
            pass

    def _rows(self, database: str, name: str) -> int | None:
        try:
            return self._engine.row_count(database, name)
        except ApiError:
            return None

    # --- collections ---

    def create_collection(self, database: str, spec: CollectionSpec) -> None:
        self._engine.create_collection(database, spec)
        self._take_note(database, spec.name)

    def drop_collection(self, database: str, name: str) -> None:
        key = self._key(database, name)
        self._engine.drop_collection(database, name)
        with self._lock:
            self._ledgers.pop(key or ("", ""), None)

    def rename_collection(self, database: str, name: str, new_database: str, new_name: str) -> None:
        key = self._key(database, name)
        self._engine.rename_collection(database, name, new_database, new_name)
        with self._lock:
            ledger = self._ledgers.pop(key or ("", ""), None)
            if ledger is not None:
                self._ledgers[new_database or database, new_name] = ledger

    def describe_collection(self, database: str, name: str) -> CollectionInfo:
        info = self._engine.describe_collection(database, name)
        with self._now(database, name) as (ledger, now):
            if info.load_state == "LoadStateLoaded" and ledger.loaded([], now) < 1:
                return dataclasses.replace(info, load_state="LoadStateLoading")
        return info

    # --- rows ---

    def insert(self, database: str, collection: str, partition: str, columns: list[Any], count: int) -> Written:
        done = self._engine.insert(database, collection, partition, columns, count)
        self._wrote(database, collection, partition, done)
        return done

    def upsert(
        self, database: str, collection: str, partition: str, columns: list[Any], count: int, *, partial: bool
    ) -> Written:
        done = self._engine.upsert(database, collection, partition, columns, count, partial=partial)
        self._wrote(database, collection, partition, done)
        return done

    def _wrote(self, database: str, collection: str, partition: str, done: Written) -> None:
        key = self._key(database, collection)
        with self._lock:
            self._ledger(key).written[partition or _DEFAULT_PARTITION] += done.count

    def flush(self, database: str, name: str) -> None:
        with self._now(database, name) as (ledger, now):
            before, written = ledger.flushed, ledger.written
            ledger.begin_flush(now)
        try:
            self._engine.flush(database, name)
        except BaseException:
            with self._lock:
                ledger.flushed = before
                ledger.sealing -= written
                ledger.written += written
            raise
        self._take_note(database, name)

    def row_count(self, database: str, name: str) -> int:
        rows = self._engine.row_count(database, name)
        with self._now(database, name) as (ledger, now):
            return max(0, rows - ledger.hidden(now, self._pace.row_count))

    def partition_row_count(self, database: str, collection: str, name: str) -> int:
        rows = self._engine.partition_row_count(database, collection, name)
        with self._now(database, collection) as (ledger, now):
            return max(0, rows - ledger.hidden_in(name, now))

    # --- indexes ---

    def create_index(self, database: str, collection: str, field: str, name: str, params: dict[str, str]) -> None:
        start = self._clock()
        before = self._index_names(database, collection)
        self._engine.create_index(database, collection, field, name, params)
        after = self._index_names(database, collection)
        if before is None or after is None:
            return
        with self._now(database, collection) as (ledger, now):
            for index in after - before:
                # Of two who create the same at once, the first began it.
                if index not in ledger.created or ledger.created[index].ready < start:
                    ledger.create(index, now)

    def _index_names(self, database: str, collection: str) -> set[str] | None:
        try:
            return {index.name for index in self._engine.describe_indexes(database, collection)}
        except ApiError:
            return None

    def describe_indexes(self, database: str, collection: str) -> list[IndexInfo]:
        found = self._engine.describe_indexes(database, collection)
        with self._now(database, collection) as (ledger, now):
            return [ledger.show(index, now) for index in found]

    # --- loading ---

    def load_collection(self, database: str, name: str) -> None:
        missing = self._unloaded(database, name, [])
        self._engine.load_collection(database, name)
        with self._now(database, name) as (ledger, now):
            ledger.load(missing, now)

    def load_partitions(self, database: str, collection: str, names: list[str]) -> None:
        missing = self._unloaded(database, collection, names)
        self._engine.load_partitions(database, collection, names)
        with self._now(database, collection) as (ledger, now):
            ledger.load(missing, now)

    def _unloaded(self, database: str, name: str, partitions: list[str]) -> list[str]:
        """Which partitions of those to be loaded are not yet; none are given for the whole."""

        def loaded(*names: str) -> bool:
            return self._engine.load_state(database, name, list(names)).state == "LoadStateLoaded"

        try:
            if not loaded():
                return partitions or [_WHOLE]
            wanted = partitions or self._engine.describe_collection(database, name).partitions
            return [] if loaded(*wanted) else [one for one in wanted if not loaded(one)]
        except ApiError:
            return []

    def release_collection(self, database: str, name: str) -> None:
        self._engine.release_collection(database, name)
        with self._now(database, name) as (ledger, _):
            ledger.loads.clear()

    def release_partitions(self, database: str, collection: str, names: list[str]) -> None:
        self._engine.release_partitions(database, collection, names)
        with self._now(database, collection) as (ledger, _):
            for name in names:
                ledger.loads.pop(name, None)

    def load_state(self, database: str, collection: str, partitions: list[str]) -> LoadInfo:
        found = self._engine.load_state(database, collection, partitions)
        with self._now(database, collection) as (ledger, now):
            done = ledger.loaded(partitions, now)
        if found.state != "LoadStateLoaded" or done == 1:
            return found
        return LoadInfo("LoadStateLoading", int(done * 100))
