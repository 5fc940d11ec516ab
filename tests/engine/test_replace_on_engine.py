"""Replacing the index of a loaded collection on a real engine: the task's process is killed after each of its steps."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from airflow_vectordb.local import LocalMilvus
from tests.support.engine_api import HNSW, Api, await_counted, await_loaded, drop_collection
from tests.support.local_api import connection_to
from tests.support.milvus_server import MilvusServer

PROGRAM = Path(__file__).with_name("replacing_task.py")
COUNT, DIM, QUERIES, LIMIT = 5_000, 64, 20, 10
NARROW = {**HNSW, "params": {"M": 16, "efConstruction": 100}}
WIDE = {**HNSW, "params": {"M": 32, "efConstruction": 400}}

#: Where it is killed -> which M is there then (None: no index at all), and whether the collection is loaded.
STOPS: dict[str, tuple[str | None, bool]] = {
    "before collections/release": ("16", True),
    "after collections/release": ("16", False),
    "after indexes/drop": (None, False),
    "after indexes/create": ("32", False),
    "before collections/load": ("32", False),
    "after collections/load": ("32", True),
}


@pytest.fixture(scope="module")
def vectors() -> Any:
    return np.random.default_rng(11).standard_normal((COUNT, DIM), dtype=np.float32)


def make_loaded(api: Api, name: str, vectors: Any) -> None:
    """Make a collection with an HNSW index of M=16, loaded."""
    fields = [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": DIM}},
    ]
    api.ok("collections/create", collectionName=name, schema={"fields": fields})
    rows = [{"id": i, "v": vectors[i]} for i in range(COUNT)]
    body = orjson.dumps({"collectionName": name, "data": rows}, option=orjson.OPT_SERIALIZE_NUMPY)
    answer = api.session.post(f"{api.uri}/v2/vectordb/entities/insert", data=body, timeout=60).json()
    assert answer["code"] == 0, answer
    api.ok("collections/flush", collectionName=name)
    await_counted(api, name, COUNT)
    api.ok("indexes/create", collectionName=name, indexParams=[NARROW])
    api.ok("collections/load", collectionName=name)
    await_loaded(api, name)


@dataclass
class Task:
    """
    A task instance: each of its tries is a process, and so is each return from the triggerer, which is in this one.

    :param store: the file that tries share
    :param deferrals: what was waited for in the triggerer
    """

    collection: str
    store: Path
    deferrable: bool = False
    tries: int = 0
    deferrals: list[str] = field(default_factory=list)

    def killed(self, place: str) -> None:
        """Make a try that is killed there."""
        assert self._try(place) is None, f"it never came to {place!r}"

    def succeeds(self) -> dict[str, Any]:
        """Make a try to its end; return the description of the index."""
        (index,) = self._try("never")["result"]
        assert isinstance(index, dict)
        return index

    def _try(self, place: str) -> Any:
        self.tries += 1
        said = self._process(place, "")
        while said is not None and "trigger" in said:
            path, arguments = said["trigger"]
            self.deferrals.append(arguments["condition"]["kind"])
            module, _, name = path.rpartition(".")
            trigger = getattr(importlib.import_module(module), name)(**arguments)
            event = json.loads(json.dumps(asyncio.run(_event_of(trigger))))
            method, kwargs = said["resume"]
            said = self._process(place, json.dumps([method, {**kwargs, "event": event}]))
        return said

    def _process(self, place: str, given: str) -> Any:
        """What it said last; None: it was killed at the place."""
        arguments = {
            "collection_name": self.collection,
            "index_params": WIDE,
            "if_exists": "replace",
            "deferrable": self.deferrable,
            "timeout": 120,
        }
        command = [sys.executable, os.fspath(PROGRAM), os.fspath(self.store), str(self.tries), place]
        with subprocess.Popen(
            [*command, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(given)
                process.stdin.close()
                lines: list[str] = []
                for line in process.stdout:
                    lines.append(line)
                    if line == '"stopped"\n':
                        os.kill(process.pid, signal.SIGKILL)
                        assert process.wait(10) == -signal.SIGKILL
                        return None
                assert process.wait(10) == 0, "".join(lines)
                return json.loads(lines[-1])
            finally:
                process.kill()


async def _event_of(trigger: Any) -> Any:
    (event,) = [event async for event in trigger.run()]
    return event.payload


def there(milvus: MilvusServer, collection: str) -> tuple[str | None, bool]:
    """Which M the engine itself has, and whether the collection is loaded or being loaded."""
    index = milvus.client.describe_index(collection, HNSW["indexName"], timeout=30)
    state = milvus.client.get_load_state(collection, timeout=30)["state"]
    return (None if index is None else str(index["params"]["M"])), str(state.name) in ("Loaded", "Loading")


def comes_to(milvus: MilvusServer, collection: str, expected: tuple[str | None, bool]) -> None:
    """The engine may take a moment after its answer."""
    deadline = time.monotonic() + 20
    while (found := there(milvus, collection)) != expected:
        assert time.monotonic() < deadline, f"{found} instead of {expected}"
        time.sleep(0.1)


def recall(api: Api, collection: str, vectors: Any) -> float:
    """The share of the true neighbours that searches find."""
    queries = np.random.default_rng(13).standard_normal((QUERIES, DIM), dtype=np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = 0
    for query in queries:
        nearest = set(np.argsort(-(unit @ query))[:LIMIT].tolist())
        hits = api.ok(
            "entities/search",
            collectionName=collection,
            data=[query.tolist()],
            annsField="v",
            limit=LIMIT,
            searchParams={"metricType": "COSINE", "params": {"ef": 200}},
        )
        assert len(hits) == LIMIT
        found += len(nearest & {int(hit["id"]) for hit in hits})
    return found / (QUERIES * LIMIT)


Round = Callable[[MilvusServer, Task], str]


def killed_at(place: str) -> Round:
    """Be killed there, and try again."""

    def run(milvus: MilvusServer, task: Task) -> str:
        task.killed(place)
        if place == "before collections/load":
            assert milvus.pending(task.collection, HNSW["indexName"]) == 0, "it went on too early"
        comes_to(milvus, task.collection, STOPS[place])
        return f"killed {place}"

    return run


def deferred(milvus: MilvusServer, task: Task) -> str:
    """Wait in the triggerer, be killed on coming back from there, and try again."""
    task.deferrable = True
    task.killed("before collections/load")
    assert milvus.pending(task.collection, HNSW["indexName"]) == 0, "it went on too early"
    assert "IndexesBuilt" in task.deferrals, "the index was built immediately: there was nothing to wait for"
    comes_to(milvus, task.collection, ("32", False))
    return "deferrable, killed when it came back"


ROUNDS = (*STOPS, "deferrable")


@pytest.fixture(scope="module")
def rounds(
    front: LocalMilvus, milvus: MilvusServer, vectors: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[str]]]:
    """All rounds at once, each on a collection of its own: most of their time is spent waiting for the engine.

    The deferrable one comes after the others: an engine that is busy may answer a create after seconds, with the build
    done, and there would be nothing to defer for.
    """
    directory = tmp_path_factory.mktemp("stores")

    def one(name: str, run: Round) -> str:
        collection = "replaced_" + "".join(letter if letter.isalnum() else "_" for letter in name)
        task = Task(collection, directory / f"{collection}.json")
        api = Api(front.uri, milvus.token)
        with api.session:
            try:
                make_loaded(api, collection, vectors)
                assert there(milvus, collection) == ("16", True)
                title = run(milvus, task)
                return f"{title}: {ends_well(api, milvus, task, vectors)}"
            finally:
                drop_collection(api, collection)

    assert milvus.client  # made here, and not by all of them at once
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(ROUNDS)) as pool:
        patch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", connection_to(front.uri, milvus.token))
        found = {place: pool.submit(one, place, killed_at(place)) for place in STOPS}

        def last() -> str:
            wait([found[place] for place in STOPS])
            return one("deferrable", deferred)

        found["deferrable"] = pool.submit(last)
        yield found


def ends_well(api: Api, milvus: MilvusServer, task: Task, vectors: Any) -> str:
    """Make the last try, check what came of the replacement, and say so."""
    index = task.succeeds()
    # At once: it has waited for that.
    state = milvus.client.get_load_state(task.collection, timeout=30)["state"]
    assert str(state.name) == "Loaded"
    assert there(milvus, task.collection) == ("32", True)
    assert milvus.pending(task.collection, HNSW["indexName"]) == 0
    assert (index["params"]["M"], index["state"], index["pending_rows"]) == (32, "Finished", 0)
    found = recall(api, task.collection, vectors)
    assert found >= 0.9
    # Nothing is kept for a try that will not be.
    assert json.loads(task.store.read_text()) == {}
    waited = f", waited in the triggerer for {' and '.join(task.deferrals)}" if task.deferrals else ""
    return f"{task.tries} tries{waited}; M=32, loaded, recall@{LIMIT} {found:.3f}"


@pytest.mark.parametrize("name", ROUNDS)
def test_a_replacement_is_killed_and_tried_again(name: str, rounds: dict[str, Future[str]], figures: list[str]) -> None:
    figures.append(f"replacing M=16 by M=32, {rounds[name].result(timeout=300)}")
