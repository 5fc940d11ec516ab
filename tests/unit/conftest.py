"""Fixtures of the tests that need no server but a scripted one, and no Airflow but its classes."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.rest import config as endpoint_module
from airflow_vectordb.waiting import polling
from tests.support.drivers import DRIVERS, Driver
from tests.support.harness import LABELS, PASSWORD, Clock, Logged, Operating, Pauses, Transport
from tests.support.scripted import Script, ScriptedServer

#: A field of the form, or what to do elsewhere: each message of the Test button about a failure has one.
ADVICE = (
    r"\b(host|port|login|password|database|timeout|retries|HTTP_PROXY|NO_PROXY)\b|`(secure|verify)`|extra `\w+`"
    f"|Grant it to the user's role|A retry|not supported|{'|'.join(map(re.escape, LABELS.values()))}"
)


@pytest.fixture(scope="module", autouse=True)
def bare_environment() -> Iterator[None]:
    """No proxy, no CA bundle, no ``.netrc``, no Airflow and no connection but those of the tests."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in list(os.environ):
            if name.lower().endswith("_proxy") or name.startswith("AIRFLOW_CONN_"):
                monkeypatch.delenv(name)
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://127.0.0.1:1")  # an Airflow that runs here is not asked
        yield


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    """Start scripted servers, and end them; a request that a script does not foresee fails the test."""
    servers: list[ScriptedServer] = []

    def start(script: Script, **options: object) -> ScriptedServer:
        servers.append(ScriptedServer(script, **options))  # type: ignore[arg-type]
        return servers[-1]

    yield start
    for server in servers:
        server.close()
    unforeseen = [request for server in servers for request in server.unforeseen]
    assert not unforeseen, f"requests that no script foresees: {unforeseen}"


@pytest.fixture(params=["requests", "aiohttp"])
def transport(request: pytest.FixtureRequest) -> Transport:
    """Run the test with each of the two clients."""
    return Transport(request.param)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    """Let no pause last, and list what they would have been."""
    found = Pauses()
    sleep = asyncio.sleep

    async def asleep(seconds: float, result: Any = None) -> Any:
        if seconds:
            found.pause(seconds)
        return await sleep(0, result)

    monkeypatch.setattr(time, "sleep", found.pause)
    monkeypatch.setattr(asyncio, "sleep", asleep)
    return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let hours pass in no time: only sleeping moves this clock."""
    simulated = Clock()
    sleep = asyncio.sleep

    async def asleep(seconds: float, result: Any = None) -> Any:
        if seconds:
            simulated.sleep(seconds)
        return await sleep(0, result)

    monkeypatch.setattr(time, "time", simulated.time)
    monkeypatch.setattr(time, "sleep", simulated.sleep)
    monkeypatch.setattr(asyncio, "sleep", asleep)
    # What Airflow's sensors go by when they are rescheduled.
    monkeypatch.setattr("airflow.sdk.bases.sensor.timezone", SimpleNamespace(utcnow=simulated.utcnow))
    monkeypatch.setitem(polling.poll_until_done.__kwdefaults__ or {}, "clock", simulated.time)
    return simulated


@pytest.fixture(params=[driver.name for driver in DRIVERS])
def driver(request: pytest.FixtureRequest, operating: Operating, clock: Clock) -> Driver:
    """Run the test with each way of waiting for an index."""
    (kind,) = (driver for driver in DRIVERS if driver.name == request.param)
    return kind(operating, clock)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up silent servers after 1 s, with a ``timeout`` of up to 1 s (5 s more are allowed otherwise).

    For servers that never answer only: on a busy machine, those that do may well take a second.
    """
    monkeypatch.setattr(endpoint_module, "SOCKET_ALLOWANCE", 0.0)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Logged]:
    """Collect all that is logged."""
    for name in (None, "urllib3", "aiohttp", "asyncio", "airflow", "airflow_vectordb"):
        caplog.set_level(logging.DEBUG, name)
    with structlog.testing.capture_logs() as events:
        yield Logged(events, caplog)


@pytest.fixture
def operating(monkeypatch: pytest.MonkeyPatch) -> Operating:
    """Run operators."""
    return Operating(monkeypatch.setenv)


@pytest.fixture
def button(operating: Operating, logged: Logged) -> Callable[..., tuple[bool, str]]:
    """Press the button: the fields of the form -> what it says."""

    def press(server: ScriptedServer | str = "127.0.0.1", *, database: str | None = None, **fields: Any) -> Any:
        operating.connect(server, **{"extra": {}, **fields})
        worked, message = MilvusHook(database=database).test_connection()
        assert message.isprintable()
        assert PASSWORD not in message
        assert PASSWORD not in logged.everything
        assert worked or re.search(ADVICE, message), message
        return worked, message

    return press
