"""What can be waited for: as data and pure logic.

A condition names the calls of one poll and turns their answers into a result. ``polling.poll_until_done`` turns a
condition into a sequence of calls and pauses. Neither does any I/O: tasks (sync), sensors (poke) and the trigger
(async) drive the same one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

from airflow_vectordb.rest import collections, indexes, partitions
from airflow_vectordb.rest.errors import (
    CollectionNotFoundError,
    IndexFailedError,
    IndexNotFoundError,
    PartitionNotFoundError,
    PermissionDeniedError,
)
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.result import Result
from airflow_vectordb.rest.text import sanitize_text
from airflow_vectordb.rest.wording import in_words
from airflow_vectordb.waiting.sealed_rows import SealedRows


@dataclass(frozen=True)
class Progress(Result):
    """
    How far one thing is.

    :param label: what, as ``docs/vector_hnsw``
    :param state: the server's word for it
    :param done: how much is done; None when the server does not say
    :param total: how much it is in all; None when the server does not say
    :param unit: what is counted: ``rows``, or ``%`` of 100
    """

    label: str
    state: str
    done: int | None = None
    total: int | None = None
    unit: str = "rows"

    def __str__(self) -> str:
        state = in_words(self.state)
        if self.done is None or self.total is None:
            return f"{self.label}: {state}"
        share = f"{100 * self.done // self.total}%"
        if self.unit == "%":
            return f"{self.label}: {state}, {share}"
        return f"{self.label}: {self.done:,} of {self.total:,} {self.unit} ({share})"


@dataclass(frozen=True)
class Pending(Result):
    """
    Not done yet.

    :param progress: of each thing that is waited for
    """

    progress: tuple[Progress, ...]

    def __str__(self) -> str:
        return "; ".join(map(str, self.progress))


@dataclass(frozen=True)
class Done(Result):
    """
    Done.

    :param result: JSON-ready
    """

    result: Any


PollResult = Pending | Done


@dataclass
class Memory:
    """
    What a wait remembers from one poll to the next. A wait that goes on in another process begins with an empty one.

    :param clock: the present time, in seconds
    :param sealed: what is known of the rows that a flush sealed; None: nothing yet
    """

    clock: Callable[[], float] = time.monotonic
    sealed: SealedRows | None = None


#: One poll: yields calls, is sent their results (or thrown their errors), returns the result.
Poll = Generator[Call[Any], Any, PollResult]


class Condition(Protocol):
    """
    Something that can be waited for: a frozen dataclass whose fields are JSON-ready, but for tuples.

    To add one, write it here and list it in ``CONDITIONS``; tasks, sensors and the trigger can wait for it then.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def collection(self) -> str:
        """Name of the collection that it is about."""

    def poll(self, memory: Memory) -> Poll:
        """
        Poll at the server once.

        :param memory: what the polls before this one remembered
        :raises MilvusError: when it has failed for good
        """

    def __str__(self) -> str:
        """Name what is waited for, as ``index 'v' of collection 'docs'``."""


@dataclass(frozen=True)
class IndexesBuilt:
    """
    Indexes are built: Finished, nothing pending, *and*, where that is asked for, covering the rows.

    ``Finished`` alone is said while hundreds of thousands of rows are still pending (milvus#40580, pymilvus#3049), and
    for seconds after a flush while its rows are not even counted. ``indexedRows`` is not looked at: it may stay below
    ``totalRows`` for good, since small segments get no index.

    **After a flush** nothing tells when its rows are counted. So the wait goes on until the collection's row count has
    not changed for a while, and each index is told to have that many rows (see ``sealed_rows.py``). If others go on
    writing, something may always be pending: then an index also is built when it covers more rows than were flushed.

    :param collection: name of the collection
    :param index_names: names of the indexes; empty: all that the collection has, and at least one
    :param database: None: the configured one
    :param wait_if_missing: whether to wait for an index, or a collection, that is not there yet; otherwise that is an
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

        :param memory: remembers the row count after a flush
        :raises IndexFailedError: when the server gave up on one of them
        :raises IndexNotFoundError: when one of them is gone
        :raises CollectionNotFoundError: when the collection is gone
        """
        try:
            return (yield from self._poll(memory))
        except (IndexNotFoundError, CollectionNotFoundError):
            if not self.wait_if_missing:
                raise
        return Pending(tuple(Progress(label, "not there yet") for label in self._labels()))

    def _poll(self, memory: Memory) -> Poll:
        flushed = self._flushed(memory)
        if flushed is not None and not flushed.covered:
            # Before the descriptions: what is counted here must be in them.
            yield from flushed.poll()
        found: list[indexes.IndexDescription] = []
        for name in self.index_names or (yield indexes.list_(self.collection, database=self.database)):
            found += yield indexes.describe(self.collection, name, database=self.database)
        if not found:
            raise IndexNotFoundError(f"collection {self.collection!r} has no index")
        self._raise_if_failed(found)
        required, enough = self.min_rows, 0
        if flushed is not None:
            if flushed.sealed is None:
                text = f"waiting until flushed rows are counted ({flushed.counted:,} so far)"
                label = self._label(found[0]) if len(found) == 1 else self.collection
                return Pending((Progress(label, text),))
            flushed.compare(min(d.total_rows or 0 for d in found), built=all(map(is_built, found)))
            if not flushed.covered:  # once they are, deletions and compactions may lower the counts
                required = max(required, flushed.sealed)
            enough = max(self.min_rows, flushed.sealed)
        if all(_has_rows(d, required) and (is_built(d) or 0 < enough < (d.covered_rows or 0)) for d in found):
            return Done([description.as_json() for description in found])
        if not required and all(map(_may_be_empty, found)):
            # Nothing sealed, and not issued: either the collection is empty, and there is nothing to build, or the
            # server has not counted yet.
            rows = yield collections.row_count(self.collection, database=self.database)
            if rows == 0:
                return Done([description.as_json() for description in found])
        return Pending(tuple(self._progress(description, required) for description in found))

    def _flushed(self, memory: Memory) -> SealedRows | None:
        if self.flushed_rows is not None and memory.sealed is None:
            memory.sealed = SealedRows(self.collection, self.database, self.flushed_rows, memory.clock)
        return memory.sealed

    def judge(self, found: Sequence[indexes.IndexDescription]) -> PollResult:
        """
        Decide from descriptions that were just read whether all are built.

        :param found: a description for each index
        :return: Pending if a further poll has to tell
        :raises IndexFailedError: when the server gave up on one of them
        :raises IndexNotFoundError: when one of them is being dropped
        """
        self._raise_if_failed(found)
        if self.flushed_rows is None and all(_has_rows(d, self.min_rows) and is_built(d) for d in found):
            return Done([description.as_json() for description in found])
        return Pending(tuple(self._progress(description, self.min_rows) for description in found))

    def _raise_if_failed(self, found: Sequence[indexes.IndexDescription]) -> None:
        for description in found:
            name = f"index {description.index_name!r} of {self.collection!r}"
            if description.state == "Failed":
                reason = sanitize_text(description.fail_reason, 2000) or "the server gives no reason"
                raise IndexFailedError(f"{name} could not be built: {reason}")
            if description.state == "Deleted":
                raise IndexNotFoundError(f"{name} was dropped while its build was waited for")

    def _progress(self, description: indexes.IndexDescription, required: int) -> Progress:
        total = description.total_rows or 0
        if not _has_rows(description, required):
            return Progress(self._label(description), f"{total:,} of at least {required:,} rows are sealed")
        done = description.covered_rows
        if done is not None:
            done = min(max(0, done), total)  # counts that are out of step with each other
        state = sanitize_text(description.state, 100) or "unknown state"
        return Progress(self._label(description), state, done if total else None, total or None)

    def _label(self, description: indexes.IndexDescription) -> str:
        return f"{self.collection}/{description.index_name}"

    def _labels(self) -> list[str]:
        return [f"{self.collection}/{name}" for name in self.index_names] or [self.collection]

    def __str__(self) -> str:
        if not self.index_names:
            return f"the indexes of collection {self.collection!r}"
        names = ", ".join(map(repr, self.index_names))
        return f"index{'es' if len(self.index_names) > 1 else ''} {names} of collection {self.collection!r}"


def is_built(description: indexes.IndexDescription) -> bool:
    """
    Tell whether an index is there with nothing left to do.

    :param description: as the server describes it
    """
    if description.state != "Finished":
        return False
    if description.pending_rows is not None:
        return description.pending_rows <= 0
    # Servers that do not count what is pending: their Finished has to do, unless their other counts deny it.
    total, done = description.total_rows, description.indexed_rows
    return total is None or done is None or done >= total


def _has_rows(description: indexes.IndexDescription, rows: int) -> bool:
    return (description.total_rows or 0) >= rows


def _may_be_empty(description: indexes.IndexDescription) -> bool:
    return (
        description.state in ("", "IndexStateNone", "Unissued")
        and not description.total_rows
        and not description.pending_rows
    )


@dataclass(frozen=True)
class CollectionLoaded:
    """
    A collection, or some of its partitions, is in memory, so that it can be searched.

    :param collection: name of the collection
    :param partitions: names of partitions; empty: the whole collection
    :param database: None: the configured one
    :param wait_if_missing: whether to wait for a collection that is not there yet; otherwise that is an error
    """

    collection: str
    partitions: tuple[str, ...] = ()
    database: str | None = None
    wait_if_missing: bool = False

    def poll(self, memory: Memory) -> Poll:
        """
        Ask for the load state.

        :param memory: not used
        :raises CollectionNotFoundError: when the collection is gone
        :raises PartitionNotFoundError: when one of the partitions is gone
        """
        try:
            return (yield from self._poll())
        except CollectionNotFoundError:
            if not self.wait_if_missing:
                raise
        except PartitionNotFoundError as error:
            if not self.wait_if_missing:
                raise
            return Pending((Progress(self.collection, sanitize_text(error.message, 300)),))
        return Pending((Progress(self.collection, "not there yet"),))

    def _poll(self) -> Poll:
        found = yield collections.load_state(self.collection, self.partitions, database=self.database)
        if found.state == "LoadStateNotExist":
            raise CollectionNotFoundError(f"collection {self.collection!r} does not exist")
        # The number alone is not enough: 100 is said while the state is still Loading.
        loaded = found.state == "LoadStateLoaded" and found.progress in (None, 100)
        state = ""
        if loaded and not self.partitions:
            # Of a collection that is all that the server says as soon as one of its partitions is loaded.
            found = (yield from self._state_of_all_partitions()) or found
            loaded = found.state == "LoadStateLoaded"
            if found.state == "LoadStateNotLoad":  # the message names one of them, mostly by its number
                state = "some of its partitions are not loaded"
        if loaded:
            return Done(_loading(self.collection, self.partitions, found.state))
        if self.partitions and found.state == "LoadStateNotLoad":
            # Which the server also says of partitions that do not exist.
            there = yield from self._names_of_partitions()
            if there and (missing := [name for name in self.partitions if name not in there]):
                what = _of_collection(self.collection, missing)
                verb = "does" if len(missing) == 1 else "do"
                raise PartitionNotFoundError(f"{what} {verb} not exist; there is {', '.join(there)}")
        state = (state or in_words(sanitize_text(found.state, 100))) + (
            f" ({sanitize_text(found.message, 200)})" if found.message else ""
        )
        return Pending((Progress(self.collection, state, found.progress, 100, "%"),))

    def _names_of_partitions(self) -> Generator[Call[Any], Any, list[str]]:
        """List the partitions; none for a user that may not, who has to do with what is said without their names."""
        try:
            names: list[str] = yield partitions.list_(self.collection, database=self.database)
        except PermissionDeniedError:
            return []
        return names

    def _state_of_all_partitions(self) -> Generator[Call[Any], Any, collections.LoadState | None]:
        names = yield from self._names_of_partitions()
        if len(names) < 2:
            return None
        state: collections.LoadState = yield collections.load_state(self.collection, names, database=self.database)
        return state

    def __str__(self) -> str:
        return f"{_of_collection(self.collection, self.partitions)} to be loaded"


@dataclass(frozen=True)
class CollectionReleased:
    """
    A collection, or some of its partitions, is out of memory, so that its indexes can be dropped.

    :param collection: name of the collection
    :param partitions: names of partitions; empty: the whole collection
    :param database: None: the configured one
    """

    collection: str
    partitions: tuple[str, ...] = ()
    database: str | None = None

    def poll(self, memory: Memory) -> Poll:
        """
        Ask for the load state: of each partition by itself, since of several together the server tells no more than
        whether all of them are loaded.

        :param memory: not used
        :raises CollectionNotFoundError: when the collection is gone
        """
        each: list[tuple[str, ...]] = [(name,) for name in self.partitions]
        for names in each or [()]:
            found = yield collections.load_state(self.collection, names, database=self.database)
            if found.state not in ("LoadStateNotLoad", "LoadStateNotExist"):
                return Pending((Progress(self.collection, sanitize_text(found.state, 100)),))
        return Done(_loading(self.collection, self.partitions, "LoadStateNotLoad"))

    def __str__(self) -> str:
        return f"{_of_collection(self.collection, self.partitions)} to be released"


def _loading(collection: str, partitions: Sequence[str], state: str) -> dict[str, Any]:
    return {"collection_name": collection, "partition_names": list(partitions), "load_state": state}


def _of_collection(collection: str, partitions: Sequence[str]) -> str:
    if not partitions:
        return f"collection {collection!r}"
    return f"partition{'s' if len(partitions) > 1 else ''} {', '.join(map(repr, partitions))} of {collection!r}"


#: All waits, by the name that :func:`serialize` gives them.
CONDITIONS: dict[str, type[Condition]] = {
    cls.__name__: cls for cls in (IndexesBuilt, CollectionLoaded, CollectionReleased)
}


def serialize(condition: Condition) -> dict[str, Any]:
    """
    Make JSON-ready data of a wait.

    :param condition: one of ``CONDITIONS``
    """
    fields = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(condition).items()}
    return {"kind": type(condition).__name__, **fields}


def deserialize(data: Mapping[str, Any]) -> Condition:
    """
    Make a wait of what :func:`serialize` returned.

    :param data: JSON-ready
    :raises ValueError: for a kind of wait, or fields of one, that are not known here
    """
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    kind = fields.pop("kind", None)
    if kind not in CONDITIONS:
        raise ValueError(f"unknown kind of wait {kind!r}; known: {', '.join(CONDITIONS)}")
    try:
        return CONDITIONS[kind](**fields)
    except TypeError as error:
        raise ValueError(f"not a wait of kind {kind}: {error}") from error


__all__ = [
    "CONDITIONS",
    "CollectionLoaded",
    "CollectionReleased",
    "Condition",
    "Done",
    "IndexesBuilt",
    "Memory",
    "Pending",
    "Progress",
    "deserialize",
    "is_built",
    "serialize",
]
