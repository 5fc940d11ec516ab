"""Somebody sets the system's clock while something is waited for."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowException
from airflow_vectordb.deferral import ResumeState, wait_for
from airflow_vectordb.operators.base import WaitingOperator
from airflow_vectordb.sensors.milvus import IndexSensor
from airflow_vectordb.waiting import IndexesBuilt
from airflow_vectordb.waiting.polling import Deadline
from tests.support.drivers import end_of, trigger_of
from tests.support.fake_milvus import BUILT, FakeMilvus, indexed, rows
from tests.support.harness import Operating
from tests.support.scripted import ScriptedServer, Serve

LIMIT = 1.0


@pytest.fixture(params=[-7200.0, 7200.0], ids=["back", "forward"])
def set_in_mid_wait(request: pytest.FixtureRequest, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    """A server at whose first request the system's clock is set, by two hours."""
    now, shift = time.time, [0.0]
    milvus = indexed(rows(500))

    def script(asked: Any) -> Any:
        shift[0] = request.param
        return milvus(asked)

    monkeypatch.setattr(time, "time", lambda: now() + shift[0])
    return serve(script)


def test_a_wait_in_the_triggerer(set_in_mid_wait: ScriptedServer, operating: Operating) -> None:
    operating.connect(set_in_mid_wait)
    began = time.monotonic()
    deadline = Deadline(time.time() + LIMIT, "timeout", LIMIT)
    event = asyncio.run(end_of(trigger_of(deadline=deadline, poll_interval=0.2)))
    assert event["error"] == "WaitTimeoutError"
    assert LIMIT - 0.1 <= time.monotonic() - began < LIMIT + 60
    assert set_in_mid_wait.requests


class TwoWaits(WaitingOperator):
    """Waits for one thing, and then for another."""

    def run_task(self, hook: Any, context: Any, state: ResumeState) -> Any:
        for name in ("first", "second"):
            wait_for(self, hook, state, name, IndexesBuilt("docs", (name,)))


def test_two_waits_in_a_worker_have_one_deadline(
    serve: Serve, operating: Operating, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, shift = time.time, [0.0]

    def progress(name: str) -> dict[str, Any]:
        if name == "second":
            return rows(500)
        shift[0] = -7200.0  # while the first one is waited for
        return BUILT

    milvus = FakeMilvus(progress=progress)
    for name in ("first", "second"):
        milvus.add(name)
    operating.connect(serve(milvus))
    monkeypatch.setattr(time, "time", lambda: now() + shift[0])
    began = time.monotonic()
    with pytest.raises(AirflowException, match=r"1 s \(timeout\)"):
        operating.execute(TwoWaits(task_id="two", timeout=LIMIT, poll_interval=0.2))
    assert LIMIT - 0.1 <= time.monotonic() - began < LIMIT + 60


def test_a_wait_in_a_worker(set_in_mid_wait: ScriptedServer, operating: Operating) -> None:
    operating.connect(set_in_mid_wait)
    began = time.monotonic()
    sensor = IndexSensor(task_id="index", collection_name="docs", index_name="vector", timeout=LIMIT, poke_interval=0.2)
    with pytest.raises(AirflowException, match=r"1 s \(timeout\)"):
        operating.execute(sensor)
    assert LIMIT - 0.1 <= time.monotonic() - began < LIMIT + 60
    assert set_in_mid_wait.requests
