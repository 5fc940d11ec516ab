"""Clients that keep the server waiting, send too much or open too many connections."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.local.connections import BODY_SECONDS, HEAD_SECONDS, IDLE_SECONDS, Waiting, bounded_protocol
from airflow_vectordb.local.guard import MAX_BODY, MAX_HEAD, AllowedHosts, Guard, discard_body

HEAD = b"POST /x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key\r\n"
CALL = HEAD + b"Content-Length: 2\r\n\r\n{}"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

Test = Callable[["Served"], Coroutine[Any, Any, None]]


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def status(self) -> int:
        """The status of the next answer."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        await self.reader.readexactly(length)
        return int(head.split()[1])

    async def closed(self) -> bool:
        """Whether the server has closed the connection, once what is under way has arrived."""
        try:
            return await asyncio.wait_for(self.reader.read(1), 0.2) == b""
        except asyncio.TimeoutError:
            return False
        except ConnectionError:
            return True


class Served:
    """A server of three connections, whose clock is set by hand, and which answers when it has the whole body."""

    def __init__(self, waiting: Waiting) -> None:
        self.waiting = waiting
        self.seconds = 0.0
        self.bodies = 0
        self.hold: asyncio.Event | None = None
        self.port = 0
        self.clients: list[Client] = []

    async def connect(self, data: bytes = b"") -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        await client.send(data)
        # The server has seen to it when it has seen to whoever comes after.
        await asyncio.sleep(0.02)
        return client

    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds
        self.waiting.end_late()

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not await discard_body(receive):
            return
        self.bodies += 1
        if self.hold is not None:
            await self.hold.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})


@asynccontextmanager
async def serving(protocol: type[asyncio.Protocol], most: int) -> AsyncIterator[Served]:
    waiting = Waiting(most, lambda: served.seconds)
    served = Served(waiting)
    guard = Guard(served.answer, AllowedHosts(), "key")
    config = uvicorn.Config(
        guard,
        http=bounded_protocol(waiting, protocol),
        ws="none",
        lifespan="off",
        log_config=None,
        h11_max_incomplete_event_size=1024 * 1024,
    )
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: config.http_protocol_class(config=config, server_state=state, app_state={}),  # type: ignore[call-arg]
        "127.0.0.1",
        0,
    )
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        for client in served.clients:
            client.writer.close()
        server.close()


@pytest.fixture(params=[HttpToolsProtocol, H11Protocol])
def run(request: pytest.FixtureRequest) -> Callable[[Test], None]:
    """Run a test on each of uvicorn's protocols."""

    def run_one(test: Test) -> None:
        async def serve() -> None:
            async with serving(request.param, 3) as served:
                await test(served)

        asyncio.run(serve())

    return run_one


def test_a_connection_serves_many_requests(run: Callable[[Test], None]) -> None:
    async def test(served: Served) -> None:
        client = await served.connect()
        for _ in range(3):
            await client.send(CALL)
            assert await client.status() == 200
            served.pass_time(IDLE_SECONDS)
        await client.send(CALL + CALL[:50])
        assert await client.status() == 200
        await client.send(CALL[50:])
        assert await client.status() == 200
        assert served.bodies == 5

    run(test)


@pytest.mark.parametrize("sent", [b"", b"POST", CALL[:60], HEAD])
def test_headers_must_come_in_time(run: Callable[[Test], None], sent: bytes) -> None:
    async def test(served: Served) -> None:
        client = await served.connect(sent)
        served.pass_time(HEAD_SECONDS - 1)
        # A byte now and then does not help.
        await client.send(CALL[len(sent) : len(sent) + 1])
        assert not await client.closed()
        served.pass_time(2)
        assert await client.status() == 408
        assert await client.closed()

    run(test)


def test_headers_of_a_later_request_must_come_in_time(run: Callable[[Test], None]) -> None:
    async def test(served: Served) -> None:
        client = await served.connect(CALL)
        assert await client.status() == 200
        served.pass_time(HEAD_SECONDS + 1)
        assert not await client.closed()
        await client.send(HEAD)
        await asyncio.sleep(0.02)
        served.pass_time(HEAD_SECONDS + 1)
        assert await client.status() == 408
        assert await client.closed()

    run(test)


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (HEAD + b"Content-Length: 9999\r\n\r\n", b"x"),
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED.replace(b"key", b"wrong"), b"1\r\nx\r\n"),
    ],
)
def test_a_body_must_come_in_time(run: Callable[[Test], None], head: bytes, more: bytes) -> None:
    async def test(served: Served) -> None:
        client = await served.connect(head)
        for _ in range(5):
            served.pass_time(BODY_SECONDS / 6)
            await client.send(more)
        assert not await client.closed()
        served.pass_time(BODY_SECONDS / 6)
        assert await client.closed()

    run(test)


def test_work_may_take_longer(run: Callable[[Test], None]) -> None:
    async def test(served: Served) -> None:
        served.hold = asyncio.Event()
        client = await served.connect(CALL)
        served.pass_time(10 * BODY_SECONDS)
        served.hold.set()
        assert await client.status() == 200

    run(test)


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (b"POST /", b"x" * 1000),
        (b"POST /x HTTP/1.1\r\nX: ", b"x" * 1000),
        (b"POST /x HTTP/1.1\r\n", b"x" * 1000),
        (b"POST /x HTTP/1.1\r\n", b"X: " + b"x" * 1000 + b"\r\n"),
        (b"POST /x HTTP/1.1\r\n", b"X: x\r\n"),
        (b"\r\n", b"\r\n"),
    ],
)
def test_headers_are_not_without_end(run: Callable[[Test], None], head: bytes, more: bytes) -> None:
    async def test(served: Served) -> None:
        client = await served.connect(head)
        sent = 0
        try:
            while sent < 20 * MAX_HEAD:
                await client.send(more * 10)
                sent += len(more * 10)
                await asyncio.sleep(0)
        except ConnectionError:
            pass
        assert await client.closed() or await client.status() in (400, 431)
        assert served.bodies == 0

    run(test)


def test_headers_that_come_as_one_are_not_too_large_either(run: Callable[[Test], None]) -> None:
    async def test(served: Served) -> None:
        client = await served.connect(HEAD + b"X: " + b"x" * MAX_HEAD + b"\r\nContent-Length: 2\r\n\r\n{}")
        assert await client.status() == 431
        client = await served.connect(HEAD + b"X: " + b"x" * (MAX_HEAD // 2) + b"\r\nContent-Length: 2\r\n\r\n{}")
        assert await client.status() == 200

    run(test)


@pytest.mark.parametrize(
    "around",
    [
        b"1;" + b"x" * 1000 + b"=",
        b"0\r\nX: " + b"x" * 1000,
        b"0\r\n" + b"X: x\r\n" * 200,
        b"0" * 1000,
    ],
)
def test_what_is_around_a_body_is_not_without_end(run: Callable[[Test], None], around: bytes) -> None:
    async def test(served: Served) -> None:
        client = await served.connect(CHUNKED + around)
        last = around[-1:] if around[-1:] in b"0=" else b"x"
        try:
            for _ in range(200):
                await client.send((b"x" if last == b"=" else last) * 10_000)
                await asyncio.sleep(0)
        except ConnectionError:
            pass
        assert await client.closed() or await client.status() in (400, 431)

    run(test)


def test_a_body_that_goes_on_after_the_answer_is_not_read_for_ever(run: Callable[[Test], None]) -> None:
    async def test(served: Served) -> None:
        client = await served.connect(CHUNKED.replace(b"key", b"wrong"))
        piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        sent = 0
        try:
            while sent < 2 * MAX_BODY:
                await client.send(piece)
                sent += len(piece)
        except ConnectionError:
            pass
        assert sent < 2 * MAX_BODY
        # Who sends less gets to see the answer.
        client = await served.connect(CHUNKED.replace(b"key", b"wrong"))
        await client.send(piece * 10 + b"0\r\n\r\n")
        assert await client.status() == 401
        await client.send(CALL)
        assert await client.status() == 200

    run(test)


def test_the_one_that_has_waited_longest_makes_room(run: Callable[[Test], None]) -> None:
    async def test(served: Served) -> None:
        served.hold = asyncio.Event()
        at_work = await served.connect(CALL)
        half_open = [await served.connect(sent) for sent in (b"", HEAD)]
        for n in range(4):
            client = await served.connect(HEAD + b"Content-Length: 9\r\n\r\n")
            half_open.append(client)
            assert await half_open[n].closed() or await half_open[n].status() == 503
        assert not await client.closed()
        served.hold.set()
        assert await at_work.status() == 200

    run(test)


def test_when_all_are_at_work_the_newest_goes(run: Callable[[Test], None]) -> None:
    async def test(served: Served) -> None:
        served.hold = asyncio.Event()
        clients = [await served.connect(CALL) for _ in range(3)]
        assert await (await served.connect(CALL)).status() == 503
        served.hold.set()
        assert [await client.status() for client in clients] == [200, 200, 200]
        assert await (await served.connect(CALL)).status() == 200

    run(test)


def test_a_client_that_reads_nothing_does_not_stay(run: Callable[[Test], None]) -> None:
    async def test(served: Served) -> None:
        clients = [await served.connect(CALL) for _ in range(3)]
        served.pass_time(2 * IDLE_SECONDS)
        for client in clients:
            assert await client.status() == 200
            assert await client.closed() or await client.status() == 408

    run(test)


# --- the server itself ---


def test_half_open_connections_do_not_keep_others_out(tmp_path: Path) -> None:
    count = 1500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count + 100:
        pytest.skip("so many files cannot be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 100), hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        running = stack.enter_context(LocalMilvus(tmp_path))
        address = urlsplit(running.uri)
        host = (address.hostname, address.port)
        for number in range(count):
            one = stack.enter_context(socket.create_connection(host, timeout=60))
            one.sendall((b"", b"POST /v2/", b"POST /v2/ HTTP/1.1\r\nX: ")[number % 3])
        with socket.create_connection(host, timeout=60) as asking:
            asking.sendall(
                b"POST /v2/vectordb/collections/list HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                b"Authorization: Bearer %b\r\nContent-Length: 2\r\n\r\n{}" % (running.token or "").encode()
            )
            assert asking.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert len(list(Path(f"/proc/{running.pid}/fd").iterdir())) < 800
        assert "Traceback" not in running.log()
        assert "out of system resource" not in running.log()


def test_large_headers_before_the_token_take_no_memory(server: LocalMilvus) -> None:
    address = urlsplit(server.uri)

    def peak() -> int:
        status = Path(f"/proc/{server.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) // 1024

    before = peak()
    for shape in (b"X: ", b"", b"POST /"):
        with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
            try:
                connection.sendall(
                    shape if shape.startswith(b"POST") else b"POST / HTTP/1.1\r\nHost: localhost\r\n" + shape
                )
                for _ in range(60):
                    connection.sendall(b"x" * 1024 * 1024)
            except ConnectionError:
                pass
    assert peak() - before < 20
