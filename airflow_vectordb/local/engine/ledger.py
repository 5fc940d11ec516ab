"""Recent events in a collection, and how far they are visible, for ``paced``."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from dataclasses import dataclass, field

from airflow_vectordb.local.engine.model import IndexInfo
from airflow_vectordb.local.errors import rate_limited
from airflow_vectordb.local.pace import Pace

WHOLE = ""
"""Stands for the whole collection among partitions that are being loaded."""

# Of a build, the part at whose beginning the state says Finished, though rows are still pending.
_LAST_PART = 0.25


@dataclass(frozen=True)
class _Span:
    start: float
    end: float

    def done(self, now: float) -> float:
        """Return the elapsed share, from 0 to 1."""
        if now >= self.end:
            return 1.0
        return 0.0 if now <= self.start else (now - self.start) / (self.end - self.start)


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
class Ledger:
    """Recent events in a collection.

    :param rows: what the engine counted when it was last asked.
    :param version: changes with it, so that an older answer is not taken for a newer one.
    :param written: rows by partition that no flush has sealed.
    :param sealing: those of a flush that is at work.
    :param uncounted: rows that were written here, by which the collection has not grown yet.
    :param builds: over what flushes sealed, one after the other, in every index that was there.
    :param created: the builds that indexes began with.
    :param loads: by partition, or of the whole.
    """

    pace: Pace
    rows: int | None = None
    version: int = 0
    written: Counter[str] = field(default_factory=Counter)
    sealing: Counter[str] = field(default_factory=Counter)
    uncounted: int = 0
    sealed: list[_Sealed] = field(default_factory=list)
    builds: list[_Build] = field(default_factory=list)
    created: dict[str, _Build] = field(default_factory=dict)
    loads: dict[str, _Span] = field(default_factory=dict)
    flushed: float = -math.inf

    def write(self, partition: str, rows: int) -> None:
        """Record rows that were written."""
        self.written[partition] += rows
        self.uncounted += rows

    def see(self, rows: int, now: float) -> None:
        """Record the current number of rows."""
        pace = self.pace
        self.sealed = [one for one in self.sealed if now < one.at + max(pace.row_count, pace.total_rows)]
        self.builds = [one for one in self.builds if now < one.span.end]
        self.loads = {name: span for name, span in self.loads.items() if now < span.end}
        grown = 0 if self.rows is None else rows - self.rows
        self.version += rows != self.rows
        self.rows = rows
        # More than was written here came with imports, which are not complete before it is counted and built over.
        grown = min(max(0, grown), self.uncounted)
        self.uncounted -= grown
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
        """Count a flush; raise ApiError 1807 when the last one is not long enough ago."""
        if now < self.flushed + self.pace.flush_interval:
            raise rate_limited(1 / self.pace.flush_interval)
        self.flushed = now
        self.sealing += self.written
        self.written = Counter()

    def hidden(self, now: float, delay: float) -> int:
        """Return the rows that are not counted yet, where that takes ``delay`` seconds."""
        return sum(one.grown for one in self.sealed if now < one.at + delay)

    def hidden_in(self, partition: str, now: float) -> int:
        recent = (one for one in self.sealed if now < one.at + self.pace.row_count)
        return sum(one.partitions.get(partition, 0) for one in recent)

    def create(self, index: str, now: float) -> None:
        """Begin an index with a build over what is sealed by now."""
        rows = max(0, (self.rows or 0) - self.hidden(now, self.pace.total_rows))
        start = now + self.pace.issue
        self.created[index] = _Build(rows, now, _Span(start, start + self.pace.building(rows)))

    def show(self, index: IndexInfo, now: float) -> IndexInfo:
        """Return an index as it is described by now."""
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
        names = [WHOLE, *partitions] if partitions else list(self.loads)
        return min((self.loads[name].done(now) for name in names if name in self.loads), default=1.0)
