"""A Milvus on a socket in which every collection exists, and a build takes as long as the test says."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from tests.support.fake_milvus import FakeMilvus
from tests.support.scripted import Behaviour, Request, ScriptedServer, page

ROWS = 1_000
#: Not a word of it may show anywhere. The characters are those that are spelled differently in URLs and in JSON.
TOKEN = 'root:open "sesame" 100%/zu8Jae9Ook4quo6h'
#: Attempts of the hook after the first.
RETRIES = 2
#: What is looked for: this part is spelled the same everywhere.
NEEDLE = "zu8Jae9Ook4quo6h"


class Build:
    """
    One collection, and the build of its indexes: in progress until told otherwise.

    :param collection: its name
    """

    def __init__(self, collection: str) -> None:
        self.milvus = FakeMilvus(collection, rows=ROWS, progress=lambda _: self._told)
        self.requests: list[Request] = []
        self.finished_at: float | None = None
        self._told: Mapping[str, Any] = {}
        self.advance(0)

    def __call__(self, request: Request) -> Behaviour:
        self.requests.append(request)
        return self.milvus(request)

    def advance(self, rows: int) -> None:
        """Have that many rows indexed."""
        self._told = {"indexState": "InProgress", "indexedRows": rows, "pendingRows": ROWS - rows}

    def finish(self) -> None:
        """End the build."""
        self.finished_at = time.time()
        self._told = {}

    def fail(self, reason: str) -> None:
        """Have the server give the build up."""
        self._told = {"indexState": "Failed", "failReason": reason}

    def outage(self, path: str, requests: int) -> None:
        """Answer the next requests to a path as a proxy does that has no server behind it."""
        self.milvus.faults[path] = [page(503, "Service Unavailable") for _ in range(requests)]

    def count(self, path: str) -> int:
        """How many requests to a path there were."""
        return sum(request.path == path for request in list(self.requests))

    def last(self, path: str) -> float:
        """When the last request to a path came, in seconds since the epoch."""
        times = [request.at for request in list(self.requests) if request.path == path]
        return times[-1] + time.time() - time.monotonic()


class Builds:
    """
    The server. Collections are made when they are first asked for, by a test or by a task.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._builds: dict[str, Build] = {}
        self.tokens: set[bytes] = set()
        self.server = ScriptedServer(self._answer)

    def __enter__(self) -> Builds:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.close()

    def __getitem__(self, collection: str) -> Build:
        with self._lock:
            if collection not in self._builds:
                self._builds[collection] = Build(collection)
            return self._builds[collection]

    def _answer(self, request: Request) -> Behaviour:
        self.tokens.add(request.headers.get("authorization", b"(none)"))
        return self[request.body["collectionName"]](request)


__all__ = ["NEEDLE", "RETRIES", "ROWS", "TOKEN", "Build", "Builds"]
