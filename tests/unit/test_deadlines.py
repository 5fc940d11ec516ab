"""When a wait is given up: by ``timeout`` or ``execution_timeout``, whichever is earlier, wherever it waits."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowException, AirflowFailException, AirflowSensorTimeout
from airflow_vectordb.deferral import ResumeState, wait_for
from airflow_vectordb.mixins import DEFER_TIMEOUT_MARGIN
from airflow_vectordb.operators.base import WaitingOperator
from airflow_vectordb.rest.errors import WaitTimeoutError
from airflow_vectordb.waiting import IndexesBuilt
from tests.support.drivers import DRIVERS, DeferrableOperator, Driver, TaskDeferred
from tests.support.fake_milvus import BUILT, FakeMilvus, rows, told
from tests.support.harness import Clock, Logged, Looks, Operating
from tests.support.scripted import Serve, page

HOUR = 3600.0


def pending() -> FakeMilvus:
    milvus = FakeMilvus(progress=told(rows(30_000, total=50_000)))
    milvus.add("vector", M=16, efConstruction=200)
    return milvus


@pytest.mark.parametrize(
    ("timeout", "execution_timeout", "limit", "words"),
    [
        (600, None, 600, "10 min (timeout)"),
        (600, HOUR, 600, "10 min (timeout)"),
        (3 * HOUR, 1200, 1200, "20 min (execution_timeout)"),
        (1200, 1200.5, 1200, "20 min"),  # nearly immediately: either will do
        (0.5, None, 0.5, "0.5 s (timeout)"),
    ],
)
def test_the_earlier_limit_wins(
    timeout: float,
    execution_timeout: float | None,
    limit: float,
    words: str,
    serve: Serve,
    driver: Driver,
    operating: Operating,
    clock: Clock,
) -> None:
    if driver.rescheduled:
        return  # Airflow itself counts there: see test_sensors.py
    seen = Looks(clock, pending())
    operating.connect(serve(seen))
    task = driver.task(timeout, interval=300.0)
    task.execution_timeout = None if execution_timeout is None else timedelta(seconds=execution_timeout)

    with pytest.raises(AirflowException) as caught:
        driver.finish(task)

    assert isinstance(caught.value, WaitTimeoutError)
    assert isinstance(caught.value, AirflowSensorTimeout) is driver.sensor
    assert not isinstance(caught.value, AirflowFailException)
    for word in ("task index", words, "'vector'", "'docs'", "20,000 of 50,000 rows (40%)"):
        assert word in str(caught.value)
    # In a worker Airflow's own alarm goes off at `execution_timeout`, and knows nothing of the index: not wait for it.
    early = min(1.0, 0.05 * limit) if execution_timeout and execution_timeout < 1201 and not driver.deferred else 0.0
    assert limit - early - 1e-6 <= clock.elapsed <= limit + 0.5
    if early and "execution_timeout" in words:
        assert clock.elapsed <= limit - early + 0.1
    assert seen.times[-1] == pytest.approx(clock.elapsed)  # it is polled once more before giving up
    for deferred in driver.deferrals:
        assert deferred.timeout.total_seconds() == pytest.approx(limit + DEFER_TIMEOUT_MARGIN, abs=1.0)  # type: ignore[union-attr]


def test_without_limits_a_day(serve: Serve, operating: Operating, clock: Clock, logged: Logged) -> None:
    operating.connect(serve(pending()))
    task = DeferrableOperator(operating, clock).task()
    with pytest.raises(TaskDeferred) as caught:
        operating.execute(task)
    assert caught.value.timeout.total_seconds() == 24 * HOUR + DEFER_TIMEOUT_MARGIN  # type: ignore[union-attr]
    _, stored = caught.value.trigger.serialize()
    assert stored["deadline"] == {
        "at": clock.now + 24 * HOUR,
        "because": "neither timeout nor execution_timeout is set",
        "seconds": 24 * HOUR,
    }
    assert any(line.endswith("until 1970-01-13 13:46:40 UTC") for line in logged.of("info"))


class TwoWaits(WaitingOperator):
    """Waits for one index, and then for another, as replacing one does for several things."""

    def run_task(self, hook: Any, context: Any, state: ResumeState) -> Any:
        for name in ("vector", "label"):
            wait_for(self, hook, state, name, IndexesBuilt("docs", (name,)))
        return state.results


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("limit", ["timeout", "execution_timeout"])
def test_one_deadline_for_all_waits_of_a_task(
    limit: str, deferrable: bool, serve: Serve, operating: Operating, clock: Clock
) -> None:
    milvus = FakeMilvus(progress=lambda name: BUILT if name == "vector" and clock.elapsed > 400 else rows(7))
    milvus.add("vector")
    milvus.add("label", "INVERTED", "")
    operating.connect(serve(Looks(clock, milvus)))
    limits: dict[str, Any] = {limit: timedelta(seconds=600)}
    task = TwoWaits(task_id="two", deferrable=deferrable, **limits)
    driver = DeferrableOperator(operating, clock)

    with pytest.raises(AirflowException, match=rf"10 min \({limit}\): docs/label") as caught:
        driver.finish(task)

    assert not isinstance(caught.value, AirflowFailException)
    assert 599 <= clock.elapsed <= 600.5
    if deferrable:
        assert len(driver.deferrals) == 2
        assert driver.deferrals[1].timeout.total_seconds() == pytest.approx(  # type: ignore[union-attr]
            DEFER_TIMEOUT_MARGIN + 600 - 430, abs=31
        )


@pytest.mark.parametrize("deferrable", [False, True])
def test_what_has_answered_a_task_is_no_wrong_address(
    deferrable: bool, serve: Serve, operating: Operating, clock: Clock
) -> None:
    milvus = pending()
    milvus.add("label", "INVERTED", "")
    milvus.progress = lambda name: BUILT if clock.elapsed > 30 else rows(7)
    milvus.faults["indexes/describe"] = [page(200), page(200)]  # at the very first poll of a wait
    operating.connect(serve(milvus))
    DeferrableOperator(operating, clock).finish(TwoWaits(task_id="two", deferrable=deferrable))
    assert clock.elapsed > 30


@pytest.mark.parametrize("deferrable", [False, True])
def test_what_is_done_is_not_waited_for_again(
    deferrable: bool, serve: Serve, operating: Operating, clock: Clock
) -> None:
    milvus = FakeMilvus(progress=lambda name: BUILT if clock.elapsed > (50 if name == "vector" else 90) else rows(7))
    milvus.add("vector")
    milvus.add("label", "INVERTED", "")
    seen = Looks(clock, milvus)
    server = serve(seen)
    operating.connect(server)
    result = DeferrableOperator(operating, clock).finish(TwoWaits(task_id="two", deferrable=deferrable))

    assert list(result) == ["vector", "label"]
    asked = [body["indexName"] for body in server.bodies("indexes/describe")]
    assert asked == sorted(asked, reverse=True)  # all of "vector" first, and then no more


def test_every_driver_is_there() -> None:
    assert [driver.name for driver in DRIVERS] == [
        "operator",
        "deferrable operator",
        "sensor",
        "rescheduled sensor",
        "deferrable sensor",
    ]


@pytest.mark.parametrize("given", [-1, math.inf, math.nan, True, "soon", timedelta(seconds=-1)])
def test_limits_that_are_none_are_refused_when_the_dag_is_parsed(given: Any) -> None:
    with pytest.raises(ValueError, match="task two: timeout must be"):
        TwoWaits(task_id="two", timeout=given).raise_if_invalid()


def test_the_state_survives_json(operating: Operating, clock: Clock, serve: Serve) -> None:
    operating.connect(serve(pending()))
    with pytest.raises(TaskDeferred) as caught:
        operating.execute(DeferrableOperator(operating, clock).task(timeout=60))
    kwargs = caught.value.kwargs
    assert kwargs is not None
    assert json.loads(json.dumps(kwargs)) == kwargs
    state = ResumeState(**kwargs["state"])
    assert (state.began, state.deadline["at"]) == (clock.now, clock.now + 60)  # type: ignore[index]
