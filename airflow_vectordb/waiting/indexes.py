"""The condition that indexes are built."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from airflow_vectordb.rest import collections, entities, errors, indexes
from airflow_vectordb.rest.http.call import Call, build_body
from airflow_vectordb.rest.index.description import BuildState, IndexDescription, parse_build_state
from airflow_vectordb.rest.text import sanitize_text
from airflow_vectordb.rest.wording import duration
from airflow_vectordb.waiting.base import Done, Memory, Pending, Poll, PollResult, Progress

#: Seconds between counts of the rows while an index covers too few.
COUNT_INTERVAL = 300.0
#: Seconds for which the row count must be stable before it counts as final. The server answers a flush before it
#: counts, and does not report when it is done: on Milvus 2.6.3 the count was right after 0.4 to 0.75 s.
SETTLING_TIME = 5.0
#: Seconds after which the current row count is used: if others keep writing, it never settles.
LONGEST_SETTLING_TIME = 3 * SETTLING_TIME
#: Seconds after which indexes that are built are believed to have fewer rows than are counted: others may have inserted
#: rows since the flush, which are counted too, and are in no index until they are sealed. Milvus 2.6.3 reported 2.9 s
#: after a flush what it sealed.
LONGEST_LAG = 60.0
#: Seconds after which no more rows are expected, when all that are counted are indexed. Rows that came after the flush
#: are counted before that: Milvus by itself seals what nobody has added to for ten minutes.
STANDSTILL = 900.0

Described = IndexDescription | BuildState
#: The fields of a :class:`BuildState` from its name to its counts.
_COUNTS = BuildState._fields.index("pending_rows") + 1


@dataclass(frozen=True)
class IndexesBuilt:
    """
    Indexes are built: Finished, nothing pending, *and* covering the rows, if that is requested.

    A server reports ``Finished`` while hundreds of thousands of rows are still pending (milvus#40580, pymilvus#3049),
    and for seconds after a flush while its rows are not even counted. ``indexedRows`` is not used: it may stay below
    ``totalRows`` forever, since small segments get no index.

    **After a flush** the wait continues until the collection's row count has not changed for a while, and each index is
    reported to have that many rows. If others keep writing, rows may always be pending: then an index also counts as
    built when it covers more rows than were flushed.

    **``min_rows``** are covered as soon as they were reported once: an upsert leaves replaced rows in place until a
    compaction, so the counts fall later. If all rows are flushed and indexed, and there are fewer, it ends with an
    error.

    :param index_names: names of the indexes; empty: all indexes of the collection, at least one
    :param wait_if_missing: whether to wait for an index, or a collection, that does not exist yet; otherwise that is an
        error
    :param min_rows: rows that each index has to cover
    :param flushed_rows: rows that the collection had when it was flushed; 0: not known; None: it was not flushed
    :param covered: whether each index was reported to cover ``min_rows`` before
    """

    collection: str
    index_names: tuple[str, ...] = ()
    wait_if_missing: bool = False
    min_rows: int = 0
    flushed_rows: int | None = None
    covered: bool = False

    def poll(self, memory: Memory) -> Poll:
        """
        Describe each index.

        :raises IndexFailedError: if the build of one of them failed
        :raises IndexNotFoundError: if one of them no longer exists
        :raises CollectionNotFoundError: if the collection no longer exists
        :raises WaitTimeoutError: if all rows have long been flushed and indexed, and are fewer than ``min_rows``
        """
        return self._poll_if_there(memory) if self.wait_if_missing else self._poll(memory)

    def _poll_if_there(self, memory: Memory) -> Poll:
        try:
            return (yield from self._poll(memory))
        except (errors.IndexNotFoundError, errors.CollectionNotFoundError) as error:
            # What comes may be another collection, with other rows.
            memory.diagnosis = None
            memory.remaining = replace(self, covered=False)
            memory.state = _Rows(memory.remaining, memory.clock)
            labels = [self._label(name) for name in self.index_names] or [self.collection]
            why = " (the collection does not exist)" if isinstance(error, errors.CollectionNotFoundError) else ""
            return Pending(tuple(Progress(label, f"not there yet{why}") for label in labels))

    def _poll(self, memory: Memory) -> Poll:
        if memory.state is None:
            memory.state = _Rows(self, memory.clock)
        rows: _Rows = memory.state
        min_rows = rows.required
        if self.flushed_rows is not None and (min_rows or not rows.covered):
            # Before the descriptions, which must cover the rows counted here.
            yield from rows.poll()
        found: list[BuildState] = []
        for name in self.index_names or (yield indexes.list_(self.collection)):
            if name not in self._calls:
                body = build_body(collectionName=self.collection, indexName=name)
                read = partial(indexes.read_named, parse_build_state, name)
                self._calls[name] = Call("indexes/describe", body, read)
            found += yield self._calls[name]
        if not found:
            raise errors.IndexNotFoundError(f"collection {self.collection!r} has no index")
        self._raise_if_failed(found)
        described = min([d.total_rows or 0 for d in found])
        if 0 < min_rows <= described:
            memory.remaining, rows.required, min_rows = self.after(found), 0, 0
        required, enough = min_rows, 0
        if self.flushed_rows is not None:
            if rows.sealed is None:
                text = f"waiting until flushed rows are counted ({rows.counted:,} so far)"
                return Pending(
                    (Progress(self._label(found[0].index_name) if len(found) == 1 else self.collection, text),)
                )
            rows.compare(described, built=all(map(is_built, found)))
            if not rows.covered:  # once they are, deletions and compactions may lower the counts
                required = max(required, rows.sealed)
            enough = max(min_rows, rows.sealed)
            if rows.stands_still_below(min_rows):
                raise errors.WaitTimeoutError(
                    f"nothing has changed for {duration(STANDSTILL)}; waited for: {self}",
                    cause=f"{described:,} rows are flushed and indexed, fewer than min_rows={min_rows:,}",
                    hint="Do rows share keys? Lower it then.",
                )
        if described >= required and all(is_built(d) or 0 < enough < (d.covered_rows or 0) for d in found):
            return _done(found)
        if not (required or described) and all(map(_may_be_empty, found)):
            # No sealed rows, and not issued: either the collection is empty, with nothing to build, or the server has
            # not counted yet.
            count = yield collections.row_count(self.collection)
            if count == 0:
                return _done(found)
        memory.diagnosis = None
        if min_rows and all(is_built(d) or _may_be_empty(d) for d in found):
            alive = yield from rows.count_alive(described)
            memory.diagnosis = _why_too_few(described, alive, min_rows, flushed=self.flushed_rows is not None)
        seen = (required, memory.diagnosis, [state[:_COUNTS] for state in found])
        if seen != rows.seen:
            progress = [self._progress(description, required, memory.diagnosis) for description in found]
            rows.seen, rows.pending = seen, Pending(tuple(progress))
        return rows.pending

    @cached_property
    def _calls(self) -> dict[str, Call[list[BuildState]]]:
        """The calls that each poll makes, by index."""
        return {}

    def after(self, found: Sequence[Described]) -> IndexesBuilt:
        """Return what is left to wait for after indexes were described: ``min_rows`` count once."""
        return replace(self, covered=True) if all((d.total_rows or 0) >= self.min_rows for d in found) else self

    def judge(self, found: Sequence[IndexDescription]) -> PollResult:
        """
        Return whether all indexes are built, by their current descriptions.

        :return: ``Pending`` if only a further poll can decide
        :raises IndexFailedError: when the server gave up on one of them
        :raises IndexNotFoundError: when one of them is being dropped
        """
        self._raise_if_failed(found)
        if self.flushed_rows is None and all((d.total_rows or 0) >= self.min_rows and is_built(d) for d in found):
            return _done(found)
        return Pending(tuple(self._progress(description, self.min_rows) for description in found))

    def _raise_if_failed(self, found: Sequence[Described]) -> None:
        for description in found:
            if description.state not in ("Failed", "Deleted"):
                continue
            name = f"index {description.index_name!r} of {self.collection!r}"
            if description.state == "Deleted":
                raise errors.IndexNotFoundError(f"{name} was dropped during the wait for its build")
            reason = sanitize_text(description.fail_reason, 2000) or "the server gives no reason"
            raise errors.IndexFailedError(f"{name} could not be built: {reason}")

    def _progress(self, description: Described, required: int, why: tuple[str, str] | None = None) -> Progress:
        label, total = self._label(description.index_name), description.total_rows or 0
        if total < required:
            text = f"{total:,} of at least {required:,} rows are sealed"
            return Progress(label, text if why is None else f"{text} ({': '.join(why)})")
        state = sanitize_text(description.state, 100) or "unknown state"
        done = description.covered_rows
        if not total or done is None:
            return Progress(label, state, total=total or None)
        return Progress(label, state, min(max(0, done), total), total)  # counts may be inconsistent

    def _label(self, index_name: str) -> str:
        return f"{self.collection}/{index_name}"

    def __str__(self) -> str:
        if not self.index_names:
            return f"the indexes of collection {self.collection!r}"
        names = ", ".join(map(repr, self.index_names))
        return f"index{'es' if len(self.index_names) > 1 else ''} {names} of collection {self.collection!r}"


class _Rows:
    """
    Tracks how many rows of a collection there are, and how many are sealed since it was flushed.

    That is inferred from polls, since the server does not report when it has counted them.
    """

    def __init__(self, condition: IndexesBuilt, clock: Callable[[], float]) -> None:
        self._collection = condition.collection
        self._expected = condition.flushed_rows or 0
        self._clock = clock
        #: Rows that each index has yet to be reported to cover.
        self.required = 0 if condition.covered else condition.min_rows
        self._began = self._unchanged_since = self._described_since = clock()
        self._described = 0
        self._alive: int | None = None
        self._alive_at = float("-inf")
        #: What the latest poll saw, and returned: thousands of waits see the same again and again.
        self.seen: Any = None
        self.pending = Pending(())
        #: The server's last row count; None: not requested yet.
        self.counted: int | None = None
        #: Rows that the flush sealed; None: unknown.
        self.sealed: int | None = None
        #: Whether all indexes are reported to have that many rows.
        self.covered = False

    def poll(self) -> Generator[Call[Any], Any, None]:
        """Get the row count, and decide whether it has settled."""
        rows: int = yield collections.row_count(self._collection)
        now = self._clock()
        if rows != self.counted:
            self.counted, self._unchanged_since = rows, now
        settled = now - self._unchanged_since >= SETTLING_TIME
        if not settled and (self.sealed is not None or now - self._began < LONGEST_SETTLING_TIME):
            return
        if self._expected > rows:  # not counted yet, or deleted meanwhile
            try:
                alive: int = yield entities.count(self._collection)
            except errors.MilvusError as error:
                if error.transient:
                    raise
                alive = 0  # it cannot be counted: the collection was released, for instance
            self._expected = min(self._expected, alive)
        sealed = max(rows, self._expected)
        # It never increases: later writes were not flushed. Deletions and compactions lower it.
        self.sealed = sealed if self.sealed is None else min(self.sealed, sealed)

    def compare(self, described: int, *, built: bool) -> None:
        """
        Record the row counts of the indexes.

        :param described: rows that each of them has at least
        """
        now = self._clock()
        if described != self._described or not built:
            self._described, self._described_since = described, now
        reached = self.sealed is not None and described >= self.sealed
        self.covered = self.covered or reached or now - self._described_since >= LONGEST_LAG

    def stands_still_below(self, rows: int) -> bool:
        """Return whether the row count has long been lower than requested, with no work left for the indexes."""
        since = max(self._unchanged_since, self._described_since)
        counted = max(self.counted or 0, self.sealed or 0)
        return counted < rows and self.covered and self._clock() - since >= STANDSTILL

    def count_alive(self, indexed: int) -> Generator[Call[Any], Any, int | None]:
        """Count the rows exactly, now and then; None if that is not possible."""
        now = self._clock()
        if now - self._alive_at >= COUNT_INTERVAL or (self._alive is not None and self._alive < indexed):
            self._alive, self._alive_at = None, now
            try:
                self._alive = yield entities.count(self._collection)
            except errors.MilvusError as error:  # not loaded, for instance: the wait does not depend on it
                if error.transient:
                    self._alive_at = float("-inf")
        return self._alive


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


def _may_be_empty(description: Described) -> bool:
    return (
        description.state in ("", "IndexStateNone", "Unissued")
        and not description.total_rows
        and not description.pending_rows
    )


def _done(found: Sequence[Described]) -> Done:
    return Done([description.as_json() for description in found])


__all__ = ["IndexesBuilt", "is_built"]
