"""The trigger: what is stored of it, what it leaves behind, and what a triggerer's end, or another one, does to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_vectordb.rest import errors
from airflow_vectordb.triggers.milvus import MilvusTrigger, result_from_event
from airflow_vectordb.waiting import (
    CollectionLoaded,
    CollectionReleased,
    Condition,
    ImportCompleted,
    ImportFound,
    IndexesBuilt,
)
from airflow_vectordb.waiting.conditions import CONDITIONS, deserialize
from airflow_vectordb.waiting.polling import Deadline
from tests.support.drivers import end_of, revived, trigger_of
from tests.support.fake_milvus import BUILT, indexed, rows
from tests.support.harness import PASSWORD, Clock, Logged, Looks, Operating
from tests.support.scripted import Serve, ok, page

DEADLINE = Deadline(2_000_000.0, "execution_timeout", 3600.0)
EXAMPLES: dict[str, list[Condition]] = {
    "IndexesBuilt": [IndexesBuilt("docs"), IndexesBuilt("docs", ("a", "b"), wait_if_missing=True)],
    "CollectionLoaded": [CollectionLoaded("docs"), CollectionLoaded("docs", ("p",), wait_if_missing=True)],
    "CollectionReleased": [CollectionReleased("docs"), CollectionReleased("docs", ("p", "q"))],
    "ImportCompleted": [ImportCompleted("docs", "7"), ImportCompleted("", "7")],
    "ImportFound": [ImportFound("docs", (("a.parquet",), ("b.json", "c.json")), ("7",), 1.5e9)],
}


# What is stored -----------------------------------------------------------------------------------------------------


def test_every_wait_has_an_example() -> None:
    assert EXAMPLES.keys() == CONDITIONS.keys()


@pytest.mark.parametrize("wait", [wait for waits in EXAMPLES.values() for wait in waits], ids=str)
def test_round_trips(wait: Condition, operating: Operating) -> None:
    operating.connect("http://localhost:1")
    trigger = MilvusTrigger(
        condition=wait,
        deadline=DEADLINE,
        poll_interval=7.5,
        started=1e6,
        server_confirmed=False,
        milvus_conn_id="c",
        database="d",
        resume_kwargs={"state": {"results": {"released": {"partition_names": []}}}, "wait_name": "built"},
        reported=[{"label": "docs/v", "state": "InProgress", "done": 1, "total": 2, "unit": "rows"}],
    )
    stored = trigger.serialize()
    assert json.loads(json.dumps(stored)) == list(stored)  # no tuples, which JSON would turn into lists
    assert PASSWORD not in json.dumps(stored)

    for again in (revived(json.dumps(stored)), MilvusTrigger(**through_airflow(stored[1]))):
        assert again.serialize() == stored
        assert again.condition == wait
        assert again.deadline == DEADLINE


def through_airflow(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Do with a trigger's arguments what worker, API server and triggerer do with them, one after the other."""
    from airflow.models.trigger import Trigger
    from airflow.sdk.execution_time.comms import DeferTask

    try:
        from airflow.sdk.serde import serialize
        from airflow.serialization.decoders import smart_decode_trigger_kwargs
    except ImportError:  # Airflow 3.1
        from airflow.serialization.serialized_objects import smart_decode_trigger_kwargs

        def serialize(value: Any) -> Any:
            return value

    sent = DeferTask(
        state="deferred",
        classpath="c",
        trigger_kwargs=serialize(kwargs),
        next_method="m",
        next_kwargs=serialize({"state": {}}),
    )
    received = json.loads(sent.model_dump_json())["trigger_kwargs"]
    assert not any(f"builtins.{kind}" in json.dumps(received) for kind in ("tuple", "set"))
    return {k: smart_decode_trigger_kwargs(v) for k, v in Trigger._decrypt_kwargs(json.dumps(received)).items()}


BAD_WAITS: list[dict[str, Any]] = [
    {"kind": "PigsFly", "collection": "docs"},
    {"collection": "docs"},
    {"kind": "IndexesBuilt"},
    {"kind": "IndexesBuilt", "collection": "docs", "colour": "red"},
    {"kind": ["IndexesBuilt"], "collection": "docs"},
]


@pytest.mark.parametrize("data", BAD_WAITS, ids=str)
def test_waits_of_another_version(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wait"):
        deserialize(data)
    # The one exception that Airflow's triggerer takes for the trigger's own; others end it, and all that waits there.
    with pytest.raises(TypeError, match="older than the worker's"):
        trigger_of(data)  # type: ignore[arg-type]


def test_a_trigger_stored_by_an_older_version(serve: Serve, operating: Operating, clock: Clock) -> None:
    operating.connect(serve(indexed(BUILT)))
    _, kwargs = trigger_of().serialize()
    del kwargs["server_confirmed"], kwargs["resume_kwargs"], kwargs["reported"]
    assert asyncio.run(end_of(MilvusTrigger(**kwargs)))["status"] == "success"


# Restarts -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_real_pause(clock: Clock) -> Iterator[None]:
    yield
    assert clock.elapsed == pytest.approx(sum(clock.naps))


@pytest.mark.usefixtures("no_real_pause")
def test_a_restart_keeps_deadline_and_pace(serve: Serve, operating: Operating, clock: Clock) -> None:
    seen = Looks(clock, indexed(rows(500)))
    operating.connect(serve(seen))
    stored = json.dumps(trigger_of(poll_interval=30.0).serialize())

    clock.now += 1800  # a triggerer was here, and is no more
    clock.naps.append(1800)
    event = asyncio.run(end_of(revived(stored)))

    assert (event["error"], event["status"]) == ("WaitTimeoutError", "error")
    assert "1 h" in event["message"] or "60 min" in event["message"]
    assert 3600 <= clock.elapsed < 3601
    assert 0 <= seen.times[0] - 1800 <= 30
    assert min(seen.gaps[:-1]) >= 24 - 1e-6  # the pace of a wait that is half an hour old


@pytest.mark.usefixtures("no_real_pause")
def test_restarts_do_not_all_look_at_once(serve: Serve, operating: Operating, clock: Clock) -> None:
    seen = Looks(clock, indexed(BUILT))
    operating.connect(serve(seen))
    stored = json.dumps(trigger_of(poll_interval=30.0).serialize())
    firsts = []
    for _ in range(60):
        clock.now = clock.began + 1800
        asyncio.run(end_of(revived(stored)))
        firsts.append(seen.times[-1] - 1800)
    clock.now, clock.naps = clock.began, []

    assert len(seen.times) == 60
    assert 0 <= min(firsts) < 6
    assert 18 < max(firsts) <= 30
    assert len({int(first / 6) for first in firsts}) >= 4


@pytest.mark.parametrize(
    ("wait", "falls"),
    [
        # What was seen is seen again, unless the counts have fallen meanwhile ...
        ({"min_rows": 6_000}, False),
        # ... and those of a flush are taken as they are then.
        ({"flushed_rows": 6_000}, True),
        ({"flushed_rows": 0}, True),
        ({"min_rows": 6_000, "covered": True}, True),
    ],
)
def test_a_restart_forgets_nothing_that_the_wait_needs(
    wait: dict[str, Any], falls: bool, serve: Serve, operating: Operating, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a triggerer that ends a minute after each index was reported to cover all rows."""
    sleep = clock.sleep

    def told(name: str) -> dict[str, Any]:
        milvus.rows = 3_000 if falls and clock.elapsed > 60 else 6_000
        pending = 0 if clock.elapsed > 600 else 10
        return {"totalRows": milvus.rows, "pendingRows": pending, "indexState": "InProgress" if pending else "Finished"}

    def ends(seconds: float) -> None:
        if clock.elapsed > 60:
            monkeypatch.setattr(clock, "sleep", sleep)
            raise asyncio.CancelledError
        sleep(seconds)

    milvus = indexed({})
    milvus.progress = told
    operating.connect(serve(lambda r: ok([{"count(*)": milvus.rows}]) if r.path == "entities/query" else milvus(r)))
    monkeypatch.setattr(clock, "sleep", ends)
    stored = json.dumps(trigger_of(IndexesBuilt("docs", ("vector",), **wait)).serialize())
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(end_of(revived(stored)))
    event = asyncio.run(end_of(revived(stored)))
    assert event["status"] == "success"
    assert 600 < clock.elapsed < 700


@pytest.mark.usefixtures("no_real_pause")
@pytest.mark.parametrize("progress", [rows(500), BUILT])
def test_a_deadline_that_is_past(progress: dict[str, Any], serve: Serve, operating: Operating, clock: Clock) -> None:
    server = serve(indexed(progress))
    operating.connect(server)
    late = Deadline(clock.now - 5.0, "timeout", 60.0)

    event = asyncio.run(end_of(trigger_of(started=clock.now - 65, deadline=late)))

    assert (event["status"], event.get("error")) == (
        ("success", None) if progress is BUILT else ("error", "WaitTimeoutError")
    )
    assert len(server.requests) == 1  # it is polled once before giving up
    assert clock.naps == []


# The Airflow connection ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_real_pause")
def test_a_connection_that_is_away_for_a_while(
    serve: Serve, operating: Operating, clock: Clock, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(indexed(BUILT))
    sleep = clock.sleep

    def comes_back(seconds: float) -> None:
        sleep(seconds)
        if clock.elapsed > 6:
            operating.connect(server)

    monkeypatch.setattr(clock, "sleep", comes_back)
    event = asyncio.run(end_of(trigger_of()))

    assert event["status"] == "success"
    assert 6 < clock.elapsed < 31
    assert len([line for line in logged.of("warning") if "trying again in" in line]) == 3


@pytest.mark.usefixtures("no_real_pause")
def test_a_connection_that_only_workers_have(operating: Operating, clock: Clock) -> None:
    event = asyncio.run(end_of(trigger_of(milvus_conn_id="workers_only")))

    with pytest.raises(errors.MilvusError, match=r"no Airflow connection 'workers_only'.*Define it there, too") as e:
        result_from_event(json.loads(json.dumps(event)))
    assert e.value.transient  # Airflow says the same while its database is away
    assert clock.elapsed < 60


def test_a_connection_that_cannot_be_used(operating: Operating) -> None:
    operating.connect("ftp://nowhere")
    event = asyncio.run(end_of(trigger_of()))
    with pytest.raises(errors.InvalidParametersError, match="http:// or https://") as caught:
        result_from_event(json.loads(json.dumps(event)))
    assert len(caught.value.problems) == 1


# Before the first answer --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_real_pause")
@pytest.mark.parametrize("answered", [True, False])
def test_a_page_is_an_outage_only_where_milvus_was(
    answered: bool, serve: Serve, operating: Operating, clock: Clock
) -> None:
    milvus = indexed(BUILT)
    milvus.faults["indexes/describe"] = [page(502), page(200), page(200)]
    operating.connect(serve(milvus))

    event = asyncio.run(end_of(trigger_of(server_confirmed=answered)))

    assert (event["status"], event.get("error")) == (("success", None) if answered else ("error", "NotMilvusError"))
