"""Airflow says that a connection "isn't defined" while its database is away: a blip is not a missing connection."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_vectordb import mixins
from airflow_vectordb._compat import AirflowException, AirflowNotFoundException
from airflow_vectordb.hooks.connection import FIRST_PAUSES, PAUSES, read_patiently
from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.links import MilvusConsoleLink
from airflow_vectordb.operators.index import DropIndexOperator
from airflow_vectordb.rest import collections
from airflow_vectordb.rest.errors import IndexFailedError
from airflow_vectordb.sensors.milvus import IndexSensor
from tests.support.drivers import DeferrableOperator, DeferrableSensor, Driver, Operator, TaskDeferred, end_of
from tests.support.fake_milvus import FakeMilvus, indexed, rows, told
from tests.support.harness import Clock, Logged, Operating
from tests.support.scripted import Serve


class Airflow:
    """Counts how often a connection is read; ``away``: seconds of the clock for which there is none, in pairs."""

    def __init__(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = clock
        self.reads = 0
        self.away: list[tuple[float, float]] = []
        read, aread = MilvusHook.get_connection, MilvusHook.aget_connection

        def get(conn_id: str) -> Any:
            self.check(conn_id)
            return read(conn_id)

        async def aget(conn_id: str) -> Any:
            self.check(conn_id)
            return await aread(conn_id)

        monkeypatch.setattr(MilvusHook, "get_connection", staticmethod(get))
        monkeypatch.setattr(MilvusHook, "aget_connection", staticmethod(aget))

    def check(self, conn_id: str) -> None:
        self.reads += 1
        if any(start <= self.clock.elapsed < end for start, end in self.away):
            raise AirflowNotFoundException(f"The conn_id `{conn_id}` isn't defined")

    def goes(self, seconds: float) -> None:
        """Be away from now on, for so long."""
        self.away.append((self.clock.elapsed, self.clock.elapsed + seconds))


@pytest.fixture
def airflow(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Airflow:
    return Airflow(clock, monkeypatch)


# How long -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(("patient", "seconds"), [(False, sum(FIRST_PAUSES)), (True, sum(PAUSES))])
def test_a_missing_connection(
    patient: bool, seconds: float, asynchronous: bool, airflow: Airflow, clock: Clock, logged: Logged
) -> None:
    hook = MilvusHook("misspelt", patient=patient)
    with pytest.raises(AirflowNotFoundException, match=r"`misspelt` isn't defined.*Connections page"):
        asyncio.run(hook.aconfig()) if asynchronous else hook.config
    assert clock.elapsed == seconds <= (31 if patient else 5)
    pauses = PAUSES if patient else FIRST_PAUSES
    assert airflow.reads == len(pauses) + 1
    lines = [line for line in logged.of("warning") if "trying again in" in line]
    assert len(lines) == len(pauses)
    assert ["`misspelt`" in line for line in lines] == [True] + [False] * (len(pauses) - 1)  # told once


def test_both_sides_have_one_table() -> None:
    steps = read_patiently(PAUSES, "milvus_default")
    found: list[float] = []
    step = next(steps)
    with pytest.raises(AirflowNotFoundException):
        while True:
            if step is None:
                step = steps.throw(AirflowNotFoundException("none"))
            else:
                found.append(step.seconds)
                step = next(steps)
    assert tuple(found) == PAUSES


# The worker ---------------------------------------------------------------------------------------------------------


def test_a_blip_when_a_task_begins(
    serve: Serve, operating: Operating, airflow: Airflow, clock: Clock, logged: Logged
) -> None:
    airflow.goes(1.6)
    assert Operator(operating, clock).run(serve(FakeMilvus()))
    assert clock.elapsed < 4
    assert [line for line in logged.of("warning") if "isn't defined" in line]


def test_a_run_reads_it_once(serve: Serve, operating: Operating, airflow: Airflow, clock: Clock) -> None:
    milvus = FakeMilvus(progress=told(*[rows(9)] * 20, rows(0, "Finished")))
    driver = Operator(operating, clock)
    operating.connect(serve(milvus), extra={"console_url": "http://attu/{collection}"})
    task = driver.task()
    task.outlets = []
    driver.finish(task)
    assert MilvusConsoleLink().get_link(task, ti_key=None) == "http://attu/docs"
    assert airflow.reads == 1


@pytest.mark.parametrize("kind", [DeferrableOperator, DeferrableSensor])
@pytest.mark.parametrize("gone", [1.6, 20.0])
def test_a_blip_when_it_is_resumed(
    kind: type[Driver], gone: float, serve: Serve, operating: Operating, airflow: Airflow, clock: Clock
) -> None:
    task, event = deferred(kind, serve, operating, clock)
    airflow.goes(gone)
    assert task.execute_complete({}, event=event)
    assert airflow.reads <= 2 + len(PAUSES) + 1


@pytest.mark.parametrize("kind", [DeferrableOperator, DeferrableSensor])
def test_no_connection_any_more_fails_no_work_that_is_done(
    kind: type[Driver], serve: Serve, operating: Operating, airflow: Airflow, clock: Clock, logged: Logged
) -> None:
    task, event = deferred(kind, serve, operating, clock)
    airflow.goes(1e6)
    assert task.execute_complete({}, event=event)[0]["state"] == "Finished"
    if kind is DeferrableOperator:
        assert [line for line in logged.of("warning") if "work is done" in line and "isn't defined" in line]


def test_a_failure_is_told_even_if_the_connection_is_gone(
    serve: Serve, operating: Operating, airflow: Airflow, clock: Clock
) -> None:
    end = {**rows(1, "Failed"), "failReason": "disk full"}
    task, event = deferred(DeferrableOperator, serve, operating, clock, end)
    airflow.goes(1e6)
    with pytest.raises(IndexFailedError, match="disk full"):
        task.execute_complete({}, event=event)


def deferred(
    kind: type[Driver], serve: Serve, operating: Operating, clock: Clock, end: Any = None
) -> tuple[Any, dict[str, Any]]:
    """Defer a task, and wait in its trigger; return the task as another process has it, and the event."""
    milvus = indexed(rows(9), rows(9), rows(9), rows(9), end or rows(0, "Finished"))
    operating.connect(serve(milvus))
    driver = kind(operating, clock)
    with pytest.raises(TaskDeferred) as caught:
        operating.execute(driver.task())
    event = asyncio.run(end_of(caught.value.trigger))
    return driver.task(), json.loads(json.dumps(event))


def test_a_blip_between_two_looks_of_a_rescheduled_sensor(
    serve: Serve, operating: Operating, airflow: Airflow, clock: Clock
) -> None:
    operating.connect(serve(indexed(rows(9))))
    sensor = IndexSensor(task_id="index", collection_name="docs", mode="reschedule", poke_interval=10)
    before = clock.utcnow()
    airflow.goes(20.0)
    ti = SimpleNamespace(get_first_reschedule_date=lambda context: before)
    assert sensor.poke({"ti": ti}) is False  # type: ignore[typeddict-item]
    assert clock.elapsed >= 20


def test_a_sensor_that_backs_off_is_patient_after_its_first_look(
    serve: Serve, operating: Operating, airflow: Airflow, clock: Clock
) -> None:
    operating.connect(serve(indexed(rows(9))))
    sensor = IndexSensor(task_id="index", collection_name="docs", exponential_backoff=True)
    assert sensor.poke({}) is False
    airflow.goes(20.0)
    assert sensor.poke({}) is False


def test_the_hook_in_a_task_of_ones_own(serve: Serve, operating: Operating, airflow: Airflow, clock: Clock) -> None:
    operating.connect(serve(FakeMilvus()))
    airflow.goes(1.6)
    with MilvusHook() as hook:
        assert hook.send(collections.describe("docs")).name == "docs"
        assert hook.send(collections.describe("docs")).name == "docs"
    assert airflow.reads == 3


# After the work -----------------------------------------------------------------------------------------------------


def broken(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("the API server is away")


@pytest.mark.parametrize("what", ["lineage", "outlets", "link"])
def test_nothing_after_the_work_fails_it(
    what: str, serve: Serve, operating: Operating, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk import Asset

    operating.connect(serve(indexed(rows(0, "Finished"))))
    context: Any = {}
    if what == "lineage":
        monkeypatch.setattr(mixins, "lineage_collector", broken)
    elif what == "outlets":
        context = {"outlet_events": SimpleNamespace()}
    else:
        monkeypatch.setattr("airflow_vectordb.hooks.milvus.console_link", broken)
    task = operating.operator(outlets=[Asset("milvus://localhost/default/docs")])
    assert task.execute(context)
    assert DropIndexOperator(task_id="drop", collection_name="docs", index_name="vector").execute(context) is True
    if what == "link":
        assert MilvusConsoleLink().get_link(task, ti_key=None) == ""
    else:
        told = [line for line in logged.of("warning") if "The work is done" in line]
        assert len(told) == (2 if what == "lineage" else 1)


def test_a_link_without_a_connection(airflow: Airflow, clock: Clock) -> None:
    operator = SimpleNamespace(milvus_conn_id="misspelt", database=None, collection_name="docs")
    assert MilvusConsoleLink().get_link(operator, ti_key=None) == ""
    assert clock.elapsed == 0  # the task itself has waited


def test_a_task_with_a_misspelt_connection_says_what_to_do(operating: Operating, clock: Clock) -> None:
    with pytest.raises(AirflowException, match=r"`misspelt` isn't defined.*airflow connections add"):
        operating.execute(operating.operator(milvus_conn_id="misspelt"))
    assert clock.elapsed < 5
