"""What Airflow retries, and what it does not: with ``retries=2`` each."""

from __future__ import annotations

import pytest

from tests.support.builds import NEEDLE, RETRIES, TOKEN, Builds
from tests.support.running_airflow import Run, RunningAirflow
from tests.support.scripted import error


@pytest.fixture(scope="module")
def run(airflow: RunningAirflow, builds: Builds) -> Run:
    builds["retries_refused"].milvus.refuses["vector"] = error(1100, "invalid parameter[M=16]")
    builds["retries_unavailable"].outage("collections/describe", RETRIES + 1)
    builds["retries_unavailable"].finish()
    builds["retries_own_refused"].milvus.faults["collections/describe"] = [error(1401, "no privilege")]
    builds["retries_own_unavailable"].outage("collections/describe", RETRIES + 1)
    return airflow.trigger("retries")


def test_a_wait_that_was_too_short_is_retried(airflow: RunningAirflow, run: Run, builds: Builds) -> None:
    """In the triggerer and in a worker."""
    waiting = ["slow", "slow_here"]

    def retried() -> bool:
        for task_id in list(waiting):
            # Its second attempt is to find the index built.
            if run.state(task_id) == "up_for_retry":
                builds[f"retries_{task_id}"].finish()
                waiting.remove(task_id)
        return not waiting

    airflow.until(retried, "both are to be retried")
    for task_id in ("slow", "slow_here"):
        run.until(task_id, "success", attempt=2)
        assert "not done within 4 s (timeout)" in run.log(task_id, 1)
        assert "not done" not in run.log(task_id, 2)
        assert builds[f"retries_{task_id}"].count("indexes/create") == 1


def test_a_refused_index_ends_the_task(run: Run, builds: Builds) -> None:
    run.until("refused", "failed", attempt=1)
    assert builds["retries_refused"].count("indexes/create") == 1
    log = run.log("refused")
    assert "invalid parameter[M=16]" in log
    assert "1100" in log


def test_a_build_that_fails_in_mid_wait_ends_the_task(run: Run, builds: Builds) -> None:
    build = builds["retries_given_up"]
    run.until("given_up", "deferred")
    run.taken("given_up")
    run.left("given_up")
    # Servers repeat what they were sent.
    build.fail(f"no memory for {TOKEN}")
    run.until("given_up", "failed", attempt=1)
    log = run.log("given_up")
    assert "could not be built: no memory for" in log
    assert NEEDLE not in log
    assert build.count("indexes/create") == 1


def test_an_outage_is_retried_by_the_hook_and_then_by_airflow(run: Run, builds: Builds) -> None:
    build = builds["retries_unavailable"]
    run.until("unavailable", "success", attempt=2)
    # Three times in vain in the first attempt, and once in the second.
    assert build.count("collections/describe") == RETRIES + 2
    assert build.count("indexes/create") == 1
    assert "HTTP 503" in run.log("unavailable", 1)
    assert "HTTP 503" not in run.log("unavailable", 2)  # not 503 alone: times and ids have that, too


def test_a_hook_in_code_of_ones_own_does_the_same(run: Run, builds: Builds) -> None:
    run.until("own_refused", "failed", attempt=1)
    assert builds["retries_own_refused"].count("collections/describe") == 1
    log = run.log("own_refused")
    assert "PermissionDeniedError" in log
    assert "no privilege" in log
    # One error, told once.
    assert "direct cause" not in log
    run.until("own_unavailable", "success", attempt=2)
    assert builds["retries_own_unavailable"].count("collections/describe") == RETRIES + 2
    assert "vector" in run.xcom("own_unavailable")
