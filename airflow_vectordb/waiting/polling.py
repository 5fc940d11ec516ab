"""The one loop: poll, report, sleep, until a condition is done, has failed, or its deadline has passed.

:func:`poll_until_done` yields the calls to make and the times to sleep, and does no I/O. The hook (sync) and the
trigger (async) execute them, and so share all decisions.
"""

from __future__ import annotations

import random as _random
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_vectordb.rest.driver import Sleep
from airflow_vectordb.rest.errors import MilvusError, NotMilvusError, RedirectError, WaitTimeoutError
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.http.response import as_outage
from airflow_vectordb.rest.wording import duration
from airflow_vectordb.waiting.base import Condition, Done, Memory, Pending, PollResult, Progress
from airflow_vectordb.waiting.report import Report

#: Seconds: the shortest pause between polls (except for jitter and the last poll at the deadline), unless
#: ``poll_interval`` is shorter.
SHORTEST_PAUSE = 0.5
#: The pause grows with the time waited: the end of a wait of t seconds is noticed within t/10, calls included.
PAUSE_SHARE = 0.08
#: Seconds; a longer ``Retry-After`` is shortened to this, or to ``poll_interval`` if that is longer.
LONGEST_REQUESTED_PAUSE = 60.0
#: Seconds for the last poll, at the deadline.
LAST_POLL_TIME = 0.5
#: Seconds that a wait gets at least, even if it begins late.
SHORTEST_POLLING_TIME = 2.0


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

    @property
    def until(self) -> str:
        """The time of day of :attr:`at`, for people, in UTC: ``2026-03-07 14:05:12 UTC``."""
        import pendulum

        return f"{pendulum.from_timestamp(self.at).to_datetime_string()} UTC"


PollLoop = Generator["Call[Any] | Sleep", Any, Any]


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
) -> PollLoop:
    """
    Wait: yield calls to make (once each, without retries) and times to sleep, in turn.

    Send in the result of each call, or throw in its error. Transient errors neither end the wait nor reset it: the next
    poll is the retry. The same holds for answers that are not Milvus's, once Milvus has answered. Other errors end it.

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
    report = Report(str(condition), started)
    if reported:
        report.continue_after(tuple(reported), clock())
    memory = Memory(clock)
    found: PollResult | MilvusError | None = initial_result
    server_confirmed = server_confirmed or initial_result is not None
    if resumed and (due := min(pause_after(clock() - started, poll_interval, random), deadline.at - clock())) > 0:
        yield Sleep(due * random())
    while True:
        if found is None:
            try:
                found = yield from condition.poll(memory)
                server_confirmed = True
            except MilvusError as error:
                if not is_recoverable(error, server_confirmed):
                    raise
                found = as_outage(error) if server_confirmed else error
        if isinstance(found, Done):
            return found.result
        now = clock()
        level, text = report.line(now, found)
        if now >= deadline.at:
            raise not_done(condition, deadline, report.summary(), memory)
        pause = pause_after(now - started, poll_interval, random)
        if isinstance(found, MilvusError) and found.retry_after is not None:
            pause = max(pause, min(found.retry_after, max(LONGEST_REQUESTED_PAUSE, poll_interval)))
        # One more poll at the deadline itself, rather than none for the rest of the time.
        pause = max(min(pause, deadline.at - now), min(SHORTEST_PAUSE, poll_interval) / 5)
        yield Sleep(pause, level, text)
        found = None


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


def is_recoverable(error: MilvusError, server_confirmed: bool) -> bool:
    """Return whether a wait continues after an error."""
    if isinstance(error, WaitTimeoutError):  # raised by the condition itself: waiting longer does not help
        return False
    if error.transient:
        return True
    # After an answer of Milvus, a proxy's page is an outage; before the first one, it means a wrong address.
    return server_confirmed and isinstance(error, NotMilvusError) and not isinstance(error, RedirectError)


def not_done(condition: Condition, deadline: Deadline, seen: str, memory: Memory) -> WaitTimeoutError:
    """
    Return the error of a wait that was not done by its deadline.

    :param seen: how far it was, and what went wrong
    :param memory: of the wait
    """
    cause, hint = memory.diagnosis or (None, None)
    return WaitTimeoutError(
        f"not done within {deadline}: {seen}. The server continues by itself; waited for: {condition}",
        cause=cause,
        hint=hint and f"{hint}.",
    )


__all__ = [
    "Deadline",
    "is_recoverable",
    "last_moment",
    "not_done",
    "pause_after",
    "poll_until_done",
    "steady_clock",
]
