"""Drives the package: both clients by one name, a simulated clock, operators without a scheduler."""

from __future__ import annotations

import asyncio
import json
import logging
from asyncio import sleep as asleep
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import pairwise
from time import sleep
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_vectordb.hooks.connection_fields import EXTRA_FIELDS, STANDARD_FIELDS
from airflow_vectordb.operators.index import CreateIndexOperator
from airflow_vectordb.rest import AsyncClient, Client, MilvusConfig
from airflow_vectordb.rest.errors import MilvusError
from airflow_vectordb.rest.http.call import Call
from tests.support.fake_milvus import FakeMilvus
from tests.support.scripted import Behaviour, Request, ScriptedServer

LOGIN, PASSWORD = "ada", "s3cret-Lovelace"
HNSW = {"fieldName": "vector", "metricType": "COSINE", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 200}}
#: Names of the connection form's fields, as messages have them.
LABELS = {field.name: f'"{field.label}"' for field in (*STANDARD_FIELDS, *EXTRA_FIELDS)}


@dataclass(frozen=True)
class Transport:
    """One of the two clients; tests are to see no difference."""

    name: str

    def send(
        self,
        config: MilvusConfig,
        *calls: Call[Any],
        retries: int | None = None,
        until: float | None = None,
        idle: float = 0,
    ) -> list[Any]:
        """Make calls with one client, one after the other, with ``idle`` seconds after each."""
        if self.name != "requests":
            return asyncio.run(self._asend(config, calls, retries, until, idle))
        results = []
        with Client(config) as client:
            for call in calls:
                results.append(client.send(call, retries=retries, until=until))
                sleep(idle)
        return results

    async def _asend(
        self, config: MilvusConfig, calls: Iterable[Call[Any]], retries: int | None, until: float | None, idle: float
    ) -> list[Any]:
        results = []
        async with AsyncClient(config) as client:
            for call in calls:
                results.append(await client.send(call, retries=retries, until=until))
                await asleep(idle)
        return results

    def fail(self, config: MilvusConfig, call: Call[Any], until: float | None = None) -> MilvusError:
        """Make a call that must fail."""
        with pytest.raises(MilvusError) as caught:
            self.send(config, call, until=until)
        return caught.value


class Pauses(list[float]):
    """The pauses between attempts, none of which lasts; ``then`` is done in each of them."""

    then: Callable[[], object] | None = None

    def pause(self, seconds: float) -> None:
        self.append(seconds)
        if self.then is not None:
            self.then()


@dataclass
class Clock:
    """A clock that only sleeping moves."""

    now: float = 1_000_000.0
    naps: list[float] = field(default_factory=list)
    began: float = 1_000_000.0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds

    def utcnow(self) -> datetime:
        return datetime.fromtimestamp(self.now, timezone.utc)

    @property
    def elapsed(self) -> float:
        return self.now - self.began


@dataclass
class Looks:
    """
    A server whose index is asked about, by a simulated clock.

    :param clock: the clock
    :param milvus: the server
    :param answer: seconds since the clock began -> an answer to a poll in place of the server's; None: the server's
    """

    clock: Clock
    milvus: FakeMilvus
    answer: Callable[[float], Behaviour | None] = lambda elapsed: None
    times: list[float] = field(default_factory=list)

    def __call__(self, request: Request) -> Behaviour:
        if request.path != "indexes/describe":
            return self.milvus(request)
        self.times.append(self.clock.elapsed)
        return self.answer(self.clock.elapsed) or self.milvus(request)

    @property
    def gaps(self) -> list[float]:
        """Seconds between two polls."""
        return [later - earlier for earlier, later in pairwise(self.times)]


@dataclass
class Logged:
    """What was logged: by Airflow's loggers (structlog), and by those of the standard library, down to DEBUG."""

    events: Sequence[Mapping[str, Any]]
    caplog: pytest.LogCaptureFixture

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Levels (lower case) and texts, but for what Airflow says of calls to ``execute`` from tests."""
        ours = [(event["log_level"], _formatted(event)) for event in self.events]
        ours = [(level, text) for level, text in ours if "outside of the Task Runner" not in text]
        return ours + [(r.levelname.lower(), r.getMessage()) for r in self.caplog.records]

    def of(self, level: str) -> list[str]:
        """The texts of a level."""
        return [text for one, text in self.lines if one == level]

    @property
    def everything(self) -> str:
        """All that there is in them, arguments and tracebacks included."""
        formatted = [logging.Formatter().format(record) for record in self.caplog.records]
        return "\n".join([*map(repr, self.events), *(text for _, text in self.lines), *formatted])


def _formatted(event: Mapping[str, Any]) -> str:
    args = event.get("positional_args") or ()
    return event["event"] % args if args else str(event["event"])


def airflows(error: BaseException | None) -> type[BaseException]:
    """Tell which of Airflow's exceptions a task's error is, exactly."""
    return next(kind for kind in type(error).__mro__ if kind.__module__.startswith("airflow."))


@dataclass
class Operating:
    """Runs operators as a worker does, with the connection in the environment."""

    setenv: Callable[[str, str], None]

    def connect(self, server: ScriptedServer | str, **fields: Any) -> None:
        """Let the default connection lead to a server; ``extra`` is added to few and short retries."""
        extra = {"retries": 2, "timeout": 1, **fields.pop("extra", {})}
        host = server if isinstance(server, str) else server.url
        connection = {"conn_type": "milvus", "host": host, "login": LOGIN, "password": PASSWORD, **fields}
        self.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", json.dumps({**connection, "extra": extra}))

    def operator(self, index_params: Any = None, **arguments: Any) -> CreateIndexOperator:
        """Make the operator, for one HNSW index on ``docs`` unless told otherwise."""
        given = {"task_id": "index", "collection_name": "docs", **arguments}
        return CreateIndexOperator(index_params=[HNSW] if index_params is None else index_params, **given)

    def create(
        self, server: ScriptedServer, index_params: Any = None, *, try_number: int = 1, **arguments: Any
    ) -> list[dict[str, Any]]:
        """Connect and execute."""
        self.connect(server)
        result: list[dict[str, Any]] = self.execute(self.operator(index_params, **arguments), try_number)
        return result

    def execute(self, operator: Any, try_number: int = 1) -> Any:
        """Execute with as little context as an operator may count on."""
        return operator.execute({"ti": SimpleNamespace(try_number=try_number)})


__all__ = [
    "HNSW",
    "LABELS",
    "LOGIN",
    "PASSWORD",
    "Clock",
    "Logged",
    "Looks",
    "Operating",
    "Pauses",
    "Transport",
    "airflows",
]
