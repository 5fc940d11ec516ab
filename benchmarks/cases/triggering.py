"""Waiting in the triggerer: 10,000 waits in one event loop, and what one look takes

The waits are in one process, the server in another, which is not measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from benchmarks.crowd.server import Server, serving
from benchmarks.report import Check, Report, Row, at_most

OURS = "airflow_vectordb"
PER_POLL = "a session per poll (aiohttp)"
LOOP = "HttpTrigger, in a loop"
BARE = "a trigger that sleeps"
#: The crowd: how many waits, how often they look (seconds), and how long they are watched doing so.
WAITS, POLL_INTERVAL, WATCHED = 10_000, 12.0, 5.0
#: The comparison: fewer waits that look more often, so that there are as many looks in a second.
FEW, OFTEN, ROUND, ROUNDS = 60, 0.06, 0.25, 18
#: Waits whose memory is looked at, for each of the other ways.
SOME = 600

#: Waits on a server that hangs, their common deadline, and how late they may end (seconds).
HANGING, HANGING_TIMEOUT, MOST_LATE = 2000, 5.0, 2.0

MOST_MICROSECONDS = 250
#: What a look took with a session of its own where the budget was made: the measure of another machine's speed.
PER_POLL_MICROSECONDS = 460
MOST_KIB = 25
#: What a busy machine may add to times that are the best of several, and to the moment at which a wait has its turn.
NOISE = 1.1


def run() -> Report:
    """Measure."""
    with serving() as server:
        looks = _work(server, "compare", waits=FEW, poll_interval=OFTEN, seconds=ROUND, rounds=ROUNDS)
        crowd = _work(server, "crowd", waits=WAITS, poll_interval=POLL_INTERVAL, seconds=WATCHED)
        late = _work(server, "hang", waits=HANGING, timeout=HANGING_TIMEOUT)["late"]
        memory = {
            way: _work(server, "hold", way=way, waits=WAITS if way == BARE else SOME, poll_interval=3.0)["kib"]
            for way in (PER_POLL, LOOP, BARE)
            if way in looks or way == BARE
        }
    best = {way: min(_microseconds(window) for window in windows) for way, windows in looks.items()}
    rows = [_row(way, best, looks[way], memory.get(way), [_cpu_check(best)] if way == OURS else ()) for way in looks]
    rows.append(Row(BARE, {"KiB a wait": memory[BARE]}))
    rows += [_crowd_row(crowd), _hanging_row(late)]
    return Report(rows, list(_notes(crowd, looks)))


def _work(server: Server, job: str, **arguments: Any) -> Any:
    command = [sys.executable, "-m", "benchmarks.crowd.worker"]
    task = json.dumps({"job": job, "url": server.url, **arguments})
    run = subprocess.run([*command, task], capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"{job} failed: {run.stderr.strip()[-2000:]}")
    return json.loads(run.stdout.splitlines()[-1])


def _microseconds(window: Mapping[str, Any]) -> float:
    return float(1e6 * window["cpu"] / max(1, window["polls"]))


def _row(
    way: str,
    best: Mapping[str, float],
    windows: Sequence[Mapping[str, Any]],
    kib: float | None,
    checks: Sequence[Check],
) -> Row:
    polls = sum(window["polls"] for window in windows)
    values = {
        "us CPU a poll": best[way],
        "median us": median(map(_microseconds, windows)),
        "of a session per poll": best[way] / best[PER_POLL],
        "connections a poll": sum(window["opened"] for window in windows) / max(1, polls),
        "KiB a wait": kib,
    }
    return Row(way, values, checks)


def _cpu_check(best: Mapping[str, float]) -> Check:
    share = MOST_MICROSECONDS / PER_POLL_MICROSECONDS
    measured = best[OURS] / best[PER_POLL]
    return Check(
        f"at most {MOST_MICROSECONDS} us of CPU a poll, or, on slower machines, {share:.2f} of a session per poll",
        f"{best[OURS]:.0f} us, {measured:.2f}",
        best[OURS] <= MOST_MICROSECONDS or measured <= NOISE * share,
        best[OURS] <= 2 * MOST_MICROSECONDS or measured <= 2 * share,
    )


def _crowd_row(crowd: Mapping[str, Any]) -> Row:
    latest = max(crowd["late"])
    return Row(
        f"{OURS}, {WAITS:,} waits",
        {"us CPU a poll": _microseconds(crowd), "KiB a wait": crowd["kib"]},
        [
            at_most("KiB a wait", crowd["kib"], MOST_KIB),
            at_most("session for one connection id", crowd["sessions"], 1),
            replace(
                at_most("poll interval from built to noticed, for the latest", latest / POLL_INTERVAL, NOISE),
                roughly=latest <= 2 * POLL_INTERVAL,
            ),
            at_most("sessions and connections left behind", crowd["left"], 0),
        ],
        f"{crowd['most_open']} TCP connections at most; latest notice after {latest:.1f} s",
    )


def _hanging_row(late: Sequence[float]) -> Row:
    check = at_most("s after the deadline, for the latest, on a server that hangs", max(late), MOST_LATE)
    return Row(
        f"{OURS}, {HANGING:,} waits",
        checks=[replace(check, roughly=max(late) <= 2 * MOST_LATE)],
        remark=f"a server that hangs; median end {median(late):.2f} s after the deadline",
    )


def _notes(crowd: Mapping[str, Any], looks: Mapping[str, Any]) -> list[str]:
    notes = [
        f"Polls: {FEW} waits with pauses up to {1000 * OFTEN:g} ms, {ROUNDS} rounds of {ROUND:g} s each, in turns in"
        f" one process; the best round counts, since whatever else the machine does only adds to it. CPU: user and"
        f" system time of the process, with what Airflow's triggerer adds to a task that wakes up (asyncio, greenback)."
        f" Each look finds progress; its log line is made and thrown away.",
        f"{WAITS:,} waits: poll_interval {POLL_INTERVAL:g} s, {crowd['polls'] / WATCHED:,.0f} polls a second; half the"
        f" waits noticed after {median(crowd['late']):.1f} s. The memory is the growth of the process's"
        f" RSS, when each has looked at least once, with what any trigger takes; the other ways with {SOME:,} waits.",
        f"Budgets about time allow {NOISE - 1:.0%} for noise. A session per poll took {PER_POLL_MICROSECONDS} us where"
        f" the {MOST_MICROSECONDS} us were set.",
    ]
    if not any(way.startswith("Http") for way in looks):
        notes.append("The HTTP provider (HttpTrigger) is not installed.")
    return notes
