"""A stub of Milvus's REST API v2 in a process of its own, that counts requests and connections.

It knows which indexes were created, and when each is built; a build moves on from poll to poll. Written on bare
sockets, since it must have answers for thousands of waits faster than any client can ask.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

PREFIX = "/v2/vectordb/"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass
class Plan:
    """
    What the server holds, the same for every collection.

    :param built_at: when the index of a collection is built
    :param polls: the poll at which it is, if that is not 0
    """

    vectors: list[str] = field(default_factory=lambda: ["vector"])
    indexes: list[dict[str, Any]] = field(default_factory=list)
    rows: int = 1_000_000
    state: str = "InProgress"
    built_at: dict[str, float] = field(default_factory=dict)
    polls: int = 0


@dataclass
class Counts:
    """What arrived since the plan was made, and connections: open now, most at one time, opened."""

    requests: list[str] = field(default_factory=list)
    open: int = 0
    most_open: int = 0
    opened: int = 0


class _Milvus:
    def __init__(self) -> None:
        self.plan, self.counts, self.polled = Plan(), Counts(), Counter[str]()

    def control(self, path: str, body: dict[str, Any]) -> Any:
        if path == "plan":
            self.plan, self.polled = Plan(**body), Counter()
            self.counts = Counts(open=self.counts.open, most_open=self.counts.open)
        return asdict(self.counts)

    def answer(self, path: str, body: dict[str, Any]) -> Any:
        self.counts.requests.append(path)
        match path:
            case "collections/describe":
                params = [{"key": "dim", "value": "768"}]
                vectors = [{"name": name, "type": "FloatVector", "params": params} for name in self.plan.vectors]
                key = {"name": "id", "type": "Int64", "primaryKey": True, "autoId": False}
                named = {"collectionName": body["collectionName"], "aliases": []}
                return {**named, "fields": [key, *vectors], "load": "LoadStateNotLoad"}
            case "collections/get_stats":
                return {"rowCount": self.plan.rows}
            case "indexes/list":
                return [spec["indexName"] for spec in self.plan.indexes]
            case "indexes/create":
                self.plan.indexes += body["indexParams"]
                return {}
            case "indexes/describe":
                name = body["collectionName"]
                self.polled[name] += 1
                built = time.time() >= self.plan.built_at.get(name, math.inf) or self.polled[name] == self.plan.polls
                return [
                    self._index(spec, built) for spec in self.plan.indexes if spec["indexName"] == body["indexName"]
                ]
        raise LookupError(path)

    def _index(self, spec: dict[str, Any], built: bool) -> dict[str, Any]:
        rows = self.plan.rows
        done = rows if built else len(self.counts.requests) % max(1, rows)
        return {
            **{key: spec[key] for key in ("indexName", "fieldName", "indexType", "metricType")},
            "indexState": "Finished" if built else self.plan.state,
            "totalRows": rows,
            "indexedRows": done,
            "pendingRows": rows - done,
            "failReason": "",
            "indexParams": [{"key": key, "value": str(value)} for key, value in spec["params"].items()],
        }


class _Connection(asyncio.Protocol):
    def __init__(self, milvus: _Milvus) -> None:
        self.milvus = milvus
        self.buffer = b""
        self.counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.milvus.counts.open -= self.counted

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self.buffer, 0, end + 2)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < size:
                return
            request, self.buffer = self.buffer[:size], self.buffer[size:]
            path = request.split(b" ", 2)[1].decode()
            self.transport.write(self._respond(path, json.loads(request[end + 4 :])))

    def _respond(self, path: str, body: dict[str, Any]) -> bytes:
        if not path.startswith(PREFIX):  # the one who measures
            status, answer = "200 OK", self.milvus.control(path.strip("/"), body)
        else:
            self._count()
            try:
                status, answer = "200 OK", {"code": 0, "data": self.milvus.answer(path.removeprefix(PREFIX), body)}
            except LookupError as error:
                status, answer = "404 Not Found", {"code": 404, "message": f"the stub has no {error}"}
        payload = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        return head.encode() + payload

    def _count(self) -> None:
        counts = self.milvus.counts
        if not self.counted:
            self.counted = True
            counts.open += 1
            counts.opened += 1
            counts.most_open = max(counts.most_open, counts.open)


async def _serve() -> None:
    milvus = _Milvus()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(milvus), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    # The one who started it holds the other end: with that process, this one ends.
    await asyncio.to_thread(sys.stdin.read)


@dataclass(frozen=True)
class Server:
    """The stub, as seen from elsewhere."""

    url: str

    def reset(self, **plan: Any) -> None:
        """Set a :class:`Plan`, and count from 0."""
        self._ask("plan", plan)

    def counts(self) -> Counts:
        """Return what arrived since the plan was set."""
        return Counts(**self._ask("counts", {}))

    def _ask(self, path: str, body: dict[str, Any]) -> Any:
        request = Request(f"{self.url}/{path}", json.dumps(body).encode(), method="POST")
        with build_opener(ProxyHandler({})).open(request, timeout=60) as answer:
            return json.load(answer)


@contextmanager
def serving() -> Iterator[Server]:
    """Run the stub in another process, for a ``with`` block."""
    command, root = [sys.executable, "-m", __name__], Path(__file__).parent.parent
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        try:
            yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.kill()


__all__ = ["PREFIX", "Counts", "Plan", "Server", "serving"]

if __name__ == "__main__":
    asyncio.run(_serve())
