"""Tasks that are killed while they wait in their worker, and that Airflow retries."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.builds import Builds
from tests.support.running_airflow import Run, RunningAirflow

#: Seconds until a task without a heartbeat is given up are 20 here; see SETTINGS.
LONG = 240.0


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture(scope="module")
def processes_of_task(airflow: RunningAirflow, killed: Run, builds: Builds) -> Callable[[str], tuple[int, int]]:
    """Find a task that waits in its worker: that worker's process, and the task's own."""

    def find(task_id: str) -> tuple[int, int]:
        build = builds[f"kills_{task_id}"]
        killed.until(task_id, "running")
        # The fourth look is one of a wait: the task that has come so far has asked for its index and waits.
        airflow.until(lambda: build.count("indexes/describe") >= 4, f"{task_id} waits")
        pid = killed.task(task_id)["pid"]
        worker = parent_of(pid)
        ours = airflow.pids_of("scheduler")
        assert {pid, worker} <= set(ours[2:])  # past the keeper and the scheduler itself
        return worker, pid

    return find


@pytest.fixture(scope="module")
def worker_killed(processes_of_task: Callable[[str], tuple[int, int]]) -> None:
    """Kill a worker and its task. Of all tests here it takes longest until Airflow notices, so all begin with it."""
    for pid in processes_of_task("worker"):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("task_id", ["skip", "fail"])
def test_a_killed_task_finds_its_own_index(
    airflow: RunningAirflow,
    killed: Run,
    builds: Builds,
    processes_of_task: Callable[[str], tuple[int, int]],
    worker_killed: None,
    task_id: str,
) -> None:
    _, pid = processes_of_task(task_id)
    os.kill(pid, signal.SIGKILL)
    goes_on(airflow, killed, builds, task_id)


def test_a_task_whose_worker_was_killed_finds_its_own_index(
    airflow: RunningAirflow, killed: Run, builds: Builds, worker_killed: None
) -> None:
    goes_on(airflow, killed, builds, "worker")


def goes_on(airflow: RunningAirflow, run: Run, builds: Builds, task_id: str) -> None:
    build = builds[f"kills_{task_id}"]
    airflow.until(lambda: run.task(task_id)["try_number"] >= 2, f"a second attempt of {task_id}", LONG)
    run.until(task_id, "running", attempt=2)
    looks = build.count("indexes/describe")
    airflow.until(lambda: build.count("indexes/describe") >= looks + 4, f"{task_id} waits again")
    assert run.state(task_id) == "running"
    build.finish()
    run.until(task_id, "success", attempt=2)
    assert build.count("indexes/create") == 1
    assert build.count("indexes/drop") == 0
    assert list(build.milvus.indexes) == ["vector"]
    assert f"kills_{task_id}/vector already exists" in run.log(task_id, 2)
    (description,) = run.xcom(task_id)
    assert (description["index_name"], description["state"]) == ("vector", "Finished")
