"""A client of the local server that does nothing of its own, and a small collection to try it on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import requests
import urllib3

Json = dict[str, Any]


class Api:
    """
    A client that does nothing of its own: a path, a body, headers, and what came back.

    ``session`` is for requests of another kind; the many of the usual kind go the short way, by ``urllib3`` alone.
    """

    def __init__(self, uri: str, token: str | None) -> None:
        self.uri = uri
        self.token = token
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Accept-Type-Allow-Int64"] = "true"
        if token is not None:
            self.session.headers["Authorization"] = f"Bearer {token}"

        self._pool = urllib3.PoolManager(timeout=300, retries=False)

    def close(self) -> None:
        self.session.close()
        self._pool.clear()

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def post(self, path: str, body: Any, **headers: str | None) -> urllib3.BaseHTTPResponse:
        return self.raw(path, json.dumps(body, allow_nan=False).encode(), Content_Type="application/json", **headers)

    def raw(self, path: str, body: bytes, **headers: str | None) -> urllib3.BaseHTTPResponse:
        """Send a body as it is. A header that is None is not sent; ``DB_Name`` is spelt ``DB-Name``."""
        given = {**self.session.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        sent = {name: value for name, value in given.items() if value is not None}
        return self._pool.request("POST", f"{self.uri}/v2/vectordb/{path}", body=body, headers=sent)

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
        assert response.status == 200, answer
        assert "data" not in answer
        return answer["code"], answer["message"]


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


def make_rows() -> list[Json]:
    return [
        {"id": i, "v": [float(i), 1.0, 0.0, 0.0], "s": {"1": 0.5, str(i + 2): 1.0}, "label": f"r{i}", "rank": i % 3}
        for i in range(10)
    ]


def fill(api: Api, collection: str) -> str:
    api.ok("entities/insert", collectionName=collection, data=make_rows())
    api.ok("collections/flush", collectionName=collection)
    dense = {"fieldName": "v", "metricType": "L2", "indexType": "FLAT"}
    api.ok("indexes/create", collectionName=collection, indexParams=[dense, {"fieldName": "s"}])
    api.ok("collections/load", collectionName=collection)
    return collection


INDEX = {"fieldName": "v", "indexType": "HNSW", "metricType": "L2", "params": {"M": 8, "efConstruction": 40}}
SPARSE = {"fieldName": "s", "indexType": "SPARSE_INVERTED_INDEX", "metricType": "IP"}


def make(api: Api, collection: str) -> None:
    api.ok("collections/create", collectionName=collection, schema=SCHEMA)
    api.ok("entities/insert", collectionName=collection, data=make_rows())


def ids(rows: list[Json]) -> list[Any]:
    """Return the primary keys of rows."""
    return [row["id"] for row in rows]


def connection_to(uri: str, token: str | None, **more: Any) -> str:
    """Return an Airflow connection to a server of ours, as its environment variable has it."""
    login, _, password = (token or "").partition(":")
    return json.dumps({"conn_type": "milvus", "host": uri, "login": login, "password": password, **more})


def cpu_seconds(pid: int) -> float:
    """Seconds that a process has computed for so far, which do not depend on what else the machine does."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
