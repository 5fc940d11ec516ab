"""A client of our REST server before a real Milvus, and the collections that are tried on it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import orjson
import requests

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
"""An index that takes the engine about 20 s to build over what :func:`make_big_collection` makes."""


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
    counts the others too; an index description does, and an index that needs no building is there immediately.
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
