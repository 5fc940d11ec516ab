"""A real Milvus for all of these tests, our REST servers in front of it, and what tests do with both.

- ``milvus``: the engine; can be asked what is ``pending``, be ``frozen``, and be sent signals.
- ``front``, ``api``: our REST server before it, and a client of that, for all tests.
- ``own_front``: a REST server for one test, to be killed and started again on its port.
- ``connection``, ``own_connection``: Airflow's default connection, to ``front`` and to ``own_front``.
- ``name``, ``filled``: a name for a collection, and a small collection.
- ``make_big``: makes collections that take a while to index.
- ``figures``: lines that are shown at the end of the run.
"""

from __future__ import annotations

import atexit
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
import orjson
import pytest
import requests
from milvus_server import CannotHaveError, MilvusServer, free_ports, installed

if "airflow" not in sys.modules:  # it reads its home directory once
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-home-")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

from airflow_vectordb.local import LocalMilvus

Json = dict[str, Any]


class Api:
    """A path, a body, and what came back."""

    def __init__(self, uri: str, token: str) -> None:
        self.uri = uri
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update({"Accept-Type-Allow-Int64": "true", "Request-Timeout": "120"})
        self.session.headers["Authorization"] = f"Bearer {token}"

    def post(self, path: str, **body: Any) -> requests.Response:
        return self.session.post(f"{self.uri}/v2/vectordb/{path}", json=body, timeout=130)

    def ok(self, path: str, **body: Any) -> Any:
        """The data of a call that must succeed."""
        answer = self.post(path, **body).json()
        assert answer["code"] == 0, f"{path} {answer}"
        return answer["data"]

    def fails(self, path: str, **body: Any) -> tuple[int, str]:
        """Code and message of a call that must be refused, with HTTP 200 as Milvus has it."""
        response = self.post(path, **body)
        answer = response.json()
        assert answer["code"] != 0, f"{path} was not refused: {answer}"
        assert response.status_code == 200, answer
        return answer["code"], answer["message"]


_NONE = pytest.StashKey[str]()
_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> list[str]:
    """Lines to show at the end of the run: what was measured."""
    return request.config.stash.setdefault(_FIGURES, [])


@pytest.fixture(scope="session")
def milvus(request: pytest.FixtureRequest) -> Iterator[MilvusServer]:
    """The engine, one for the whole run.

    ``milvus.pid`` is its process, ``milvus.address`` and ``milvus.uri`` where it speaks gRPC, ``milvus.token`` what it
    lets in; ``milvus.client`` is pymilvus, ``milvus.pending(collection, index)`` the rows that it has yet to index, and
    ``with milvus.frozen():`` stops it for the length of the block.
    """
    try:
        command = installed()
    except CannotHaveError as error:
        request.config.stash[_NONE] = str(error)
        pytest.skip(f"no real Milvus: {error}")
    server = MilvusServer(command)
    try:
        server.wait()
        yield server
    finally:
        server.stop()


# Around all others, so that it comes after the list of what was skipped.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, None, None]:
    """Say that there was no engine at the end of every run, not only where reasons of skips are asked for."""
    yield
    if lines := config.stash.get(_FIGURES, []):
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.line(line)
    why = config.stash.get(_NONE, "")
    if why:
        terminalreporter.section("NO REAL MILVUS: NOTHING WAS TESTED AGAINST ONE", sep="!", red=True, bold=True)
        terminalreporter.line(why)


@pytest.fixture(scope="session")
def front(milvus: MilvusServer) -> Iterator[LocalMilvus]:
    """Our REST server, which checks no token itself; for all tests, so none may end it."""
    with LocalMilvus(backend=milvus.uri, token=None) as running:
        yield running


@pytest.fixture
def own_front(milvus: MilvusServer) -> Iterator[LocalMilvus]:
    """A REST server for this test alone: ``own_front.kill()`` ends it as a crash would, ``own_front.start()`` starts it
    again, at the same URI.
    """
    (port,) = free_ports(1)
    with LocalMilvus(backend=milvus.uri, token=None, port=port) as running:
        yield running


@pytest.fixture(scope="session")
def api(front: LocalMilvus, milvus: MilvusServer) -> Iterator[Api]:
    """A client of ``front``, as the engine's root."""
    client = Api(front.uri, milvus.token)
    with client.session:
        yield client


_numbers = itertools.count()


@pytest.fixture
def name(api: Api) -> Iterator[str]:
    """The name of a collection that is dropped at the end."""
    made = f"c{next(_numbers)}"
    yield made
    drop_collection(api, made)


@pytest.fixture
def connection(front: LocalMilvus, milvus: MilvusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's default connection, to ``front``."""
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", connection_to(front.uri, milvus.token))


@pytest.fixture
def own_connection(own_front: LocalMilvus, milvus: MilvusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's default connection, to ``own_front``."""
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", connection_to(own_front.uri, milvus.token))


def connection_to(uri: str, token: str) -> str:
    """An Airflow connection to a REST server of ours, as its environment variable has it."""
    login, password = token.split(":")
    return json.dumps({"conn_type": "milvus", "host": uri, "login": login, "password": password})


ROWS, DIM, BATCH = 50_000, 128, 10_000
BIG_SCHEMA: Json = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": DIM}},
    ],
}
HNSW: Json = {
    "fieldName": "v",
    "indexName": "v_hnsw",
    "metricType": "COSINE",
    "indexType": "HNSW",
    "params": {"M": 16, "efConstruction": 200},
}
"""An index that takes the engine about 20 s to build over what ``make_big`` makes."""


def make_big_collection(api: Api, name: str) -> None:
    """Make a collection of ``ROWS`` vectors of ``DIM`` (always the same ones), flushed in five segments, with ids from
    0 on and without an index. It takes about 8 s.
    """
    api.ok("collections/create", collectionName=name, schema=BIG_SCHEMA)
    vectors = np.random.default_rng(7).standard_normal((ROWS, DIM), dtype=np.float32)
    for start in range(0, ROWS, BATCH):
        data = [{"id": i, "v": vectors[i]} for i in range(start, start + BATCH)]
        body = orjson.dumps({"collectionName": name, "data": data}, option=orjson.OPT_SERIALIZE_NUMPY)
        answer = api.session.post(f"{api.uri}/v2/vectordb/entities/insert", data=body, timeout=130).json()
        assert answer["code"] == 0, answer
        assert answer["data"]["insertCount"] == BATCH
        api.ok("collections/flush", collectionName=name)
    await_sealed(api, name, ROWS)


def await_sealed(api: Api, name: str, rows: int) -> None:
    """Wait until all rows of a collection without an index are in sealed segments. ``rowCount`` does not tell: it
    counts the others too; an index description does, and an index that needs no building is there at once.
    """
    there = {"collectionName": name, "indexName": "for_its_count"}
    flat = {"fieldName": "v", "indexName": "for_its_count", "indexType": "FLAT", "metricType": "L2"}
    api.ok("indexes/create", collectionName=name, indexParams=[flat])
    deadline = time.monotonic() + 60
    while (found := api.ok("indexes/describe", **there)[0]["totalRows"]) != rows:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    api.ok("indexes/drop", **there)


def drop_collection(api: Api, name: str) -> None:
    """Drop a collection that may be loaded, or not there."""
    if api.ok("collections/has", collectionName=name)["has"]:
        api.ok("collections/release", collectionName=name)
    api.ok("collections/drop", collectionName=name)


@pytest.fixture
def make_big(api: Api) -> Iterator[Callable[[str], str]]:
    """A function that makes a collection as :func:`make_big_collection` does; it is dropped after the test."""
    made: list[str] = []

    def make(name: str) -> str:
        made.append(name)
        make_big_collection(api, name)
        return name

    yield make
    for name in made:
        drop_collection(api, name)


SCHEMA: Json = {
    "enableDynamicField": True,
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}},
        {"fieldName": "label", "dataType": "VarChar", "elementTypeParams": {"max_length": 20}},
        {"fieldName": "extra", "dataType": "JSON"},
        {
            "fieldName": "tags",
            "dataType": "Array",
            "elementDataType": "Int64",
            "elementTypeParams": {"max_capacity": 4},
        },
    ],
}


def await_counted(api: Api, name: str, rows: int, **more: Any) -> None:
    """Wait until flushed rows are counted, and so sealed: a flush does not wait for it.

    :param more: a ``partitionName``, to count in it only
    """
    path = "partitions/get_stats" if more else "collections/get_stats"
    deadline = time.monotonic() + 60
    while (found := api.ok(path, collectionName=name, **more)["rowCount"]) != rows:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def await_loaded(api: Api, name: str, **more: Any) -> list[str]:
    states = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        state = api.ok("collections/get_load_state", collectionName=name, **more)
        states.append(state["loadState"])
        if state["loadState"] == "LoadStateLoaded":
            assert state["loadProgress"] == 100
            return states
        assert 0 <= state["loadProgress"] <= 100
        time.sleep(0.1)
    raise AssertionError(states)


@pytest.fixture
def filled(api: Api, name: str) -> str:
    """A small collection of every kind of field, with ten rows, an index, loaded."""
    api.ok("collections/create", collectionName=name, schema=SCHEMA)
    api.ok(
        "entities/insert",
        collectionName=name,
        data=[
            {"id": i, "v": [i, 1, 0, 0], "label": f"r{i}", "extra": {"n": i}, "tags": [i, 7], "loose": i * 2, "x": 1}
            for i in range(10)
        ],
    )
    api.ok("collections/flush", collectionName=name)
    api.ok("indexes/create", collectionName=name, indexParams=[{"fieldName": "v", "metricType": "L2"}])
    api.ok("collections/load", collectionName=name)
    await_loaded(api, name)
    return name
