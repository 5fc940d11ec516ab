"""A stub of Milvus's REST API in a process of its own, for thousands of waits. It knows when each index is built.

It answers ``indexes/describe`` with an index whose build moves on from look to look, and counts requests and
connections. Written on bare sockets, since it must have answers faster than any client can ask.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

PREFIX = "/v2/vectordb/"
INDEX = "vector_hnsw"
ROWS = 1_000_000
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
#: What stands for a moment that does not come.
NEVER = 1e18


class _Crowd:
    """What the server knows and counts."""

    def __init__(self) -> None:
        self.built_at: dict[str, float] = {}
        self.moving = True
        self.forget()
        self.open = 0

    def forget(self) -> None:
        self.requests = 0
        self.opened = 0
        self.most_open = 0

    def connected(self, change: int) -> None:
        self.open += change
        self.opened += change > 0
        self.most_open = max(self.most_open, self.open)

    def answer(self, path: str, body: dict[str, Any]) -> Any:
        match path:
            case "indexes/describe":
                self.requests += 1
                return [self._index(str(body["collectionName"]), str(body["indexName"]))]
            case "plan":
                self.moving = body["moving"]
                self.built_at = body["built_at"]
                self.forget()
                self.most_open = self.open
            case "count":
                return {
                    "requests": self.requests,
                    "open": self.open - 1,  # the one that asks
                    "most_open": self.most_open,
                    "opened": self.opened,
                }
            case _:
                raise LookupError(path)
        return {}

    def _index(self, collection: str, name: str) -> dict[str, Any]:
        done = ROWS
        if time.time() < self.built_at.get(collection, NEVER):
            done = self.requests % ROWS if self.moving else ROWS // 2
        return {
            "indexName": name,
            "fieldName": "vector",
            "indexType": "HNSW",
            "metricType": "COSINE",
            "indexState": "Finished" if done == ROWS else "InProgress",
            "totalRows": ROWS,
            "indexedRows": done,
            "pendingRows": ROWS - done,
            "failReason": "",
            "indexParams": [{"key": "M", "value": "16"}, {"key": "efConstruction", "value": "200"}],
        }


class _Connection(asyncio.Protocol):
    def __init__(self, crowd: _Crowd) -> None:
        self.crowd = crowd
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.crowd.connected(1)

    def connection_lost(self, exc: Exception | None) -> None:
        self.crowd.connected(-1)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self.buffer, 0, end + 2)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < size:
                return
            request, self.buffer = self.buffer[:size], self.buffer[size:]
            path = request.split(b" ", 2)[1].decode().removeprefix(PREFIX)
            self.transport.write(self._answer(path, json.loads(request[end + 4 :])))

    def _answer(self, path: str, body: dict[str, Any]) -> bytes:
        try:
            status, answer = "200 OK", {"code": 0, "data": self.crowd.answer(path, body)}
        except LookupError as error:
            status, answer = "404 Not Found", {"code": 404, "message": f"the stub has no {error}"}
        payload = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        return head.encode() + payload


async def _serve() -> None:
    crowd = _Crowd()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(crowd), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    # The one who started it holds the other end: with that process, this one ends.
    await asyncio.to_thread(sys.stdin.read)


@dataclass(frozen=True)
class Server:
    """
    The stub, as seen from elsewhere.

    :param url: where it is
    """

    url: str

    def plan(self, built_at: dict[str, float] | None = None, *, moving: bool = True) -> None:
        """
        Tell it what is built when, and to count from 0.

        :param built_at: seconds since the epoch, by collection; others are never built
        :param moving: whether each look finds other counts than the one before
        """
        self._ask("plan", {"built_at": built_at or {}, "moving": moving})

    def count(self) -> dict[str, int]:
        """Ask for ``requests``, connections now ``open``, ``most_open`` at once, and ``opened`` in all."""
        found: dict[str, int] = self._ask("count", {})
        return found

    def _ask(self, path: str, body: dict[str, Any]) -> Any:
        request = Request(f"{self.url}{PREFIX}{path}", json.dumps(body).encode(), method="POST")
        with build_opener(ProxyHandler({})).open(request, timeout=60) as answer:
            return json.load(answer)["data"]


@contextmanager
def serving() -> Iterator[Server]:
    """Run the stub in another process, for a ``with`` block."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.kill()


__all__ = ["INDEX", "PREFIX", "Server", "serving"]

if __name__ == "__main__":
    asyncio.run(_serve())
