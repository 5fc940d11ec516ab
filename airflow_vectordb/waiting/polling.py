"""The one loop: poll, report, sleep, until a condition is done, has failed, or its deadline has passed.

:func:`poll_until_done` yields the calls to make and the times to sleep, and does no I/O. The hook (sync) and the
trigger (async) execute them, and so share all decisions.
"""

from __future__ import annotations

import logging
import random as _random
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_vectordb.rest import errors
from airflow_vectordb.rest.driver import Sleep
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.http.response import as_outage
from airflow_vectordb.rest.wording import duration
from airflow_vectordb.waiting.base import Condition, Done, Memory, Pending, PollResult, Progress

#: Seconds: the shortest pause between polls (except for jitter and the last poll at the deadline), unless
#: ``poll_interval`` is shorter.
SHORTEST_PAUSE = 0.5
#: The pause grows with the time waited: the end of a wait of t seconds is noticed within t/10, calls included.
PAUSE_SHARE = 0.08
#: Seconds; a longer ``Retry-After`` is shortened to this, or to ``poll_interval`` if that is longer.
LONGEST_REQUESTED_PAUSE = 60.0
#: Seconds between the first two reports of an outage or a standstill; the interval doubles with each report.
REPORT_INTERVAL = 300.0
#: Seconds for the last poll, at the deadline.
LAST_POLL_TIME = 0.5
#: Seconds that a wait gets at least, even if it begins late.
SHORTEST_POLLING_TIME = 2.0
_MISSING = (errors.CollectionNotFoundError, errors.IndexNotFoundError, errors.PartitionNotFoundError)


@dataclass(frozen=True)
class Deadline:
    """
    When waiting ends, as an absolute time, so that a restart does not extend it.

    :param at: seconds since the epoch
    :param because: which limit it is, as ``timeout`` or ``execution_timeout``
    :param seconds: how long the wait may take in all, for the message
    """

    at: float
    because: str
    seconds: float

    def __str__(self) -> str:
        return f"{duration(self.seconds)} ({self.because})"


def poll_until_done(
    condition: Condition,
    deadline: Deadline,
    *,
    poll_interval: float,
    started: float,
    initial_result: Pending | None = None,
    server_confirmed: bool = False,
    resumed: bool = False,
    reported: Sequence[Progress] = (),
    clock: Callable[[], float] | None = None,
    random: Callable[[], float] = _random.random,
) -> Generator[Call[Any] | Sleep, Any, Any]:
    """
    Wait: yield calls to make (once each, without retries) and times to sleep, in turn.

    Send in the result of each call, or throw in its error. What errors do is described at :class:`Wait`.

    :param poll_interval: seconds, the longest pause between two polls
    :param started: seconds since the epoch: when the wait began, perhaps in another process
    :param initial_result: the result of a poll that was just made; None: begin with one
    :param server_confirmed: whether Milvus has answered the task before, so that this is not the wrong address
    :param resumed: whether it continues a wait that a task began. When a triggerer restarts, many waits resume at the
        same time: they spread their first polls over the pause that is due
    :param reported: the progress that the log has already
    :param clock: the present time; None: a :func:`steady_clock`
    :param random: returns numbers from 0 to 1, for the jitter
    :return: what the condition's :class:`~airflow_vectordb.waiting.base.Done` has
    :raises MilvusError: the error that ended it
    :raises WaitTimeoutError: when it was not done by the deadline
    """
    clock = clock or steady_clock()
    wait = Wait(condition, started, server_confirmed=server_confirmed or initial_result is not None, clock=clock)
    if reported:
        wait.report(clock(), Pending(tuple(reported)))
    if resumed and (due := min(pause_after(clock() - started, poll_interval, random), deadline.at - clock())) > 0:
        yield Sleep(due * random())
    found: PollResult | errors.MilvusError | None = initial_result
    while True:
        if found is None:
            found = yield from wait.poll()
        if isinstance(found, Done):
            return found.result
        now = clock()
        level, text = wait.report(now, found)
        if now >= deadline.at:
            raise wait.not_done(deadline)
        pause = pause_after(now - started, poll_interval, random)
        if isinstance(found, errors.MilvusError) and found.retry_after is not None:
            pause = max(pause, min(found.retry_after, max(LONGEST_REQUESTED_PAUSE, poll_interval)))
        # One more poll at the deadline itself, rather than none for the rest of the time.
        pause = max(min(pause, deadline.at - now), min(SHORTEST_PAUSE, poll_interval) / 5)
        yield Sleep(pause, level, text)
        found = None


class Wait:
    """
    One wait: its polls, what each leaves for the next one, and what is logged of it.

    Transient errors neither end the wait nor reset it: the next poll is the retry. The same holds for answers that are
    not Milvus's, once Milvus has answered: after that, a proxy's page is an outage; before, it means a wrong address.
    What was there must be missing in two polls, since one of several proxies may lag. Other errors end it.

    The log gets progress when it changes, new errors, and occasionally that it is still waiting.

    :param started: seconds since the epoch: when it began, perhaps in another process
    :param server_confirmed: whether Milvus has answered the task before
    :param clock: the present time, in seconds since the epoch
    """

    def __init__(
        self,
        condition: Condition,
        started: float,
        *,
        server_confirmed: bool,
        clock: Callable[[], float] = lambda: time.time(),
    ) -> None:
        self.condition = condition
        self.server_confirmed = server_confirmed
        self.memory = Memory(clock)
        self._started = started
        self._pending: Pending | None = None
        self._missing = False  # by the latest answer
        self._texts: list[str] = []
        self._progress = ""
        self._error: errors.MilvusError | None = None
        self._unchanged_since = started
        # Of errors, and of progress: neither delays the other.
        self._errors, self._standstill = _Schedule(started), _Schedule(started)
        self._recent: deque[str] = deque(maxlen=8)
        self._first_counts: dict[str, tuple[float, int]] = {}
        self._kinds: set[object] = set()
        # Whether the latest line was of an error.
        self._failing = False

    def poll(self) -> Generator[Call[Any], Any, PollResult | errors.MilvusError]:
        """
        Poll once, and return the result, or an error that does not end the wait.

        :raises MilvusError: one that ends it
        """
        try:
            found = yield from self.condition.poll(self.memory)
        except errors.MilvusError as error:
            if isinstance(error, _MISSING) and self._pending is not None:  # it was there
                if error.code is not None and not self._missing:  # the next poll decides: a proxy may lag
                    self._missing = True
                    return error
                raise error.with_context(hint="Another client dropped it during the wait.") from error.__cause__
            is_page = isinstance(error, errors.NotMilvusError) and not isinstance(error, errors.RedirectError)
            goes_on = error.transient or (is_page and self.server_confirmed)
            # The condition itself raises a WaitTimeoutError if waiting longer does not help.
            if isinstance(error, errors.WaitTimeoutError) or not goes_on:
                raise
            return as_outage(error) if self.server_confirmed else error
        self.server_confirmed, self._missing = True, False
        return found

    def report(self, now: float, found: Pending | errors.MilvusError) -> tuple[int, str]:
        """Return log level and text for a poll; the text is empty if there is nothing new."""
        if isinstance(found, errors.MilvusError):
            self._error = found
            return logging.WARNING, self._report_error(now, found)
        self._error = None
        return logging.INFO, self._report_progress(now, found)

    def not_done(self, deadline: Deadline) -> errors.WaitTimeoutError:
        """Return the error of a wait that was not done by its deadline: how far it was, and what went wrong."""
        facts = [self._progress] if self._progress else []
        if self._error is not None:
            facts.append(f"the last error was: {self._error}")
        cause, hint = self.memory.diagnosis or (None, None)
        return errors.WaitTimeoutError(
            f"not done within {deadline}: {'; '.join(facts)}. The server continues by itself; "
            f"waited for: {self.condition}",
            cause=cause,
            hint=hint and f"{hint}.",
        )

    def _report_error(self, now: float, error: errors.MilvusError) -> str:
        kind = (type(error), error.code, error.http_status)
        if kind not in self._kinds:
            self._kinds.add(kind)
            self._errors = _Schedule(now)
            text = f"{str(error).rstrip('.')}; still waiting for {self.condition}"
        elif self._errors.is_due(now):
            waited, why = duration(now - self._started), type(error).__name__
            text = f"still waiting for {self.condition} after {waited}; it fails in the same way as before ({why})"
        else:
            return ""
        self._failing = True
        return text

    def _report_progress(self, now: float, found: Pending) -> str:
        back = "the server answers again; " if self._failing else ""
        self._failing = False
        if found is not self._pending:
            self._pending, self._texts = found, list(map(str, found.progress))
        text = "; ".join(self._texts)
        if text != self._progress:
            self._progress, self._unchanged_since = text, now
        if text not in self._recent:  # counts may fluctuate
            self._recent.append(text)
            self._standstill = _Schedule(now)
            items = zip(found.progress, self._texts, strict=True)
            return back + "; ".join([self._with_time_left(item, text, now) for item, text in items])
        if not self._standstill.is_due(now) and not back:
            return ""
        since = f"unchanged for {duration(now - self._unchanged_since)}"
        if now <= self._unchanged_since:
            since = f"after {duration(now - self._started)}"
        return f"{back}{text} ({since})"

    def _with_time_left(self, item: Progress, text: str, now: float) -> str:
        if item.done is None or item.total is None:
            return text
        since, before = self._first_counts.setdefault(item.label, (now, item.done))
        if item.done < before:  # counts decrease during compactions
            self._first_counts[item.label] = (now, item.done)
        if item.done <= before or now <= since:
            return text
        left = (item.total - item.done) * (now - since) / (item.done - before)
        return f"{text}, about {duration(max(round(left), 1))} left"


class _Schedule:
    """When to repeat what was reported."""

    __slots__ = ("_at", "_interval")

    def __init__(self, now: float) -> None:
        self._at, self._interval = now, REPORT_INTERVAL

    def is_due(self, now: float) -> bool:
        """Return whether it is time; the next time is twice as far away."""
        due = now - self._at >= self._interval
        if due:
            self._at, self._interval = now, 2 * self._interval
        return due


def steady_clock(
    now: Callable[[], float] | None = None, ticks: Callable[[], float] = time.monotonic
) -> Callable[[], float]:
    """
    Return a clock that starts at the time of day, and is not affected when the system's clock is set.

    :param now: the time of day, in seconds since the epoch, which is asked once; None: ``time.time``
    :param ticks: seconds, from any moment on, that cannot be set
    """
    ahead = (now or time.time)() - ticks()
    return lambda: ahead + ticks()


def last_moment(deadline: Deadline) -> float:
    """Return the last moment for an answer, by ``time.monotonic``: one last poll follows the deadline."""
    return time.monotonic() + max(deadline.at - time.time() + LAST_POLL_TIME, SHORTEST_POLLING_TIME)


def pause_after(elapsed: float, poll_interval: float, random: Callable[[], float]) -> float:
    """
    Return how long to pause before the next poll, in seconds.

    :param random: returns numbers from 0 to 1: of many waits that begin together, few poll together
    """
    longest = min(poll_interval, max(SHORTEST_PAUSE, PAUSE_SHARE * max(0.0, elapsed)))
    # Less than the longest pause, to allow for the time of the poll itself.
    return longest * (0.8 + 0.15 * random())


__all__ = ["Deadline", "Wait", "last_moment", "pause_after", "poll_until_done", "steady_clock"]
