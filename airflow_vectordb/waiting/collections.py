"""The conditions that a collection is loaded, or released."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_vectordb.rest import collections, partitions
from airflow_vectordb.rest.collections import LoadState
from airflow_vectordb.rest.errors import (
    CollectionNotFoundError,
    PartitionNotFoundError,
    PermissionDeniedError,
    WaitTimeoutError,
)
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.text import sanitize_text
from airflow_vectordb.rest.wording import duration, in_words
from airflow_vectordb.waiting.base import Done, Memory, Pending, Poll, Progress

#: Seconds after which what is not released is taken to be loaded again, by another client.
LONGEST_RELEASE = 300.0


@dataclass(frozen=True)
class CollectionLoaded:
    """
    A collection, or some of its partitions, is loaded, so that it can be searched.

    :param collection: name of the collection
    :param partitions: names of partitions; empty: the whole collection
    :param database: None: the configured one
    :param wait_if_missing: whether to wait for a collection that does not exist yet; otherwise that is an error
    """

    collection: str
    partitions: tuple[str, ...] = ()
    database: str | None = None
    wait_if_missing: bool = False

    def poll(self, memory: Memory) -> Poll:
        """
        Get the load state.

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
        found: LoadState = yield collections.load_state(self.collection, self.partitions, database=self.database)
        if found.state == "LoadStateNotExist":
            raise CollectionNotFoundError(f"collection {self.collection!r} does not exist")
        # The number alone is not enough: 100 is reported while the state is still Loading.
        loaded = found.state == "LoadStateLoaded" and found.progress in (None, 100)
        state = ""
        if loaded and not self.partitions:
            # A collection is reported as loaded, 100%, as soon as one of its partitions is.
            found = (yield from self._state_of_all_partitions()) or found
            loaded = found.state == "LoadStateLoaded"
            if found.state == "LoadStateNotLoad":  # the message contains one of them, usually its id
                state = "some of its partitions are not loaded"
        if loaded:
            return _done(self.collection, self.partitions, found.state)
        if self.partitions and found.state == "LoadStateNotLoad":
            yield from self._raise_if_missing()  # servers also report this of partitions that do not exist
        state = state or in_words(sanitize_text(found.state, 100))
        if found.message:
            state += f" ({sanitize_text(found.message, 200)})"
        return Pending((Progress(self.collection, state, found.progress, 100, "%"),))

    def _state_of_all_partitions(self) -> Generator[Call[Any], Any, LoadState | None]:
        names = yield from self._partition_names()
        if len(names) < 2:
            return None
        state: LoadState = yield collections.load_state(self.collection, names, database=self.database)
        return state

    def _raise_if_missing(self) -> Generator[Call[Any], Any, None]:
        existing = yield from self._partition_names()
        if existing and (missing := [name for name in self.partitions if name not in existing]):
            verb = "does" if len(missing) == 1 else "do"
            raise PartitionNotFoundError(
                f"{_named(self.collection, missing)} {verb} not exist; there is {', '.join(existing)}"
            )

    def _partition_names(self) -> Generator[Call[Any], Any, list[str]]:
        """List the partitions; none if the user lacks the privilege: then the reported state alone decides."""
        try:
            names: list[str] = yield partitions.list_(self.collection, database=self.database)
        except PermissionDeniedError:
            return []
        return names

    def __str__(self) -> str:
        return f"{_named(self.collection, self.partitions)} to be loaded"


@dataclass(frozen=True)
class CollectionReleased:
    """
    A collection, or some of its partitions, is released, so that its indexes can be dropped.

    :param collection: name of the collection
    :param partitions: names of partitions; empty: the whole collection
    :param database: None: the configured one
    """

    collection: str
    partitions: tuple[str, ...] = ()
    database: str | None = None

    def poll(self, memory: Memory) -> Poll:
        """
        Get the load state of each partition separately.

        For several together, the server reports only whether all of them are loaded.

        :raises CollectionNotFoundError: when the collection is gone
        :raises WaitTimeoutError: if it has long been loaded: another client has loaded it again
        """
        each: list[tuple[str, ...]] = [(name,) for name in self.partitions]
        for names in each or [()]:
            found: LoadState = yield collections.load_state(self.collection, names, database=self.database)
            if found.state not in ("LoadStateNotLoad", "LoadStateNotExist"):
                self._raise_if_loaded_again(memory)
                return Pending((Progress(self.collection, sanitize_text(found.state, 100)),))
        return _done(self.collection, self.partitions, "LoadStateNotLoad")

    def _raise_if_loaded_again(self, memory: Memory) -> None:
        now = memory.clock()
        if memory.unreleased_since is None:
            memory.unreleased_since = now
        if now - memory.unreleased_since >= LONGEST_RELEASE:
            raise WaitTimeoutError(
                f"not released within {duration(LONGEST_RELEASE)}; waited for: {self}",
                cause="it was released, and is loaded: another client loads it",
                hint="A retry releases it again.",
            )

    def __str__(self) -> str:
        return f"{_named(self.collection, self.partitions)} to be released"


def _done(collection: str, partitions: Sequence[str], state: str) -> Done:
    return Done({"collection_name": collection, "partition_names": list(partitions), "load_state": state})


def _named(collection: str, partitions: Sequence[str]) -> str:
    if not partitions:
        return f"collection {collection!r}"
    return f"partition{'s' if len(partitions) > 1 else ''} {', '.join(map(repr, partitions))} of {collection!r}"


__all__ = ["CollectionLoaded", "CollectionReleased"]
