"""How waiting goes: as a sequence of calls and pauses, without I/O.

:func:`poll_until_done` turns a condition into that sequence, until it is done, has failed, or its deadline has passed.
Tasks (sync) and the trigger (async) make the calls and sleep, and so share all that is decided.
"""

from __future__ import annotations

import logging
import random as _random
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_vectordb.rest.driver import Sleep
from airflow_vectordb.rest.errors import MilvusError, NotMilvusError, RedirectError, WaitTimeoutError
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.wording import duration
from airflow_vectordb.waiting.conditions import Condition, Done, Memory, Pending, PollResult, Progress

#: Seconds: no two polls are closer together (but for the jitter, and the last one at the deadline), whatever the server
#: answers, unless ``poll_interval`` is shorter still.
SHORTEST_PAUSE = 0.5
#: The pause grows with the time waited, so that what ends after t seconds is noticed within a tenth of t; the calls
#: themselves take time too.
PAUSE_SHARE = 0.08
#: Seconds: a ``Retry-After`` above this (and above ``poll_interval``) is not waited out in full.
LONGEST_REQUESTED_PAUSE = 60.0
#: Seconds that the last poll gets, which is made at the deadline; and all polls together of a wait that begins late.
OVERTIME, LEAST = 0.5, 2.0
#: Seconds from the first report of an outage, or of a standstill, to the second; from report to report it doubles.
REPORT_INTERVAL = 300.0


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

    Send in the result of each call, or throw in its error. Transient errors neither end the wait nor reset it: the
    next poll is the retry. So are answers that are not Milvus's, once Milvus has answered. Other errors end it.

    :param condition: what is waited for
    :param deadline: when to give up
    :param poll_interval: seconds, the longest pause between two polls
    :param started: seconds since the epoch: when the wait began, here or in an earlier life of it
    :param initial_result: the result of a poll that has just been made; None: begin with one
    :param server_confirmed: whether Milvus has answered the task before, so that this is not the wrong address
    :param resumed: whether it goes on where a task left it. When a triggerer starts anew, many waits do so at once:
        they poll one after the other, within the pause that is due
    :param reported: the progress that is in the log already
    :param clock: the present time; None: a :func:`steady_clock`
    :param random: gives numbers from 0 to 1, for the jitter
    :return: what the wait's :class:`~airflow_vectordb.waiting.conditions.Done` has
    :raises MilvusError: the error that ended it
    :raises WaitTimeoutError: when it was not done by the deadline
    """
    clock = clock or steady_clock()
    report = _Report(str(condition), started)
    if reported:
        report.begin_with(tuple(reported), clock())
    memory = Memory(clock)
    verdict: PollResult | None = initial_result
    server_confirmed = server_confirmed or initial_result is not None
    if resumed and (due := min(pause_after(clock() - started, poll_interval, random), deadline.at - clock())) > 0:
        yield Sleep(due * random())
    while True:
        trouble: MilvusError | None = None
        if verdict is None:
            try:
                verdict = yield from condition.poll(memory)
                server_confirmed = True
            except MilvusError as error:
                if not is_recoverable(error, server_confirmed):
                    raise
                trouble = error
        if isinstance(verdict, Done):
            return verdict.result
        now = clock()
        report.seen = verdict or report.seen
        if now >= deadline.at:
            raise not_done(condition, deadline, report.last(trouble))
        pause = pause_after(now - started, poll_interval, random)
        if trouble is not None and trouble.retry_after is not None:
            pause = max(pause, min(trouble.retry_after, max(LONGEST_REQUESTED_PAUSE, poll_interval)))
        # One more poll at the deadline itself, rather than none for the rest of the time.
        pause = max(min(pause, deadline.at - now), min(SHORTEST_PAUSE, poll_interval) / 5)
        level, text = report.line(now, verdict, trouble)
        yield Sleep(pause, level, text)
        verdict = None


def steady_clock(
    now: Callable[[], float] | None = None, ticks: Callable[[], float] = time.monotonic
) -> Callable[[], float]:
    """
    Make a clock that shows the time of day, and goes on evenly when somebody sets the system's.

    :param now: the time of day, in seconds since the epoch, which is asked once; None: ``time.time``
    :param ticks: seconds, from any moment on, that nobody sets
    """
    ahead = (now or time.time)() - ticks()
    return lambda: ahead + ticks()


def last_moment(deadline: Deadline) -> float:
    """
    Tell until when an answer is of use, by ``time.monotonic``: a little longer than the deadline, at which there is a
    last poll.

    :param deadline: when waiting ends
    """
    return time.monotonic() + max(deadline.at - time.time() + OVERTIME, LEAST)


def pause_after(elapsed: float, poll_interval: float, random: Callable[[], float]) -> float:
    """
    Tell how long to pause before the next poll.

    :param elapsed: seconds waited so far
    :param poll_interval: seconds, the longest pause
    :param random: gives numbers from 0 to 1: of many waits that begin together, few poll together
    """
    longest = min(poll_interval, max(SHORTEST_PAUSE, PAUSE_SHARE * max(0.0, elapsed)))
    # Below the longest pause, so that with the time of the poll itself nothing is noticed later than that.
    return longest * (0.8 + 0.15 * random())


def is_recoverable(error: MilvusError, server_confirmed: bool) -> bool:
    """
    Tell whether a wait goes on in spite of an error.

    :param error: what a poll at the server met
    :param server_confirmed: whether Milvus has answered before
    """
    if error.transient:
        return True
    # A page of a proxy's between two good answers is an outage. Before the first one, it is the wrong address.
    return server_confirmed and isinstance(error, NotMilvusError) and not isinstance(error, RedirectError)


def not_done(condition: Condition, deadline: Deadline, seen: str) -> WaitTimeoutError:
    """
    Say that a wait has taken too long.

    :param condition: what was waited for
    :param deadline: when it should have been done
    :param seen: how far it was, and what went wrong
    """
    return WaitTimeoutError(
        f"not done within {deadline}: {seen}. The server goes on by itself; waited for: {condition}"
    )


def still_waiting(name: object, error: MilvusError) -> str:
    """
    Say that an error does not end a wait.

    :param name: what is waited for
    :param error: what a poll at the server met
    """
    return f"{str(error).rstrip('.')}; still waiting for {name}"


@dataclass
class _Report:
    """What to tell people, and when."""

    name: str
    started: float
    seen: Pending | None = None
    told: tuple[Progress, ...] = ()
    recent: deque[tuple[Progress, ...]] = field(default_factory=lambda: deque(maxlen=8))
    told_at: float = float("-inf")
    since: float = 0.0  # it is what was told
    warned_at: float = float("-inf")
    quiet: float = REPORT_INTERVAL
    in_trouble: bool = False  # and it has been told
    troubles: set[object] = field(default_factory=set)
    began: dict[str, tuple[float, int]] = field(default_factory=dict)

    def begin_with(self, told: tuple[Progress, ...], now: float) -> None:
        self.told, self.told_at, self.since = told, now, now
        self.recent.append(told)
        for item in told:
            self._describe(item, now)

    def line(self, now: float, verdict: Pending | None, trouble: MilvusError | None) -> tuple[int, str]:
        if trouble is not None:
            kind = (type(trouble), trouble.code, trouble.http_status)
            if kind in self.troubles:
                if now - self.warned_at < self.quiet:
                    return logging.WARNING, ""
                self.quiet *= 2
                waited, why = duration(now - self.started), type(trouble).__name__
                text = f"still waiting for {self.name} after {waited}; it fails in the same way as before ({why})"
            else:
                self.quiet = REPORT_INTERVAL
                text = still_waiting(self.name, trouble)
            self.troubles.add(kind)
            self.in_trouble, self.warned_at = True, now
            return logging.WARNING, text
        progress = verdict.progress if verdict is not None else ()
        back = "the server answers again; " if self.in_trouble else ""
        self.in_trouble = False
        if progress != self.told:
            self.told, self.since = progress, now
        if progress not in self.recent:  # counts may go back and forth
            self.recent.append(progress)
            self.told_at, self.quiet = now, REPORT_INTERVAL
            return logging.INFO, back + "; ".join(self._describe(item, now) for item in progress)
        if now - self.told_at < self.quiet and not back:
            return logging.INFO, ""
        if not back:
            self.quiet *= 2
        self.told_at = now
        same, how = "; ".join(map(str, progress)), f"unchanged for {duration(now - self.since)}"
        return logging.INFO, f"{back}{same} ({how if now > self.since else f'after {duration(now - self.started)}'})"

    def last(self, trouble: MilvusError | None) -> str:
        facts = [str(self.seen)] if self.seen is not None else []
        if trouble is not None:
            facts.append(f"the last error was: {trouble}")
        return "; ".join(facts)

    def _describe(self, item: Progress, now: float) -> str:
        text = str(item)
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
        return f"{text}, about {duration(max(round(left), 1))} left"


__all__ = [
    "Deadline",
    "is_recoverable",
    "last_moment",
    "not_done",
    "pause_after",
    "poll_until_done",
    "steady_clock",
    "still_waiting",
]
