"""What the waits of one triggerer share, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_vectordb.rest import MilvusConfig
from airflow_vectordb.rest.http import async_client
from airflow_vectordb.triggers import milvus as module
from tests.support.certificates import Authority
from tests.support.drivers import end_of, trigger_of
from tests.support.fake_milvus import BUILT, indexed, rows
from tests.support.harness import PASSWORD, Logged, Operating
from tests.support.scripted import ScriptedServer, Serve, Silent


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """List all HTTP sessions that are opened."""
    import aiohttp

    opened: list[Any] = []
    kind = aiohttp.ClientSession

    def counted(*args: Any, **kwargs: Any) -> aiohttp.ClientSession:
        opened.append(kind(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(aiohttp, "ClientSession", counted)
    return opened


def others() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def assert_nothing_open(sessions: list[Any]) -> None:
    assert all(session.closed for session in sessions)
    assert others() == []
    assert not module._sessions.get(asyncio.get_running_loop())


def test_many_waits_share_one_session(serve: Serve, operating: Operating, sessions: list[Any]) -> None:
    milvus = indexed({})
    milvus.progress = lambda name: BUILT if len(server.requests) > 500 else rows(500)
    server = serve(milvus)
    operating.connect(server)

    async def main() -> list[Any]:
        # Half of them in another database.
        waits = [trigger_of(database=[None, "books"][n % 2], poll_interval=0.5) for n in range(200)]
        running = [asyncio.ensure_future(end_of(trigger)) for trigger in waits]
        await until(lambda: len(server.requests) > 200, 20)
        assert [module._users[session] for session in module._sessions[asyncio.get_running_loop()].values()] == [200]
        events = await asyncio.gather(*running)
        assert_nothing_open(sessions)
        return events

    events = asyncio.run(main())
    assert [event["status"] for event in events] == ["success"] * 200
    assert len(sessions) == 1
    assert server.connections <= async_client.MOST_CONNECTIONS
    assert len(server.requests) > 500
    assert {request.body.get("dbName") for request in server.requests} == {None, "books"}


def test_another_token_is_another_session(serve: Serve, operating: Operating, sessions: list[Any]) -> None:
    server = serve(Silent())
    operating.connect(server, extra={"timeout": 30})
    operating.setenv("AIRFLOW_CONN_OTHER", json.dumps({"conn_type": "milvus", "host": server.url, "password": "key-5"}))

    async def main() -> None:
        running = [asyncio.ensure_future(end_of(trigger_of(milvus_conn_id=c))) for c in ("milvus_default", "other")]
        await until(lambda: len(server.requests) == 2)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        assert_nothing_open(sessions)

    asyncio.run(main())
    assert len(sessions) == 2
    assert {r.headers["authorization"] for r in server.requests} == {f"Bearer ada:{PASSWORD}".encode(), b"Bearer key-5"}


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come about"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("moment", ["before the first poll", "in mid-poll", "in mid-sleep"])
def test_cancellation_leaves_nothing(
    moment: str, scheme: str, serve: Serve, operating: Operating, sessions: list[Any], tmp_path: Path, logged: Logged
) -> None:
    authority = Authority(tmp_path) if scheme == "https" else None
    lie = Silent() if moment == "in mid-poll" else indexed(rows(500))
    server = serve(lie, tls=authority.server_context() if authority else None)
    operating.connect(server, extra={"timeout": 30, **({"verify": str(authority.bundle)} if authority else {})})

    async def main() -> None:
        now = time.time()
        task = asyncio.ensure_future(end_of(trigger_of(started=now - 3600 if moment.startswith("before") else now)))
        await until(lambda: sessions or server.requests or module._sessions.get(asyncio.get_running_loop()))
        if not moment.startswith("before"):
            await until(lambda: server.requests)
            await asyncio.sleep(0.05)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 25
        assert_nothing_open(sessions)
        await asyncio.sleep(0.2)  # asyncio ends transports in the loop's next rounds

    asyncio.run(main())
    gc.collect()
    assert not server._open or wait_until_closed(server)
    assert "Unclosed" not in logged.everything
    assert PASSWORD not in logged.everything


def test_a_triggerer_that_ends_leaves_nothing(
    serve: Serve, operating: Operating, sessions: list[Any], logged: Logged
) -> None:
    server = serve({"indexes/describe": lambda request: Silent() if len(server.requests) % 2 else indexed({})(request)})
    operating.connect(server, extra={"timeout": 30})
    running: list[asyncio.Task[Any]] = []

    async def main() -> None:
        # No one awaits them, nor cancels them but the end of the loop.
        running.extend(asyncio.ensure_future(end_of(trigger_of())) for _ in range(20))
        await until(lambda: len(server.requests) > 5)

    began = time.monotonic()
    asyncio.run(main())
    gc.collect()
    assert time.monotonic() - began < 25
    assert all(task.done() for task in running)
    assert len(sessions) == 1
    assert sessions[0].closed
    assert not server._open or wait_until_closed(server)
    assert "Unclosed" not in logged.everything


def wait_until_closed(server: ScriptedServer) -> bool:
    end = time.monotonic() + 60
    while server._open and time.monotonic() < end:
        time.sleep(0.01)
    return not server._open


def test_two_event_loops(serve: Serve, operating: Operating, sessions: list[Any]) -> None:
    milvus = indexed(*[rows(5)] * 6, BUILT)
    server = serve(milvus)
    operating.connect(server)
    events: list[Any] = []

    async def both() -> list[Any]:
        found = await asyncio.gather(*(end_of(trigger_of(poll_interval=0.1)) for _ in range(3)))
        assert others() == []
        return found

    threads = [threading.Thread(target=lambda: events.extend(asyncio.run(both()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [event["status"] for event in events] == ["success"] * 6
    assert len(sessions) == 2
    assert all(session.closed for session in sessions)


def test_waits_share_a_session_if_their_client_certificate_is_the_same() -> None:
    async def main() -> list[Any]:
        async with (
            module.shared_client(MilvusConfig("https://h", client_cert="/a.pem")) as one,
            module.shared_client(MilvusConfig("https://h", client_cert="/a.pem", database="b")) as same,
            module.shared_client(MilvusConfig("https://h", client_cert="/b.pem")) as other,
        ):
            return [one._session, same._session, other._session]

    one, same, other = asyncio.run(main())
    assert one is same
    assert one is not other


def test_certificates_are_read_beside_the_event_loop(
    serve: Serve, operating: Operating, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    server = serve(indexed(BUILT), tls=authority.server_context(mutual=True))
    cert = str(authority.file("airflow"))
    operating.connect(server, extra={"verify": str(authority.bundle), "client_cert": cert})
    readers: list[int] = []
    read, load = ssl.create_default_context, ssl.SSLContext.load_cert_chain

    def noted(*args: Any, **kwargs: Any) -> ssl.SSLContext:
        readers.append(threading.get_ident())
        return read(*args, **kwargs)

    def loaded(*args: Any, **kwargs: Any) -> None:
        readers.append(threading.get_ident())
        load(*args, **kwargs)

    monkeypatch.setattr(ssl, "create_default_context", noted)
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", loaded)

    async def main() -> list[Any]:
        return await asyncio.gather(*(end_of(trigger_of()) for _ in range(20)))

    assert [event["status"] for event in asyncio.run(main())] == ["success"] * 20
    assert len(readers) == 2  # tens of milliseconds each
    assert threading.get_ident() not in readers
