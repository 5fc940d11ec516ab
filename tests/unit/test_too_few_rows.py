"""Fewer rows than ``min_rows``: what a wait says about them, and what it remembers when it leaves the worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowException
from airflow_vectordb.rest.errors import IndexFailedError, IndexNotFoundError, WaitTimeoutError
from tests.support.drivers import DeferrableSensor, Driver, RescheduledSensor
from tests.support.fake_milvus import FakeMilvus
from tests.support.harness import Clock, Logged, Operating
from tests.support.loading_milvus import Killed
from tests.support.scripted import Behaviour, Request, ScriptedServer, Serve, error, ok

NOT_LOADED = error(101, "collection not loaded[database=default][collection=docs]")
DENIED = error(65535, "rpc error: code = PermissionDenied desc = PrivilegeQuery: permission deny to ada", 403)


@pytest.fixture(autouse=True)
def run_by_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a rescheduled sensor see the task instance as it is."""
    monkeypatch.setattr("airflow_vectordb.sensors.base.is_run_by_airflow", lambda: True)


@dataclass
class Counting(FakeMilvus):
    """Has sealed ``rows``, and counts all."""

    count: Callable[[], Behaviour] = lambda: ok([{"count(*)": 100}], cost=0)

    def __call__(self, request: Request) -> Behaviour:
        return self.count() if request.path == "entities/query" else super().__call__(request)


def kept(rows: int) -> Callable[[], Behaviour]:
    return lambda: ok([{"count(*)": rows}], cost=0)


def run(driver: Driver, server: ScriptedServer, timeout: float = 1_000) -> Any:
    """Wait for 6,000 rows."""
    driver.operating.connect(server)
    task = driver.task(timeout=timeout)
    task.min_rows = 6_000
    return driver.finish(task)


@pytest.mark.parametrize(
    ("sealed", "count", "cause", "advice"),
    [
        (4_000, kept(4_000), "4,000 rows exist, fewer than min_rows=6,000", "Insert the others, or lower it"),
        (4_000, kept(5_000), "5,000 rows exist, fewer than min_rows=6,000", "Insert the others, or lower it"),
        (5_999, kept(3_000), "3,000 rows exist, fewer than min_rows=6,000", "Insert the others, or lower it"),
        (4_000, kept(6_000), "6,000 rows exist, 4,000 of them sealed", "Flush the collection"),
        (0, kept(0), "0 rows exist, fewer than min_rows=6,000", "Insert the others, or lower it"),
        (
            0,
            lambda: NOT_LOADED,
            "0 rows are indexed, fewer than min_rows=6,000",
            "Flush if there are more, or lower it",
        ),
        (9, lambda: DENIED, "9 rows are indexed, fewer than min_rows=6,000", "Flush if there are more, or lower it"),
    ],
)
def test_why_there_are_too_few_is_in_the_log_and_in_the_error(
    sealed: int,
    count: Callable[[], Behaviour],
    cause: str,
    advice: str,
    serve: Serve,
    driver: Driver,
    clock: Clock,
    logged: Logged,
) -> None:
    server = serve(Counting(rows=sealed, count=count, indexes={"vector": _index()}))
    with pytest.raises(WaitTimeoutError) as caught:
        run(driver, server, timeout=200)
    assert 200 <= clock.elapsed <= 231
    head = str(caught.value)[:100]
    assert cause in head
    assert advice in head
    line = f"docs/vector: {sealed:,} of at least 6,000 rows are sealed ({cause}: {advice})"
    assert any(line in text for text in logged.of("info"))


def test_rows_are_seldom_counted(serve: Serve, driver: Driver, clock: Clock) -> None:
    server = serve(Counting(rows=4_000, count=kept(5_000), indexes={"vector": _index()}))
    with pytest.raises(WaitTimeoutError):
        run(driver, server)
    # Rescheduled, each poll is a process of its own.
    assert server.paths.count("entities/query") <= (40 if driver.rescheduled else 5)


def test_a_count_that_fails_ends_nothing(serve: Serve, driver: Driver, clock: Clock) -> None:
    milvus = Counting(rows=4_000, indexes={"vector": _index()})

    def arrives() -> Behaviour:
        if clock.elapsed > 300:
            milvus.rows = 6_000
        return error(1807, "request is rejected by limiter, retry later: rate limit exceeded[rate=1]")

    milvus.count = arrives
    (index,) = run(driver, serve(milvus))
    assert index["total_rows"] == 6_000


def test_a_count_that_fails_in_passing_is_made_again_at_the_next_poll(
    serve: Serve, driver: Driver, clock: Clock, logged: Logged
) -> None:
    milvus = Counting(rows=4_000, indexes={"vector": _index()})
    passing = error(1807, "request is rejected by limiter, retry later: rate limit exceeded[rate=1]")
    counts = [passing, passing]
    milvus.count = lambda: counts.pop() if counts else kept(5_000)()

    def told(name: str) -> dict[str, Any]:
        if clock.elapsed > 200:
            milvus.rows = 6_000
        return {}

    milvus.progress = told
    (index,) = run(driver, serve(milvus))
    assert index["total_rows"] == 6_000
    assert any("5,000 rows exist, fewer than min_rows=6,000" in text for text in logged.of("info"))


def test_rows_that_were_seen_are_not_waited_for_again(serve: Serve, driver: Driver, clock: Clock) -> None:
    """Upserted rows stand beside those that they replace until a compaction, which comes after the task has left."""
    milvus = Counting(rows=6_000, indexes={"vector": _index()})
    polls = 0

    def told(name: str) -> dict[str, Any]:
        nonlocal polls
        polls += 1
        counts = {"totalRows": 6_000, "indexedRows": 10, "pendingRows": 5_990, "indexState": "InProgress"}
        return counts if polls == 1 else {"totalRows": 3_000, "indexedRows": 3_000, "pendingRows": 0}

    milvus.progress = told
    (index,) = run(driver, serve(milvus))
    assert index["total_rows"] == 3_000
    assert clock.elapsed < 60
    assert not driver.store


def test_rows_of_a_collection_that_was_dropped_do_not_count_for_the_next_one(
    serve: Serve, driver: Driver, clock: Clock
) -> None:
    milvus = Counting(rows=6_000, indexes={"vector": _index()})

    def told(name: str) -> dict[str, Any]:
        if clock.elapsed < 100:
            return {"pendingRows": 10, "indexState": "InProgress"}
        milvus.rows = 3_000 if clock.elapsed < 300 else 6_000
        return {"totalRows": milvus.rows, "indexedRows": milvus.rows}

    milvus.progress = told

    def script(request: Request) -> Behaviour:
        dropped = 100 <= clock.elapsed < 200 and request.path == "indexes/describe"
        return error(700, "index not found[index=vector]") if dropped else milvus(request)

    server = serve(script)
    if not driver.sensor:  # its index is gone
        with pytest.raises(IndexNotFoundError):
            run(driver, server)
        return
    (index,) = run(driver, server)
    assert index["total_rows"] == 6_000
    assert 300 <= clock.elapsed < 340
    assert not driver.store


def test_why_there_were_too_few_is_no_reason_once_the_index_is_gone(
    serve: Serve, operating: Operating, clock: Clock
) -> None:
    milvus = Counting(rows=4_000, indexes={"vector": _index()})

    def script(request: Request) -> Behaviour:
        if clock.elapsed > 100:
            milvus.indexes.clear()
        return milvus(request)

    with pytest.raises(WaitTimeoutError, match="docs/vector: not there yet") as caught:
        run(DeferrableSensor(operating, clock), serve(script))
    assert "rows exist" not in str(caught.value)


def test_a_rescheduled_sensor_that_gives_up_leaves_nothing_behind(
    serve: Serve, operating: Operating, clock: Clock
) -> None:
    driver = RescheduledSensor(operating, clock)
    server = serve(Counting(rows=6_000, indexes={"vector": _index()}, progress=lambda name: {"pendingRows": 10}))
    with pytest.raises(WaitTimeoutError):
        run(driver, server)
    assert not driver.store


def test_a_rescheduled_sensor_that_fails_leaves_nothing_behind(
    serve: Serve, operating: Operating, clock: Clock
) -> None:
    driver = RescheduledSensor(operating, clock)
    milvus = Counting(rows=6_000, indexes={"vector": _index()})
    milvus.progress = lambda name: {"pendingRows": 10, "indexState": "Failed" if clock.elapsed > 100 else "InProgress"}
    with pytest.raises(IndexFailedError):
        run(driver, serve(milvus))
    assert not driver.store


@pytest.mark.parametrize("broken", ["get", "set", "delete"])
def test_a_sensor_does_not_fail_if_airflow_cannot_store_what_it_has_seen(
    broken: str, serve: Serve, operating: Operating, clock: Clock, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AirflowException("the API server is being restarted")

    driver = RescheduledSensor(operating, clock)
    monkeypatch.setattr(driver.store, broken, fail, raising=False)
    milvus = Counting(rows=6_000, indexes={"vector": _index()})
    milvus.progress = lambda name: {} if clock.elapsed > 100 else {"pendingRows": 10}
    (index,) = run(driver, serve(milvus))
    assert index["total_rows"] == 6_000
    assert any("the API server is being restarted" in text for text in logged.of("warning"))


def test_what_a_killed_sensor_has_seen_is_not_known_to_the_next_try(
    serve: Serve, operating: Operating, clock: Clock
) -> None:
    driver = RescheduledSensor(operating, clock)
    milvus = Counting(rows=6_000, indexes={"vector": _index()}, progress=lambda name: {"pendingRows": 10})
    operating.connect(serve(milvus))
    task: Any = driver.task()
    task.min_rows, poke = 6_000, task.poke

    def killed(context: Any) -> Any:
        if clock.elapsed > 100:
            raise Killed
        return poke(context)

    task.poke = killed
    with pytest.raises(Killed):
        driver.finish(task)
    milvus.rows, milvus.progress = 3_000, lambda name: {}
    with pytest.raises(WaitTimeoutError, match="3,000 of at least 6,000 rows"):
        run(driver, serve(milvus))


def test_a_rescheduled_sensor_whose_dag_was_changed_starts_over(
    serve: Serve, operating: Operating, clock: Clock
) -> None:
    driver = RescheduledSensor(operating, clock)
    milvus = Counting(rows=6_000, indexes={"vector": _index()}, progress=lambda name: {"pendingRows": 10})
    operating.connect(serve(milvus))
    task: Any = driver.task(timeout=1_000)
    task.min_rows, poke = 6_000, task.poke

    def poked(context: Any) -> Any:
        if clock.elapsed > 100:
            task.min_rows, milvus.progress = 7_000, lambda name: {}
        return poke(context)

    task.poke = poked
    with pytest.raises(WaitTimeoutError, match="6,000 of at least 7,000 rows"):
        driver.finish(task)


def _index() -> dict[str, Any]:
    params = {"M": "16", "efConstruction": "200"}
    return {"fieldName": "vector", "indexType": "HNSW", "metricType": "COSINE", "params": params}
