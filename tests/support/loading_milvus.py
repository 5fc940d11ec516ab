"""A Milvus in miniature that also loads and releases, and takes its time; and what runs operators on it."""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from airflow_vectordb.operators.index import CreateIndexOperator
from tests.support.fake_milvus import FakeMilvus
from tests.support.harness import HNSW, Clock, Operating
from tests.support.scripted import Answer, Behaviour, ScriptedServer, error, ok

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:  # Airflow 3.1
    from airflow.exceptions import TaskDeferred  # type: ignore[no-redef]

IN_USE = error(65535, "index cannot be dropped, collection is loaded, please release it first")
NO_INDEX = error(700, "there is no vector index on collection, please create index firstly")
#: Calls that change something.
CHANGES = (
    "collections/release",
    "partitions/release",
    "indexes/drop",
    "indexes/create",
    "collections/load",
    "partitions/load",
)


@dataclass
class LoadingMilvus(FakeMilvus):
    """
    Loads and releases, as a whole or by partition. An index of what is loaded cannot be dropped.

    :param partitions: names of the collection's
    :param loaded: names of those in memory
    :param takes: seconds for ``release``, ``load`` and ``build``
    :param fails: an index -> why its build fails; None: it does not
    :param changes: what was done, in this order
    """

    partitions: list[str] = field(default_factory=lambda: ["_default"])
    loaded: set[str] = field(default_factory=set)
    takes: dict[str, float] = field(default_factory=dict)
    fails: Callable[[Mapping[str, Any]], str | None] = lambda index: None
    changes: list[str] = field(default_factory=list)
    _ready: dict[str, float] = field(default_factory=dict)
    _gone: dict[str, float] = field(default_factory=dict)
    _built: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.progress = self._build

    def _answer(self, path: str, body: Mapping[str, Any]) -> Behaviour:
        names = body.get("partitionNames") or self.partitions
        mine: dict[str, Callable[[], Behaviour]] = {
            "partitions/list": lambda: ok(list(self.partitions)),
            "entities/insert": lambda: ok({"insertCount": len(body["data"])}, cost=0),
            "entities/upsert": lambda: ok({"upsertCount": len(body["data"])}, cost=0),
            "entities/delete": lambda: ok(),
            "entities/query": lambda: ok([{"count(*)": self.rows}], cost=0),
            "collections/get_load_state": lambda: self._state(body.get("partitionNames")),
            "collections/load": lambda: self._load(names),
            "partitions/load": lambda: self._missing(body) or self._load(names),
            "collections/release": lambda: self._release(names),
            "partitions/release": lambda: self._missing(body) or self._release(names),
        }
        jobs: dict[str, Behaviour] = {
            "jobs/import/list": ok({"records": []}),
            "jobs/import/create": ok({"jobId": "17"}),
            "jobs/import/describe": ok({"jobId": "17", "state": "Completed", "progress": 100, "importedRows": 1}),
        }
        if path in jobs:
            return jobs[path]
        if path in mine and body.get("collectionName") in (self.collection, *self.aliases):
            answer = mine[path]()
        else:
            answer = super()._answer(path, body)
        if path in CHANGES:
            self.changes.append(path)
        return answer

    def _missing(self, body: Mapping[str, Any]) -> Behaviour | None:
        missing = set(body.get("partitionNames") or ()) - set(self.partitions)
        return error(200, f"partition not found[partition={min(missing)}]") if missing else None

    def _state_of(self, partition: str) -> str:
        if partition in self.loaded:
            return "LoadStateLoading" if time.time() < self._ready.get(partition, 0) else "LoadStateLoaded"
        return "LoadStateLoaded" if time.time() < self._gone.get(partition, 0) else "LoadStateNotLoad"

    def _state(self, names: list[str] | None) -> Answer:
        states = {name: self._state_of(name) for name in self.partitions}
        if set(states.values()) == {"LoadStateNotLoad"}:
            return ok({"loadState": "LoadStateNotLoad"})
        for name in names or ():
            if states.get(name, "LoadStateNotLoad") == "LoadStateNotLoad":
                # While another partition is loaded; as Milvus 2.6.3 says it.
                why = "loaded" if name in states else "found"
                message = f"partition not {why}[partition={name}]."
                return ok({"loadProgress": -1, "loadState": "LoadStateLoading"}, message=message)
        # Of a collection, one loaded partition is enough.
        if "LoadStateLoading" in (states[name] for name in names or states):
            return ok({"loadProgress": 40, "loadState": "LoadStateLoading"}, message="")
        return ok({"loadProgress": 100, "loadState": "LoadStateLoaded"}, message="")

    def _collection(self, body: Mapping[str, Any]) -> Answer:
        answer = super()._collection(body)
        answer.body["data"]["load"] = self._state(None).body["data"]["loadState"]
        return answer

    def _load(self, names: list[str]) -> Behaviour:
        if not any(index["fieldName"] == "vector" for index in self.indexes.values()):
            return NO_INDEX
        for name in set(names) - self.loaded:
            self.loaded.add(name)
            self._ready[name] = time.time() + self.takes.get("load", 0)
        return ok()

    def _release(self, names: list[str]) -> Behaviour:
        for name in set(names) & self.loaded:
            self.loaded.remove(name)
            self._gone[name] = time.time() + self.takes.get("release", 0)
        return ok()

    def _build(self, name: str) -> Mapping[str, Any]:
        if time.time() < self._built.get(name, 0):
            return {"indexState": "InProgress", "indexedRows": 10, "pendingRows": self.rows - 10}
        if reason := self.fails(self.indexes[name]):
            return {"indexState": "Failed", "indexedRows": 0, "pendingRows": self.rows, "failReason": reason}
        return {}

    def _create(self, body: Mapping[str, Any]) -> Behaviour:
        before = set(self.indexes)
        answer = super()._create(body)
        for name in set(self.indexes) - before:
            self._built[name] = time.time() + self.takes.get("build", 0)
        return answer

    def _drop(self, body: Mapping[str, Any]) -> Behaviour:
        if any(self._state_of(name) != "LoadStateNotLoad" for name in self.partitions):
            return IN_USE
        return super()._drop(body)


class Store(dict[str, str]):
    """Airflow's task state store, as a task sees it; ``lasting`` are those whose wait may outlive Airflow's default."""

    def __init__(self) -> None:
        super().__init__()
        self.lasting: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self[key]) if key in self else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        assert retention is None or retention.days >= 365, "Airflow's own default may be shorter than the wait"
        (self.lasting.discard if retention is None else self.lasting.add)(key)
        self[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        super().pop(key, None)


class Killed(BaseException):
    """In the place of SIGKILL: no code of ours handles it."""


@dataclass
class Worker:
    """
    Runs an operator as Airflow does: a new one for each try and each return from the triggerer, all in between JSON.

    :param make: makes the operator
    :param store: the task state store; None: an Airflow that has none
    """

    make: Callable[[], Any]
    monkeypatch: pytest.MonkeyPatch
    store: Store | None = field(default_factory=Store)
    tries: int = 0
    max_tries: int = 2
    deferrals: list[str] = field(default_factory=list)

    def run(self) -> Any:
        """Make one try, through all of its deferrals."""
        self.tries += 1
        method, arguments = "execute", {}
        while True:
            try:
                return getattr(self.make(), method)(self.context(), **arguments)
            except TaskDeferred as deferred:
                path, given = json.loads(json.dumps(deferred.trigger.serialize()))
                self.deferrals.append(given["condition"]["kind"])
                module, _, name = path.rpartition(".")
                trigger = getattr(importlib.import_module(module), name)(**given)
                event = json.loads(json.dumps(asyncio.run(_first(trigger))))
                method = deferred.method_name
                arguments = {**json.loads(json.dumps(dict(deferred.kwargs or {}))), "event": event}

    def context(self) -> dict[str, Any]:
        ti = SimpleNamespace(dag_id="d", run_id="manual__1", task_id="index", map_index=-1)
        ti.try_number, ti.max_tries = self.tries, self.max_tries
        return {"ti": ti, **({} if self.store is None else {"task_state_store": self.store})}

    def clear(self) -> None:
        """Have the task done again, as people do."""
        self.max_tries += self.tries

    @contextmanager
    def killed_after(self, count: int) -> Iterator[None]:
        """Be killed when the n-th request has been answered, before the task sees the answer."""
        send = requests.adapters.HTTPAdapter.send
        left = [count]

        def sending(*args: Any, **kwargs: Any) -> Any:
            response = send(*args, **kwargs)
            left[0] -= 1
            if not left[0]:
                response.close()
                raise Killed
            return response

        with self.monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(requests.adapters.HTTPAdapter, "send", sending)
            yield


async def _first(trigger: Any) -> Any:
    async for event in trigger.run():
        return event.payload
    raise AssertionError("the trigger ended without an event")


def let_the_loop_sleep_by(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pauses of triggers move the simulated clock, too."""
    sleep = asyncio.sleep

    async def asleep(seconds: float, result: Any = None) -> Any:
        if seconds:
            clock.sleep(seconds)
        return await sleep(0, result)

    monkeypatch.setattr(asyncio, "sleep", asleep)


WIDER = {**HNSW, "params": {"M": 32, "efConstruction": 200}}


def milvus(**arguments: Any) -> LoadingMilvus:
    made = LoadingMilvus(**{"loaded": {"_default"}, **arguments})
    made.add("vector", M=16, efConstruction=200)
    return made


def m(server: LoadingMilvus, name: str = "vector") -> str:
    return str(server.indexes[name]["params"]["M"])


Make = Callable[..., Worker]


def maker(operating: Operating, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make workers that replace the index on ``docs`` by a wider one, unless told otherwise."""

    def make(server: ScriptedServer, index_params: Any = None, **arguments: Any) -> Worker:
        operating.connect(server)
        given: dict[str, Any] = {"task_id": "index", "collection_name": "docs", "if_exists": "replace", **arguments}
        return Worker(lambda: CreateIndexOperator(index_params=index_params or [WIDER], **given), monkeypatch)

    return make


__all__ = [
    "CHANGES",
    "WIDER",
    "Killed",
    "LoadingMilvus",
    "Make",
    "Store",
    "Worker",
    "let_the_loop_sleep_by",
    "m",
    "maker",
    "milvus",
]
