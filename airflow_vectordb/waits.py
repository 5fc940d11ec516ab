"""What can be waited for, and how: as data and pure logic.

A wait names the calls of one look at the server and turns their answers into a verdict. :func:`watch` turns a wait
into a sequence of calls and naps, until it is done, has failed, or its deadline has passed. It does no I/O: operators
(sync), sensors (poke) and the trigger (async) make the calls and sleep the naps, and so share all that is decided.
"""

from __future__ import annotations

import logging
import random as _random
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from airflow_vectordb.rest import collections, indexes
from airflow_vectordb.rest.call import Call
from airflow_vectordb.rest.envelope import readable
from airflow_vectordb.rest.errors import (
    IndexFailedError,
    IndexNotFoundError,
    MilvusError,
    NotMilvusError,
    RedirectError,
    WaitTimeoutError,
)

#: Seconds: no two looks are closer together (but for the jitter, and the last one at the deadline), whatever the server
#: answers, unless ``poll_interval`` is shorter still.
SHORTEST_PAUSE = 0.5
#: The pause grows with the time waited, so that what ends after t seconds is noticed within a tenth of t; the calls
#: themselves take time too.
PAUSE_SHARE = 0.08
#: Seconds: a ``Retry-After`` above this (and above ``poll_interval``) is not waited out in full.
LONGEST_REQUESTED_PAUSE = 60.0
#: Seconds between two warnings about the same outage, and between two reports without progress.
SELDOM = 300.0


@dataclass(frozen=True)
class Progress:
    """
    How far one thing is.

    :param label: what, as ``docs/vector_hnsw``
    :param state: the server's word for it
    :param done: how much is done; None when the server does not say
    :param total: how much it is in all; None when the server does not say
    """

    label: str
    state: str
    done: int | None = None
    total: int | None = None


@dataclass(frozen=True)
class Pending:
    """
    Not done yet.

    :param progress: of each thing that is waited for
    """

    progress: tuple[Progress, ...]


@dataclass(frozen=True)
class Done:
    """
    Done.

    :param result: JSON-ready
    """

    result: Any


Verdict = Pending | Done
#: One look: yields calls, is sent their results (or thrown their errors), returns the verdict.
Look = Generator[Call[Any], Any, Verdict]


class Wait(Protocol):
    """Something that can be waited for."""

    def look(self) -> Look:
        """
        Look at the server once.

        :raises MilvusError: when it has failed for good
        """

    def __str__(self) -> str:
        """Name what is waited for, as ``index 'v' of collection 'docs'``."""


@dataclass(frozen=True)
class IndexesBuilt:
    """
    Indexes are built: Finished, *and* nothing pending.

    ``Finished`` alone is said while hundreds of thousands of rows are still pending (milvus#40580, pymilvus#3049).
    ``indexedRows`` is not looked at: it may stay below ``totalRows`` for good, since small segments get no index.

    :param collection: name of the collection
    :param index_names: names of the indexes, at least one
    :param database: None: the endpoint's
    """

    collection: str
    index_names: tuple[str, ...]
    database: str | None = None

    def look(self) -> Look:
        """
        Describe each index.

        :raises IndexFailedError: when the server gave up on one of them
        :raises IndexNotFoundError: when one of them is gone
        """
        found: list[indexes.IndexDescription] = []
        for name in self.index_names:
            found += yield indexes.describe(self.collection, name, database=self.database)
        verdict = self.judge(found)
        if isinstance(verdict, Pending) and all(map(_may_be_empty, found)):
            # Nothing sealed, and not issued: either the collection is empty, and there is nothing to build, or the
            # server has not counted yet.
            rows = yield collections.row_count(self.collection, database=self.database)
            if rows == 0:
                return Done([description.as_json() for description in found])
        return verdict

    def judge(self, found: Sequence[indexes.IndexDescription]) -> Verdict:
        """
        Tell from descriptions whether all are built.

        :param found: a description for each index
        :raises IndexFailedError: when the server gave up on one of them
        :raises IndexNotFoundError: when one of them is being dropped
        """
        for description in found:
            name = f"index {description.index_name!r} of collection {self.collection!r}"
            if description.state == "Failed":
                reason = readable(description.fail_reason, 2000) or "the server gives no reason"
                raise IndexFailedError(
                    f"{name} could not be built: {reason}",
                    hint="Drop the index (DropIndexOperator) before it is created anew.",
                )
            if description.state == "Deleted":
                raise IndexNotFoundError(f"{name} was dropped while its build was waited for")
        if all(map(is_built, found)):
            return Done([description.as_json() for description in found])
        return Pending(tuple(_progress(self.collection, description) for description in found))

    def __str__(self) -> str:
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


def _may_be_empty(description: indexes.IndexDescription) -> bool:
    return (
        description.state in ("", "IndexStateNone", "Unissued")
        and not description.total_rows
        and not description.pending_rows
    )


def _progress(collection: str, description: indexes.IndexDescription) -> Progress:
    total = description.total_rows or None
    done = description.indexed_rows
    if total is not None and description.pending_rows is not None:
        done = max(0, total - description.pending_rows)
    return Progress(f"{collection}/{description.index_name}", description.state or "unknown state", done, total)


@dataclass(frozen=True)
class Deadline:
    """
    When waiting ends. An absolute time, so that a restart does not start it over.

    :param at: seconds since the epoch
    :param because: which limit it is, as ``timeout`` or ``execution_timeout``
    :param seconds: how long the wait may take in all, for the message
    """

    at: float
    because: str
    seconds: float


@dataclass(frozen=True)
class Nap:
    """
    A time to sleep before the next look.

    :param seconds: how long
    :param level: log level of ``text``
    :param text: something for people to read; empty: nothing new
    """

    seconds: float
    level: int = logging.INFO
    text: str = ""


Watch = Generator["Call[Any] | Nap", Any, Any]


def watch(
    wait: Wait,
    deadline: Deadline,
    *,
    poll_interval: float,
    started: float,
    first: Pending | None = None,
    clock: Callable[[], float] = time.time,
    random: Callable[[], float] = _random.random,
) -> Watch:
    """
    Wait: yield calls to make (once each, without retries) and naps to sleep, in turn.

    Send in the result of each call, or throw in its error. Transient errors neither end the wait nor reset it: the
    next look is the retry. So are answers that are not Milvus's, once Milvus has answered. Other errors end it.

    :param wait: what is waited for
    :param deadline: when to give up
    :param poll_interval: seconds, the longest pause between two looks
    :param started: seconds since the epoch: when the wait began, here or in an earlier life of it
    :param first: the verdict of a look that has just been made; None: begin with one
    :param clock: the present time
    :param random: gives numbers from 0 to 1, for the jitter
    :return: what the wait's :class:`Done` has
    :raises MilvusError: the error that ended it
    :raises WaitTimeoutError: when it was not done by the deadline
    """
    report = _Report(str(wait))
    verdict: Verdict | None = first
    answered = first is not None
    while True:
        trouble: MilvusError | None = None
        if verdict is None:
            try:
                verdict = yield from wait.look()
                answered = True
            except MilvusError as error:
                if not _tolerable(error, answered):
                    raise
                trouble = error
        if isinstance(verdict, Done):
            return verdict.result
        now = clock()
        if now >= deadline.at:
            limit = f"{_duration(deadline.seconds)} ({deadline.because})"
            raise WaitTimeoutError(
                f"{wait} not done within {limit}; {report.last(verdict, trouble)}",
                hint="The server goes on by itself: a retry of this task finds it and waits on.",
            )
        pause = pause_after(now - started, poll_interval, random)
        if trouble is not None and trouble.retry_after is not None:
            pause = max(pause, min(trouble.retry_after, max(LONGEST_REQUESTED_PAUSE, poll_interval)))
        # One more look at the deadline itself, rather than none for the rest of the time.
        pause = max(min(pause, deadline.at - now), min(SHORTEST_PAUSE, poll_interval) / 5)
        level, text = report.line(now, verdict, trouble)
        yield Nap(pause, level, text)
        verdict = None


def pause_after(elapsed: float, poll_interval: float, random: Callable[[], float]) -> float:
    """
    Tell how long to pause before the next look.

    :param elapsed: seconds waited so far
    :param poll_interval: seconds, the longest pause
    :param random: gives numbers from 0 to 1: of many waits that begin together, few look together
    """
    longest = min(poll_interval, max(SHORTEST_PAUSE, PAUSE_SHARE * max(0.0, elapsed)))
    return longest * (0.8 + 0.2 * random())


def _tolerable(error: MilvusError, answered: bool) -> bool:
    if error.transient:
        return True
    # A page of a proxy's between two good answers is an outage. Before the first one, it is the wrong address.
    return answered and isinstance(error, NotMilvusError) and not isinstance(error, RedirectError)


@dataclass
class _Report:
    """What to tell people, and when."""

    name: str
    told: tuple[Progress, ...] = ()
    told_at: float = float("-inf")
    warned_at: float = float("-inf")
    in_trouble: bool = False  # and it has been told
    began: dict[str, tuple[float, int]] = field(default_factory=dict)

    def line(self, now: float, verdict: Pending | None, trouble: MilvusError | None) -> tuple[int, str]:
        if trouble is not None:
            if now - self.warned_at < SELDOM:
                return logging.WARNING, ""
            self.in_trouble, self.warned_at = True, now
            return logging.WARNING, f"still waiting for {self.name}, although {trouble}"
        progress = verdict.progress if verdict is not None else ()
        back = "the server answers again; " if self.in_trouble else ""
        self.in_trouble = False
        if progress == self.told and now - self.told_at < SELDOM and not back:
            return logging.INFO, ""
        self.told, self.told_at = progress, now
        return logging.INFO, back + "; ".join(self._describe(item, now) for item in progress)

    def last(self, verdict: Pending | None, trouble: MilvusError | None) -> str:
        if trouble is not None:
            return f"the last error was: {trouble}"
        return "; ".join(_rows(item) for item in (verdict.progress if verdict is not None else ()))

    def _describe(self, item: Progress, now: float) -> str:
        text = _rows(item)
        if item.done is None or item.total is None:
            return text
        began = self.began.get(item.label)
        if began is None or item.done < began[1]:  # counts move backwards while segments are compacted
            self.began[item.label] = (now, item.done)
            return text
        since, before = began
        if item.done <= before or now <= since:
            return text
        left = (item.total - item.done) * (now - since) / (item.done - before)
        return f"{text}, about {_duration(left)} left"


def _rows(item: Progress) -> str:
    if item.done is None or item.total is None:
        return f"{item.label}: {item.state}"
    return f"{item.label}: {item.done:,} of {item.total:,} rows ({100 * item.done // item.total}%)"


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1g} s"


__all__ = [
    "Deadline",
    "Done",
    "IndexesBuilt",
    "Nap",
    "Pending",
    "Progress",
    "Wait",
    "is_built",
    "pause_after",
    "watch",
]
