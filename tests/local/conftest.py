"""One local server for all of these tests; each test has collections of its own names."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from airflow_vectordb.local import LocalMilvus

Json = dict[str, Any]


def _spelt(headers: dict[str, str | None]) -> dict[str, str | None]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


class Api:
    """A client that does nothing of its own: a path, a body, headers, and what came back."""

    def __init__(self, uri: str, token: str | None) -> None:
        self.uri = uri
        self.token = token
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Accept-Type-Allow-Int64"] = "true"
        if token is not None:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def post(self, path: str, body: Any, **headers: str | None) -> requests.Response:
        return self.session.post(f"{self.uri}/v2/vectordb/{path}", json=body, headers=_spelt(headers), timeout=60)

    def raw(self, path: str, body: bytes, **headers: str | None) -> requests.Response:
        return self.session.post(f"{self.uri}/v2/vectordb/{path}", data=body, headers=_spelt(headers), timeout=60)

    def ok(self, path: str, **body: Any) -> Any:
        """The data of a call that must succeed."""
        answer = self.post(path, body).json()
        assert answer["code"] == 0, f"{path} {answer}"
        return answer["data"]

    def fails(self, path: str, **body: Any) -> tuple[int, str]:
        """Code and message of a call that must be refused, with HTTP 200 as Milvus has it."""
        response = self.post(path, body)
        answer = response.json()
        assert answer["code"] != 0, f"{path} was not refused: {answer}"
        assert response.status_code == 200, answer
        assert "data" not in answer
        return answer["code"], answer["message"]


@pytest.fixture(scope="session")
def server() -> Iterator[LocalMilvus]:
    with LocalMilvus() as running:
        yield running


@pytest.fixture(scope="session")
def api(server: LocalMilvus) -> Iterator[Api]:
    client = Api(server.uri, server.token)
    with client.session:
        yield client


@pytest.fixture
def connect() -> Iterator[Callable[[LocalMilvus], Api]]:
    """Clients of other servers than the shared one."""
    made: list[Api] = []

    def make(running: LocalMilvus) -> Api:
        made.append(Api(running.uri, running.token))
        return made[-1]

    yield make
    for client in made:
        client.session.close()


_numbers = itertools.count()


@pytest.fixture
def name(api: Api) -> Iterator[str]:
    """The name of a collection that is dropped at the end."""
    made = f"c{next(_numbers)}"
    yield made
    for alias in api.ok("aliases/list"):
        if api.ok("aliases/describe", aliasName=alias)["collectionName"] == made:
            api.ok("aliases/drop", aliasName=alias)
    api.ok("collections/drop", collectionName=made)


SCHEMA: Json = {
    "enableDynamicField": False,
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}},
        {"fieldName": "s", "dataType": "SparseFloatVector"},
        {"fieldName": "label", "dataType": "VarChar", "elementTypeParams": {"max_length": 20}},
        {"fieldName": "rank", "dataType": "Int32"},
    ],
}


@pytest.fixture
def bare(api: Api, name: str) -> str:
    """A collection with a dense and a sparse vector field and two scalars, without indexes."""
    api.ok("collections/create", collectionName=name, schema=SCHEMA)
    return name


def make_rows() -> list[Json]:
    return [
        {"id": i, "v": [float(i), 1.0, 0.0, 0.0], "s": {"1": 0.5, str(i + 2): 1.0}, "label": f"r{i}", "rank": i % 3}
        for i in range(10)
    ]


@pytest.fixture
def rows() -> list[Json]:
    """Ten rows for ``bare``; row 3 is nearest to [3, 1, 0, 0]."""
    return make_rows()


def fill(api: Api, collection: str) -> str:
    api.ok("entities/insert", collectionName=collection, data=make_rows())
    api.ok("collections/flush", collectionName=collection)
    dense = {"fieldName": "v", "metricType": "L2", "indexType": "FLAT"}
    api.ok("indexes/create", collectionName=collection, indexParams=[dense, {"fieldName": "s"}])
    api.ok("collections/load", collectionName=collection)
    return collection


@pytest.fixture
def filled(api: Api, bare: str) -> str:
    """``bare`` with ten rows in it, flushed, indexed with L2 and IP, and loaded."""
    return fill(api, bare)


@pytest.fixture(scope="session")
def shared(api: Api) -> str:
    """Like ``filled``, but one for all; for tests that change nothing."""
    api.ok("collections/create", collectionName="shared", schema=SCHEMA)
    return fill(api, "shared")
