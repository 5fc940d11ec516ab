"""The ways to wait for an index, all at once on one build: in workers (threads here), in a triggerer (an event loop).

Each way has a name, by which requests and warnings are counted.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from airflow.sdk.exceptions import TaskDeferred

from airflow_vectordb.operators.index import CreateIndexOperator
from airflow_vectordb.rest.http.async_client import AsyncClient
from airflow_vectordb.rest.http.client import Client
from airflow_vectordb.sensors.milvus import IndexSensor
from airflow_vectordb.triggers import milvus as triggers

#: Who is at work.
_way: ContextVar[str] = ContextVar("way", default="")


@dataclass(frozen=True)
class Request:
    """
    What a way asked of the REST server.

    :param path: as ``indexes/describe``
    :param began: when (``time.monotonic``)
    :param ended: when it was answered, or had failed
    :param error: what it failed with; empty: it was answered
    """

    path: str
    began: float
    ended: float
    error: str


@dataclass
class Waiting:
    """
    One way, and how it went.

    :param make: makes the task: again for each return from the triggerer, as Airflow does
    :param requests: what it asked
    :param logged: levels and texts
    :param deferrals: how often it left its worker
    """

    name: str
    make: Callable[[], Any]
    requests: list[Request] = field(default_factory=list)
    logged: list[tuple[str, str]] = field(default_factory=list)
    deferrals: int = 0
    began: float = 0.0
    ended: float = 0.0
    result: Any = None
    store: Store = field(default_factory=lambda: Store())

    @property
    def looks(self) -> list[Request]:
        return [request for request in self.requests if request.path == "indexes/describe"]

    @property
    def warnings(self) -> list[str]:
        return [text for level, text in self.logged if level in ("warning", "error", "critical")]

    @property
    def most_looks(self) -> int:
        """How many looks at most a wait of this length takes: two a second (jitter: up to 2.5) for its first 6 s, and
        then pauses of 8% of the time waited (jitter: down to 6.4%), so that their number grows with its logarithm.
        Three more: before the wait begins, at its beginning, and the one that ends it.
        """
        waited = self.ended - self.began
        return 3 + math.ceil(min(waited, 6.25) / 0.4 + max(0.0, math.log(waited / 6.25) / math.log(1.064)))


class Triggerer:
    """An event loop in a thread, for all triggers; in a ``with`` block."""

    def __enter__(self) -> Triggerer:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="triggerer")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    def run(self, data: str, way: str) -> str:
        """Make a trigger of JSON, run it to its one event, and return that as JSON."""
        path, arguments = json.loads(data)
        module, _, name = path.rpartition(".")

        async def event() -> str:
            _way.set(way)
            trigger = getattr(importlib.import_module(module), name)(**arguments)
            (found,) = [event async for event in trigger.run()]
            return json.dumps(found.payload)

        return asyncio.run_coroutine_threadsafe(event(), self.loop).result()

    @property
    def open_sessions(self) -> int:
        return len(triggers._sessions.get(self.loop, {}))


class Store(dict[str, Any]):
    """What a task has of Airflow's task state store; ``written`` is all that was ever in it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[Any] = []

    def set(self, key: str, value: Any, *, retention: Any) -> None:
        del retention
        self[key] = json.loads(json.dumps(value))
        self.written.append(self[key])

    def delete(self, key: str) -> None:
        self.pop(key, None)


def go(waiting: Waiting, triggerer: Triggerer) -> None:
    """Run a task to its end, through all of its deferrals; what passes between processes in Airflow is JSON here."""
    _way.set(waiting.name)
    ti = SimpleNamespace(try_number=1, dag_id="d", run_id="r", task_id="index", map_index=-1)
    context = {"ti": ti, "task_state_store": waiting.store}
    task = waiting.make()
    waiting.began = time.monotonic()
    step: Callable[[], Any] = lambda: task.execute(context)  # noqa: E731
    while True:
        try:
            waiting.result = json.loads(json.dumps(step()))
            waiting.ended = time.monotonic()
            return
        except TaskDeferred as deferred:
            waiting.deferrals += 1
            event = triggerer.run(json.dumps(deferred.trigger.serialize()), waiting.name)
            task, method = waiting.make(), deferred.method_name
            kwargs = {**json.loads(json.dumps(deferred.kwargs)), "event": json.loads(event)}
            step = lambda t=task, m=method, k=kwargs: t.resume_execution(m, k, context)  # type: ignore[misc]  # noqa: E731


def ways(collection: str, params: dict[str, Any]) -> list[Waiting]:
    """All ways to wait for an index, two of which ask for it."""

    def operator(deferrable: bool) -> Callable[[], Any]:
        given: dict[str, Any] = {"task_id": "index", "collection_name": collection, "timeout": 300}
        return lambda: CreateIndexOperator(**given, index_params=params, deferrable=deferrable)

    def sensor(deferrable: bool) -> Callable[[], Any]:
        given: dict[str, Any] = {"task_id": "index", "collection_name": collection, "timeout": 300}
        return lambda: IndexSensor(**given, index_name=params["indexName"], deferrable=deferrable)

    return [
        Waiting("operator", operator(False)),
        Waiting("deferrable operator", operator(True)),
        Waiting("poking sensor", sensor(False)),
        Waiting("deferrable sensor", sensor(True)),
    ]


@contextmanager
def started(every: list[Waiting], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let all of them wait at once; when the block ends, so have they, or one has failed."""
    by_name = {waiting.name: waiting for waiting in every}
    with (
        _counted(by_name, monkeypatch),
        _heard(by_name),
        Triggerer() as triggerer,
        ThreadPoolExecutor(len(every)) as pool,
    ):
        running = [pool.submit(go, waiting, triggerer) for waiting in every]
        yield
        for future in running:
            future.result(timeout=300)
        assert triggerer.open_sessions == 0


@contextmanager
def _counted(by_name: dict[str, Waiting], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    send, asend = Client.send, AsyncClient.send

    @contextmanager
    def counting(path: str) -> Iterator[None]:
        began, error = time.monotonic(), ""
        try:
            yield
        except BaseException as caught:
            error = repr(caught)
            raise
        finally:
            by_name[_way.get()].requests.append(Request(path, began, time.monotonic(), error))

    def sending(client: Any, call: Any, **options: Any) -> Any:
        with counting(call.path):
            return send(client, call, **options)

    async def asending(client: Any, call: Any, **options: Any) -> Any:
        with counting(call.path):
            return await asend(client, call, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Client, "send", sending)
        patch.setattr(AsyncClient, "send", asending)
        yield


@contextmanager
def _heard(by_name: dict[str, Waiting]) -> Iterator[None]:
    """Collect what is logged, by who was at work."""

    def hear(_: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        args = event.get("positional_args") or ()
        text = event["event"] % args if args else str(event["event"])
        # What Airflow says of calls to execute from tests is not about the wait.
        if (waiting := by_name.get(_way.get())) is not None and "outside of the Task Runner" not in text:
            waiting.logged.append((method, text))
        raise structlog.DropEvent

    # In place, since loggers that are made already hold this very list.
    processors = structlog.get_config()["processors"]
    before = list(processors)
    processors[:] = [hear]
    try:
        yield
    finally:
        processors[:] = before


__all__ = ["Request", "Triggerer", "Waiting", "go", "started", "ways"]
