"""Waiting for a build: how soon its end is noticed, and after how many looks

Simulated: the clock of polling.poll_until_done is one that jumps, and the server's answers are made up.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from airflow_vectordb.rest.driver import Sleep
from airflow_vectordb.rest.indexes import IndexDescription
from airflow_vectordb.waiting.conditions import IndexesBuilt, Pending
from airflow_vectordb.waiting.polling import Deadline, poll_until_done
from benchmarks.report import Report, Row, at_most

POLL_INTERVAL = 30.0
#: 10 s is where the two limits meet.
BUILDS = {"1 s": 1.0, "10 s": 10.0, "30 s": 30.0, "10 min": 600.0, "10 h": 36000.0}
RUNS = 150
#: What a build's length differs by from run to run, so that it ends at any moment between two looks.
SPREAD = 0.2
#: Seconds from a request to its answer.
LATENCY = 0.02
#: What may pass until the end is noticed: this share of the build's time, or this number of seconds.
MOST_SHARE = 0.1
MOST_SECONDS = 1.0
#: Looks that may be added when a build takes twice as long, until the pause has grown to poll_interval.
MOST_PER_DOUBLING = 12


@dataclass(frozen=True)
class Noticed:
    """
    A wait that is over.

    :param build: seconds that the build took
    :param polls: number of requests
    :param delay: seconds from the end of the build until it was noticed
    """

    build: float
    polls: int
    delay: float

    @property
    def share(self) -> float:
        """The delay as a share of what it may be."""
        return self.delay / max(MOST_SHARE * self.build, MOST_SECONDS)


def wait_for(
    build: float, source: random.Random, poll_interval: float = POLL_INTERVAL, *, deferred: bool = False
) -> Noticed:
    """
    Wait, in simulated time, as CreateIndexOperator does after it has read back an index that is not built.

    :param build: seconds that the build takes
    :param source: of the jitter
    :param poll_interval: seconds
    :param deferred: whether the trigger goes on with it, and not the task
    """
    now, polls = 0.0, 0
    steps = poll_until_done(
        IndexesBuilt("docs", ("vector",)),
        Deadline(math.inf, "timeout", math.inf),
        poll_interval=poll_interval,
        started=0.0,
        initial_result=None if deferred else Pending(()),
        resumed=deferred,
        clock=lambda: now,
        random=source.random,
    )
    step = next(steps)
    while True:
        answer = None
        if isinstance(step, Sleep):
            now += step.seconds
        else:
            polls += 1
            answer = [_description(now + LATENCY / 2 >= build)]
            now += LATENCY
        try:
            step = steps.send(answer)
        except StopIteration:
            return Noticed(build, polls, now - build)


def _description(built: bool) -> IndexDescription:
    state = "Finished" if built else "InProgress"
    return IndexDescription("vector", "vector", "HNSW", "COSINE", state, 1000, 1000 * built, 1000 * (not built))


def at_fixed_pauses(build: float, source: random.Random, pause: float) -> Noticed:
    """
    Wait with looks at fixed intervals.

    :param build: seconds that the build takes
    :param source: of the moment within an interval at which the build begins
    :param pause: seconds between two looks
    """
    first = pause * source.random()
    polls = 1 + max(0, math.ceil((build - first) / pause))
    return Noticed(build, polls, first + (polls - 1) * pause + LATENCY - build)


def run() -> Report:
    """Simulate."""
    rows = []
    for name, build in BUILDS.items():
        source = random.Random(name)
        builds = [build * (1 + SPREAD * (source.random() - 0.5)) for _ in range(RUNS)]
        for text, deferred in (("in the task", False), ("deferred", True)):
            ours = [wait_for(build, source, deferred=deferred) for build in builds]
            worst = max(wait.share for wait in ours)
            row = _row(f"{name}: airflow_vectordb, {text}", ours)
            rows.append(Row(row.name, row.values, [at_most("times what is allowed (the worst delay)", worst, 1.0)]))
        for text, pause in (("a look every 0.5 s, as pymilvus", 0.5), ("a look every 30 s", 30.0)):
            rows.append(_row(f"{name}: {text}", [at_fixed_pauses(build, source, pause) for build in builds]))
    return Report(
        [*rows, _growth()],
        [
            f"{RUNS} simulated waits each, of builds that differ by up to {SPREAD / 2:.0%}; poll_interval"
            f" {POLL_INTERVAL:g} s; an answer takes {1000 * LATENCY:g} ms. Allowed: {MOST_SHARE:.0%} of the build's"
            f" time or {MOST_SECONDS:g} s, whichever is more.",
        ],
    )


def _row(name: str, waits: Sequence[Noticed]) -> Row:
    return Row(
        name,
        {
            "polls": int(median(wait.polls for wait in waits)),
            "most polls": max(wait.polls for wait in waits),
            "delay s": median(wait.delay for wait in waits),
            "longest delay s": max(wait.delay for wait in waits),
            "longest, of what is allowed": max(wait.share for wait in waits),
        },
    )


def _growth() -> Row:
    source = random.Random("growth")
    lengths = [2.0**power for power in range(int(math.log2(POLL_INTERVAL / MOST_SHARE)) + 1)]
    polls = [median(wait_for(length, source).polls for _ in range(RUNS)) for length in lengths]
    steps = [longer - shorter for shorter, longer in pairwise(polls)]
    return Row(
        f"from 1 s to {lengths[-1]:g} s, doubling",
        {"polls": int(polls[-1])},
        [at_most("polls more for a build twice as long", max(steps), MOST_PER_DOUBLING)],
    )
