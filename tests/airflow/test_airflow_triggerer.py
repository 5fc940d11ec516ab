"""The triggerer is killed while tasks wait in it, and started again."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from tests.support.builds import Builds
from tests.support.running_airflow import Run, RunningAirflow, TriggerRow, now, seconds

#: Seconds that the triggerer may be late, on a busy machine. Much less than the time-out of ``due_after``, so that a
#: wait that began again would be found out.
LATE = 20.0


@dataclass(frozen=True)
class Outage:
    """What was seen before, during and after it."""

    runs: dict[str, Run]
    before: dict[str, TriggerRow]
    after: dict[str, TriggerRow]
    up: float
    looks: int  # at what became due meanwhile, before it was over


@pytest.fixture(scope="module")
def outage(airflow: RunningAirflow, builds: Builds) -> Outage:
    run = airflow.trigger("outage")
    runs = {"survivor": run, "due_after": run}
    before = {task_id: run.taken(task_id) for task_id in runs}
    runs["due_meanwhile"] = airflow.trigger("outage_short")
    before["due_meanwhile"] = runs["due_meanwhile"].taken("due_meanwhile")
    polled = builds["outage_survivor"]
    looks = polled.count("indexes/describe")
    airflow.until(lambda: polled.count("indexes/describe") > looks, "the triggerer looks at the server")

    airflow.kill("triggerer")
    looks = polled.count("indexes/describe")
    deadline = before["due_meanwhile"].deadline
    assert now() < deadline, "this machine is too slow for the test"
    airflow.until(lambda: now() > deadline + 1, "the deadline passes")
    assert polled.count("indexes/describe") == looks
    states = {task_id: of.state(task_id) for task_id, of in runs.items()}
    assert states == {"survivor": "deferred", "due_after": "deferred", "due_meanwhile": "deferred"}

    missed = builds["outage_short_due_meanwhile"].count("indexes/describe")
    airflow.start("triggerer")
    old = before["survivor"].triggerer
    after = {"survivor": run.taken("survivor", but=old), "due_after": run.taken("due_after", but=old)}
    return Outage(runs, before, after, now(), missed)


def test_the_deadline_has_not_moved(outage: Outage) -> None:
    for task_id, after in outage.after.items():
        before = outage.before[task_id]
        assert (after.id, after.classpath) == (before.id, before.classpath)
        assert json.loads(after.kwargs) == json.loads(before.kwargs)
        assert after.triggerer != before.triggerer


def test_what_became_due_meanwhile_fails(outage: Outage, builds: Builds) -> None:
    run, build = outage.runs["due_meanwhile"], builds["outage_short_due_meanwhile"]
    ended = run.until("due_meanwhile", "failed")
    assert seconds(ended, "end_date") > outage.before["due_meanwhile"].deadline
    assert "not done within 20 s (timeout)" in run.log("due_meanwhile")
    # It might have been done meanwhile, so it has to be looked at; a wait of 20 s more would have looked some 40 times.
    assert 1 <= build.count("indexes/describe") - outage.looks <= 3


def test_what_waits_on_ends_with_its_build(airflow: RunningAirflow, outage: Outage, builds: Builds) -> None:
    build, run = builds["outage_survivor"], outage.runs["survivor"]
    looks = build.count("indexes/describe")
    airflow.until(lambda: build.count("indexes/describe") >= looks + 2, "the new triggerer looks at the server")
    assert run.state("survivor") == "deferred"
    build.finish()
    run.until("survivor", "success")
    assert build.count("indexes/create") == 1
    assert run.xcom("survivor")[0]["state"] == "Finished"


def test_what_becomes_due_after_it_fails_at_its_first_deadline(outage: Outage, builds: Builds) -> None:
    run = outage.runs["due_after"]
    ended = run.until("due_after", "failed")
    deadline = outage.before["due_after"].deadline
    last = builds["outage_due_after"].last("indexes/describe")
    # The last poll is one at the deadline itself; so that it may be a little early by another clock.
    assert deadline - 1 < last < max(deadline, outage.up) + LATE
    assert deadline < seconds(ended, "end_date")
    assert "not done within 50 s (timeout)" in run.log("due_after")
