"""A token that is replaced while a task is at work: the connection is edited, and Milvus refuses the old one."""

from __future__ import annotations

import asyncio
import base64
import threading
from typing import Any

import pytest

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.operators.index import CreateIndexOperator
from airflow_vectordb.rest import entities
from airflow_vectordb.rest.errors import AuthenticationError
from airflow_vectordb.triggers import milvus as module
from tests.support.drivers import Driver, end_of, trigger_of
from tests.support.fake_milvus import BUILT, FakeMilvus, indexed, rows
from tests.support.harness import PASSWORD, Clock, Logged, Operating
from tests.support.loading_milvus import LoadingMilvus
from tests.support.scripted import Behaviour, Request, ScriptedServer, Serve, error, ok

NEW = "n3w-Babbage-secret"
REFUSED = error(1800, "user hasn't authenticated", 401)


def rotating(serve: Serve, operating: Operating, clock: Clock, milvus: FakeMilvus, *, edited: bool = True) -> Any:
    """Take the old password for 100 s, and then only the new one; the connection is edited at that moment."""

    def script(request: Request) -> Behaviour:
        if clock.elapsed < 100:
            return milvus(request)
        if edited:
            operating.connect(server, password=NEW)
        return milvus(request) if NEW.encode() in request.headers["authorization"] else REFUSED

    server: ScriptedServer = serve(script)
    return server


def slowly_built(clock: Clock) -> FakeMilvus:
    milvus = indexed({})
    milvus.progress = lambda name: BUILT if clock.elapsed > 300 else rows(500)
    return milvus


def test_a_wait_goes_on_with_the_new_token(
    serve: Serve, operating: Operating, clock: Clock, driver: Driver, logged: Logged
) -> None:
    server = rotating(serve, operating, clock, slowly_built(clock))
    assert driver.run(server, timeout=1_000)[0]["state"] == "Finished"
    assert 300 < clock.elapsed < 340
    if not driver.rescheduled:  # which reads the connection for each poll
        assert len([line for line in logged.of("info") if "its new credentials are used" in line]) == 1
    for secret in (PASSWORD, NEW, base64.b64encode(NEW.encode()).decode()):
        assert secret not in logged.everything


def test_a_token_that_nobody_replaced_ends_the_wait(
    serve: Serve, operating: Operating, clock: Clock, driver: Driver
) -> None:
    server = rotating(serve, operating, clock, slowly_built(clock), edited=False)
    with pytest.raises(AuthenticationError):
        driver.run(server, timeout=1_000)
    assert clock.elapsed < 131


def test_what_is_not_repeated_otherwise_is_sent_again(serve: Serve, operating: Operating) -> None:
    """A refused request was not executed."""

    def script(request: Request) -> Behaviour:
        new = NEW.encode() in request.headers["authorization"]
        return ok({"insertCount": 1, "insertIds": [1]}) if new else REFUSED

    server = serve(script)
    operating.connect(server)
    with MilvusHook() as hook:
        assert hook.config.token != NEW
        operating.connect(server, password=NEW)
        assert hook.send(entities.insert("docs", [{"v": [1.0]}])).count == 1
        assert hook.send(entities.insert("docs", [{"v": [1.0]}])).count == 1
    assert len(server.requests) == 3


def test_a_connection_that_is_gone_hides_nothing(
    serve: Serve, operating: Operating, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    operating.connect(serve(REFUSED))
    with MilvusHook() as hook:
        assert hook.config
        monkeypatch.delenv("AIRFLOW_CONN_MILVUS_DEFAULT")
        with pytest.raises(AuthenticationError):
            hook.send(entities.count("docs"))
        assert hook.console_link() == ""


def test_the_triggerer_closes_both_sessions(serve: Serve, operating: Operating, clock: Clock) -> None:
    operating.connect(rotating(serve, operating, clock, slowly_built(clock)))

    async def main() -> Any:
        event = await end_of(trigger_of())
        assert not module._sessions.get(asyncio.get_running_loop())
        return event

    assert asyncio.run(main())["status"] == "success"


def test_an_operator_begins_with_the_token_of_now(serve: Serve, operating: Operating, clock: Clock) -> None:
    server = rotating(serve, operating, clock, indexed(BUILT))
    operating.connect(server)
    clock.now += 200
    params = [{"fieldName": "vector", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 200}}]
    operator = CreateIndexOperator(task_id="index", collection_name="docs", index_params=params)
    assert operating.execute(operator)[0]["state"] == "Finished"


def test_an_ingest_goes_on_and_sends_no_row_twice(serve: Serve, operating: Operating, logged: Logged) -> None:
    milvus, taken = LoadingMilvus(), list[int]()
    lock = threading.Lock()

    def script(request: Request) -> Behaviour:
        with lock:
            if len(taken) >= 20:
                operating.connect(server, password=NEW)
                if NEW.encode() not in request.headers["authorization"]:
                    return REFUSED
            if request.path == "entities/upsert":
                taken.extend(row["id"] for row in request.body["data"])
        return milvus(request)

    server = serve(script)
    operating.connect(server)
    rows_to_send = [{"id": number, "vector": [0.5], "sparse": {1: 0.5}, "label": "x"} for number in range(100)]
    with MilvusHook() as hook:
        assert hook.ingest("docs", rows_to_send, batch_rows=5, max_in_flight=4)["rows"] == 100
        assert hook.config.token is not None
        assert NEW in hook.config.token
        assert hook.describe_collection("docs")
    assert sorted(taken) == list(range(100))
    assert len([line for line in logged.of("info") if "its new credentials are used" in line]) == 1
