"""Sensors under a real scheduler: what they hold while they wait, and that they end in time."""

from __future__ import annotations

import re

import pytest

from tests.support.builds import ROWS, Builds
from tests.support.running_airflow import Run, RunningAirflow, seconds


def test_no_slot_between_polls(airflow: RunningAirflow, sensed: Run) -> None:
    """Three tasks in a pool of one slot: none could have got its turn if one had kept it."""
    sensed.until("meanwhile", "success")
    sensed.until("deferred", "deferred")
    free = []

    def seen() -> bool:
        before = sensed.state("rescheduled")
        pool = airflow.pool("sensing")
        if (before, sensed.state("rescheduled")) == ("up_for_reschedule", "up_for_reschedule"):
            free.append((pool["occupied_slots"], pool["deferred_slots"]))
        return (0, 1) in free

    airflow.until(seen, "the pool is free while one sensor is to be started again and the other is deferred")
    airflow.until(lambda: len(reschedules(airflow, sensed)) >= 2, "it was started again twice")


def reschedules(airflow: RunningAirflow, run: Run) -> list[tuple[object, ...]]:
    """When a sensor left its worker."""
    return airflow.query(
        "SELECT r.id FROM task_reschedule r JOIN task_instance i ON i.id = r.ti_id"
        " WHERE i.run_id = ? AND i.task_id = 'rescheduled'",
        run.run_id,
    )


@pytest.mark.parametrize("task_id", ["rescheduled", "deferred"])
def test_the_index_of_another_dag(airflow: RunningAirflow, sensed: Run, builds: Builds, task_id: str) -> None:
    build = builds[f"sensors_{task_id}"]
    assert build.milvus.indexes == {}
    build.milvus.add("vector", M=16)
    before = build.count("indexes/describe")
    airflow.until(lambda: build.count("indexes/describe") >= before + 2, f"{task_id} looks at the index")
    assert sensed.state(task_id) != "success"
    build.finish()
    done = sensed.until(task_id, "success")
    assert build.finished_at is not None
    assert build.finished_at <= seconds(done, "end_date")
    (description,) = sensed.xcom(task_id)
    assert (description["index_name"], description["state"]) == ("vector", "Finished")
    assert (description["indexed_rows"], description["pending_rows"]) == (ROWS, 0)
    assert build.count("indexes/create") == 0


@pytest.mark.parametrize(
    ("task_id", "kind", "told"),
    [
        (
            "rescheduled_late",
            "AirflowSensorTimeout",
            r"of (?:[89]|\d\d)\.\d+ seconds exceeds the specified timeout of 8\.0",
        ),
        ("deferred_late", "WaitTimeoutError", r"not done within 5 s \(timeout\)"),
    ],
)
def test_time_out(sensed: Run, builds: Builds, task_id: str, kind: str, told: str) -> None:
    # Airflow does not retry sensors that timed out; ours is Milvus's error as well, and named so.
    sensed.until(task_id, "failed", attempt=1)
    log = sensed.log(task_id)
    assert re.search(told, log), log
    assert f"{kind}: " in log or f'"exc_type": "{kind}"' in log
    assert f"sensors_{task_id}/vector: not there yet" in log
    assert builds[f"sensors_{task_id}"].count("indexes/describe") >= 2
