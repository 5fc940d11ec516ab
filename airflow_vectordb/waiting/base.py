"""Conditions: what to wait for, as data, and a poll of it without I/O.

A poll yields the calls to make, receives their results, and returns ``Pending`` with the progress or ``Done`` with a
result. Operators and the hook (sync), sensors (poke) and the trigger (async) drive the same polls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.result import Result
from airflow_vectordb.rest.wording import in_words


@dataclass(frozen=True)
class Progress(Result):
    """
    The progress of one thing.

    :param label: name, for example ``docs/vector_hnsw``
    :param state: the server's word for it
    :param done: amount done; None: not reported
    :param total: total amount; None: not reported
    :param unit: ``rows``, or ``%`` of 100
    """

    label: str
    state: str
    done: int | None = None
    total: int | None = None
    unit: str = "rows"

    def __str__(self) -> str:
        if self.done is None or self.total is None:
            return f"{self.label}: {in_words(self.state)}"
        share = f"{100 * self.done // self.total}%"
        if self.unit == "%":
            return f"{self.label}: {in_words(self.state)}, {share}"
        return f"{self.label}: {self.done:,} of {self.total:,} {self.unit} ({share})"


@dataclass(frozen=True)
class Pending(Result):
    """Not done yet."""

    progress: tuple[Progress, ...]

    def __str__(self) -> str:
        return "; ".join(map(str, self.progress))


@dataclass(frozen=True)
class Done(Result):
    """Done."""

    result: Any


PollResult = Pending | Done


@dataclass
class Memory:
    """
    A wait's state between polls. A wait that continues in another process starts with an empty one.

    :param clock: the present time, in seconds since the epoch
    :param state: what the condition itself remembers; None: nothing yet
    :param remaining: what another process that continues the wait has to wait for; None: the condition itself
    :param diagnosis: why the latest poll was not done, and what to do, where that is known
    """

    clock: Callable[[], float] = lambda: time.time()
    state: Any = None
    remaining: Condition | None = None
    diagnosis: tuple[str, str] | None = None


#: One poll: yields calls, receives their results or errors, and returns the result.
Poll = Generator[Call[Any], Any, PollResult]


class Condition(Protocol):
    """
    Something to wait for: a frozen dataclass whose fields are JSON-ready, except tuples.

    To add one, write such a class, and list it in ``conditions.CONDITIONS``; then operators, sensors and the trigger
    can wait for it::

        @dataclass(frozen=True)
        class AliasExists:
            collection: str  # the alias

            def poll(self, memory: Memory) -> Poll:
                try:
                    found = yield aliases.describe(self.collection)
                except AliasNotFoundError:
                    return Pending((Progress(self.collection, "not there yet"),))
                return Done({"alias": self.collection, "collection": found})

            def __str__(self) -> str:
                return f"alias {self.collection!r}"
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def collection(self) -> str:
        """Name of the collection."""

    def poll(self, memory: Memory) -> Poll:
        """
        Poll the server once.

        :raises MilvusError: if it has failed permanently
        """

    def __str__(self) -> str:
        """Describe the condition, for example ``index 'v' of collection 'docs'``."""


__all__ = ["Condition", "Done", "Memory", "Pending", "Poll", "PollResult", "Progress"]
