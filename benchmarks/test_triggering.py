"""Waiting in the triggerer: 10,000 waits in one event loop, and what one poll takes.

The waits are in one process, the server in another, which is not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median

import pytest

from benchmarks.conftest import Rows
from benchmarks.server import Server, serving
from benchmarks.strategies import HTTP_PROVIDER, OURS, PER_POLL
from benchmarks.trigger_load import Window, compare, hang, in_fresh_process, load, memory

WAITS, POLL_INTERVAL, WATCHED = 10_000, 12.0, 5.0
#: To compare strategies: fewer waits that poll more often, so that there are as many polls in a second.
FEW, OFTEN, ROUNDS = 60, 0.06, 20
#: Waits on a server that hangs, their common deadline, and how late they may end (seconds).
HANGING, HANGING_TIMEOUT, MOST_LATE = 2000, 5.0, 2.0

MOST_MICROSECONDS = 250
#: What a poll took with a session of its own where the budget was set: the measure of another machine's speed.
PER_POLL_MICROSECONDS = 460
MOST_KIB = 25
#: What a busy machine may add to times, and to the moment at which a wait has its turn.
NOISE = 1.1


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def test_polls(server: Server, print_table: Callable[[str, Rows], None], slack: float) -> None:
    windows = in_fresh_process(compare, server, waits=FEW, poll_interval=OFTEN, rounds=ROUNDS)
    rows = {name: _row(found, windows[PER_POLL]) for name, found in windows.items()}
    print_table("CPU a poll in the triggerer", rows)

    limit = MOST_MICROSECONDS / PER_POLL_MICROSECONDS
    ours = rows[OURS]
    assert ours["us"] <= slack * MOST_MICROSECONDS or ours["of a session per poll"] <= max(slack, NOISE) * limit, ours


def _row(windows: list[Window], others: list[Window]) -> dict[str, float]:
    # Of two that followed one another: what slows the machine down for longer than a round slows down both.
    shares = [one.microseconds / other.microseconds for one, other in zip(windows, others, strict=False)]
    return {
        "us": median(window.microseconds for window in windows),
        "of a session per poll": median(shares),
        "connections a poll": sum(window.opened for window in windows) / sum(window.polls for window in windows),
    }


def test_ten_thousand_waits(server: Server, print_table: Callable[[str, Rows], None], slack: float) -> None:
    found = in_fresh_process(load, server, waits=WAITS, poll_interval=POLL_INTERVAL, seconds=WATCHED)
    rows: dict[str, dict[str, float | str]] = {
        f"{OURS}, {WAITS:,} waits": {
            "KiB a wait": found.kib,
            "us a poll": found.window.microseconds,
            "connections": found.most_open,
            "median s late": median(found.late),
            "latest s": max(found.late),
        }
    }
    for name in (PER_POLL, HTTP_PROVIDER):
        rows[f"{name}, 600 waits"] = {
            "KiB a wait": in_fresh_process(memory, server, name=name, waits=600, poll_interval=3.0)
        }
    print_table(f"waits in one triggerer, poll_interval {POLL_INTERVAL:g} s", rows)

    assert found.kib <= MOST_KIB
    assert found.sessions == 1
    assert found.left == 0
    assert max(found.late) <= max(slack, NOISE) * POLL_INTERVAL


def test_a_server_that_hangs(server: Server, slack: float) -> None:
    late = in_fresh_process(hang, server, waits=HANGING, timeout=HANGING_TIMEOUT)
    assert max(late) <= slack * MOST_LATE
