"""A real Milvus for all of these tests, and our REST server in front of it."""

from __future__ import annotations

import atexit
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from milvus_server import TOKEN, CannotHaveError, MilvusServer, installed

if "airflow" not in sys.modules:  # it reads its home directory once
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-home-")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

from airflow_vectordb.local import LocalMilvus

Json = dict[str, Any]


class Api:
    """A path, a body, and what came back."""

    def __init__(self, uri: str, token: str = TOKEN) -> None:
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


@pytest.fixture(scope="session")
def milvus() -> Iterator[MilvusServer]:
    try:
        command = installed()
    except CannotHaveError as error:
        pytest.skip(f"NO REAL MILVUS, NOTHING OF tests/engine IS RUN: {error}")
    server = MilvusServer(command)
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def front(milvus: MilvusServer) -> Iterator[LocalMilvus]:
    """Our REST server, which checks no token itself."""
    with LocalMilvus(backend=milvus.uri, token=None) as running:
        yield running


@pytest.fixture(scope="session")
def api(front: LocalMilvus) -> Iterator[Api]:
    client = Api(front.uri)
    with client.session:
        yield client


_numbers = itertools.count()


@pytest.fixture
def name(api: Api) -> Iterator[str]:
    """The name of a collection that is dropped at the end."""
    made = f"c{next(_numbers)}"
    yield made
    if api.ok("collections/has", collectionName=made)["has"]:
        api.ok("collections/release", collectionName=made)
    api.ok("collections/drop", collectionName=made)


@pytest.fixture
def connection(front: LocalMilvus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's default connection, to our REST server."""
    login, password = TOKEN.split(":")
    connection = {"conn_type": "milvus", "host": front.uri, "login": login, "password": password}
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", json.dumps(connection))


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
