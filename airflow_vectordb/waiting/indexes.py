"""The condition that indexes are built."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from airflow_vectordb.rest import collections, entities, indexes
from airflow_vectordb.rest.errors import (
    CollectionNotFoundError,
    IndexFailedError,
    IndexNotFoundError,
    MilvusError,
    WaitTimeoutError,
)
from airflow_vectordb.rest.http.call import Call, build_body
from airflow_vectordb.rest.index.description import BuildState, IndexDescription, parse_build_state
from airflow_vectordb.rest.text import sanitize_text
from airflow_vectordb.rest.wording import duration
from airflow_vectordb.waiting.base import Done, Memory, Pending, Poll, PollResult, Progress
from airflow_vectordb.waiting.sealed_rows import STANDSTILL, SealedRows

#: Seconds between counts of the rows while an index covers too few.
COUNT_INTERVAL = 300.0

Described = IndexDescription | BuildState


@dataclass(frozen=True)
class IndexesBuilt:
    """
    Indexes are built: Finished, nothing pending, *and* covering the rows, if that is requested.

    A server reports ``Finished`` while hundreds of thousands of rows are still pending (milvus#40580, pymilvus#3049),
    and for seconds after a flush while its rows are not even counted. ``indexedRows`` is not used: it may stay below
    ``totalRows`` forever, since small segments get no index.

    **After a flush** the server does not report when its rows are counted. So the wait continues until the collection's
    row count has not changed for a while, and each index is reported to have that many rows (see ``sealed_rows.py``).
    If others keep writing, rows may always be pending: then an index also counts as built when it covers more rows than
    were flushed.

    **``min_rows``** are covered as soon as they were reported once: an upsert leaves replaced rows in place until a
    compaction, so the counts fall later. Where they are not covered, and nothing is pending, the progress has the
    number of rows by ``count(*)``, and what to do. If all rows are flushed and indexed, and there are fewer, the wait
    ends with an error.

    :param collection: name of the collection
    :param index_names: names of the indexes; empty: all indexes of the collection, at least one
    :param database: None: the configured one
    :param wait_if_missing: whether to wait for an index, or a collection, that does not exist yet; otherwise that is an
        error
    :param min_rows: rows that each index has to cover
    :param flushed_rows: rows that the collection had when it was flushed; 0: not known; None: it was not flushed
    """

    collection: str
    index_names: tuple[str, ...] = ()
    database: str | None = None
    wait_if_missing: bool = False
    min_rows: int = 0
    flushed_rows: int | None = None

    def poll(self, memory: Memory) -> Poll:
        """
        Describe each index.

        :raises IndexFailedError: if the build of one of them failed
        :raises IndexNotFoundError: if one of them no longer exists
        :raises CollectionNotFoundError: if the collection no longer exists
        :raises WaitTimeoutError: if all rows have long been flushed and indexed, and are fewer than ``min_rows``
        """
        try:
            return (yield from self._poll(memory))
        except (IndexNotFoundError, CollectionNotFoundError):
            if not self.wait_if_missing:
                raise
        return Pending(tuple(Progress(label, "not there yet") for label in self._labels()))

    def _poll(self, memory: Memory) -> Poll:
        flushed = self._flushed(memory)
        if flushed is not None and (not flushed.covered or self._lacks_rows(memory)):
            # Before the descriptions, which must cover the rows counted here.
            yield from flushed.poll()
        found: list[BuildState] = []
        for name in self.index_names or (yield indexes.list_(self.collection, database=self.database)):
            if name not in memory.calls:
                memory.calls[name] = self._state_of(name)
            found += yield memory.calls[name]
        if not found:
            raise IndexNotFoundError(f"collection {self.collection!r} has no index")
        self._raise_if_failed(found)
        if self._lacks_rows(memory) and self._has_min_rows(found):
            memory.remaining = self.after(found)
        min_rows = self.min_rows if self._lacks_rows(memory) else 0
        required, enough = min_rows, 0
        if flushed is not None:
            if flushed.sealed is None:
                text = f"waiting until flushed rows are counted ({flushed.counted:,} so far)"
                label = self._label(found[0]) if len(found) == 1 else self.collection
                return Pending((Progress(label, text),))
            described = min(d.total_rows or 0 for d in found)
            flushed.compare(described, built=all(map(is_built, found)))
            if not flushed.covered:  # once they are, deletions and compactions may lower the counts
                required = max(required, flushed.sealed)
            enough = max(min_rows, flushed.sealed)
            if min_rows and flushed.stands_still_below(min_rows):
                raise self._too_few(described)
        if all((is_built(d) or 0 < enough < (d.covered_rows or 0)) and _has_rows(d, required) for d in found):
            return _done(found)
        if not required and all(map(_may_be_empty, found)):
            # No sealed rows, and not issued: either the collection is empty, with nothing to build, or the server has
            # not counted yet.
            rows = yield collections.row_count(self.collection, database=self.database)
            if rows == 0:
                return _done(found)
        memory.diagnosis = None
        if min_rows and all(is_built(d) or _may_be_empty(d) for d in found):
            rows = min(d.total_rows or 0 for d in found)
            yield from self._count(memory, rows)
            memory.diagnosis = _why_too_few(rows, memory.alive_rows, min_rows, flushed=flushed is not None)
        return Pending(tuple([self._progress(description, required, memory.diagnosis) for description in found]))

    def _state_of(self, name: str) -> Call[list[BuildState]]:
        body = build_body(self.database, collectionName=self.collection, indexName=name)
        return Call("indexes/describe", body, partial(indexes.read_named, parse_build_state, name))

    def _lacks_rows(self, memory: Memory) -> bool:
        return self.min_rows > 0 and memory.remaining is None

    def _count(self, memory: Memory, indexed: int) -> Generator[Call[Any], Any, None]:
        now = memory.clock()
        if now - memory.alive_rows_at < COUNT_INTERVAL and (memory.alive_rows is None or memory.alive_rows >= indexed):
            return
        memory.alive_rows, memory.alive_rows_at = None, now
        try:
            memory.alive_rows = yield entities.count(self.collection, database=self.database)
        except MilvusError as error:  # the collection is not loaded, for instance: the wait does not depend on it
            if error.transient:
                memory.alive_rows_at = float("-inf")

    def _has_min_rows(self, found: Sequence[Described]) -> bool:
        return all(_has_rows(description, self.min_rows) for description in found)

    def after(self, found: Sequence[Described]) -> IndexesBuilt:
        """Return what is left to wait for after indexes were described: ``min_rows`` count once."""
        return replace(self, min_rows=0) if self._has_min_rows(found) else self

    def _too_few(self, rows: int) -> WaitTimeoutError:
        return WaitTimeoutError(
            f"nothing has changed for {duration(STANDSTILL)}; waited for: {self}",
            cause=f"{rows:,} rows are flushed and indexed, fewer than min_rows={self.min_rows:,}",
            hint="Do rows share keys? Lower it then.",
        )

    def _flushed(self, memory: Memory) -> SealedRows | None:
        if self.flushed_rows is not None and memory.sealed is None:
            memory.sealed = SealedRows(self.collection, self.database, self.flushed_rows, memory.clock)
        return memory.sealed

    def judge(self, found: Sequence[IndexDescription]) -> PollResult:
        """
        Return whether all indexes are built, by their current descriptions.

        :return: ``Pending`` if only a further poll can decide
        :raises IndexFailedError: when the server gave up on one of them
        :raises IndexNotFoundError: when one of them is being dropped
        """
        self._raise_if_failed(found)
        if self.flushed_rows is None and all(_has_rows(d, self.min_rows) and is_built(d) for d in found):
            return _done(found)
        return Pending(tuple(self._progress(description, self.min_rows) for description in found))

    def _raise_if_failed(self, found: Sequence[Described]) -> None:
        for description in found:
            if description.state == "Failed":
                reason = sanitize_text(description.fail_reason, 2000) or "the server gives no reason"
                raise IndexFailedError(f"{self._named(description)} could not be built: {reason}")
            if description.state == "Deleted":
                raise IndexNotFoundError(f"{self._named(description)} was dropped while its build was waited for")

    def _progress(self, description: Described, required: int, why: tuple[str, str] | None = None) -> Progress:
        total = description.total_rows or 0
        if total < required:
            text = f"{total:,} of at least {required:,} rows are sealed"
            return Progress(self._label(description), text if why is None else f"{text} ({': '.join(why)})")
        done = description.covered_rows
        if done is not None:
            done = min(max(0, done), total)  # inconsistent counts
        state = sanitize_text(description.state, 100) or "unknown state"
        return Progress(self._label(description), state, done if total else None, total or None)

    def _named(self, description: Described) -> str:
        return f"index {description.index_name!r} of {self.collection!r}"

    def _label(self, description: Described) -> str:
        return f"{self.collection}/{description.index_name}"

    def _labels(self) -> list[str]:
        return [f"{self.collection}/{name}" for name in self.index_names] or [self.collection]

    def __str__(self) -> str:
        if not self.index_names:
            return f"the indexes of collection {self.collection!r}"
        names = ", ".join(map(repr, self.index_names))
        return f"index{'es' if len(self.index_names) > 1 else ''} {names} of collection {self.collection!r}"


def _why_too_few(indexed: int, alive: int | None, min_rows: int, *, flushed: bool) -> tuple[str, str]:
    """Explain an idle index that has fewer rows than ``min_rows``, with advice."""
    if alive is None:
        return f"{indexed:,} rows are indexed, fewer than min_rows={min_rows:,}", "Flush if there are more, or lower it"
    if alive < min_rows:
        return f"{alive:,} rows exist, fewer than min_rows={min_rows:,}", "Insert the others, or lower it"
    return f"{alive:,} rows exist, {indexed:,} of them sealed", "Flush again" if flushed else "Flush the collection"


def is_built(description: Described) -> bool:
    """Return whether an index is built."""
    if description.state != "Finished":
        return False
    if description.pending_rows is not None:
        return description.pending_rows <= 0
    # Servers without pending counts: Finished counts, unless their other counts contradict it.
    total, done = description.total_rows, description.indexed_rows
    return total is None or done is None or done >= total


def _has_rows(description: Described, rows: int) -> bool:
    return (description.total_rows or 0) >= rows


def _may_be_empty(description: Described) -> bool:
    return (
        description.state in ("", "IndexStateNone", "Unissued")
        and not description.total_rows
        and not description.pending_rows
    )


def _done(found: Sequence[Described]) -> Done:
    return Done([description.as_json() for description in found])


__all__ = ["IndexesBuilt", "is_built"]
