"""Waiting for a build: how soon its end is noticed, and after how many polls.

Simulated: the clock of ``poll_until_done`` jumps, and the server's answers are made up.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import pytest

from airflow_vectordb.rest.driver import Sleep
from airflow_vectordb.rest.index.description import BuildState, parse_build_state
from airflow_vectordb.waiting import Deadline, IndexesBuilt, Pending, poll_until_done
from benchmarks.conftest import Rows

POLL_INTERVAL = 30.0
#: Seconds that builds take. 10 s is where the two limits meet.
BUILDS = (1.0, 10.0, 30.0, 600.0, 36000.0)
RUNS = 100
#: By what share builds differ, so that they end at any moment between two polls.
SPREAD = 0.2
#: Seconds from a request to its answer.
LATENCY = 0.02
#: What may pass until the end is noticed: this share of the build's time, or this number of seconds.
MOST_SHARE, MOST_SECONDS = 0.1, 1.0
#: Polls that may be added when a build takes twice as long, until the pause has grown to poll_interval.
MOST_PER_DOUBLING = 12


@dataclass(frozen=True)
class Wait:
    """A wait that is over: seconds that the build took, requests, seconds until its end was noticed."""

    build: float
    polls: int
    delay: float

    @property
    def share(self) -> float:
        """The delay as a share of what it may be."""
        return self.delay / max(MOST_SHARE * self.build, MOST_SECONDS)


def _wait(build: float, source: random.Random, *, deferred: bool = False) -> Wait:
    """Wait as CreateIndexOperator does after it has read back an index that is not built."""
    now, polls = 0.0, 0
    steps = poll_until_done(
        IndexesBuilt("docs", ("vector",)),
        Deadline(math.inf, "timeout", math.inf),
        poll_interval=POLL_INTERVAL,
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
            answer = [_index(built=now + LATENCY / 2 >= build)]
            now += LATENCY
        try:
            step = steps.send(answer)
        except StopIteration:
            return Wait(build, polls, now - build)


def _index(built: bool) -> BuildState:
    return parse_build_state(
        {
            "indexName": "vector",
            "fieldName": "vector",
            "indexState": "Finished" if built else "InProgress",
            "totalRows": 1000,
            "indexedRows": 1000 * built,
            "pendingRows": 1000 * (not built),
        }
    )


def _poll_every(pause: float, build: float, source: random.Random) -> Wait:
    first = pause * source.random()
    polls = 1 + max(0, math.ceil((build - first) / pause))
    return Wait(build, polls, first + (polls - 1) * pause + LATENCY - build)


@pytest.mark.parametrize("build", BUILDS)
def test_noticing(build: float, print_table: Callable[[str, Rows], None]) -> None:
    source = random.Random(build)
    builds = [build * (1 + SPREAD * (source.random() - 0.5)) for _ in range(RUNS)]
    ours = {
        "airflow_vectordb, in the task": [_wait(each, source) for each in builds],
        "airflow_vectordb, deferred": [_wait(each, source, deferred=True) for each in builds],
    }
    others = {
        "a poll every 0.5 s, as pymilvus": [_poll_every(0.5, each, source) for each in builds],
        "a poll every 30 s": [_poll_every(30.0, each, source) for each in builds],
    }
    print_table(
        f"noticing the end of builds of {build:g} s", {name: _row(waits) for name, waits in (ours | others).items()}
    )

    assert max(wait.share for waits in ours.values() for wait in waits) <= 1


def _row(waits: list[Wait]) -> dict[str, float | str]:
    return {
        "polls": int(median(wait.polls for wait in waits)),
        "delay s": median(wait.delay for wait in waits),
        "longest delay s": max(wait.delay for wait in waits),
        "longest, of what is allowed": max(wait.share for wait in waits),
    }


def test_polls_grow_with_the_logarithm_of_a_build() -> None:
    source = random.Random("growth")
    builds = [2.0**power for power in range(int(math.log2(POLL_INTERVAL / MOST_SHARE)) + 1)]
    polls = [median(_wait(build, source).polls for _ in range(RUNS)) for build in builds]
    assert max(longer - shorter for shorter, longer in pairwise(polls)) <= MOST_PER_DOUBLING, polls
