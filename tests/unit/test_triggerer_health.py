"""Whether a triggerer is there: what Airflow's health says, and what a task says of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from airflow.sdk.execution_time import task_runner

from airflow_vectordb import health
from airflow_vectordb._compat import AirflowException, AirflowSensorTimeout, AirflowSkipException, TaskDeferralTimeout
from airflow_vectordb.sensors.milvus import IndexSensor
from tests.support.drivers import DeferrableOperator, DeferrableSensor, Driver, TaskDeferred
from tests.support.fake_milvus import indexed, rows
from tests.support.harness import Clock, Logged, Operating
from tests.support.scripted import Serve

BEAT = "2026-03-07T00:00:00+00:00"


def said(status: str | None, beat: str | None = BEAT, database: str = "healthy") -> Any:
    return {
        "metadatabase": {"status": database},
        "scheduler": {"status": "healthy", "latest_scheduler_heartbeat": BEAT},
        "triggerer": {"status": status, "latest_triggerer_heartbeat": beat},
    }


class Api:
    """An API server of Airflow's, as far as its health goes."""

    def __init__(self) -> None:
        self.answer: Any = said("healthy")
        self.status = 200
        self.asked: list[str] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.asked.append(self.path)
                body = api.answer if isinstance(api.answer, bytes) else json.dumps(api.answer).encode()
                self.send_response(api.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    made = Api()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", f"{made.url}/")
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


# What Airflow says --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (said("healthy"), ""),
        (said("unhealthy"), f"unhealthy, last heartbeat {BEAT}"),
        (said(None, None), "none has ever run"),
        (said("unhealthy", database="unhealthy"), ""),
        (b"<html>", None),
        (b"", None),
        ([], None),
        ({"triggerer": {}}, None),
        ({"triggerer": None, "metadatabase": None}, None),
        (b"[" * 100_000, None),
    ],
)
def test_what_it_means(answer: Any, words: str | None, api: Api) -> None:
    api.answer = answer
    assert health.triggerer_problem() == words
    assert api.asked == ["/api/v2/monitor/health"]


@pytest.mark.parametrize("status", [302, 401, 404, 500])
def test_no_answer_is_no_news(status: int, api: Api) -> None:
    api.status, api.answer = status, b""
    assert health.triggerer_problem() is None


def test_nobody_there_is_no_news() -> None:
    assert health.triggerer_problem() is None


def test_the_execution_api_is_asked_first(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.answer = said("unhealthy")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://127.0.0.1:1/airflow")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", f"{api.url}/team/execution/")
    assert health.triggerer_problem()
    assert api.asked == ["/team/api/v2/monitor/health"]
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "http://127.0.0.1:1/execution/")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", api.url)
    assert health.triggerer_problem()


# What a task says of it ---------------------------------------------------------------------------------------------

KINDS = [DeferrableOperator, DeferrableSensor]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", ["healthy", "unhealthy", None])
def test_a_task_that_defers_says_so(
    status: str | None, kind: type[Driver], api: Api, serve: Serve, operating: Operating, clock: Clock, logged: Logged
) -> None:
    api.answer = said(status)
    operating.connect(serve(indexed(rows(9))))
    with pytest.raises(TaskDeferred):
        operating.execute(kind(operating, clock).task())
    told = [line for line in logged.of("warning") if "No triggerer is alive" in line]
    assert len(told) == (0 if status == "healthy" else 1)
    assert all("airflow triggerer" in line for line in told)


def test_a_dag_test_needs_none(
    api: Api, serve: Serve, operating: Operating, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Supervisor:
        def send(self, message: Any) -> None:
            raise AssertionError

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(), raising=False)
    operating.connect(serve(indexed(rows(9))))
    with pytest.raises(TaskDeferred):
        operating.execute(DeferrableOperator(operating, clock).task())
    assert api.asked == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_wait_that_nobody_ended_names_the_cause(kind: type[Driver], operating: Operating, clock: Clock) -> None:
    task = kind(operating, clock).task()
    error = AirflowSensorTimeout if kind.sensor else TaskDeferralTimeout
    with pytest.raises(error, match=r"task index: no triggerer ended the wait.*`airflow triggerer`.*'docs'"):
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, {})


def test_a_soft_sensor_is_skipped_all_the_same() -> None:
    sensor = IndexSensor(task_id="index", collection_name="docs", soft_fail=True)
    with pytest.raises(AirflowSkipException, match="no triggerer ended the wait"):
        sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, {})  # type: ignore[typeddict-item]


def test_other_failures_of_triggers_are_airflows(operating: Operating, clock: Clock) -> None:
    with pytest.raises(AirflowException) as caught:
        DeferrableOperator(operating, clock).task().resume_execution("__fail__", {"error": "Trigger failure"}, {})
    assert "no triggerer" not in str(caught.value)
